"""Molecules from the command line: trained, resumed, scored, sampled and drawn; what is refused."""

import csv
import gzip
import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.chemistry import why_invalid
from scratchvae.cli import main
from scratchvae.data import Dataset
from scratchvae.kinds import KINDS, molecules

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
SMALL = ["--hidden-size", "5", "--latent", "3", "--batch-size", "32", "--fewest", "1", "--quiet"]
DRAWN = sv.data.draw_molecule_set(160, seed=5)
ROWS = list(zip(DRAWN.molecules.tolist(), DRAWN.properties["logP"], DRAWN.properties["weight"], strict=True))
TABLE = "smiles,logP,weight\n" + "".join(f"{s},{p:.5f},{w:.3f}\n" for s, p, w in ROWS)


@pytest.fixture(scope="module", autouse=True)
def few_samples():
    """Scores count the valid ones among 50 samples in place of 1,000, and as many decoded strings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecules, "SAMPLED", 50)
        patch.setattr(molecules, "RECONSTRUCTED", 50)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.csv").write_text(TABLE)
    (folder / "a.smi").write_text("".join(f"{s}\n" for s, _, _ in ROWS))
    (folder / "a.csv.gz").write_bytes(gzip.compress(TABLE.replace("smiles", "structure").encode()))
    return folder


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def train(data, run, *more, pictures=False):
    arguments = ["train", "--model", "molecules", "--data", str(data), "--run-dir", str(run), *SMALL, "--epochs", "1"]
    return main([*arguments, *([] if pictures else ["--no-pictures"]), *more])


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder / "a.csv", run, "--properties", "logP", pictures=True) == 0
    return run


def test_it_refuses_more_samples_than_a_picture_or_the_memory_holds(run, tmp_path, capsys):
    model = sv.load(run)
    assert main(["sample", str(run), "--n", "1001", "--out", str(tmp_path / "s.png")]) == 2
    assert "expected --n of at most 1,000 for a picture, received 1,001 (another --seed" in capsys.readouterr().err
    most = 2**25 // (model.latent_size + model.longest)
    assert main(["sample", str(run), "--n", str(most + 1), "--out", str(tmp_path / "s.csv")]) == 2
    assert (
        f"--n of at most {most:,} (33,554,432 numbers in memory), received {most + 1:,} (another --seed"
        in capsys.readouterr().err
    )


def test_it_trains_and_leaves_its_pictures(run, unsaved):
    pictures = {"latent", "reconstructions", "samples", "interpolation", "neighbours", "properties", "curves"}
    assert {path.name for path in (run / "figures").iterdir()} == {f"{name}.png" for name in pictures}
    config, model = json.loads((run / "config.json").read_text()), sv.load(run)
    assert config["clip_norm"] == 5.0 and "LinearSchedule(start=0.0, end=0.45, n_steps=300)" in json.dumps(config)
    assert model.property_decoder.names == ("logP",) and model.encoder.__class__.__name__.startswith("Convolutional")
    assert main(["plot", "all", str(run)]) == 0


def test_formats_encoders_and_objectives(folder, tmp_path, capsys):
    assert train(folder / "a.smi", tmp_path / "a", "--encoder", "recurrent") == 0
    assert "properties: none\n" in capsys.readouterr().out
    assert sv.load(tmp_path / "a").encoder.__class__.__name__.startswith("Recurrent")
    assert train(folder / "a.csv.gz", tmp_path / "b", "--column", "structure") == 0
    assert "properties: logP, weight\n" in capsys.readouterr().out
    assert sv.load(tmp_path / "b").property_decoder.names == ("logP", "weight")
    for name in ("a.csv", "a.smi"):
        assert train(folder / name, tmp_path / f"none-{name}", "--properties") == 0
        assert sv.load(tmp_path / f"none-{name}").property_decoder is None
    capsys.readouterr()
    assert train(folder / "a.csv", tmp_path / "c", "--objective", "iwae", "--samples", "2") == 0
    assert sv.load(tmp_path / "c").property_decoder is None and "properties: none\n" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "b"), "--data", str(folder / "a.smi"), "--limit", "9"]) == 0
    assert main(["evaluate", str(tmp_path / "b"), "--data", str(folder / "a.csv")]) == 2
    assert "expected a column 'structure' in the header" in capsys.readouterr().err


def test_it_is_resumed_to_the_same_bits(run, folder, tmp_path, capsys):
    more = ["--properties", "logP"]
    assert train(folder / "a.csv", tmp_path / "whole", *more, "--epochs", "2") == 0
    assert train(folder / "a.csv", tmp_path / "run", *more) == 0
    resume = ["train", "--resume", str(tmp_path / "run"), "--epochs", "2", "--quiet", "--no-pictures"]
    assert main(resume) == 0
    for name, array in sv.load(tmp_path / "whole").state().items():
        assert array.tobytes() == sv.load(tmp_path / "run").state()[name].tobytes()
    assert main([*resume, "--fewest", "2"]) == 2
    assert "expected --fewest 1, as the run has" in capsys.readouterr().err


def test_scores_of_own_and_of_other_data(run, folder, capsys):
    model, test = sv.load(run), sv.data.load(folder / "a.csv", validation=0.1)[2]
    assert main(["evaluate", str(run), "--limit", "9"]) == 0
    out = capsys.readouterr().out
    x, t = test.molecules[:9], test.properties["logP"][:9]
    scores = sv.evaluate(model, x)
    symbols = (model.observations(x) > 0).sum() / 9 + 1
    assert f"ELBO {scores['elbo']:.2f}" in out and "a probability of strings" in out
    assert f"{scores['elbo'] / symbols:.3f} by symbol, {scores['elbo'] / (numpy.mean([*map(len, x)]) + 1):.3f}" in out
    error = abs(t - model.predict(x)["logP"]).mean()
    assert f"logP: mean absolute error {error:.3g}, predicting the mean" in out
    assert "50 samples from the prior: " in out and "not in the training part" in out
    for name, scored in (("a.csv", True), ("a.smi", False)):
        more = ["--data", str(folder / name), "--limit", "9", "--importance-samples", "2"]
        assert main(["evaluate", str(run), *more]) == 0
        out = capsys.readouterr().out
        assert f"all of {folder / name}: ELBO" in out and "log p(x) " in out
        assert ("logP: mean absolute error" in out) == scored and "training part" not in out


def test_samples_as_texts_tables_and_pictures(run, tmp_path, capsys):
    model = sv.load(run)
    assert main(["sample", str(run), "--n", "6", "--seed", "2", "--out", str(tmp_path / "s.smi")]) == 0
    assert (tmp_path / "s.smi").read_text().split("\n")[:-1] == model.sample(6, 2)
    assert main(["sample", str(run), "--n", "6", "--temperature", "0.8", "--out", str(tmp_path / "s.txt")]) == 0
    assert (tmp_path / "s.txt").read_text().split("\n")[:-1] == model.sample(6, 0, 0.8)
    molecule = DRAWN.molecules[0]
    more = ["--near", molecule, "--spread", "0.2", "--beam", "2", "--out", str(tmp_path / "s.csv")]
    assert main(["sample", str(run), "--n", "6", *more]) == 0
    rows = table(tmp_path / "s.csv")
    z = model.around(molecule, 6, 0.2)
    assert [row["smiles"] for row in rows] == model.write(z, beam=2)
    assert [row["valid"] for row in rows] == [str(int(why_invalid(row["smiles"]) is None)) for row in rows]
    predicted = [float(row["predicted logP"]) for row in rows]
    numpy.testing.assert_allclose(predicted, model.predict_at(z)["logP"], rtol=1e-4)
    assert main(["sample", str(run), "--n", "6", "--maximize", "logP", "--out", str(tmp_path / "s.csv")]) == 0
    higher = [float(row["predicted logP"]) for row in table(tmp_path / "s.csv")]
    unit = float(model.property_decoder.unit[0])
    before, after = model.prior_draws(6), KINDS["molecules"].latents(model, 6, 0, maximize="logP")
    numpy.testing.assert_allclose(higher, model.predict_at(after)["logP"], rtol=1e-4)
    scores = [model.predict_at(z)["logP"] / unit + 0.1 * model.prior.log_prob(z) for z in (before, after)]
    assert (scores[1] > scores[0]).all()
    assert main(["sample", str(run / "last.npz"), "--n", "3", "--out", str(tmp_path / "s.png")]) == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--near", "CC[Se]C"], "received '[Se]' in row 0, 'CC[Se]C'"),
        (["--near", "C" * 300], "symbols in each, received 300 in row 0"),
        (["--near", ""], "expected a text that is not empty, received ''"),
        (["--near", "C", "--spread", "1e300"], "a spread as a number from 0 to 1e+06, received 1e+300"),
        (["--spread", "1"], "expected --near with --spread, received none"),
        (["--maximize", "QED"], "expected --maximize with a property among logP, received 'QED'"),
        (["--beam", "2", "--temperature", "1"], "expected a beam or a temperature, received both"),
        (["--beam", "1000000"], "expected beam from 1 to 1000, received 1000000"),
        (["--temperature", "1e-300"], "expected a positive temperature, of at least 1e-06"),
        (["--temperature", "-1"], "expected a number of at least 0"),
        (["--out", "s.npy"], "expected a text, .smi, .txt, .csv, or a picture"),
        (["--out", "s.mol"], "expected a suffix among"),
    ],
)
def test_what_cannot_be_sampled_gets_a_sentence(run, more, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", str(run), "--n", "2", "--out", "s.smi", *more]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out
    assert not list(tmp_path.iterdir())


def column(values):
    return "smiles,p\n" + "".join(f"{s},{values}\n" for s, _, _ in ROWS)


REFUSED = {
    "empty line": ("a.smi", "CC\n\nCO\n", [], "received an empty line, number 2"),
    "no header": ("a.csv", TABLE.split("\n", 1)[1], [], "the first line must be a header such as smiles,logP"),
    "old line ends": ("a.csv", TABLE.replace("\n", "\r"), [], "received a carriage return within line 1"),
    "binary": ("a.smi", bytes(range(256)) * 9, [], "expected a file of text, received a byte of 0 in line 1"),
    "no gzip": ("a.csv.gz", b"\x1f\x8bwhatever", [], "expected a file of text in UTF-8"),
    "UTF-16": ("a.csv", TABLE.encode("utf-16"), [], "expected a file of text, received a byte of 0 in line 1"),
    "all too long": ("a.smi", ("C" * 130 + "\n") * 9, [], "at least one molecule of at most 120 tokens"),
    "another column": ("a.csv", TABLE, ["--column", "mol"], "expected a column 'mol' in the header"),
    "no column": ("a.smi", "CC\nCO\n", ["--column", "mol"], "expected column and properties for a .csv file"),
    "another property": ("a.csv", TABLE, ["--properties", "QED"], "'logP', 'weight', received 'QED'"),
    "two columns": ("a.csv", TABLE.replace("weight", "logP"), ["--properties", "logP"], "'logP', 2 columns"),
    "words": ("a.csv", column("yes"), ["--properties", "p"], "in the column p, received 'yes' in row 2"),
    "commas": ("a.csv", column('"1,5"'), ["--properties", "p"], "in the column p, received '1,5' in row 2"),
    "constant": ("a.csv", column("2"), [], "property p: expected different numbers in the training part, less than"),
    "unknown": (
        "a.csv",
        column(""),
        ["--properties", "p"],
        "in the training part, less than 1e150 apart, received no known number",
    ),
    "too large": (
        "a.csv",
        column("2") + "C,1e300\nO,1e300\nN,1e300\n",
        [],
        "property p: expected different numbers in the training part",
    ),
    "one": ("a.smi", "CCO\n", [], "expected at least two, one to train with and one to test with, received one"),
    "two": ("a.smi", "CCO\nCCN\n", [], "expected at least two to train with and to choose a model by"),
    "three": ("a.smi", "CCO\nCCN\nCCS\n", [], "in each part molecules of symbols that occur 1 times"),
    "rare": ("a.smi", "CCO\n" * 9, ["--fewest", "999"], "expected strings with a symbol that occurs 999 times"),
    "images": ("a.csv", "7,3\n1,2\n", [], "expected a column 'smiles' in the header"),
    "iwae": ("a.csv", TABLE, ["--properties", "logP", "--objective", "iwae"], "--properties with --objective elbo"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_trained_on_gets_a_sentence_and_leaves_nothing(fault, tmp_path, monkeypatch, capsys):
    name, content, more, sentence = REFUSED[fault]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert train(name, "run", *more) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_rows_of_another_kind_name_the_model_that_takes_them(run, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numpy.save("images.npy", numpy.full((20, 4, 4), 0.5))
    for arguments, sentence in (
        (["--data", folder / "a.smi"], "--model mlp: expected images, received molecules (--model molecules takes"),
        (["--model", "sketch", "--data", folder / "a.csv"], "expected sketches, received molecules (--model molecules"),
        (["--model", "molecules", "--data", "images.npy"], "expected molecules, received images (--model mlp takes"),
    ):
        assert main(["train", *map(str, arguments), "--quiet", "--run-dir", "run"]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["evaluate", str(run), "--data", "images.npy"]) == 2
    assert "expected molecules, received images" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


def test_other_data_with_an_unknown_symbol_or_a_longer_molecule(run, tmp_path, capsys):
    for text, sentence in (
        ("CC\nC[Se]C\n", "received '[Se]' in row 1, 'C[Se]C'"),
        ("C" * 100, "received 100 in row 0"),
    ):
        (tmp_path / "b.smi").write_text(text)
        assert main(["evaluate", str(run), "--data", str(tmp_path / "b.smi")]) == 2
        assert sentence in capsys.readouterr().err


def test_what_is_left_out_is_counted(tmp_path, capsys):
    (tmp_path / "a.smi").write_text("".join(f"{s}\n" for s in ["C" * 150, "C[Se]C", *DRAWN.molecules]))
    assert train(tmp_path / "a.smi", tmp_path / "run", "--fewest", "2") == 0
    out, alphabet = capsys.readouterr().out, sv.load(tmp_path / "run").alphabet
    left_out = int(out.split(" molecules left out")[0].split("\n")[-1])
    assert left_out >= 2 and "[Se]" not in alphabet.symbols
    counts = [int(part.replace(",", "")) for part in out.split("a.smi: ")[1].split(";")[0].split() if part.isdigit()]
    assert sum(counts) + left_out == 162


@pytest.mark.usefixtures("unsaved")
def test_a_property_that_few_know(tmp_path, capsys):
    """Known in some training rows and in no test row: it is learned, and neither scored nor drawn."""
    lines = [f"{s},{p:.4f},\n" for s, p, _ in ROWS]
    (tmp_path / "a.csv").write_text("smiles,p,q\n" + "".join(lines))
    test = set(sv.data.load(tmp_path / "a.csv", validation=0.1)[2].molecules)
    known = [k for k, (s, _, _) in enumerate(ROWS) if s not in test][:40]
    for number, k in enumerate(known):
        lines[k] = lines[k].replace(",\n", f",{number}\n")
    (tmp_path / "a.csv").write_text("smiles,p,q\n" + "".join(lines))
    assert train(tmp_path / "a.csv", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "properties: p, q\n" in out and "p: mean absolute error" in out and "q: mean" not in out
    assert train(tmp_path / "a.csv", tmp_path / "q", "--properties", "q", pictures=True) == 0
    out = capsys.readouterr().out
    assert "no picture properties" in out and "no picture latent" in out


@pytest.mark.usefixtures("unsaved")
def test_selfies_are_learned_and_count_as_invalid(tmp_path, capsys):
    rng = numpy.random.default_rng(0)
    parts = ["[C]", "[=O]", "[Branch1]", "[N]", "[Ring1]"]
    rows = ["[C][Branch1]" + "".join(rng.choice(parts, rng.integers(2, 9))) for _ in range(60)]
    (tmp_path / "a.txt").write_text("\n".join(rows))
    assert train(tmp_path / "a.txt", tmp_path / "run", pictures=True) == 0
    assert set(sv.load(tmp_path / "run").alphabet.symbols) == set(parts)
    assert "decoded from draws of q(z | x): " in capsys.readouterr().out


@pytest.mark.parametrize("symbols", [[], ["C", "C"], "CN", [1, 2], ["C" * 10**5] * 9, [""], {"C": 1}, None])
def test_a_hostile_alphabet_in_a_checkpoint_is_refused(symbols, run, tmp_path, capsys):
    with numpy.load(run / "last.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    header["configuration"]["symbols"] = symbols
    numpy.savez(tmp_path / "bad.npz", **arrays | {"header": numpy.array(json.dumps(header))})
    assert main(["sample", str(tmp_path / "bad.npz"), "--out", str(tmp_path / "s.smi")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and not captured.out and not (tmp_path / "s.smi").exists()


def test_rare_symbols_are_left_out_until_none_is():
    """Without the molecule of the rare Br there are two F, which are too few as well; without these all is frequent."""
    train = Dataset(molecules=numpy.array(["CC"] * 3 + ["CF", "CF", "CBrF"]))
    test = Dataset(molecules=numpy.array(["C", "CF", "CCC"]))
    kind, settings = KINDS["molecules"], {"properties": None, "fewest": 3}
    train, test = kind.parts(settings, (train, test))
    assert train.molecules.tolist() == ["CC"] * 3 and test.molecules.tolist() == ["C"]  # CCC is longer than any of them
    assert train.omissions == test.omissions == 5
    assert kind.alphabet(settings, train).symbols == ("C",)
