"""The commands encode, impute, explore and export, which write files for other programs."""

from __future__ import annotations

import argparse
import csv
import io
from itertools import zip_longest
from pathlib import Path

import numpy

import scratchvae as sv
from scratchvae.checkpoint import export as write_weights
from scratchvae.cli.commands import chosen_data, kind_and_model, refuse_others
from scratchvae.cli.output import print_json
from scratchvae.cli.settings import load_parts
from scratchvae.errors import InputError
from scratchvae.replacement import replace, write_text
from scratchvae.scoring import observations

ROWS_AT_ONCE = 1000
"""The number of rows that are encoded at a time, so that memory stays bounded."""


def encode(arguments: argparse.Namespace) -> None:
    """Writes the means of q(z | x) of a data set, (N, K), to a .npy or a .csv file."""
    path = Path(arguments.out)
    if path.suffix not in (".npy", ".csv"):
        raise InputError("encode", "--out with the suffix .npy or .csv", repr(arguments.out))
    kind, model, options = kind_and_model(arguments)
    if arguments.data is None and not options:
        raise InputError("encode", "DATA, as the run does not name its data", "none")
    if arguments.part != "test" and arguments.data is not None:
        raise InputError("encode", "--part with the run's own data", f"--part {arguments.part} and {arguments.data}")
    if arguments.part == "test":
        part, dataset, _ = chosen_data("encode", kind, model, arguments, options)
    else:
        train, validation, _ = load_parts(kind, options, arguments.data_dir)
        part, dataset = arguments.part, {"train": train, "validation": validation}[arguments.part]
    x = observations(model, kind.observations(dataset))
    starts = range(0, len(x), ROWS_AT_ONCE)
    codes = numpy.concatenate([sv.to_numpy(model.encode(x[i : i + ROWS_AT_ONCE]).mean) for i in starts])
    if path.suffix == ".npy":
        content = io.BytesIO()
        numpy.save(content, codes)
        replace(path, content.getbuffer())
    else:
        labels = (
            [] if dataset.labels is None else [[dataset.classes[y] if dataset.classes else y] for y in dataset.labels]
        )
        names = [f"z{k + 1}" for k in range(codes.shape[1])] + (["label"] if labels else [])
        content = io.StringIO()
        rows = ([*map(repr, row), *label] for row, label in zip_longest(codes.tolist(), labels, fillvalue=[]))
        csv.writer(content, lineterminator="\n").writerows([names, *rows])
        write_text(path, content.getvalue())
    print(f"{path}: the means of q(z | x) for {len(codes):,} rows ({part}), {codes.shape[1]} units each")


def impute(arguments: argparse.Namespace) -> None:
    """Writes a copy of a file in which the missing entries are filled in."""
    kind, model, _ = kind_and_model(arguments)
    refuse_others("impute", kind, lambda kind: kind.imputes)
    if not model.missing:
        raise InputError("impute", "a run that was trained with --missing", "one without")
    if not Path(arguments.file).is_file():
        raise InputError("impute", "the path of a file", repr(arguments.file))
    out, n_samples = Path(arguments.out), arguments.samples
    line = kind.write_imputed(arguments.file, out, model, n_samples, arguments.seed, arguments.draw)
    if arguments.json:
        print_json({"run": arguments.run, "file": arguments.file, "out": arguments.out, "figures": line.figures})
    else:
        print(f"{line}\n{out}")


def explore(arguments: argparse.Namespace) -> None:
    """Writes a page on which the latent space of a trained model can be explored."""
    kind, model, options = kind_and_model(arguments)
    if arguments.data is None and not options:
        raise InputError("explore", "--data, as the run does not name its data", "none")
    refuse_others("explore", kind, lambda kind: kind.rows != "records")
    test = chosen_data("explore", kind, model, arguments, options)[1]
    name, numbers = arguments.data or options["data"], test.factors | test.properties
    page = sv.explorer(
        model,
        kind.observations(test),
        test.labels,
        attributes=test.attributes,
        properties={key: values for key, values in numbers.items() if key not in test.attributes},
        thumbnails=not sv.data.shows_persons(name) if arguments.thumbnails is None else arguments.thumbnails,
        title=f"{Path(name).name}: {type(model).__name__}, K = {model.latent_size}",
    )
    page.save(arguments.out)
    print(f"{arguments.out}: {len(page.page) / 1e6:.1f} MB, a page that needs no other file")


def export(arguments: argparse.Namespace) -> None:
    """Writes a model's weights to a .safetensors or an .npz file."""
    _, model, _ = kind_and_model(arguments)
    path = Path(arguments.out)
    write_weights(model, path)
    print(f"{path}: {len(model.state())} arrays, {model.count():,} parameters")
