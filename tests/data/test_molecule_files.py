"""Molecules from a user's files: each format gives what was written, and every malformed file gets one sentence."""

import gzip
import time

import numpy
import pytest
from test_fuzz import GENERAL

import scratchvae as sv
from scratchvae.chemistry import split_smiles
from scratchvae.data.molecule_files import holds_molecules, read_molecules
from scratchvae.data.text_files import LONGEST_LINE
from scratchvae.errors import LONGEST, DataError, InputError


@pytest.fixture(scope="module")
def drawn():
    return sv.data.draw_molecule_set(40, seed=3)


def written(path, text):
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def table(drawn, separator=","):
    rows = [separator.join(["ID", "Smiles", "logP", "rings", "note"])]
    for k, smiles in enumerate(drawn.molecules):
        logp = "" if k == 3 else repr(float(drawn.properties["logP"][k]))
        rows.append(separator.join([f"M{k}", smiles, logp, str(int(drawn.properties["rings"][k])), "12" if k else "x"]))
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("name", ["a.smi", "a.txt", "a.SMI", "a.smi.gz", "a.txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
def test_lines(tmp_path, drawn, name, end):
    text = end[: 2 if end == "\r\n" else 1].join(
        f"{s}\tname {k}" if k % 2 else s for k, s in enumerate(drawn.molecules)
    )
    path = written(tmp_path / name, text + end)
    assert holds_molecules(path)
    (part,) = sv.data.read(path).values()
    assert part.molecules.tolist() == drawn.molecules.tolist() and part.properties == {} and part.omissions == 0
    train, validation, test = sv.data.load(path, validation=0.25)
    assert [len(train), len(validation), len(test)] == [27, 9, 4]


def test_a_header_of_smiles_is_no_molecule(tmp_path):
    assert read_molecules(written(tmp_path / "a.txt", "SMILES\nCC\nCO\n")).molecules.tolist() == ["CC", "CO"]
    assert read_molecules(written(tmp_path / "b.txt", b"\xef\xbb\xbfCC\nCO")).molecules.tolist() == ["CC", "CO"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_tables(tmp_path, drawn, name, separator):
    path = written(tmp_path / name, table(drawn, separator))
    part = read_molecules(path)
    assert part.molecules.tolist() == drawn.molecules.tolist()
    assert list(part.properties) == ["logP", "rings"]  # the others have words
    logp = part.properties["logP"]
    assert numpy.isnan(logp[3]) and numpy.isnan(logp).sum() == 1
    numpy.testing.assert_array_equal(numpy.delete(logp, 3), numpy.delete(drawn.properties["logP"], 3))
    numpy.testing.assert_array_equal(part.properties["rings"], drawn.properties["rings"])
    assert list(read_molecules(path, "Smiles", ["rings"]).properties) == ["rings"]
    assert read_molecules(path, properties=[]).properties == {}
    train, test = sv.data.load(path, column="smiles", properties=["logP"])
    assert list(test.properties) == ["logP"] and len(train) + len(test) == 40
    row = drawn.molecules.tolist().index(test.molecules[0])
    assert row == 3 or test.properties["logP"][0] == drawn.properties["logP"][row]


def test_quoted_cells_and_another_column(tmp_path):
    text = 'name,structure,"log P, measured"\n"a, ""b""",CCO,-0.3\nc,"CC",1e0\n'
    part = read_molecules(written(tmp_path / "a.csv", text), "STRUCTURE")
    assert part.molecules.tolist() == ["CCO", "CC"] and part.properties["log P, measured"].tolist() == [-0.3, 1.0]


def test_long_molecules_are_left_out_and_counted(tmp_path):
    path = written(tmp_path / "a.csv", "smiles,n\nCC,1\n" + "C" * 121 + ",2\nCCO,3\n" + "[NH4+]" * 300 + ",4\n")
    part = sv.data.read(path)["train"]
    assert part.molecules.tolist() == ["CC", "CCO"] and part.omissions == 2 and part.properties["n"].tolist() == [1, 3]
    assert sv.data.read(path, most=121)["train"].omissions == 1
    assert sv.data.read(path, most=2)["train"].molecules.tolist() == ["CC"]


FAULTS = {
    "empty": ("a.smi", "", "expected molecules, received an empty file"),
    "blank lines": ("a.smi", "\n\n \n", "expected molecules, received nothing but empty lines"),
    "an empty line": ("a.smi", "CC\n\nCO\n", "expected a molecule in every line, received an empty line, number 2"),
    "no SMILES": (
        "a.txt",
        "Lorem ipsum\ndolor sit\n",
        "expected molecules as SMILES, received none among the first 2",
    ),
    "letters": (
        "a.txt",
        "C\u00e9\nCC\n",
        "expected SMILES, of printable ASCII characters, received 'C\u00e9'",
    ),
    "binary": ("a.smi", b"CC\nC\0C\n", "expected a file of text, received a byte of 0 in line 2"),
    "latin 1": ("a.smi", b"CC\nC\xe9C\n", "expected a file of text in UTF-8, received one that cannot be read"),
    "a long line": ("a.smi", "C" * (LONGEST_LINE + 1), "expected lines of at most 65536 bytes, received a longer"),
    "all too long": ("a.smi", "C" * 200, "expected at least one molecule of at most 120 tokens, received none among 1"),
    "no header": (
        "a.csv",
        "CC(=O)Nc1ccc(O)cc1,1.35\nCCO,0\n",
        r"\(the first line must be a header such as",
    ),
    "another header": (
        "a.csv",
        "id,mol\n1,CC\n",
        "a column 'smiles' in the header, received columns named",
    ),
    "two columns": (
        "a.csv",
        "SMILES,Smiles\nC,C\n",
        "a column 'smiles' in the header, received 2 of that name",
    ),
    "no rows": ("a.csv", "smiles,logP\n", "expected rows below the header, received none"),
    "a short row": ("a.csv", "smiles,logP\nCC,1\nCO\n", "expected 2 cells in every row, received 1 in row 3"),
    "no molecule": ("a.csv", "smiles,logP\nCC,1\n,2\n", "in the column smiles, received an empty cell in row 3"),
    "an open quote": ("a.csv", 'smiles,logP\nCC,"1\n', "expected a .csv file, received row 2, which cannot be read"),
    "damaged gzip": ("a.smi.gz", None, "expected a file of text in UTF-8, received one that cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(tmp_path, fault):
    name, text, sentence = FAULTS[fault]
    path = tmp_path / name
    if text is None:
        path.write_bytes(gzip.compress(b"CC\n" * 1000)[:-9])
    else:
        written(path, text)
    column = "smiles" if name == "a.csv" else None  # a table without that column is no set of molecules
    with pytest.raises(DataError, match=sentence) as caught:
        sv.data.load(path, column=column)
    assert str(caught.value).startswith(f"reading {path}") and len(str(caught.value)) <= LONGEST


def test_properties_that_are_not_there_or_no_numbers(tmp_path, drawn):
    path = written(tmp_path / "a.csv", table(drawn))
    sentence = "expected properties among the columns of the file, 'ID', 'logP', 'rings', 'note', received 'qed'"
    with pytest.raises(DataError, match=sentence):
        read_molecules(path, properties=["qed"])
    with pytest.raises(DataError, match="numbers, or empty cells, in the column note, received 'x' in row 2"):
        read_molecules(path, properties=["note"])
    with pytest.raises(DataError, match="expected a column 'mol' in the header, received columns named 'ID', 'Smiles'"):
        read_molecules(path, "mol")
    with pytest.raises(InputError, match="expected a list of names of columns as properties, received 'logP'"):
        read_molecules(path, properties="logP")
    infinite = written(tmp_path / "b.csv", "smiles,p\nCC,inf\nCO,1\n")
    assert read_molecules(infinite).properties == {}
    with pytest.raises(DataError, match="in the column p, received 'inf' in row 2"):
        read_molecules(infinite, properties=["p"])


def test_a_column_is_for_tables(tmp_path):
    path = written(tmp_path / "a.smi", "CC\nCO\n")
    with pytest.raises(InputError, match="expected column and properties for a .csv file, received a .smi file"):
        sv.data.read(path, column="smiles")
    with pytest.raises(InputError, match="expected labels beside a file of arrays"):
        sv.data.load(path, labels=path)
    numpy.save(tmp_path / "a.npy", numpy.zeros((4, 4)))
    with pytest.raises(InputError, match="expected column and properties for a file of molecules"):
        sv.data.load(tmp_path / "a.npy", properties=["logP"])
    with pytest.raises(InputError, match=r"or of molecules \(.smi, .txt, .csv\), received"):
        sv.data.load(tmp_path / "none.smi")


def test_one_molecule_is_no_data_set(tmp_path):
    path = written(tmp_path / "a.smi", "CC\n")
    with pytest.raises(DataError, match="molecules of .*: expected at least two, one to train with"):
        sv.data.load(path)


def test_a_bomb_is_refused(tmp_path):
    """A gibibyte of lines in 1.4 megabytes: as many members of gzip are one file."""
    member = gzip.compress((b"C" * 4000 + b"\n") * 256)
    (tmp_path / "a.smi.gz").write_bytes(member * 1024)
    started = time.process_time()
    with pytest.raises(DataError, match="expected text of at most 100 times .* received more .a zip bomb"):
        sv.data.read(tmp_path / "a.smi.gz")
    assert time.process_time() - started < 10


def test_one_long_molecule_does_not_fill_memory(tmp_path):
    """An array of strings is as wide as the longest: 100,000 lines of C, and one of 1,040 characters, take 416 MB."""
    path = written(tmp_path / "a.smi", b"C\n" * 100_000 + b"[13CH4:12345]" * 80 + b"\n")
    with pytest.raises(DataError, match="as an array of strings: expected at most"):
        sv.data.read(path)


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.csv.gz"])
def test_damage_is_refused_or_gives_strings(tmp_path, drawn, name):
    original = written(tmp_path / name, table(drawn) if "csv" in name else "\n".join(drawn.molecules)).read_bytes()
    refused = 0
    for k in range(120):
        rng = numpy.random.default_rng([7, k])
        (tmp_path / name).write_bytes(GENERAL[k % len(GENERAL)](original, len(original), rng))
        try:
            part = read_molecules(tmp_path / name)
        except DataError as error:
            refused += 1
            assert str(error).isprintable() and 20 < len(str(error)) <= LONGEST
        else:
            assert part.molecules.dtype.kind == "U" and part.molecules.shape == (len(part),)
            assert all(0 < len(split_smiles(smiles)) <= 120 and smiles.isascii() for smiles in part.molecules.tolist())
            assert all(values.shape == (len(part),) for values in part.properties.values())
    assert 12 < refused < 120


@pytest.mark.slow
def test_the_zinc_file(data_dir):
    path = data_dir / "molecules" / "zinc250k.csv.gz"
    if not path.is_file():
        pytest.skip("needs zinc250k.csv.gz")
    part = read_molecules(path, properties=["logP", "qed"])
    assert len(part) == 249_455 and part.omissions == 0 and list(part.properties) == ["logP", "qed"]
    assert part.molecules[0] == "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1" and part.properties["logP"][0] == 5.0506
