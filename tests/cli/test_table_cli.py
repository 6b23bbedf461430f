"""Tables from the command line: trained, resumed, scored, sampled and filled in; arrays with NaN; what is refused."""

import csv
import gzip
import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.cli.settings import kept_options, load_parts
from scratchvae.data.tables import read_table
from scratchvae.kinds import KINDS

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--quiet"]
USES = ["--ignored", "id", "--counts", "visits", "--label-column", "species"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """t.csv, with gaps; whole.csv, without; new.csv, of other rows, with the columns in another order."""
    folder, rng = tmp_path_factory.mktemp("tables"), numpy.random.default_rng(0)
    n = 120
    t = rng.uniform(-2, 2, n)
    cities = numpy.array(["Bonn", "Köln, am Rhein", "Ulm"])[numpy.digitize(t, [-0.7, 0.7])]
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "height": [f"{v:.2f}" for v in 170 + 10 * t + rng.standard_normal(n)],
        "visits": rng.poisson(numpy.exp(t)).astype(str),
        "smoker": numpy.where(t > 0, "yes", "no"),
        "city": cities,
        "species": numpy.array(list("abc"))[rng.integers(0, 3, n)],
    }
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    gaps = [[("", "NA")[k % 2] if 0 < k < 5 and rng.random() < 0.2 else c for k, c in enumerate(row)] for row in rows]
    swapped = [row[::-1] for row in gaps[:20]]
    for name, header, content in [
        ("t.csv", list(columns), gaps),
        ("whole.csv", list(columns), rows),
        ("new.csv", list(columns)[::-1], swapped),
        ("without.csv", list(columns)[1:], [row[1:] for row in rows]),
    ]:
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *content])
    return folder


def train(data, run, *more):
    return main(["train", "--data", str(data), "--run-dir", str(run), *SMALL, *more])


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder / "t.csv", run, *USES, "--missing") == 0
    return run


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_trains_without_naming_the_model(run, capsys):
    assert json.loads((run / "config.json").read_text())["options"]["model"] == "table"
    model = sv.load(run)
    assert isinstance(model, sv.TableVAE) and model.missing
    assert [column.kind for column in model.columns] == ["number", "count", "category", "category"]
    assert {path.name for path in (run / "figures").iterdir()} == {"latent.png", "reconstructions.png", "curves.png"}
    assert main(["evaluate", str(run), "--importance-samples", "5"]) == 0
    out = capsys.readouterr().out
    assert "of the entries that are known" in out and "mean of 12" in out and "per record" in out


def test_it_resumes_to_the_same_bits(run, folder, tmp_path):
    assert train(folder / "t.csv", tmp_path / "whole", *USES, "--missing", "--epochs", "3", "--no-pictures") == 0
    again = tmp_path / "again"
    assert train(folder / "t.csv", again, *USES, "--missing", "--no-pictures") == 0
    assert main(["train", "--resume", str(again), "--epochs", "3", "--quiet", "--no-pictures"]) == 0
    states = [sv.load(path).state() for path in (tmp_path / "whole", again)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_samples_are_a_table_in_its_units_and_words(run, tmp_path):
    assert main(["sample", str(run), "--n", "30", "--out", str(tmp_path / "s.csv")]) == 0
    header, *rows = rows_of(tmp_path / "s.csv")
    assert header == ["height", "visits", "smoker", "city"] and len(rows) == 30
    assert 150 < numpy.mean([float(row[0]) for row in rows]) < 190 and all(row[1].isdigit() for row in rows)
    assert {row[2] for row in rows} <= {"yes", "no"}
    assert {row[3] for row in rows} <= {"Bonn", "Köln, am Rhein", "Ulm"}
    assert main(["sample", str(run), "--n", "3", "--out", str(tmp_path / "s.npy")]) == 0
    assert numpy.load(tmp_path / "s.npy").shape == (3, 4)


def test_codes_of_a_table_stand_beside_the_words_of_its_labels(run, tmp_path):
    assert main(["encode", str(run), "--part", "train", "--out", str(tmp_path / "codes.csv")]) == 0
    with open(tmp_path / "codes.csv", newline="") as file:
        found = list(csv.DictReader(file))
    part = load_parts(KINDS["table"], kept_options(run))[0]
    assert [row["label"] for row in found] == ["abc"[y] for y in part.labels]
    codes = [[float(row["z1"]), float(row["z2"])] for row in found]
    numpy.testing.assert_allclose(codes, sv.load(run).encode(part.records).mean, rtol=1e-5, atol=1e-6)


def test_missing_cells_are_filled_and_all_others_stay(run, folder, tmp_path, capsys):
    for name in ("t.csv", "new.csv"):
        out = tmp_path / f"filled-{name}"
        assert main(["impute", str(run), str(folder / name), "--out", str(out), "--samples", "20"]) == 0
        before, after = rows_of(folder / name), rows_of(out)
        assert "missing entries in" in capsys.readouterr().out and before[0] == after[0]
        for old, new in zip(before, after, strict=True):
            for cell, filled in zip(old, new, strict=True):
                assert filled == cell if cell not in ("", "NA") else filled not in ("", "NA")
        read_table(out, columns=sv.load(run).columns)
    zipped, out = tmp_path / "t.csv.gz", tmp_path / "filled.csv.gz"
    zipped.write_bytes(gzip.compress((folder / "t.csv").read_bytes()))
    assert main(["impute", str(run), str(zipped), "--out", str(out), "--samples", "20"]) == 0
    assert gzip.decompress(out.read_bytes()) == (tmp_path / "filled-t.csv").read_bytes()
    draws = [tmp_path / f"{seed}.csv" for seed in (1, 2)]
    for seed, out in enumerate(draws, 1):
        arguments = ["--draw", "--seed", str(seed), "--samples", "20", "--out", str(out)]
        assert main(["impute", str(run), str(folder / "t.csv"), *arguments]) == 0
    assert draws[0].read_text() != draws[1].read_text()


def test_figures_of_a_table_are_there_as_json_and_either_checkpoint_is_read(run, folder, tmp_path, capsys):
    def said(*command):
        assert main([*map(str, command), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    told = said("data", folder / "without.csv")
    assert told["train"]["rows"] == "records" and told["train"]["n"] == 108 and told["train"]["missing"] == 0
    column = told["train"]["columns"][0]
    assert column["name"] == "height" and column["kind"] == "number" and 160 < column["mean"] < 180
    assert told["test"]["columns"] == told["train"]["columns"]
    n = sum(cell in ("", "NA") for row in rows_of(folder / "t.csv") for cell in row[:5])
    for name in ("last", "best"):
        out = tmp_path / f"{name}.csv"
        more = ["--checkpoint", name, "--samples", "20", "--out", out]
        told = said("impute", run, folder / "t.csv", *more)
        assert told["figures"] == {"missing": n, "rows": 120} and told["out"] == str(out)
        filled = out.read_text()
        assert main(["impute", str(run / f"{name}.npz"), str(folder / "t.csv"), *map(str, more[2:])]) == 0
        assert capsys.readouterr().out == f"{n} missing entries in 120 rows\n{out}\n"
        assert out.read_text() == filled
    out = tmp_path / "codes.csv"
    assert main(["encode", str(run), str(folder / "t.csv"), "--out", str(out)]) == 0
    assert "120 rows (all of" in capsys.readouterr().out
    header, *rows = rows_of(out)
    assert header == ["z1", "z2"] and len(rows) == 120
    listed = said("runs", run)["runs"][0]
    assert listed["model"] == "table" and listed["options"]["ignored"] == ["id"]


def test_another_table_is_scored(run, folder, capsys):
    assert main(["evaluate", str(run), "--data", str(folder / "new.csv")]) == 0
    assert "all of" in capsys.readouterr().out


def test_data_describes_a_table(folder, capsys):
    assert main(["data", str(folder / "whole.csv")]) == 2
    assert "an identifier? ignored leaves the column out" in capsys.readouterr().err
    path = folder / "without.csv"
    assert main(["data", str(path)]) == 0
    assert "108 records of 5 columns: numbers in height, visits; categories in smoker" in capsys.readouterr().out
    assert main(["data", str(path), "--out", "picture.png"]) == 2
    assert "received a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file, more, message",
    [
        ("t.csv", [], "an identifier? ignored leaves the column out"),
        ("t.csv", USES, "(--missing learns from the known entries)"),
        ("t.csv", [*USES, "--ignored", "none"], "received 'none'"),
        ("t.csv", [*USES, "--model", "mlp"], "--ignored with --model table, received --model mlp"),
        (
            "without.csv",
            ["--model", "mlp"],
            "expected images, received records (--model table takes records)",
        ),
        ("without.csv", ["--label-column", "city", "--counts", "city"], "received 'city' for two uses"),
    ],
)
def test_what_is_refused(folder, tmp_path, capsys, file, more, message):
    assert train(folder / file, tmp_path / "run", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_what_impute_and_sample_refuse(run, folder, tmp_path, capsys):
    model = tmp_path / "plain.npz"
    sv.save(sv.VAE.mlp(4, 2, (3,), missing=True), model)
    unseen = tmp_path / "unseen.csv"
    unseen.write_text("height,visits,smoker,city\n1,2,yes,Kiel\n")
    for arguments, message in [
        (
            ["impute", str(run), "none.csv", "--out", "x.csv"],
            "expected the path of a file, received 'none.csv'",
        ),
        (["impute", str(run), str(unseen), "--out", "x.npy"], "--out with the suffix of"),
        (["impute", str(run), str(unseen), "--out", "x.csv"], "3 levels: Bonn, Köln, am Rhein, Ulm, received 'Kiel'"),
        (["impute", str(model), str(unseen), "--out", "x.csv"], "--out with the suffix .npy"),
        (["sample", str(run)], "a table, .csv, or an array, .npy, received 'samples.png' (--out rows.csv)"),
        (
            ["explore", str(run)],
            "explore: expected a run with --model mlp, conv, m2, m2-conv, m1+m2, sketch, molecules, ",
        ),
        (["evaluate", str(run), "--data", str(unseen)], "received 'Kiel' in row 2, column 'city'"),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "x.csv").exists()


def test_an_array_with_nan_trains_and_is_filled_in(tmp_path, capsys):
    rng = numpy.random.default_rng(0)
    x = (rng.random((60, 6, 5)) < 0.5).astype(numpy.float32)
    x[rng.random(x.shape) < 0.3] = numpy.nan
    numpy.save(tmp_path / "x.npy", x)
    run, common = tmp_path / "run", ["train", "--data", str(tmp_path / "x.npy"), "--epochs", "1", "--quiet"]
    assert main([*common, "--run-dir", str(run)]) == 2
    assert "missing=True, or --missing, takes NaN for missing" in capsys.readouterr().err
    for kind, more in (("mlp", ["--hidden", "4"]), ("conv", ["--channels", "3"])):
        run = tmp_path / kind
        assert main([*common, "--model", kind, "--run-dir", str(run), "--missing", *more]) == 0
        arguments = ["impute", str(run), str(tmp_path / "x.npy"), "--samples", "9", "--out", str(tmp_path / "f.npy")]
        assert main(arguments) == 0
        table = tmp_path / "t.csv"
        table.write_text("a,b\n1,2\n3,4\n")
        capsys.readouterr()
        assert main(["impute", str(run), str(table), "--out", str(tmp_path / "t.npy")]) == 2
        assert f"--model {kind}: expected images, received records" in capsys.readouterr().err
        filled, known = numpy.load(tmp_path / "f.npy"), ~numpy.isnan(x)
        assert filled.shape == (60, 6, 5, 1) and (filled[..., 0][known] == x[known]).all()
        assert numpy.isfinite(filled).all()
        assert main(["encode", str(run), str(tmp_path / "x.npy"), "--out", str(tmp_path / "codes.npy")]) == 0
        assert numpy.isfinite(numpy.load(tmp_path / "codes.npy")).all()
