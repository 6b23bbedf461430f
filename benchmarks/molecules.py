"""MoleculeVAE on ZINC with a KL weight of 0.2, and with a weight of 1, at which the posterior collapses.

usage: python -m benchmarks molecules FILE [--runs DIR] [--out FILE] [--figures DIR] [--quick]

FILE is a .csv of molecules with the columns smiles, logP, qed and SAS. A tenth of its rows is the test part; two
percent of the others are scored after every epoch, and decide nothing. A run of a model that exists in DIR is resumed.
All figures are for held-out molecules, with the KL at its full weight: nats of the whole test part, reconstructions of
1,000 of its molecules, and 1,000 strings from the prior and from a Gaussian fitted to the codes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from scratchvae import plotting
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import InputError
from scratchvae.molecule_scores import score_strings
from scratchvae.optim import LinearSchedule

MODELS = {"KL weight 0.2": (0.2, 20), "KL weight 1": (1.0, 2)}
"""Name -> weight of the KL, epochs."""

LATENT, HIDDEN, WRITTEN = 56, 256, 1000
QUICK = 8, 16, 40
"""Units of z and of the recurrent layers, and of how many molecules and draws strings are written; with --quick."""

PROPERTIES = ("logP", "qed", "SAS")
BATCH, RATES, WARMUP = 128, (2e-3, 4e-5), 2000
IBUPROFEN, PARACETAMOL = "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CC(=O)Nc1ccc(O)cc1"


def main(arguments: list[str]) -> None:
    parser = options_of("molecules", __doc__, "molecules.json")
    parser.add_argument("data", help=".csv file of molecules with logP, qed and SAS, such as ZINC's 250,000")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs/molecules"),
        help="folder of the run directories (default: runs/molecules)",
    )
    parser.add_argument("--figures", type=Path, help="folder for pictures of the first model (default: none)")
    parser.add_argument("--quick", action="store_true", help="train a small model for one epoch, to see that it works")
    options = parser.parse_args(arguments)

    train, validation, test = sv.data.load(options.data, validation=0.02)
    if train.molecules is None or not set(PROPERTIES) <= set(train.properties):
        raise InputError("benchmarks molecules", f"molecules with {', '.join(PROPERTIES)}", options.data)
    train, validation, test = (part.keep(PROPERTIES) for part in (train, validation, test))
    longest = max(len(sv.chemistry.split_smiles(x)) for part in (train, validation, test) for x in part.molecules)
    alphabet = sv.Alphabet.of(train.molecules)
    known = [[alphabet.unknown(x) is None for x in part.molecules] for part in (validation, test)]
    validation, test = (
        part.take(numpy.flatnonzero(rows)) for part, rows in zip((validation, test), known, strict=True)
    )
    latent_size, hidden, n = QUICK if options.quick else (LATENT, HIDDEN, WRITTEN)
    results: dict[str, Any] = {}
    for name, (weight, epochs) in MODELS.items():
        run, n_epochs = options.runs / name.removeprefix("KL ").replace(" ", "-"), 1 if options.quick else epochs
        model = trained(train, validation, alphabet, longest, weight, n_epochs, run, latent_size, hidden)
        results[name] = {"epochs": n_epochs} | scores(model, train, test, n)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {results[name]}", flush=True)
        if options.figures and name == next(iter(MODELS)):
            draw(model, test, options.figures)


def trained(
    train: Any,
    validation: Any,
    alphabet: Any,
    longest: int,
    weight: float,
    epochs: int,
    run: Path,
    latent_size: int,
    hidden: int,
) -> sv.MoleculeVAE:
    """Trains a model of these molecules and their properties; the learning rate falls linearly to a fiftieth."""
    units = [
        [float(f"{value:.6g}") for value in values]
        for values in zip(*map(unit, train.properties.values()), strict=True)
    ]
    model = sv.MoleculeVAE.gru(
        list(alphabet.symbols),
        longest,
        latent_size,
        hidden,
        properties=list(PROPERTIES),
        property_means=units[0],
        property_stds=units[1],
    )
    sv.fit(
        model,
        train.molecules,
        epochs,
        BATCH,
        LinearSchedule(*RATES, epochs * -(-len(train) // BATCH)),
        validation=validation.molecules,
        kl_weight=LinearSchedule(0.0, weight, WARMUP),
        clip_norm=5.0,
        properties=train.properties,
        run_dir=run,
        resume=(run / "last.npz").exists(),
        progress=False,
    )
    return model


def unit(values: numpy.ndarray) -> tuple[float, float]:
    """Returns the mean and the standard deviation."""
    return values.mean(), values.std()


def scores(model: sv.MoleculeVAE, train: Any, test: Any, n: int) -> dict[str, Any]:
    """Nats of held-out molecules, what is written of n of them and of n draws, and errors of the properties."""
    x, samples = test.molecules[:n], min(n, 200)
    found = sv.evaluate(model, test.molecules)
    log_px, error, effective = sv.log_likelihood(model, x[:samples], samples)
    symbols, characters = n_symbols(model.observations(test.molecules)) + 1, [len(each) + 1 for each in test.molecules]
    q = model.encode(x)
    near = q.sample(sv.Noise(0).normal("near data", q.shape))
    predicted = model.predict(test.molecules)
    return {
        **{key: round(float(found[key]), 2) for key in ("elbo", "elbo_standard_error", "reconstruction", "kl")},
        "active_units": found["active_units"],
        "nats_by_symbol": round(float(found["elbo"] / symbols.mean()), 4),
        "nats_by_character": round(float(found["elbo"] / numpy.mean(characters)), 4),
        "log_px_of_200": [
            round(float(log_px.mean()), 2),
            round(float(error.mean()), 2),
            round(float(effective.mean())),
        ],
        "elbo_of_200": round(float(sv.elbo(model, x[:samples], 20).mean()), 2),
        "exact": round(float(numpy.mean(numpy.array(model.reconstruct(x)) == x)), 4),
        "near_data": shares(model.write(near), train),
        "prior": shares(model.sample(n), train),
        "prior_sampled": shares(model.sample(n, temperature=1.0), train),
        "fitted_gaussian": shares(model.write(fitted_draws(q, n)), train),
        "mean_absolute_errors": {
            name: round(float(abs(sv.to_numpy(predicted[name]) - test.properties[name]).mean()), 4)
            for name in PROPERTIES
        },
        "of_the_mean": {
            name: round(float(abs(t - train.properties[name].mean()).mean()), 4) for name, t in test.properties.items()
        },
    }


def fitted_draws(q: Any, n: int) -> numpy.ndarray:
    """Returns n draws of the Gaussian with the mean and the covariance of z ~ q(z | x) for random molecules x.   (n, K)

    Cov(z) = Cov(E[z | x]) + E[Cov(z | x)]
    """
    means, variances = sv.to_numpy(q.mean), numpy.exp(2 * sv.to_numpy(q.log_std))
    covariance = numpy.cov(means.T) + numpy.diag(variances.mean(axis=0))
    draws = numpy.random.default_rng(0).standard_normal((n, means.shape[1]))
    return (means.mean(axis=0) + draws @ numpy.linalg.cholesky(covariance).T).astype(means.dtype)


def shares(strings: list[str], train: Any) -> dict[str, Any]:
    """Returns the scores of strings by name."""
    return {
        key: value if value is None or key == "n" else round(value, 4)
        for key, value in vars(score_strings(strings, train.molecules)).items()
    }


def draw(model: sv.MoleculeVAE, test: Any, folder: Path) -> None:
    """Pictures of what the model writes."""
    figures = {
        "samples": plotting.molecule_samples(model, 15),
        "interpolation": plotting.molecule_interpolation(
            model, [(IBUPROFEN, PARACETAMOL), tuple(test.molecules[:2]), tuple(test.molecules[2:4])]
        ),
        "neighbours": plotting.molecule_neighbours(model, IBUPROFEN),
        "latent": plotting.latent_by_property(model, test.molecules, test.properties),
        "properties": plotting.property_scatter(model, test.molecules, test.properties),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, folder / f"zinc_{name}.png"))
