"""Sketches from a user's files: each format gives what was written, and every malformed file gets one sentence."""

import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.data import from_lines, read, read_svg, to_lines, write_svg
from scratchvae.data.sketch_files import LONGEST_LINE, holds_drawings, read_drawings
from scratchvae.errors import DataError, InputError
from scratchvae.kinds.option import data_set


def random_drawings(rng, n):
    return [[rng.integers(0, 255, (rng.integers(2, 10), 2)) for _ in range(rng.integers(1, 5))] for _ in range(n)]


def record(drawing, **others):
    """A line of a simplified .ndjson file."""
    return {"word": "cat", "recognized": True, "drawing": [line.T.tolist() for line in drawing]} | others


def ndjson(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def threes(sketches):
    """The rows (dx, dy, pen) of each sketch, an array of arrays."""
    rows = numpy.empty(len(sketches), object)
    for n, sketch in enumerate(sketches):
        within = sketch[sketch[:, 4] == 0]
        rows[n] = within[:, [0, 1, 3]].astype(numpy.int16)
    return rows


# ---- .npz and .npy


@pytest.mark.parametrize("form", ["objects", "three", "five"])
def test_arrays_in_an_npz_file_are_parts(tmp_path, rng, form):
    x = from_lines(random_drawings(rng, 24))
    arrays = threes(x)
    if form == "three":
        arrays = numpy.zeros((24, 60, 3), numpy.int16)
        for n, rows in enumerate(threes(x)):
            arrays[n, : len(rows)] = rows
    if form == "five":
        arrays = x
    numpy.savez(tmp_path / "a.npz", train=arrays[:12], valid=arrays[12:20], test=arrays[20:])
    parts = read(tmp_path / "a.npz")
    assert list(parts) == ["train", "validation", "test"]
    for part, rows in zip(parts.values(), (slice(12), slice(12, 20), slice(20, None)), strict=True):
        assert part.sketches.dtype == numpy.float32 and part.images is None and part.omissions == 0
        assert (part.sketches == x[rows, : part.sketches.shape[1]]).all()
    train, test = sv.data.load(tmp_path / "a.npz")
    assert len(train) == 12 and len(test) == 4
    assert [len(part) for part in sv.data.load(tmp_path / "a.npz", validation=0.5)] == [12, 8, 4]


def test_published_sketches_keep_their_parts(data_dir):
    path = data_dir / "sketches" / "short_kanji.npz"
    if not path.is_file():
        pytest.skip("needs the sketches")
    parts = read(path)
    numpys = numpy.load(path, allow_pickle=True, encoding="latin1")
    assert [len(part) for part in parts.values()] == [10_000, 600, 500]
    for part, name in zip(parts.values(), ("train", "valid", "test"), strict=True):
        for sketch, rows in zip(part.sketches, numpys[name], strict=True):
            n = len(rows)
            assert (sketch[:n, :2] == rows[:, :2]).all() and (sketch[:n, 3] == rows[:, 2]).all()
            assert (sketch[:n, 2] == 1 - rows[:, 2]).all() and (sketch[n:] == (0, 0, 0, 0, 1)).all()


def test_labels_follow_the_sketches_that_stay(tmp_path, rng):
    x = from_lines(random_drawings(rng, 24))
    sizes = (x[:, :, 4] == 0).sum(axis=1)
    numpy.savez(tmp_path / "a.npz", x_train=threes(x), y_train=numpy.arange(24))
    train = read(tmp_path / "a.npz", most=15)["train"]
    assert train.labels.tolist() == numpy.flatnonzero(sizes <= 15).tolist()
    assert train.omissions == (sizes > 15).sum() > 0
    parts = sv.data.load(tmp_path / "a.npz", most=15)
    assert sum(map(len, parts)) == len(train) and parts[0].omissions == train.omissions
    numpy.save(tmp_path / "a.npy", threes(x))
    numpy.save(tmp_path / "y.npy", numpy.arange(24))
    assert read(tmp_path / "a.npy", tmp_path / "y.npy")["train"].labels.tolist() == list(range(24))


@pytest.mark.parametrize("dtype", [bool, numpy.uint8, numpy.float32])
@pytest.mark.parametrize("width", [3, 5])
def test_narrow_images_are_images_still(tmp_path, rng, dtype, width):
    pixels = rng.integers(0, 2, (10, 4, width)).astype(dtype) * (255 if dtype == numpy.uint8 else 1)
    numpy.save(tmp_path / "a.npy", pixels.astype(dtype))
    assert read(tmp_path / "a.npy")["train"].images.shape == (10, 4, width, 1)


def test_coordinates_in_a_file_are_refused(tmp_path, rng):
    points, pen = rng.integers(0, 99, (5, 20, 2)), numpy.zeros((5, 20, 1))
    numpy.save(tmp_path / "a.npy", numpy.concatenate([points, pen], axis=2))
    with pytest.raises(DataError, match=r"^sketches of .*a\.npy: .*absolute coordinates"):
        sv.data.load(tmp_path / "a.npy")


# ---- .ndjson


def test_ndjson(tmp_path, rng):
    drawings = random_drawings(rng, 6)
    words = ["dog", "cat", "dog", "ant", "cat", "dog"]
    records = [record(drawing, word=word) for drawing, word in zip(drawings, words, strict=True)]
    records[3]["recognized"] = False
    part = read(ndjson(tmp_path / "a.ndjson", records))["train"]
    kept = [n for n in range(6) if n != 3]
    assert (part.sketches == from_lines([drawings[n] for n in kept])).all()
    assert part.labels.tolist() == [1, 0, 1, 0, 1] and part.omissions == 0


def test_ndjson_without_every_word_has_no_labels(tmp_path, rng):
    records = [record(drawing) for drawing in random_drawings(rng, 3)]
    del records[1]["word"], records[2]["recognized"]
    path = ndjson(tmp_path / "a.ndjson", records)
    path.write_text(path.read_text().replace("\n", "\n\n"))
    part = read(path)["train"]
    assert part.labels is None and len(part) == 3


def test_raw_ndjson_is_scaled_resampled_and_simplified(tmp_path):
    """A line across and a corner, in a box of 1000 x 500: 255 x 127.5; 5/1000 off the line is less than 2 pixels.

    The points lie a pixel apart along the line, and none of them in the corner.
    """
    x, y = [100.5, 600, 1100.5, 1100.5], [50, 55, 50, 550]
    other = [[100.5, 200.5], [300, 300], [0, 9]]
    raw = {"word": "cat", "recognized": True, "drawing": [[x, y, [0, 1, 2, 3]], other]}
    first, second = to_lines(read(ndjson(tmp_path / "a.ndjson", [raw, raw]))["train"].sketches)[0]
    before = (numpy.hypot(499.5, 5) + numpy.hypot(500.5, 5)) * 0.255 - 255  # from the 255th pixel to the corner
    assert first == pytest.approx(numpy.array([[0, 0], [255 - before, 0], [255, 127.5]]), abs=1e-3) and before > 0.01
    assert second == pytest.approx(numpy.array([[0, 63.75], [25.5, 63.75]]), abs=1e-4)


def test_raw_ndjson_is_simplified_as_its_recipe_says(tmp_path, rng):
    """Box of 255, a point at every pixel of a stroke, Ramer-Douglas-Peucker with 2.0; here each by a plain loop."""

    def resampled(line):
        points, left = [line[0]], 1.0
        for start, end in zip(line, line[1:], strict=False):
            length = numpy.hypot(*(end - start))
            while left <= length:
                points.append(start + (end - start) * left / length)
                left += 1
            left -= length
        return numpy.array([*points, line[-1]])

    def simplified(line):
        chord = line[-1] - line[0]
        across = numpy.abs((line - line[0]) @ [-chord[1], chord[0]]) / numpy.hypot(*chord)
        k = across.argmax()
        return (
            line[[0, -1]]
            if across[k] <= 2
            else numpy.concatenate([simplified(line[: k + 1])[:-1], simplified(line[k:])])
        )

    turns = rng.normal(0, 0.4, (2, 40)).cumsum(axis=1)
    strokes = [
        numpy.stack([3 * t.size * numpy.cos(t) + 40 * numpy.arange(t.size), 90 * numpy.sin(t)], axis=1) for t in turns
    ]
    record = {"drawing": [[*stroke.T.tolist(), list(range(40))] for stroke in strokes]}
    lines = to_lines(read(ndjson(tmp_path / "a.ndjson", [record]))["train"].sketches)[0]
    scale = 255 / numpy.ptp(numpy.concatenate(strokes), axis=0).max()
    expected = [simplified(resampled(scale * stroke)) for stroke in strokes]
    assert [len(line) for line in lines] == [len(line) for line in expected] and len(expected[0]) > 5
    for line, points in zip(lines, expected, strict=True):
        numpy.testing.assert_allclose(line - line[0], points - points[0], atol=1e-3)


def test_raw_ndjson_of_endless_lines_is_refused(tmp_path):
    zigzag = [[0, 255] * 3000, [0] * 6000, list(range(6000))]
    with pytest.raises(
        DataError, match=r"line 1: expected lines of at most 1048576 pixels in a box of 255, received 15"
    ):
        read(ndjson(tmp_path / "a.ndjson", [{"drawing": [zigzag]}]))
    with pytest.raises(DataError, match="line 1: expected coordinates below 16777216, received larger ones"):
        read(ndjson(tmp_path / "a.ndjson", [{"drawing": [[[0, 1e308], [0, -1e308], [0, 1]]]}]))


def test_long_drawings_and_dots_are_left_out(tmp_path, rng):
    lines = [rng.integers(0, 99, (n, 2)) for n in (5, 252, 251, 1)]
    path = ndjson(tmp_path / "a.ndjson", [record([line], word=str(n)) for n, line in enumerate(lines)])
    part = read(path)["train"]
    assert (part.sketches == from_lines([[lines[0]], [lines[2]]])).all()
    assert part.omissions == 2 and part.labels.tolist() == [0, 2]
    assert read(path, most=251)["train"].omissions == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "an .ndjson file, .* cannot be read"),
        ("[1]", 'objects with a list "drawing", received another one in line 2'),
        ('"text"', "another one in line 2"),
        ("{}", "another one in line 2"),
        ('{"drawing": 3}', "another one in line 2"),
        ('{"drawing": [[[1, 2], [3, 4]]], "word": 3}', "another one in line 2"),
        ('{"drawing": [[[1, 2], [3]]]}', r"line 2: expected \[xs, ys\] or \[xs, ys, ts\], received other lists"),
        ('{"drawing": [[[1, 2], ["3", "4"]]]}', "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[1, 2], [NaN, 4]]]}', "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[1, 2], [1e999, 4]]]}', "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[1, 2], [null, 4]]]}', "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[true, true], [true, false]]]}', "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[1, 2], [3, ' + "9" * 400 + "]]]}", "line 2: expected .* or what is no finite number"),
        ('{"drawing": [[[1, 2], [3, ' + "9" * 5000 + "]]]}", "cannot be read"),
        ('{"drawing": [[[1, 2], [3, 16777300]]]}', "expected offsets below 16777216"),
        ('{"drawing": [[[1, 2]]]}', r"line 2: expected strokes \[xs, ys\]"),
        ('{"drawing": [[[1], [2], [3], [4]]]}', r"line 2: expected strokes \[xs, ys\]"),
        ('{"drawing": [[]]}', "line 2: expected"),
        ('{"drawing": [[[], []]]}', "line 2: expected"),
        ('{"drawing": [3]}', "line 2: expected"),
        ("[" * 100_000, "cannot be read"),
        (" " * (LONGEST_LINE + 1), "expected lines of at most 1048576 bytes, received a longer one, number 2"),
    ],
)
def test_malformed_ndjson_is_refused(tmp_path, rng, line, sentence):
    path = ndjson(tmp_path / "a.ndjson", [record(random_drawings(rng, 1)[0])])
    path.write_text(path.read_text() + line)
    with pytest.raises(DataError, match=rf"^(reading|sketches of) .*a\.ndjson.*{sentence}"):
        sv.data.load(path)


def test_nothing_recognized_is_refused(tmp_path, rng):
    path = ndjson(tmp_path / "a.ndjson", [record(random_drawings(rng, 1)[0], recognized=False)])
    with pytest.raises(DataError, match=r"sketches of .*a\.ndjson: expected at least one sketch, .* none among 0"):
        read(path)


# ---- .json


def test_json_of_drawings_and_of_one(tmp_path, rng):
    drawings = random_drawings(rng, 5)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([[line.tolist() for line in drawing] for drawing in drawings]))
    part = read(path)["train"]
    assert (part.sketches == from_lines(drawings)).all() and part.labels is None
    path.write_text(json.dumps([line.tolist() for line in drawings[2]]))
    assert (read(path)["train"].sketches == from_lines(drawings[2:3])).all()
    with pytest.raises(DataError, match=r"^sketches of .*a\.json: expected at least two, .* received one"):
        sv.data.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "3", "[]", "[3]", "[[1, 2]]", "[[[1, 2, 3], [4, 5, 6]]]", '[[["1", "2"], ["3", "4"]]]', "[[[[1]]]]", "{}"]
    + ["[[[1, 2], [NaN, 4]]]", "[[[1, 2], [3]]]", "[[[1, 2], [3, 4]], 5]", "[[[[1, 2], [3, 4]]], 5]", "[" * 100_000]
    + ["[[[1, 2], [3, 4]], []]", "[[]]", "[[[]]]", "[[[[[1, 2], [3, 4]]]]]", "null", "[[[[1, 2], [3, 4]]], [5]]"],
)
def test_malformed_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"^(reading|sketches of) .*a\.json.*: expected "):
        read(tmp_path / "a.json")


# ---- .svg


def test_svg_files_and_folders(tmp_path, rng):
    drawings = random_drawings(rng, 12)
    x = from_lines(drawings)
    write_svg(tmp_path / "all.svg", x)
    part = read(tmp_path / "all.svg")["train"]
    assert part.sketches.shape == x.shape and numpy.allclose(part.sketches, x, atol=0.01)
    (tmp_path / "folder").mkdir()
    for n in range(12):
        write_svg(tmp_path / "folder" / f"{n:02d}.svg", x[n : n + 1])
    (tmp_path / "folder" / "notes.txt").write_text("not a drawing")
    part = read(tmp_path / "folder")["train"]
    assert part.sketches.shape == x.shape and numpy.allclose(part.sketches, x, atol=0.01)
    train, test = sv.data.load(tmp_path / "folder")
    assert len(train) == 11 and len(test) == 1


def test_sub_folders_are_classes(tmp_path, rng):
    x = from_lines(random_drawings(rng, 7))
    for name, rows in (("dog", [0, 1]), ("cat", [2]), ("bat", [3, 4, 5])):
        (tmp_path / name).mkdir()
        for row in rows:
            write_svg(tmp_path / name / f"{row}.svg", x[row : row + 1])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no drawing")
    assert holds_drawings(tmp_path)
    part = read(tmp_path)["train"]
    assert part.labels.tolist() == [0, 0, 0, 1, 2, 2] and part.labels.dtype == numpy.int64
    T = part.sketches.shape[1]
    assert numpy.allclose(part.sketches, x[[3, 4, 5, 2, 0, 1], :T], atol=0.01)
    write_svg(tmp_path / "cat" / "a.svg", x[5:7])
    assert read(tmp_path)["train"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    write_svg(tmp_path / "a.svg", x[:1])
    with pytest.raises(DataError, match="sub-folders of them, one for each class, received 1 beside 3 sub-folders"):
        read(tmp_path)


def test_a_drawing_of_several_paths_is_one(tmp_path):
    (tmp_path / "a.svg").write_text('<svg><path d="M0 0L50 0"/><circle cx="5" cy="6" r="20"/></svg>')
    part = read(tmp_path / "a.svg")["train"]
    assert len(part) == 1 and len(to_lines(part.sketches)[0]) == 2


def test_which_paths_hold_drawings(tmp_path):
    for name in ("a.svg", "a.SVG", "a.json", "a.ndjson", "a.npz"):
        (tmp_path / name).write_text("")
        assert holds_drawings(tmp_path / name) == (name != "a.npz")
    (tmp_path / "empty.svg").mkdir()
    assert holds_drawings(tmp_path) and not holds_drawings(tmp_path / "empty.svg")
    assert not holds_drawings(tmp_path / "none.svg")
    with pytest.raises(InputError, match=r"of drawings \(.ndjson, .json, .svg\) or .*, received .*none.svg"):
        sv.data.load(tmp_path / "none.svg")
    with pytest.raises(DataError, match="expected a folder of .svg files, received one without any"):
        read_drawings(tmp_path / "empty.svg")
    with pytest.raises(InputError, match="labels beside a file of arrays"):
        sv.data.load(tmp_path / "a.json", labels=tmp_path / "a.npz")


# ---- on the command line


def test_the_command_line_describes_sketches(tmp_path, rng, capsys):
    lines = [rng.integers(0, 99, (n, 2)) for n in (*[5] * 9, 3, 252)]
    path = ndjson(tmp_path / "a.ndjson", [record([line]) for line in lines])
    assert main(["data", str(path), "--out", str(tmp_path / "a.svg")]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    train, _ = sv.data.load(path)
    deviation = train.sketches[train.sketches[:, :, 4] == 0][:, :2].std()
    rows = (train.sketches[:, :, 4] == 0).sum() / 9
    assert first == (
        f"train  9 sketches of {rows:.1f} rows, at most 4, and 1.0 lines; standard deviation of the offsets "
        f"{deviation:.2f}, all whole numbers; 1 left out as too long or without a line"
    )
    assert others[-1] == str(tmp_path / "a.svg")
    assert numpy.allclose(from_lines(read_svg(tmp_path / "a.svg")), train.sketches, atol=0.01)
    assert main(["data", str(path), "--out", str(tmp_path / "a.png")]) == 2
    assert "expected --out with the suffix .svg for sketches" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("options", [["mlp"], ["conv"], ["m2", "--labels", "10"], ["m1+m2", "--labels", "10"]])
def test_models_of_images_refuse_sketches(tmp_path, rng, capsys, options):
    path = ndjson(tmp_path / "a.ndjson", [record(drawing) for drawing in random_drawings(rng, 20)])
    command = ["train", "--model", *options, "--data", str(path), "--run-dir", str(tmp_path / "run")]
    assert main(command) == 2
    assert f"--model {options[0]}: expected images, received sketches" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_is_kept_by_its_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "drawings").mkdir()
    monkeypatch.chdir(tmp_path)
    assert data_set("drawings") == str((tmp_path / "drawings").resolve())
    assert data_set("drawn-digits") == "drawn-digits" and data_set("nothing") == "nothing"
