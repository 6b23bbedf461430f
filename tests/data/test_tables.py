"""Tables from files and DataFrames: what each column is, what is missing, and what is refused."""

import gzip
import io
import itertools

import numpy
import pytest

import scratchvae as sv
from scratchvae.columns import Column, measured, standardized
from scratchvae.data.tables import as_table, filled_text, holds_table, read_table, table_in_words, table_text
from scratchvae.errors import DataError, InputError

TABLE = """height,sex,visits,city,zip
170.5,f,0,Bonn,01069
181.25,m,3,"Köln, am Rhein",50667
160,f,1,Ulm,50667
175,m,2,Bonn,01069
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_file_has_numbers_counts_and_categories(write):
    table = read_table(write(TABLE), categories=["zip"], counts=["visits"])
    by_name = {column.name: column for column in table.columns}
    assert list(by_name) == ["height", "sex", "visits", "city", "zip"]
    assert [column.kind for column in table.columns] == ["number", "category", "count", "category", "category"]
    assert by_name["city"].levels == ("Bonn", "Köln, am Rhein", "Ulm") and by_name["zip"].levels == ("01069", "50667")
    assert by_name["height"].mean == pytest.approx(171.6875) and by_name["height"].std == pytest.approx(
        7.7528, abs=1e-4
    )
    expected = [[170.5, 0, 0, 0, 0], [181.25, 1, 3, 1, 1], [160, 0, 1, 2, 1], [175, 1, 2, 0, 0]]
    numpy.testing.assert_array_equal(table.records, expected)
    assert table.labels is None and len(table) == 4 and table.name_of_rows == "records"
    words = "4 records of 5 columns: numbers in height; counts in visits; categories in sex (f, m)"
    assert table_in_words(table).startswith(words)


def test_labels_are_a_column_of_their_own(write):
    table = read_table(write(TABLE), label="city", ignored=["zip"])
    assert [column.name for column in table.columns] == ["height", "sex", "visits"]
    assert table.labels.tolist() == [0, 1, 2, 0] and table.classes == ("Bonn", "Köln, am Rhein", "Ulm")
    assert table.take([1, 2]).labels.tolist() == [1, 2] and table.take([1]).classes == table.classes


@pytest.mark.parametrize("text", ["", "NA", "nan", "NaN", "N/A", "null", "?", " na ", "<NA>"])
def test_what_is_missing(write, text):
    table = read_table(write(f"a,b\n1.5,x\n{text},y\n2.5,{text}\n3.5,x\n4,z\n"))
    numpy.testing.assert_array_equal(table.records, [[1.5, 0], [numpy.nan, 1], [2.5, numpy.nan], [3.5, 0], [4, 2]])
    assert table.columns[0].mean == 2.875 and "2 entries missing" in table_in_words(table)


def test_separators_decimal_commas_a_bom_and_gzip(write):
    content = TABLE.encode()
    for path in (write(b"\xef\xbb\xbf" + content, "a.csv"), write(gzip.compress(content), "b.csv.gz")):
        assert read_table(path).records.tolist() == read_table(write(TABLE)).records.tolist()
    semicolons = read_table(write("a;b\n1,5;2\n2,25;3\n-1e-3;4\n", "c.csv"))
    assert semicolons.records.tolist() == [[1.5, 2], [2.25, 3], [-1e-3, 4]]
    assert read_table(write("a\tb\n1\t2\n3\t4\n5\t6\n", "d.tsv")).records.tolist() == [[1, 2], [3, 4], [5, 6]]
    quoted = read_table(write('"a, b";"c;d"\n"x\ny";1\n"z";2\n"z";3\n', "e.csv"))
    assert [column.name for column in quoted.columns] == ["a, b", "c;d"] and quoted.columns[0].levels == ("x\ny", "z")


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_columns_of_two_values_and_of_one(write):
    table = read_table(write("flag,same,word\n0,3.50,a\n1,3.5,a\n1.0,,a\n"))
    assert [column.levels for column in table.columns] == [("0", "1"), ("3.5",), ("a",)]
    numpy.testing.assert_array_equal(table.records, [[0, 0, 0], [1, 0, 0], [1, numpy.nan, 0]])
    model = sv.TableVAE.mlp(table.columns, 1, (3,), missing=True)
    sv.fit(model, table.records, epochs=1, progress=False)
    assert model.table(model.sample(2))["same"].tolist() == [3.5, 3.5]


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", {}, "a header and rows, received an empty file"),
        ("a,b\n", {}, "expected rows below the header, received none"),
        ("a,b\n1,2\n3\n", {}, "expected 2 cells in every row, as many as names, received 1 in line 3"),
        ("a,b\n1,2\n3,4,5\n", {}, "received 3 in line 3"),
        ("a,b,a\n1,2,3\n", {}, "columns with names of their own, received 2 that are named 'a'"),
        (",a\n0,2\n1,3\n", {}, r"received one without \(of pandas, to_csv\(index=False\)\)"),
        ("1,2\n3,4\n", {}, "a first line with the names of the columns, received '1', a number, as a name"),
        ("a,b\n1,x\n\n3,y\n", {}, "a row in every line, received an empty line, number 3"),
        ("a,b\n1,2\n,3\n2,4\nx,5\n", {}, "column 'a': expected numbers, as in most of its rows, received 'x' in row 5"),
        ('a\n1\n2\n3\n"1,234"\n', {}, r"received '1,234' in row 5 \(categories takes all of them as levels\)"),
        ("a\n1e999\n2\n3\n4\n", {}, "numbers, as in most of its rows, received '1e999' in row 2"),
        (
            "a;b\n1,5;2\n2.5;3\n3,5;4\n",
            {},
            "column 'a': expected decimals behind points or behind commas, received both",
        ),
        ("a,b\n,1\n?,2\nNA,3\n", {}, "column 'a': expected an entry, received none in any row"),
        ("a,b\n1,2\n2,3\n3,-1\n", {"counts": ["b"]}, "counts, whole numbers of at least 0, received '-1' in row 4"),
        ("a,b\n1,2\n2,3.5\n", {"counts": ["b"]}, "received '3.5' in row 3"),
        ("a,b\n1,2\n2,x\n", {"counts": ["b"]}, "received 'x' in row 3"),
        ("a,b\n1,2\n", {"label": "c"}, "columns among a, b, each for one use, received 'c'"),
        ("a,b\n1,2\n", {"ignored": ["a", "b"]}, "columns besides those of labels and those that are ignored"),
        ("a,b\n1,2\n", {"counts": "b"}, "a list of names as counts, received 'b'"),
        ("a,b\n1,x\n2,\n3,y\n", {"label": "b"}, "a label in every row, in the column 'b', received 1 that are missing"),
        ('a,b\n1,"x\n2,y\n', {}, "which cannot be read: unexpected end of data"),
        (b"a,b\n1,K\xf6ln\n", {}, "a file of text in UTF-8, received one that cannot be read: 'utf-8' codec"),
        ("a\n1e200\n2e200\n3e200\n", {}, "column 'a': expected a kind among .*a finite std above 0, received .*inf"),
        (b"a,b\n1,\0\n", {}, "a byte of 0 in line 2"),
        ("a\n" + "x" * (2**20 + 1) + "\n", {}, "lines of at most 1048576 bytes"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(write, text, options, message):
    with pytest.raises(InputError, match=message) as raised:
        read_table(write(text), **options)
    assert "\n" not in str(raised.value)


def test_words_that_do_not_recur_and_thousands_of_levels_are_refused(write):
    names = "\n".join(f"r{i},{i % 7}" for i in range(100))
    with pytest.raises(DataError, match=r"words that recur, received 100 different ones in 100 rows .an identifier"):
        read_table(write(f"id,b\n{names}\n"))
    assert read_table(write(f"id,b\n{names}\n"), ignored=["id"]).records.shape == (100, 1)
    many = "\n".join(f"r{i}" for i in range(1500))
    with pytest.raises(DataError, match=r"at most 1000 levels, received more"):
        read_table(write(f"id\n{many}\n{many}\n"), categories=["id"])


def test_another_table_is_read_by_the_columns_of_a_model(write):
    columns = read_table(write(TABLE), categories=["zip"]).columns
    other = read_table(write("new,city,sex,zip,visits,height\n1,Ulm,f,01069,2,\n2,?,m,50667,7,150\n"), columns=columns)
    assert other.columns == columns
    with pytest.raises(InputError, match="expected columns of a model, or a label, received both"):
        read_table(write(TABLE), label="city", columns=columns)
    with pytest.raises(DataError, match="one of its 2 levels: 01069, 50667, received '1069' in row 2, column 'zip'"):
        read_table(write("city,sex,zip,visits,height\nUlm,f,1069,2,\n"), columns=columns)
    with pytest.raises(DataError, match="one of its 3 levels: Bonn, Köln, am Rhein, Ulm, received 'Kiel' in row 2"):
        read_table(write("city,sex,zip,visits,height\nKiel,f,01069,2,1\n"), columns=columns)
    with pytest.raises(DataError, match="a column 'height', as the model has, received columns city, sex"):
        read_table(write("city,sex\nUlm,f\n"), columns=columns)
    with pytest.raises(DataError, match="a number, received 'tall' in row 2, column 'height'"):
        read_table(write("city,sex,zip,visits,height\nUlm,f,01069,2,tall\n"), columns=columns)


def test_the_transformation_comes_back_to_a_millionth(rng):
    """Standardised and back, numbers of any size keep 1e-6 of their deviation; so they do by way of a file."""
    x = rng.standard_normal((50, 3)) * [1e-9, 1.0, 1e8] + [1.0, -1e3, 1e12]
    columns = measured([Column(name) for name in "abc"], x)
    u = standardized(x, columns).astype(numpy.float32)
    back = u * [column.std for column in columns] + [column.mean for column in columns]
    assert (abs(back - x) / x.std(axis=0)).max() < 1e-6
    assert abs(u.mean(axis=0)).max() < 1e-6 and abs(u.std(axis=0) - 1).max() < 1e-6


def test_a_table_is_written_as_it_is_read(write):
    table = read_table(write(TABLE), categories=["zip"], counts=["visits"])
    text = table_text(table.columns, table.records)
    again = read_table(write(text, "again.csv"), columns=table.columns)
    numpy.testing.assert_allclose(again.records, table.records, rtol=1e-7)
    assert text.splitlines()[0] == "height,sex,visits,city,zip" and '"Köln, am Rhein"' in text


def test_only_missing_cells_are_filled(write):
    path = write("id;a;b;c\n x1;1,50;u;\nx2; ;v;3\nx3;2,5;NA;4\n?;7,5;v;5\n")
    table = read_table(path, ignored=["id"])
    records = table.records.copy()
    records[0, 2], records[1, 0], records[2, 1] = 3.25, 2.125, 1
    text = filled_text(path, table.columns, records)
    assert text == "id;a;b;c\n x1;1,50;u;3.25\nx2;2,125;v;3\nx3;2,5;v;4\n?;7,5;v;5\n"


def test_load_parts_a_table_and_standardises_by_its_training_part(write):
    rows = "\n".join(f"{i},{'xy'[i % 2]}" for i in range(100))
    train, validation, test = sv.data.load(write(f"a,b\n{rows}\n"), validation=0.1, table={"label": "b"})
    assert (len(train), len(validation), len(test)) == (81, 9, 10) and set(test.labels) == {0, 1}
    assert train.columns == validation.columns == test.columns
    assert train.columns[0].mean == train.records.mean() and train.columns[0].std == train.records.std()


def test_a_csv_with_smiles_holds_molecules_and_another_a_table(write, tmp_path):
    assert holds_table(write(TABLE)) and holds_table(write("", "empty.csv"))
    assert not holds_table(write("SMILES,logP\nCCO,1\n", "m.csv")) and not holds_table(tmp_path / "none.csv")
    assert not holds_table(write("CCO\n", "m.smi"))
    molecules = sv.data.read(write("name,s\na,CCO\nb,CCN\n", "n.csv"), column="s")["train"]
    assert molecules.molecules.tolist() == ["CCO", "CCN"]
    with pytest.raises(InputError, match="load: expected the path of a table .*, received '.*x.npy'"):
        sv.data.read(write(b"", "x.npy"), table={})
    with pytest.raises(InputError, match="labels beside a file of arrays"):
        sv.data.read(write(TABLE), labels="labels.npy")
    with pytest.raises(InputError, match="a column of a .csv file of yours, received the data set drawn-digits"):
        sv.data.load("drawn-digits", table={})


# ---- DataFrames


def test_a_dict_of_columns_is_a_table():
    table = as_table({"a": [1.5, None, 2.5, 3], "b": ["x", "y", None, "y"], "c": [True, False, True, True]})
    assert [column.levels for column in table.columns] == [(), ("x", "y"), ("False", "True")]
    numpy.testing.assert_array_equal(table.records, [[1.5, 0, 1], [numpy.nan, 1, 0], [2.5, numpy.nan, 1], [3, 1, 1]])
    arrays = as_table({"a": numpy.array([0.1, numpy.nan, 3, 4], numpy.float32), "b": numpy.array([1, 2, 3, 4])})
    numpy.testing.assert_array_equal(arrays.records[:, 1], [1, 2, 3, 4])
    assert arrays.records[0, 0] == 0.1 and numpy.isnan(arrays.records[1, 0])


class Series(list):
    """What `as_table` asks of a column of pandas, where it is not installed."""

    def isna(self):
        return [value is None for value in self]


class Frame:
    """Likewise of a DataFrame."""

    def __init__(self, **columns):
        self.data, self.columns = {name: Series(values) for name, values in columns.items()}, list(columns)

    def __getitem__(self, name):
        return self.data[name]

    def __len__(self):
        return len(next(iter(self.data.values())))


def test_what_looks_like_a_dataframe_is_a_table_for_the_reader_and_the_model():
    frame = Frame(a=[1.0, 2.0, None, 4.0], b=["u", "v", "u", None])
    table = as_table(frame)
    model = sv.TableVAE.mlp(table.columns, 1, (3,), missing=True)
    numpy.testing.assert_array_equal(model.observations(frame), table.records)
    assert model.impute(frame, 10).shape == (4, 2)


@pytest.mark.parametrize("index", [None, [7, 7, 9, 3]])
def test_a_dataframe_of_pandas(index):
    pandas = pytest.importorskip("pandas")
    data = {
        "a": [1.5, None, 2.5, 3],
        "b": pandas.Categorical(["x", "y", None, "y"]),
        "c": pandas.array([1, None, 2, 3], dtype="Int64"),
        "d": [True, False, True, True],
    }
    frame = pandas.DataFrame(data, index=index)
    table = as_table(frame, label="d")
    expected = [[1.5, 0, 1], [numpy.nan, 1, numpy.nan], [2.5, numpy.nan, 2], [3, 1, 3]]
    numpy.testing.assert_array_equal(table.records, expected)
    assert table.classes == ("False", "True")
    model = sv.TableVAE.mlp(table.columns, 1, (3,), missing=True)
    back = pandas.DataFrame(model.table(table.records))
    numpy.testing.assert_array_equal(model.observations(back), table.records)
    text = io.StringIO()
    frame.to_csv(text)
    assert text.getvalue().startswith(",a")
    with pytest.raises(DataError, match="numbers, words and truth values, received a .*Timestamp"):
        as_table(pandas.DataFrame({"a": pandas.to_datetime(["2020-01-01", "2021-01-01"])}))


def test_what_is_no_table_is_refused():
    for wrong, message in [
        ([[1, 2]], "a DataFrame, or a dict of columns, received list"),
        ({"a": [1, 2], "b": [1]}, "columns of one length"),
        ({}, "columns"),
        ({"a": []}, "rows below the header"),
        ({"a": [object(), object()]}, "numbers, words and truth values, received a object"),
    ]:
        with pytest.raises(InputError, match=message):
            as_table(wrong)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files_are_read_or_refused_with_a_sentence(write, seed):
    """And what is read can be filled in, and read again."""
    rng, read = numpy.random.default_rng(seed), 0
    parts = [b",", b'"', b"\n", b";", b"1e400", b"NA", b"\xff", b"nan", b"-", b"inf", b"", b"\r"]
    for _ in range(30):
        text = bytearray(TABLE.encode())
        for _ in range(rng.integers(1, 4)):
            start = rng.integers(len(text))
            text[start : start + rng.integers(6)] = parts[rng.integers(len(parts))]
        path = write(bytes(text))
        try:
            table = read_table(path)
            filled = filled_text(path, table.columns, numpy.nan_to_num(table.records))
            read_table(write(filled, "filled.csv"), columns=table.columns)
            read += 1
        except InputError as error:
            assert str(error).isprintable()
    assert 0 < read < 30


def test_memory_holds_no_text(write):
    """A table of 1,000 rows and 40 columns: the peak beside its array is below a quarter of the file."""
    import tracemalloc

    line = ",".join(["1.2345678901234567"] * 39)
    rows = "\n".join(f"{i},{line}" for i in range(1000))
    path = write(",".join(f"c{i}" for i in range(40)) + "\n" + rows + "\n")
    tracemalloc.start()
    table = read_table(path, categories=[f"c{i}" for i in range(1, 40)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - 2 * table.records.nbytes < path.stat().st_size / 4
    assert list(itertools.islice((column.kind for column in table.columns), 2)) == ["number", "category"]
