"""MoleculeVAE: molecules that a model samples, interpolates, varies and improves, and the effect of a larger KL weight.

The example trains MoleculeVAE on drawn molecules with a KL weight of 0.45, and with a weight of 1, in some minutes each
on one core, and prints the scores of both: with weight 1, z carries less information, which the table shows in the
ELBO, the reconstructions and the samples from the prior. Then z ascends the predicted property, starting from the
molecules with its lowest values. The printed property is the true one of the decoded molecules, by `sv.chemistry`,
compared with two controls: the same z decoded without the ascent, and z from the prior. With --quick, the example takes
seconds, with a smaller model on fewer molecules.

It writes molecule_samples.png, molecule_interpolation.png, molecule_neighbours.png (of paracetamol),
molecule_latent.png, molecule_properties.png and molecules.npz, the model, all for the first weight.

Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018), figures 2 to 4.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae import chemistry, plotting
from scratchvae.errors import InputError
from scratchvae.latent_space import has_arc
from scratchvae.molecule_scores import key_or_none, molecule_or_none, score_strings
from scratchvae.plotting import save_figure

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


def trained(train: Any, kl_weight: float, epochs: int, **sizes: int) -> sv.MoleculeVAE:
    """Trains a model of these molecules, with a falling learning rate and a KL weight that grows over 300 steps."""
    x, properties = train.molecules, train.properties
    alphabet = sv.Alphabet.of(x)
    longest = max(len(alphabet.split(molecule)) for molecule in x)
    means = [float(numpy.nanmean(t)) for t in properties.values()]
    stds = [float(numpy.nanstd(t)) for t in properties.values()]
    model = sv.MoleculeVAE.gru(
        alphabet.symbols,
        longest,
        **sizes,
        properties=list(properties),
        property_means=means,
        property_stds=stds,
    )
    rate = sv.optim.ExponentialSchedule(4e-3, 0.75 ** (1 / -(-len(x) // 128)))
    warmup = sv.optim.LinearSchedule(0.0, kl_weight, 300)
    sv.fit(model, x, epochs, 128, rate, kl_weight=warmup, clip_norm=5.0, properties=properties)
    return model


def worth(model: sv.MoleculeVAE, unseen: Any, known: Any, n: int) -> str:
    """Returns one row of the table: nats of unseen molecules, exact reconstructions, and n samples from the prior."""
    scores, written = sv.evaluate(model, unseen), model.reconstruct(unseen)
    exact = (numpy.array(written) == unseen).mean()
    prior = score_strings(model.sample(n), known)
    nats = f"{scores['elbo']:9.2f}{scores['kl']:8.2f}{scores['active_units']:8}"
    return f"{nats}{exact:8.1%}{prior.valid:8.1%}{prior.distinct:10.1%}{prior.novel:8.1%}"


def true_values(strings: list[str], name: str) -> numpy.ndarray:
    """Returns the property of the strings that are molecules, each molecule once, by the package's own chemistry."""
    read = [(molecule_or_none(string), string) for string in strings]
    molecules = {key_or_none(molecule): string for molecule, string in read if molecule is not None}
    molecules.pop(None, None)  # of molecules that are too large to be compared
    return chemistry.properties(molecules.values(), [name])[name]


def search(model: sv.MoleculeVAE, x: Any, t: Any, name: str) -> None:
    """Prints the true property after gradient ascent from the molecules x where it is lowest, beside two controls."""
    names = model.property_decoder.names
    i, unit = names.index(name), float(model.property_decoder.unit[names.index(name)])
    z = model.encode(x).mean
    ascended = sv.latent_search.ascend(
        lambda z: model.property_decoder(z).mean[..., i] * (1 / unit), z, model.prior, prior_weight=0.1
    )
    print(f"\n{name}: from the {len(x)} lowest of the training molecules, mean {t.mean():.2f}")
    print(f"{'':24}{'predicted':>10}{'true':>8}{'different molecules':>22}")
    rows = {"decoded as they are": z, "prior": model.prior_draws(len(x)), "ascended": ascended}
    for label, points in rows.items():
        predicted, true = model.predict_at(points)[name], true_values(model.write(points), name)
        mean = f"{true.mean():8.2f}" if len(true) else f"{'none':>8}"
        print(f"{label:24}{predicted.mean():10.2f}{mean}{len(true):15} of {len(x)}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="MoleculeVAE: write, blend, vary and improve molecules.")
    parser.add_argument("--quick", action="store_true", help="train a small model on 1,000 molecules for two epochs")
    parser.add_argument("--data", default="drawn-molecules", help="name of a data set, or file of molecules")
    parser.add_argument(
        "--property", default="logP", help=f"property to increase: {', '.join(chemistry.PROPERTIES)} (logP)"
    )
    parser.add_argument("--epochs", type=int, default=None, help="passes over the molecules (14; with --quick 2)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick, out, name = arguments.quick, arguments.out, arguments.property
    epochs = (2 if quick else 14) if arguments.epochs is None else arguments.epochs

    train, test = sv.data.load(arguments.data)
    if train.molecules is None:
        raise InputError("molecules", "a data set of molecules", arguments.data)
    if name not in chemistry.PROPERTIES or name not in train.properties:
        known = [each for each in train.properties if each in chemistry.PROPERTIES]
        raise InputError("molecules", f"--property among {', '.join(known) or '(none)'}", name)
    train = train.take(slice(1000 if quick else None))
    known = [sv.Alphabet.of(train.molecules).unknown(molecule) is None for molecule in test.molecules]
    test = test.take(numpy.flatnonzero(known)[: 100 if quick else None])
    sizes = {"latent_size": 8, "hidden_size": 32} if quick else {"latent_size": 32, "hidden_size": 192}

    models = {weight: trained(train, weight, epochs, **sizes) for weight in (0.45, 1.0)}
    print("KL weight     ELBO      KL  active   exact   valid  distinct   novel")
    for weight, each in models.items():
        print(f"{weight:9g}{worth(each, test.molecules, train.molecules, 100 if quick else 1000)}")
    print(
        "ELBO and KL in nats per molecule; exact: exact reconstructions; valid, of these distinct, and of these novel:"
    )
    print("samples from the prior, by the package's own reader (syntax, valences, aromatic rings)")

    model, t = models[0.45], train.properties[name]
    lowest = numpy.argsort(t)[:100]
    search(model, train.molecules[lowest], t[lowest], name)

    pairs = test.molecules[:16]
    z = model.encode(pairs).mean
    arcs = numpy.flatnonzero(sv.to_numpy(has_arc(z[0::2], z[1::2])))[:4]
    interpolated = plotting.molecule_interpolation(model, [(pairs[2 * i], pairs[2 * i + 1]) for i in arcs])
    start = PARACETAMOL if model.alphabet.unknown(PARACETAMOL) is None else test.molecules[0]
    save_figure(plotting.molecule_samples(model), out / "molecule_samples.png")
    save_figure(interpolated, out / "molecule_interpolation.png")
    save_figure(plotting.molecule_neighbours(model, start), out / "molecule_neighbours.png")
    save_figure(plotting.latent_by_property(model, test.molecules, test.properties), out / "molecule_latent.png")
    save_figure(plotting.property_scatter(model, test.molecules, test.properties), out / "molecule_properties.png")
    sv.save(model, out / "molecules.npz")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
