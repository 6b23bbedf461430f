"""Search in the latent space of molecules, compared with controls that it must beat; RDKit computes the true scores.

usage: python -m benchmarks molecule_search RUN MOLECULES.csv [--seeds N ...] [--known random best] [--out FILE]
                                            [--part ascent search] [--methods NAME ...] [--figure FILE] [--quick]

RUN is the run directory of a MoleculeVAE with the property qed, trained on molecules of the training part of
`sv.data.load(MOLECULES.csv)`, as `python -m benchmarks molecules` trains one: its validation part comes out of that
part, and the test parts are the same. The file, which may be compressed (.gz), has the columns smiles, qed, SAS.

ascent: from the 100 held-out molecules of lowest QED, z ascends predicted QED + lambda log p(z). The result is the true
    QED of the decoded molecules, and of three controls: see `ascent`.
search: the score is 5 QED - SAS. Each method knows the scores of 800 training molecules, the best ones or random ones,
    and may evaluate 250 more in five rounds of 50. Each evaluation is of a molecule that is valid by RDKit and not yet
    known; decoding strings and checking their validity cost nothing, and the table has the number of decoded strings.
    Percentiles are among the scores of all training molecules; novel molecules are not among these.

    prior                 decoded draws of p(z)
    perturb S             decoded perturbations, with standard deviation S, of the z of the best 40 known molecules
    genetic               crossovers and mutations of the strings of the best 40
    predicted             the 50 of 1,000 such perturbations, S 0.1 and 0.2, with the highest predicted score
    process of z          the same, by the expected improvement of a Gaussian process on z, fitted anew in each round
    process of predictions  the same, by a process on the predicted properties, with a length scale for each
    process, climbing     decoded maxima of the expected improvement over z, by L-BFGS
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from scratchvae import plotting
from scratchvae.errors import DataError, InputError
from scratchvae.genetic import offspring
from scratchvae.latent_search import GaussianProcess, ascend, choose, perturb, propose

N_KNOWN, BEST, ROUNDS, EVALUATIONS = 800, 40, 5, 50
POOL = 20  # the number of strings decoded for each evaluation if a model chooses among them
MOST_BLOCKS, MOST_CLIMBS = 40, 3  # the most blocks of strings, and climbs, of a round in which nothing new is found
STEPS, RATE, PRIOR_WEIGHT = 60, 0.1, 0.1
SPREADS = (0.1, 0.2, 0.4)
POOL_SPREADS = (0.1, 0.2)
PROPERTIES = ("qed", "SAS")


def main(arguments: list[str]) -> None:
    parser = options_of("molecule_search", __doc__, "molecule_search.json")
    parser.add_argument("run", type=Path, help="run directory of a MoleculeVAE")
    parser.add_argument("molecules", type=Path, help=".csv or .csv.gz file with the columns smiles, qed and SAS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the search (default: 0 1 2)")
    parser.add_argument("--part", nargs="+", choices=("ascent", "search"), default=["ascent", "search"])
    parser.add_argument("--known", nargs="+", choices=("random", "best"), default=["random", "best"])
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="methods of the search (default: all)"
    )
    parser.add_argument(
        "--figure", type=Path, help="picture to write with the best molecules of the search (default: none)"
    )
    parser.add_argument("--quick", action="store_true", help="use a few molecules, to see that it works")
    options = parser.parse_args(arguments)
    chemistry = Chemistry()
    train, test = molecules(options.molecules)
    model = sv.load(options.run)
    if not isinstance(model, sv.MoleculeVAE) or "qed" not in getattr(model.property_decoder, "names", ()):
        raise InputError("molecule_search", "a MoleculeVAE with the property qed", str(options.run))
    results: dict[str, Any] = {}
    if "ascent" in options.part:
        results["ascent"] = ascent(model, chemistry, test, 10 if options.quick else 100)
        report(options.out, results, "ascent", results["ascent"])
    if "search" in options.part:
        keys = {chemistry.key(text) for text in train.molecules}
        scores = 5 * train.properties["qed"] - train.properties["SAS"]
        for which in options.known:
            for name in options.methods:
                found = []
                for seed in options.seeds:
                    search = Search(model, chemistry, train.molecules, scores, which, seed, options.quick)
                    found.append(search.run(METHODS[name], keys))
                results[f"{which} known: {name}"] = found
                report(options.out, results, f"{which} known: {name}", summary(found))
    if options.figure:
        best = best_molecules(results)
        captions = [f"{score:.2f}" for score in best.values()]
        title = "The molecules of highest score, 5 QED − SAS, that the searches ended with"
        print(plotting.save_figure(plotting.molecules(list(best), captions, 5, title), options.figure))


def best_molecules(results: dict[str, Any], n: int = 10) -> dict[str, float]:
    """Returns the n best molecules at the end of a search, the best first, and their scores."""
    runs = [run for name, found in results.items() if name != "ascent" for run in found if run["evaluations"]]
    scores = {run["best_molecules"][0]: run["best"] for run in runs}
    spellings = {sv.chemistry.canonical_key(sv.chemistry.read_smiles(text)): text for text in scores}
    return {text: scores[text] for text in sorted(spellings.values(), key=lambda text: -scores[text])[:n]}


def report(path: Path, results: dict[str, Any], name: str, row: dict[str, Any]) -> None:
    """Writes all results so far, and prints one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{name}\n    " + "   ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def summary(found: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the mean of each figure over the seeds, and its standard deviation."""
    common = set.intersection(*map(set, found)) - {"best_molecules"}
    columns = {key: numpy.array([row[key] for row in found]) for key in found[0] if key in common}
    return {key: f"{x.mean():.4g} ± {x.std(ddof=min(1, len(x) - 1)):.2g}" for key, x in columns.items()}


def molecules(path: Path) -> tuple[sv.data.Dataset, sv.data.Dataset]:
    """Returns the training and the test part of a file, with QED and SAS of each molecule."""
    train, test = sv.data.load(path)
    if train.molecules is None:
        raise DataError(str(path), "molecules", train.name_of_rows)
    train, test = (part.keep(PROPERTIES) for part in (train, test))
    if any(numpy.isnan(part.properties[name]).any() for part in (train, test) for name in PROPERTIES):
        raise DataError(str(path), f"a number for {' and '.join(PROPERTIES)} in every row", "an empty cell")
    if len(train) + len(test) < 100:
        raise DataError(str(path), "at least 100 molecules", str(len(train) + len(test)))
    return train, test


class Chemistry:
    """Chemistry asks RDKit for validity, canonical strings, QED and synthetic accessibility (SAS)."""

    def __init__(self) -> None:
        try:
            self.rdkit, self.block_logs = import_module("rdkit.Chem"), import_module("rdkit.rdBase").BlockLogs
            self._qed = import_module("rdkit.Chem.QED").qed
            self._sas = import_module("rdkit.Contrib.SA_Score.sascorer").calculateScore
        except ImportError as error:
            hint = "pip install rdkit"
            raise InputError("molecule_search", "RDKit, for true scores", f"none: {error}", hint) from error

    def key(self, smiles: str) -> str:
        """Returns the canonical string of a molecule, or "" for a string that is none."""
        with self.block_logs():
            molecule = self.rdkit.MolFromSmiles(smiles) if smiles else None
        return "" if molecule is None else self.rdkit.MolToSmiles(molecule)

    def qed(self, smiles: str) -> float:
        return float(self._qed(self.rdkit.MolFromSmiles(smiles)))

    def score(self, smiles: str) -> float:
        """score = 5 QED - SAS"""
        return 5 * self.qed(smiles) - float(self._sas(self.rdkit.MolFromSmiles(smiles)))


# ---- gradient ascent


def ascent(model: Any, chemistry: Chemistry, test: sv.data.Dataset, n: int) -> dict[str, Any]:
    """Returns the true QED of the n molecules of lowest QED after the ascent, and of three controls.

    before: decoded without the ascent.   at_its_distance: decoded from a point on the line to the origin, at the
    distance from the origin at which the ascent ends, since points near the origin decode to common molecules.
    prior: ten times as many samples from the prior.
    """
    smiles, qed = test.molecules, test.properties["qed"]
    readable = readable_by(model, smiles)
    lowest = readable[numpy.argsort(qed[readable], kind="stable")[:n]]
    z = model.encode(smiles[lowest]).mean
    head, i = model.property_decoder, model.property_decoder.names.index("qed")
    std = float(head.unit[i])
    top = ascend(lambda z: head(z).mean[..., i] / std, z, model.prior, STEPS, RATE, PRIOR_WEIGHT)
    results: dict[str, Any] = {"molecules": len(lowest), "qed": round(float(qed[lowest].mean()), 3)}
    before, after = (numpy.sqrt((at**2).sum(axis=1, keepdims=True)) for at in (z, top))
    places = {"before": z, "after": top, "at_its_distance": z * after / before, "prior": model.prior_draws(10 * n)}
    for name, at in places.items():
        keys = [key for key in map(chemistry.key, model.write(at)) if key]
        true = [chemistry.qed(key) for key in keys]
        results |= {
            f"predicted_{name}": round(float(model.predict_at(at)["qed"].mean()), 3),
            f"valid_{name}": round(100 * len(keys) / len(at), 1),
            f"distinct_{name}": round(100 * len(set(keys)) / max(1, len(keys)), 1),
            f"true_qed_{name}": round(float(numpy.mean(true)), 3) if true else None,
        }
    return results | {
        "distance_before": round(float(before.mean()), 2),
        "distance_after": round(float(after.mean()), 2),
    }


def readable_by(model: Any, smiles: numpy.ndarray) -> numpy.ndarray:
    """Returns the indices of the strings that have only symbols of the model, and not too many."""
    alphabet = model.alphabet
    fits = [alphabet.unknown(text) is None and 0 < len(alphabet.split(text)) <= model.longest for text in smiles]
    return numpy.flatnonzero(fits)


# ---- search by evaluations


class Search:
    """A Search holds molecules, the means of their q(z | x) and their scores, and the molecules found so far."""

    def __init__(
        self,
        model: Any,
        chemistry: Chemistry,
        smiles: numpy.ndarray,
        scores: numpy.ndarray,
        which: str,
        seed: int,
        quick: bool,
    ) -> None:
        self.model, self.chemistry, self.seed, self.quick = model, chemistry, seed, quick
        self.ranks = numpy.sort(scores)
        order = sv.Noise(seed).permutation("known", len(smiles))
        if which == "best":  # a tie is left to the file's order
            order = numpy.argsort(-scores, kind="stable")[: 2 * N_KNOWN]
        order = order[readable_by(model, smiles[order[: 2 * N_KNOWN]])][: 60 if quick else N_KNOWN]
        self.smiles = [str(text) for text in smiles[order]]
        self.z, self.scores = numpy.asarray(model.encode(self.smiles).mean, dtype=numpy.float64), scores[order]
        self.keys = {chemistry.key(text) for text in self.smiles}
        self.n_known = len(self.smiles)
        self.written, self.valid, self.asked = 0, 0, 0
        self.process: GaussianProcess | None = None

    def run(self, method: Callable[..., list[str]], training: set[str]) -> dict[str, Any]:
        """Runs five rounds, each of which learns from all rounds before."""
        rounds, evaluations = (2, 5) if self.quick else (ROUNDS, EVALUATIONS)
        percentiles = []
        for _ in range(rounds):
            new = method(self, evaluations)
            if not new:
                break
            scores = numpy.array([self.chemistry.score(text) for text in new])
            self.smiles += new
            self.z = numpy.vstack([self.z, self.encode(new)])
            self.scores = numpy.append(self.scores, scores)
            self.keys |= {self.chemistry.key(text) for text in new}
            percentiles.append(round(float(self.percentile(scores).mean()), 1))
        found, names = self.scores[self.n_known :], self.smiles[self.n_known :]
        if not names:
            return {"evaluations": 0, "written": self.written, "valid": 100 * self.valid / max(1, self.written)}
        top = numpy.argsort(-found)[:10]
        return {
            "evaluations": len(found),
            "percentile": round(float(self.percentile(found).mean()), 2),
            "percentile_of_the_last_round": percentiles[-1],
            "score": round(float(found.mean()), 3),
            "best": round(float(found.max()), 3),
            "mean_of_the_best_10": round(float(found[top].mean()), 3),
            "written": self.written,
            "valid": round(100 * self.valid / max(1, self.written), 1),
            "novel": round(100 * float(numpy.mean([self.chemistry.key(name) not in training for name in names])), 1),
            "best_molecules": [names[i] for i in top[:3]],
        }

    def percentile(self, scores: numpy.ndarray) -> numpy.ndarray:
        """Returns the percentage of training molecules with a lower score."""
        return 100 * numpy.searchsorted(self.ranks, scores) / len(self.ranks)

    @property
    def best(self) -> numpy.ndarray:
        """Returns the indices of the best molecules known so far."""
        return numpy.argsort(-self.scores, kind="stable")[:BEST]

    def next_seed(self) -> int:
        """Returns a number that no earlier call of this search returned."""
        self.asked += 1
        return 10_000 * self.seed + self.asked

    def encode(self, strings: Sequence[str]) -> numpy.ndarray:
        return numpy.asarray(self.model.encode(list(strings)).mean, dtype=numpy.float64)

    def write(self, z: numpy.ndarray) -> list[str]:
        return self.model.write(z.astype(self.model.dtype))

    def fresh(self, strings: Sequence[str], taken: set[str]) -> list[str]:
        """Returns the valid strings that the model can read, and whose molecules are neither known nor taken."""
        self.written += len(strings)
        new = []
        for text, key in zip(strings, map(self.chemistry.key, strings), strict=True):
            self.valid += bool(key)
            if key and key not in self.keys and key not in taken and len(readable_by(self.model, numpy.array([text]))):
                taken.add(key)
                new.append(text)
        return new


def first_of(
    write: Callable[[Search, int], Sequence[str]], search: Search, n: int, blocks: int = MOST_BLOCKS
) -> list[str]:
    """Returns the first n fresh strings among at most blocks x n decoded ones."""
    new: list[str] = []
    taken: set[str] = set()
    for _ in range(blocks):
        new += search.fresh(write(search, n), taken)
        if len(new) >= n:
            break
    return new[:n]


def from_prior(search: Search, n: int) -> list[str]:
    return search.write(search.model.prior_draws(n, search.next_seed()))


def near_the_best(spread: float, search: Search, n: int) -> list[str]:
    return search.write(perturb(search.z[search.best], n, spread, search.next_seed()))


def genetic(search: Search, n: int) -> list[str]:
    parents = [search.smiles[i] for i in search.best]
    return offspring(parents, search.model.alphabet, n, seed=search.next_seed())


def pool(search: Search, n: int) -> list[str]:
    """Returns fresh strings near the best known ones, half of them at each spread."""
    taken: set[str] = set()
    blocks = [near_the_best(spread, search, n * POOL // len(POOL_SPREADS)) for spread in POOL_SPREADS]
    return [text for block in blocks for text in search.fresh(block, taken)]


def fitted(search: Search, points: numpy.ndarray, scales: str) -> GaussianProcess:
    """Returns the Gaussian process of all known scores; its hyperparameters start from those of the round before."""
    search.process = GaussianProcess.fit(points, search.scores, scales, search.process)
    return search.process


def latent(search: Search, z: numpy.ndarray) -> numpy.ndarray:
    """Returns z unchanged."""
    return z


def properties(search: Search, z: numpy.ndarray) -> numpy.ndarray:
    """Returns the model's own predictions, in standard deviations.   (N, K) -> (N, P)"""
    head = search.model.property_decoder
    values = search.model.predict_at(z.astype(search.model.dtype))
    return numpy.stack([values[name] for name in head.names], axis=1).astype(numpy.float64) / head.unit


def by_process(describe: Callable[[Search, numpy.ndarray], numpy.ndarray], search: Search, n: int) -> list[str]:
    """Returns the molecules of a pool with the highest expected improvement by a process, chosen one after another."""
    strings = pool(search, n)
    process = fitted(search, describe(search, search.z), "one" if describe is latent else "each")
    return [strings[i] for i in choose(process, describe(search, search.encode(strings)), n)] if strings else []


def by_climbing(search: Search, n: int, radius: float = 0.4) -> list[str]:
    """Strings where the expected improvement is highest, near perturbations of the best ones."""
    process = fitted(search, search.z, "one")

    def write(search: Search, n: int) -> list[str]:
        starts = numpy.vstack([perturb(search.z[search.best], 40, spread, search.next_seed()) for spread in SPREADS])
        return search.write(propose(process, starts, n, radius))

    return first_of(write, search, n, MOST_CLIMBS)


def predicted(search: Search, z: numpy.ndarray) -> numpy.ndarray:
    """Returns 5 QED - SAS by the model's own predictions, which were learned from all training molecules."""
    values = search.model.predict_at(z.astype(search.model.dtype))
    return 5 * values["qed"] - values["SAS"]


def by_prediction(search: Search, n: int) -> list[str]:
    """Returns the molecules of such a pool with the highest predicted score, without a process."""
    strings = pool(search, n)
    order = numpy.argsort(-predicted(search, search.encode(strings)), kind="stable") if strings else ()
    return [strings[i] for i in order[:n]]


METHODS: dict[str, Callable[[Search, int], list[str]]] = {
    "prior": partial(first_of, from_prior),
    **{f"perturb {spread}": partial(first_of, partial(near_the_best, spread)) for spread in SPREADS},
    "genetic": partial(first_of, genetic),
    "predicted": by_prediction,
    "process, climbing": by_climbing,
    "process of z": partial(by_process, latent),
    "process of predictions": partial(by_process, properties),
}


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
