"""Folders of images: pixels that are known exactly, every form of file, and a sentence for each that is not read."""

import os
import re

import numpy
import pytest
from PIL import Image

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.data import image_folders, load, read
from scratchvae.errors import DataError, InputError
from scratchvae.pixels import Pixels

COLOURS = numpy.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), dtype=numpy.uint8)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "scratchvae" / "folders"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "Bilder für später"
    path.mkdir()
    return path


def write(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def of(folder, **options):
    return read(folder, **options)["train"]


# ---- what is in the files


def test_images_are_the_pixels_in_the_order_of_their_names(folder, cache):
    names = ["b 2.png", "a.PNG", "ü.png", "B.png"]
    for name, values in zip(names, COLOURS, strict=False):
        write(folder / name, values)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    (folder / "empty").mkdir()
    expected = numpy.stack([COLOURS[names.index(name)] for name in sorted(names)])
    for _ in range(2):
        data = of(folder)
        assert data.images.dtype == numpy.float32 and numpy.array_equal(data.images, expected / numpy.float32(255))
        assert data.labels is None
        assert data.note == "4 images of 6 x 8, scaled and cropped at the centre to 6 x 8, colour"
    assert len(list(cache.iterdir())) == 1


def test_sub_folders_are_classes(folder):
    for i, values in enumerate(COLOURS):
        write(folder / ("zebra", "äpfel", "zebra")[i % 3] / f"{i:02}.png", values)
    (folder / ".git").mkdir()
    data = of(folder)
    assert data.labels.tolist() == [0] * 8 + [1] * 4 and data.labels.dtype == numpy.int64
    assert data.note.endswith("; labels 0: zebra, 1: äpfel")
    assert numpy.array_equal(data.images[8], COLOURS[1] / numpy.float32(255))
    train, validation, test = load(folder, validation=0.25)
    assert [len(part) for part in (train, validation, test)] == [8, 3, 1] and train.note == data.note


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_parts_are_sub_folders_of_their_names(folder, validation):
    for part, n in (("train", 6), (validation, 3), ("test", 2)):
        for i in range(n):
            write(folder / part / ("cat", "dog")[i % 2] / f"{i}.png", COLOURS[i])
    parts = load(folder, validation=0.5)
    assert [len(part) for part in parts] == [6, 3, 2] and parts[1].labels.tolist() == [0, 0, 1]
    assert of(folder / "train").note.endswith("labels 0: cat, 1: dog")


def test_a_class_may_be_called_train(folder):
    for i, name in enumerate(("car", "plane", "train")):
        write(folder / name / "1.png", COLOURS[i])
    assert of(folder).labels.tolist() == [0, 1, 2]


# ---- modes


def test_every_mode_becomes_eight_bits_of_grey_or_colour(folder):
    """The value of each pixel is known: 16 bits are divided by 257, transparency is white, CMYK is its complement."""
    grey = numpy.arange(48, dtype=numpy.uint8).reshape(6, 8) * 5
    write(folder / "1 grey.png", grey)
    write(folder / "2 bits.png", grey > 100)
    write(folder / "3 deep.png", grey.astype(numpy.uint16) * 257 + 100)
    palette = Image.fromarray(grey).convert("P")
    palette.save(folder / "4 palette.png")
    alpha = numpy.stack([grey, numpy.where(grey > 100, 255, 0).astype(numpy.uint8)], axis=2)
    write(folder / "5 clear.png", alpha)
    cmyk = numpy.zeros((6, 8, 4), dtype=numpy.uint8)
    cmyk[..., 3] = 55
    Image.fromarray(cmyk, mode="CMYK").save(folder / "6 print.jpg", quality=100)
    images = numpy.asarray(of(folder, image_colour="grey").images)[..., 0] * 255
    bits, clear = numpy.where(grey > 100, 255, 0), numpy.where(grey > 100, grey, 255)
    for image, expected in zip(images, (grey, bits, grey, grey, clear, 200), strict=True):
        assert abs(image - expected).max() < 1.5, expected
    assert of(folder).images.shape == (6, 6, 8, 3), "a palette and ink have colour"


def test_a_photograph_is_turned_as_its_exif_data_say(folder):
    upright = numpy.zeros((40, 20), dtype=numpy.uint8)
    upright[:10] = 255  # white above
    write(folder / "1.jpg", upright)
    for name, turn in (("2.jpg", 1), ("3.png", 1)):
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by 90 degrees when it is shown
        write(folder / name, numpy.ascontiguousarray(numpy.rot90(upright, turn)), exif=exif)
    images = numpy.asarray(of(folder).images)
    assert images.shape == (3, 40, 20, 1)
    for image in images:
        assert image[:9].min() > 0.9 and image[11:].max() < 0.1


# ---- sizes


def test_crop_keeps_the_middle_and_fit_the_whole(folder):
    wide = numpy.zeros((20, 60), dtype=numpy.uint8)
    wide[:, 20:40] = 255
    write(folder / "1.png", wide)
    write(folder / "2.png", numpy.full((5, 5), 255, dtype=numpy.uint8))
    write(folder / "3.png", numpy.ones((90, 30), dtype=numpy.uint8) * numpy.uint8(255))
    cropped = of(folder, image_size=10).images[..., 0]
    assert cropped.shape == (3, 10, 10) and cropped[1:].min() == 1 and cropped[0, :, 1:-1].min() > 0.99
    whole = of(folder, image_size=(12, 24), image_fit="fit")
    first, second, third = whole.images[..., 0]
    assert first[[0, 1, -2, -1]].max() == 0 and first[3:-3, 9:15].min() > 0.99 and first[:, [0, 1, -2, -1]].max() == 0
    assert second[:, 6:18].min() == 1 and second[:, :6].max() == 0 and second[:, 18:].max() == 0
    assert third[:, 10:14].min() == 1 and third[:, :10].max() == 0
    assert whole.note == "3 images of 5 x 5 to 90 x 30, scaled as a whole onto black to 12 x 24, grey"


def test_a_large_photograph_is_scaled_to_what_its_whole_gives(folder):
    """JPEG is decoded at a fraction of its size; the shades stay those of the whole."""
    x, y = numpy.meshgrid(numpy.linspace(0, 255, 2000), numpy.linspace(0, 255, 1500))
    whole = numpy.stack([x, y, 255 - x], axis=2).astype(numpy.uint8)
    write(folder / "1.jpg", whole, quality=95)
    write(folder / "2.png", whole)
    jpeg, png = numpy.asarray(of(folder, image_size=32).images) * 255
    assert abs(jpeg - png).max() < 4


# ---- large folders, and the file that keeps them


def test_a_large_folder_is_mapped_and_trains_to_the_bits_of_floats(folder, monkeypatch):
    for i, values in enumerate(COLOURS):
        write(folder / f"{i:02}.png", values)
    small = load(folder)
    monkeypatch.setattr(image_folders, "LARGE", 100)
    large = load(folder)
    assert all(isinstance(part.images, Pixels) for part in large)
    parameters = []
    for train, test in (small, large):
        model = sv.VAE.convolutional((6, 8, 3), 2, channels=[2])
        sv.fit(model, train.images, 2, 5, validation=test.images, progress=False)
        parameters.append([x.data.tobytes() for x in model.parameters()])
    assert parameters[0] == parameters[1]


def test_images_are_decoded_once_and_anew_when_a_file_changes(folder, cache, monkeypatch):
    for i in range(3):
        write(folder / f"{i}.png", COLOURS[i])
    decoded, decode = [], image_folders._pixels
    monkeypatch.setattr(image_folders, "_pixels", lambda file, form: decoded.append(file.name) or decode(file, form))
    first = of(folder)
    again = of(folder)
    assert decoded == ["0.png", "1.png", "2.png"] and numpy.array_equal(first.images, again.images)
    write(folder / "1.png", COLOURS[7])
    os.utime(folder / "1.png", (1, 1))
    assert numpy.array_equal(of(folder).images[1], COLOURS[7] / numpy.float32(255)) and len(decoded) == 6
    of(folder, image_size=4)
    assert len(decoded) == 9
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-1])  # torn
    assert numpy.array_equal(of(folder).images[1], COLOURS[7] / numpy.float32(255)) and len(decoded) == 12


def test_without_a_cache_images_are_decoded_into_memory(folder, cache):
    for i in range(3):
        write(folder / f"{i}.png", COLOURS[i])
    cache.parent.parent.parent.joinpath("cache").write_text("a file where the folder would be")
    with pytest.warns(UserWarning, match="will have to be decoded again: cannot write"):
        images = of(folder).images
    assert numpy.array_equal(images, COLOURS[:3] / numpy.float32(255))


# ---- one sentence for each that cannot be read


def truncated(path):
    write(path, numpy.tile(COLOURS[0], (20, 20, 1)), format="JPEG")
    path.write_bytes(path.read_bytes()[:-3000])


HOSTILE = {
    "text": (lambda path: path.write_text("no image"), r"reading .*x\.png: expected a PNG or JPEG image"),
    "empty": (lambda path: path.touch(), r"reading .*x\.png: expected a PNG or JPEG image"),
    "truncated": (truncated, r"reading .*x\.png: expected a PNG or JPEG image, .* truncated"),
    "gif": (lambda path: write(path, COLOURS[0], format="GIF"), r"reading .*x\.png: expected a PNG or JPEG image"),
    "bomb": (
        lambda path: Image.new("1", (50, 50)).save(path),
        r"reading .*x\.png: expected an image of at most 1,000 pixels, received Image size \(2500 pixels\)",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("options", [{}, {"image_size": 6, "image_colour": "grey"}], ids=["measured", "decoded"])
def test_a_file_that_is_no_image_is_named(folder, cache, monkeypatch, name, options):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000 if name == "bomb" else None)
    make, sentence = HOSTILE[name]
    write(folder / "a.png", COLOURS[0])
    make(folder / "x.png")
    with pytest.raises(DataError, match=sentence) as raised:
        of(folder, **({"image_size": 6} | options))
    assert "\n" not in str(raised.value)
    assert not cache.exists() or not list(cache.iterdir()), "nothing half done is kept"


def test_folders_that_hold_no_data_set_get_one_sentence(folder):
    with pytest.raises(DataError, match=r"expected at least one file that ends in \.png, \.jpg, \.jpeg, received none"):
        load(folder)
    write(folder / "1.png", COLOURS[0])
    with pytest.raises(DataError, match="images of .*: expected at least two, one to train with"):
        load(folder)
    write(folder / "2.png", COLOURS[0, :3])
    with pytest.raises(DataError, match=r"images of one size, received sizes from 3 x 8 to 6 x 8 \(--image-size 64"):
        load(folder)
    write(folder / "class" / "2.png", COLOURS[0])
    with pytest.raises(DataError, match="either in the folder or in .*, received 1.png beside sub-folders .* class"):
        load(folder, image_size=4)


def test_very_large_images_need_a_size(folder):
    for i in range(2):
        Image.new("L", (1100, 5), 200).save(folder / f"{i}.png")
    with pytest.raises(DataError, match="sides of at most 1024 pixels, received images of 5 x 1100"):
        of(folder)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_size": 0}, "image_size from 1 to 1024, received 0"),
        ({"image_size": (4, 5, 6)}, r"a number or \(height, width\)"),
        ({"image_size": (4, 2000)}, "image_size from 1 to 1024, received 2000"),
        ({"image_colour": "red"}, "image_colour among grey, colour, received 'red'"),
        ({"image_fit": "wide"}, "image_fit among crop, fit, received 'wide'"),
        ({"labels": "x"}, "labels beside a file of arrays"),
    ],
)
def test_other_options_are_refused(folder, options, sentence):
    write(folder / "1.png", COLOURS[0])
    with pytest.raises(InputError, match=sentence):
        read(folder, **options)


def test_options_of_folders_are_for_folders(tmp_path):
    numpy.save(tmp_path / "x.npy", COLOURS)
    for name in ("drawn-digits", tmp_path / "x.npy"):
        with pytest.raises(InputError, match="image options for a folder of images, received"):
            load(name, image_size=3)


# ---- the command line


def test_the_command_line_trains_on_a_folder_and_scores_another(folder, tmp_path, capsys):
    for i in range(12):
        write(folder / ("a", "b")[i % 2] / f"{i}.png", COLOURS[i])
        write(tmp_path / "more" / f"{i}.png", COLOURS[i, :4, :5])
    size = ["--image-size", "8", "7", "--image-colour", "grey"]
    run = ["--run-dir", str(tmp_path / "run"), "--epochs", "1", "--hidden", "4", "--quiet", "--no-pictures"]
    assert main(["train", "--data", str(folder), *size, *run]) == 0
    out = capsys.readouterr().out
    assert "12 images, scaled and cropped at the centre to 8 x 7, grey; labels 0: a, 1: b\n" in out
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "more")]) == 0
    assert re.search("all of .*more: ELBO .* mean of 12", capsys.readouterr().out)
    assert main(["data", str(folder), "--image-size", "5", "--out", str(tmp_path / "few.png")]) == 0
    assert "(11, 5, 5, 3) float32" in capsys.readouterr().out
    assert main(["train", "--data", str(folder), "--image-size", "x"]) == 2
    assert "--image-size: expected a whole number" in capsys.readouterr().err


def test_the_command_line_describes_a_large_folder(folder, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(image_folders, "LARGE", 100)
    for i in range(12):
        write(folder / f"{i}.png", COLOURS[i])
    assert main(["data", str(folder), "--out", str(tmp_path / "few.png")]) == 0
    assert re.search(r"train  \(11, 6, 8, 3\) uint8 / 255, mean 0\.\d+, from 0 to 1\n", capsys.readouterr().out)
    run = ["--run-dir", str(tmp_path / "run"), "--epochs", "1", "--hidden", "4", "--quiet"]
    assert main(["train", "--data", str(folder), *run, "--no-pictures"]) == 0
    assert main(["plot", "reconstructions", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "figures" / "reconstructions.png").exists()
