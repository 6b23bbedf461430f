"""The kind molecules: MoleculeVAE, for molecules as strings of SMILES symbols, and their properties."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.alphabet import Alphabet
from scratchvae.chemistry import why_invalid
from scratchvae.data import Dataset, holds_table
from scratchvae.data.molecule_files import COLUMN as COLUMN_NAME
from scratchvae.data.molecule_files import MOST_TOKENS, has_columns
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import DataError, InputError
from scratchvae.kinds.kind import Kind, Line, Settings
from scratchvae.kinds.option import COUNT, NOT_NEGATIVE, POSITIVE, Option
from scratchvae.kinds.option import name as a_name
from scratchvae.kinds.pictures import CURVES, Picture, Subject
from scratchvae.kinds.shared_options import COMMON, FREE_BITS
from scratchvae.latent_space import has_arc
from scratchvae.models.symbol_networks import ENCODERS
from scratchvae.molecule_scores import LIMITS, score_strings
from scratchvae.replacement import replace as write

DEFAULTS = {
    "data": "drawn-molecules",
    "epochs": 14,
    "learning_rate": 4e-3,
    "learning_rate_decay": 0.75,
    "kl_weight": 0.45,
    "kl_warmup": 300,
    "clip_norm": 5.0,
}
"""The defaults that differ from those of the other kinds. With a KL weight of 1 the decoder would almost ignore z."""

LATENT = Option("latent", "number of latent dimensions, K", 32, COUNT, metavar="K")
HIDDEN_SIZE = Option("hidden_size", "number of units of the decoder's GRU", 192, COUNT, metavar="H")
ENCODER = Option("encoder", "type of the encoder network", "convolutional", choices=ENCODERS)
COLUMN = Option("column", "column with the strings in a .csv file", None, a_name, metavar="NAME", usual="smiles")
PROPERTIES = Option(
    "properties",
    "properties to learn together with the strings; without a NAME, none",
    None,
    a_name,
    metavar="NAME",
    usual="all properties in the data",
    several="*",
)
FEWEST = Option(
    "fewest",
    "leave out molecules with a symbol that occurs fewer than N times in the training part",
    10,
    COUNT,
    metavar="N",
)

SAMPLING = (
    Option(
        "temperature",
        "temperature of the samples; the lower, the closer they are to the most probable ones",
        0.0,
        NOT_NEGATIVE,
        metavar="T",
    ),
    Option(
        "beam",
        "width of the beam search for the most probable string",
        1,
        COUNT,
        metavar="B",
    ),
    Option(
        "near", "draw z around the code of this molecule, instead of from the prior", None, a_name, metavar="SMILES"
    ),
    Option("spread", "standard deviation of z around the code of --near", 0.5, POSITIVE, metavar="STD"),
    Option(
        "maximize", "property to increase: z ascends its prediction before z is decoded", None, a_name, metavar="NAME"
    ),
)
TEXTS = (".smi", ".txt", ".csv")

"""The suffixes of the files to which strings are written."""

RECONSTRUCTED, SAMPLED = 1000, 1000
"""The most test strings that are reconstructed for a score, and the number of samples that are scored."""

SHOWN_ARCS = 4
"""The number of rows in the picture of interpolations."""


def _has_known_properties(subject: Subject) -> bool:
    names = () if subject.model.property_decoder is None else subject.model.property_decoder.names
    return any(numpy.isfinite(subject.test.properties.get(name, numpy.nan)).any() for name in names)


def _interpolation(subject: Subject) -> Any:
    x = subject.test.molecules[: 4 * SHOWN_ARCS]
    z = subject.model.encode(x).mean
    arcs = sv.to_numpy(has_arc(z[0::2], z[1::2]))
    pairs = list(zip(x[0::2][arcs], x[1::2][arcs], strict=True))[:SHOWN_ARCS]
    return sv.plotting.molecule_interpolation(subject.model, pairs)


PICTURES = (
    Picture(
        "latent",
        "at least two latent dimensions, and properties of test molecules that differ",
        lambda s: s.model.latent_size > 1 and bool(sv.plotting.varied_properties(s.test.properties)),
        lambda s: sv.plotting.latent_by_property(s.model, s.test.molecules, s.test.properties),
    ),
    Picture(
        "reconstructions",
        "a run",
        lambda s: True,
        lambda s: sv.plotting.molecule_reconstructions(s.model, s.test.molecules),
    ),
    Picture("samples", "a run", lambda s: True, lambda s: sv.plotting.molecule_samples(s.model)),
    Picture("interpolation", "four test molecules", lambda s: len(s.test) >= 4, _interpolation),
    Picture(
        "neighbours",
        "a run",
        lambda s: True,
        lambda s: sv.plotting.molecule_neighbours(s.model, s.test.molecules[0]),
    ),
    Picture(
        "properties",
        "properties of test molecules that the model predicts",
        _has_known_properties,
        lambda s: sv.plotting.property_scatter(s.model, s.test.molecules, s.test.properties),
    ),
    CURVES,
)


def sizes(alphabet: Alphabet, part: Dataset) -> numpy.ndarray:
    """Returns the number of symbols of each molecule, infinite if one is missing from the alphabet.   (N,)"""
    symbols = set(alphabet.symbols)
    split = map(alphabet.split, part.molecules)
    return numpy.array([len(each) if symbols.issuperset(each) else numpy.inf for each in split])


class Molecules(Kind):
    """Molecules is the kind molecules: MoleculeVAE, a VAE of strings and their properties."""

    name, summary = "molecules", "MoleculeVAE, a VAE of SMILES strings and properties of molecules"
    model = sv.MoleculeVAE
    options = (
        *(replace(option, default=DEFAULTS.get(option.name, option.default)) for option in COMMON),
        FREE_BITS,
        LATENT,
        HIDDEN_SIZE,
        ENCODER,
        COLUMN,
        PROPERTIES,
        FEWEST,
    )
    sampling = SAMPLING
    pictures = PICTURES
    rows, datum, most_drawn = "molecules", "molecule", 1000

    def refuse(self, settings: Settings) -> None:
        """Raises InputError for --properties with --objective iwae, which ignores them, and with --free-bits."""
        super().refuse(settings)
        if settings["objective"] == "iwae" and settings["properties"]:
            raise InputError("train", "--properties with --objective elbo", "--objective iwae")
        if settings["free_bits"] and settings["properties"]:
            raise InputError("train", "--kl-floor with --properties", "--free-bits")

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the column of strings, and the properties that are named, if any."""
        named = {name: options[name] for name in ("column", "properties") if options.get(name)}
        return ({"column": COLUMN_NAME} if holds_table(options["data"]) else {}) | named

    def reading_another(self, options: Mapping[str, Any], path: str, model: Any) -> dict[str, Any]:
        """Returns the column of strings; properties that another file lacks are not scored."""
        column = options.get("column") or (COLUMN_NAME if holds_table(path) else None)
        return {"column": column} if column and has_columns(path) else {}

    def parts(self, settings: Mapping[str, Any], parts: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        """Returns the parts with the chosen properties, without molecules that are too long or have a rare symbol.

        The first part is the training part; its symbols and its longest string decide. The number of molecules left out
        of all parts is added to the `omissions` of each.
        """
        if parts[0].molecules is None:
            return parts
        if settings["properties"] is not None:
            parts = tuple(part.keep(settings["properties"]) for part in parts)
        alphabet, train = self.usual(settings, parts[0])
        longest = sizes(alphabet, train).max(initial=0)
        rows = [numpy.flatnonzero(sizes(alphabet, part) <= longest) for part in parts]
        omissions = parts[0].omissions + sum(map(len, parts)) - sum(map(len, rows))
        parts = tuple(replace(part.take(kept), omissions=omissions) for part, kept in zip(parts, rows, strict=True))
        if not all(map(len, parts)):
            expected = f"in each part molecules of symbols that occur {settings['fewest']} times in the training part"
            raise DataError(f"--model {self.name}", expected, f"parts of {', '.join(str(len(p)) for p in parts)}")
        return parts

    def usual(self, settings: Mapping[str, Any], train: Dataset) -> tuple[Alphabet, Dataset]:
        """Returns the symbols that occur often enough, and the molecules that consist of these symbols.

        When the molecules with a rare symbol are left out, another symbol may become rare; this repeats until none is.
        """
        alphabet = self.alphabet(settings, train)
        kept = train.take(numpy.flatnonzero(numpy.isfinite(sizes(alphabet, train))))
        return (alphabet, kept) if len(kept) == len(train) else self.usual(settings, kept)

    def notes(self, settings: Settings, train: Dataset) -> list[str]:
        """Describes the learned properties and the number of molecules left out."""
        names = [] if settings["objective"] == "iwae" else list(train.properties)
        return [f"properties: {', '.join(names) or 'none'}", *self.left_out(train)]

    def left_out(self, part: Dataset) -> list[str]:
        """Returns a line with the number of molecules left out of all parts, if there are any."""
        if not part.omissions:
            return []
        return [
            f"{part.omissions:,} molecules left out: longer than {MOST_TOKENS} symbols, longer than all of the "
            "training part, or with a symbol that is rare there"
        ]

    def alphabet(self, settings: Mapping[str, Any], train: Dataset) -> Alphabet:
        """Returns the symbols that occur often enough in the training part."""
        return Alphabet.of(self.observations(train), settings["fewest"])

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.MoleculeVAE:
        """Builds MoleculeVAE.gru with the symbols, the longest string and the property units of the training part."""
        alphabet = self.alphabet(settings, train)
        longest = int(sizes(alphabet, train).max())
        properties = {} if settings["objective"] == "iwae" else train.properties
        means, stds = [], []
        for name, t in properties.items():
            known = t[numpy.isfinite(t)]
            with numpy.errstate(over="ignore"):
                differ = len(known) > 0 and 0 < known.std() < numpy.inf
            if not differ:
                received = f"{known.min():g} to {known.max():g}" if len(known) else "no known number"
                raise DataError(
                    f"property {name}", "different numbers in the training part, less than 1e150 apart", received
                )
            means.append(float(f"{known.mean():.6g}"))
            stds.append(float(f"{known.std():.6g}"))
        return sv.MoleculeVAE.gru(
            alphabet.symbols,
            longest,
            settings["latent"],
            settings["hidden_size"],
            settings["encoder"],
            list(properties),
            means,
            stds,
            settings["seed"],
        )

    def training(self, settings: Settings, train: Dataset) -> dict[str, Any]:
        """Returns the arguments of `fit`, with the properties."""
        with_properties = train.properties and settings["objective"] == "elbo"
        return super().training(settings, train) | ({"properties": train.properties} if with_properties else {})

    def in_other_units(self, model: Any, x: Any, scores: Mapping[str, Any]) -> list[str]:
        """Returns the bound per symbol and per character; only the bound per character compares across alphabets."""
        symbols = float(n_symbols(model.observations(x)).mean()) + 1
        characters = numpy.mean([len(molecule) + 1 for molecule in x])
        bound = scores["elbo"]
        line = f"these are nats per molecule; {bound / symbols:.3f} by symbol, {bound / characters:.3f} by character, "
        return [Line(f"{line}each with the end", by_symbol=bound / symbols, by_character=bound / characters)]

    def scores(
        self, model: Any, dataset: Dataset, seed: int = 0, n_samples: int = 0, train: Dataset | None = None
    ) -> list[str]:
        """Scores reconstructions, strings from the prior, and predicted properties."""
        if n_samples:
            return []
        x = dataset.molecules[:RECONSTRUCTED]
        exact = (numpy.array(model.reconstruct(x)) == x).mean()
        q, noise = model.encode(x), sv.Noise(seed, device=model.device)
        known = None if train is None else train.molecules
        z = q.sample(noise.normal("near data", q.shape))
        lines = [
            Line(f"{exact:.1%} of {len(x):,} reconstructed exactly from the mean of q(z | x)", rewritten=exact),
            f"decoded from draws of q(z | x): {score_strings(model.write(z)).shares}",
            f"{SAMPLED:,} samples from the prior: {score_strings(model.sample(SAMPLED, seed), known).shares}",
            LIMITS,
            *self.left_out(dataset),
        ]
        if model.property_names and set(model.property_names) <= set(dataset.properties):
            known_t = {name: dataset.properties[name][: len(x)] for name in model.property_names}
            with sv.no_grad():
                log_t = sv.to_numpy(model.property_decoder(z).log_prob(model.properties(known_t)))
            lines.append(
                f"log p(t | z) {log_t.mean():.3f} nats at the same draws; added to the ELBO, it bounds log p(x, t)"
            )
        for name, mean in (model.predict(dataset.molecules) if model.property_decoder else {}).items():
            t = dataset.properties.get(name, numpy.array(numpy.nan))
            if numpy.isfinite(t).any():
                error, spread = (numpy.nanmean(abs(t - centre)) for centre in (sv.to_numpy(mean), numpy.nanmean(t)))
                lines.append(f"{name}: mean absolute error {error:.3g}, predicting the mean {spread:.3g}")
        return lines

    def numbers_of(self, model: Any) -> int:
        """Returns the numbers of z, and one for each symbol of a longest string."""
        return model.latent_size + model.longest

    def write_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> list[str]:
        """Writes strings as a text, one per line, as a .csv table with predicted properties, or as a picture."""
        text = path.suffix.lower() in TEXTS
        if path.suffix == ".npy":
            raise InputError("sample", f"a text, {', '.join(TEXTS)}, or a picture", repr(str(path)))
        if not text:
            path = sv.plotting.picture_path(path)
        z = self.latents(model, n, seed, **asked)
        strings = model.write(z, asked.get("temperature", 0.0), asked.get("beam", 1), seed)
        if text:
            write(path, self.table(path, model, z, strings).encode())
        else:
            sv.plotting.save_figure(sv.plotting.molecules(strings), path)
        return [f"{n:,} strings: {score_strings(strings)}", str(path)]

    def latents(
        self,
        model: Any,
        n: int,
        seed: int,
        near: str | None = None,
        spread: float | None = None,
        maximize: str | None = None,
        **others: Any,
    ) -> Any:
        """Returns n points z from the prior or around a molecule, moved uphill in a property if one is named.   (n, K)

        The ascent has 60 steps of 0.1 on the property, in units of its standard deviation, plus 0.1 log p(z).
        """
        if spread is not None and near is None:
            raise InputError("sample", "--near with --spread", "none")
        z = model.prior_draws(n, seed) if near is None else model.around(near, n, spread or 0.5, seed)
        if maximize is None:
            return z
        names = () if model.property_decoder is None else model.property_decoder.names
        if maximize not in names:
            raise InputError(
                "sample", f"--maximize with a property among {', '.join(names) or '(none)'}", repr(maximize)
            )
        i = names.index(maximize)
        unit = float(model.property_decoder.unit[i])
        return sv.latent_search.ascend(
            lambda z: model.property_decoder(z).mean[..., i] * (1 / unit), z, model.prior, prior_weight=0.1
        )

    def table(self, path: Path, model: Any, z: Any, strings: list[str]) -> str:
        """Returns one string per line; a .csv also has a header, the validity, and the properties predicted from z."""
        if path.suffix.lower() != ".csv":
            return "".join(f"{string}\n" for string in strings)
        predicted = {} if model.property_decoder is None else model.predict_at(z)
        columns = [strings, [int(why_invalid(string) is None) for string in strings]]
        columns += [[f"{value:.5g}" for value in sv.to_numpy(values)] for values in predicted.values()]
        content = io.StringIO()
        rows = csv.writer(content, lineterminator="\n")
        rows.writerow(["smiles", "valid", *(f"predicted {name}" for name in predicted)])
        rows.writerows(zip(*columns, strict=True))
        return content.getvalue()
