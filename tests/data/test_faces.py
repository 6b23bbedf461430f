"""The readers of CelebA and of the Frey faces: the right pixels, attributes and parts; nothing stale, torn, foreign."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.io
from PIL import Image

from scratchvae.data import faces, load
from scratchvae.data.faces import ARCHIVE, CACHE, load_faces, load_frey_faces
from scratchvae.errors import DataError

NAMES = ["Smiling", "5_o_Clock_Shadow", "Young"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No folder but those of the test: neither SCRATCHVAE_DATA nor the cache of the user."""
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "scratchvae" / "faces" / CACHE


def photograph(number: int) -> numpy.ndarray:
    """A picture of 178 x 218 pixels: a colour of its own in the middle 148 x 148, and its opposite around it."""
    colour = numpy.array([20 * number, 255 - 20 * number, 100], numpy.uint8)
    picture = numpy.empty((218, 178, 3), numpy.uint8)
    picture[:] = 255 - colour
    picture[35:183, 15:163] = colour
    return picture


def celeba(folder: Path, n: int = 12, partition: str | None = None) -> Path:
    """A folder as CelebA's, of n images. Attribute k of image i is true where i is divisible by k + 2."""
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = [str(n), " ".join(NAMES)]
    for i in range(1, n + 1):
        Image.fromarray(photograph(i)).save(folder / "img_align_celeba" / f"{i:06d}.jpg", quality=95, subsampling=0)
        lines.append(f"{i:06d}.jpg " + " ".join("-1" if i % (k + 2) else " 1" for k in range(3)))
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    if partition:
        rows = [f"{i:06d}.jpg {part}\n" for i, part in enumerate(partition, 1)]
        (folder / "list_eval_partition.txt").write_text("".join(rows))
    return folder


def numbers(part: Any) -> list[int]:
    """Which photographs the images are of, by their colour."""
    return numpy.rint(part.images[:, 32, 32, 0] * 255 / 20).astype(int).tolist()


# ---- CelebA as it is distributed


@pytest.mark.parametrize("subfolder", [".", "faces"])
def test_the_middle_of_each_image_with_its_attributes(tmp_path: Path, subfolder: str) -> None:
    celeba(tmp_path / "data" / subfolder)
    train, test = load("faces", tmp_path / "data")
    assert train.images.shape == (11, 64, 64, 3) and test.images.shape == (1, 64, 64, 3)
    assert train.images.dtype == numpy.float32 and train.labels is None
    assert numbers(train) == list(range(1, 12)) and numbers(test) == [12]
    for i, image in enumerate(train.images, 1):  # to the border, so that nothing around the middle is in it
        assert abs(image * 255 - photograph(i)[100, 80]).max() < 9
    assert list(train.attributes) == NAMES
    for k, name in enumerate(NAMES):
        assert train.attributes[name].dtype == bool
        assert train.attributes[name].tolist() == [i % (k + 2) == 0 for i in range(1, 12)]


def test_images_are_reduced_as_pillow_does_it(tmp_path: Path, rng: numpy.random.Generator) -> None:
    path = celeba(tmp_path / "data") / "img_align_celeba" / "000003.jpg"
    Image.fromarray(rng.integers(0, 256, (218, 178, 3), dtype=numpy.uint8)).save(path)
    with Image.open(path) as image:
        middle = image.crop((15, 35, 163, 183)).resize((64, 64), Image.Resampling.LANCZOS)
    train, _ = load_faces(tmp_path / "data")
    numpy.testing.assert_array_equal(train.images[2] * numpy.float32(255), numpy.asarray(middle))


def test_celebas_own_parts(tmp_path: Path) -> None:
    train, test = load_faces(celeba(tmp_path / "data", partition="210010022121"))
    assert numbers(train) == [3, 4, 6, 7] and numbers(test) == [1, 8, 9, 11]
    assert train.attributes["Smiling"].tolist() == [False, True, True, False]
    assert test.attributes["Smiling"].tolist() == [False, True, False, False]


def test_images_of_one_of_celebas_parts_are_cut_as_a_users_file(tmp_path: Path) -> None:
    train, test = load_faces(celeba(tmp_path / "data", partition="000000000000"))
    assert numbers(train) == list(range(1, 12)) and numbers(test) == [12]


def test_a_part_of_the_images_will_do(tmp_path: Path) -> None:
    folder = celeba(tmp_path / "data")
    for i in (1, 4, 12):
        (folder / "img_align_celeba" / f"{i:06d}.jpg").unlink()
    (folder / "img_align_celeba" / "Thumbs.db").write_text("another file")
    train, test = load_faces(folder)
    assert numbers(train) == [2, 3, 5, 6, 7, 8, 9, 10] and numbers(test) == [11]
    assert train.attributes["Smiling"].tolist() == [True, False, False, True, False, True, False, True]


# ---- what is kept of it


@pytest.fixture
def cropped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were cropped, each time that any were."""
    counts: list[int] = []
    crop = faces._cropped

    def counted(folder: Path, files: list[str]) -> numpy.ndarray:
        counts.append(len(files))
        return crop(folder, files)

    monkeypatch.setattr(faces, "_cropped", counted)
    return counts


def test_crops_are_kept_beside_the_images(tmp_path: Path, cropped: list[int], own_cache: Path) -> None:
    folder = celeba(tmp_path / "data")
    first, second = load_faces(folder), load_faces(folder)
    assert cropped == [12] and not own_cache.exists()
    assert {path.name for path in folder.iterdir()} == {"img_align_celeba", "list_attr_celeba.txt", CACHE}
    for a, b in zip(first, second, strict=True):
        numpy.testing.assert_array_equal(a.images, b.images)


@pytest.mark.parametrize("change", ["other pixels", "one less", "another partition"])
def test_stale_crops_are_made_anew(tmp_path: Path, cropped: list[int], change: str) -> None:
    folder = celeba(tmp_path / "data")
    load_faces(folder)
    path = folder / "img_align_celeba" / "000005.jpg"
    if change == "other pixels":
        Image.fromarray(photograph(1)).save(path, quality=95, subsampling=0)
    elif change == "one less":
        path.unlink()
    else:
        (folder / "list_eval_partition.txt").write_text("000005.jpg 2\n000001.jpg 0\n000002.jpg 0\n")
    train, test = load_faces(folder)
    assert len(cropped) == 2
    middle = {"other pixels": [1], "one less": [], "another partition": [5]}[change]
    others = [1, 2, 3, 4, *middle, 6, 7, 8, 9, 10, 11, 12]
    assert numbers(train) + numbers(test) == ([1, 2, 5] if change == "another partition" else others)


def test_an_attribute_that_was_corrected_is_read_beside_kept_crops(tmp_path: Path, cropped: list[int]) -> None:
    folder = celeba(tmp_path / "data")
    assert load_faces(folder)[0].attributes["Smiling"][1]
    path = folder / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("000002.jpg  1", "000002.jpg -1"))
    assert not load_faces(folder)[0].attributes["Smiling"][1]
    assert cropped == [12]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: whole[:900] + b"\x07" + whole[901:]])
def test_torn_crops_are_made_anew(tmp_path: Path, cropped: list[int], damage: Callable[[bytes], bytes]) -> None:
    folder = celeba(tmp_path / "data")
    load_faces(folder)
    (folder / CACHE).write_bytes(damage((folder / CACHE).read_bytes()))
    assert numbers(load_faces(folder)[0]) == list(range(1, 12))
    load_faces(folder)
    assert cropped == [12, 12]


def test_crops_go_to_the_users_cache_where_the_folder_takes_none(
    tmp_path: Path, cropped: list[int], own_cache: Path
) -> None:
    folder = celeba(tmp_path / "data")
    (folder / CACHE).mkdir()  # in its place, so that no file can be put there, by root either
    load_faces(folder)
    assert own_cache.is_file()
    assert numbers(load_faces(folder)[1]) == [12]
    assert cropped == [12]


def test_crops_that_cannot_be_kept_are_used_with_a_warning(tmp_path: Path, cropped: list[int], own_cache: Path) -> None:
    folder = celeba(tmp_path / "data")
    (folder / CACHE).mkdir()
    own_cache.mkdir(parents=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match="will have to be cropped again: cannot write .*; cannot write .*"):
            assert numbers(load_faces(folder)[1]) == [12]
    assert cropped == [12, 12]


# ---- files that are damaged or foreign


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("12\n", "13\n", "expected 13 images, as its first line says, received 12"),
        ("000007.jpg", "../007.jpg", "expected 000001.jpg or its like, .* received ../007.jpg -1 -1 -1"),
        ("000007.jpg -1", "000007.jpg 0", "-1 or 1 for each of 3 attributes, received 000007.jpg 0 -1 -1"),
        ("000007.jpg -1", "000007.jpg", "received 000007.jpg -1 -1"),
        ("000007.jpg", "000006.jpg", "expected 12 images, as its first line says, received 11"),
        ("Smiling", "Young", "expected different words as their names, received Young, 5_o_Clock_Shadow, Young"),
        ("Smiling", "Smil-ing", "expected different words as their names, received Smil-ing, "),
        ("Smiling", "Sm\xefling", "cannot be read: 'ascii' codec"),
        ("Smiling 5_o_Clock_Shadow Young\n", "\n", "expected 000001.jpg or its like, .* received 000002.jpg"),
    ],
)
def test_a_malformed_list_of_attributes_is_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = celeba(tmp_path / "data") / "list_attr_celeba.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="latin-1")
    with pytest.raises(DataError, match=sentence):
        load_faces(tmp_path / "data")


def test_an_empty_or_missing_list_of_attributes_is_refused(tmp_path: Path) -> None:
    path = celeba(tmp_path / "data") / "list_attr_celeba.txt"
    path.write_text("")
    with pytest.raises(DataError, match="at least two of the images that list_attr_celeba.txt lists, received 0"):
        load_faces(tmp_path / "data")
    path.unlink()
    with pytest.raises(DataError, match="expected the file list_attr_celeba.txt, received none .CelebA is for"):
        load_faces(tmp_path / "data")


def test_a_malformed_partition_is_refused(tmp_path: Path) -> None:
    path = celeba(tmp_path / "data", partition="0" * 12) / "list_eval_partition.txt"
    path.write_text(path.read_text().replace("000003.jpg 0", "000003.jpg"))
    with pytest.raises(DataError, match=r"reading .*list_eval_partition.txt: expected lines of 2 words, received 0000"):
        load_faces(tmp_path / "data")


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "JPEG")
    return stream.getvalue()


def enormous(whole: bytes) -> bytes:
    """A JPEG image whose header promises 65,500 x 65,500 pixels."""
    return whole.replace(struct.pack(">2H", 218, 178), struct.pack(">2H", 65500, 65500))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: b"", "cannot be read: cannot identify image file"),
        (lambda whole: b"GIF89a" + whole[6:], "cannot be read: cannot identify image file"),
        (lambda whole: whole[:-200], "cannot be read: .*truncated"),
        (lambda whole: jpeg(178, 217), "expected an aligned image of 178 x 218 pixels, received one of 178 x 217"),
        (enormous, "expected an aligned image of 178 x 218 pixels, received .*65500|4290250000"),
    ],
)
def test_a_damaged_or_foreign_image_is_refused_and_nothing_is_kept(
    tmp_path: Path, change: Callable[[bytes], bytes], sentence: str, own_cache: Path
) -> None:
    path = celeba(tmp_path / "data") / "img_align_celeba" / "000004.jpg"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=rf"^reading .*000004\.jpg: .*({sentence})"):
        load_faces(tmp_path / "data")
    assert not own_cache.exists() and not (tmp_path / "data" / CACHE).exists()


def test_a_grey_image_gets_three_channels(tmp_path: Path) -> None:
    path = celeba(tmp_path / "data") / "img_align_celeba" / "000004.jpg"
    Image.new("L", (178, 218), 51).save(path)
    numpy.testing.assert_allclose(load_faces(tmp_path / "data")[0].images[3], 0.2, atol=0.005)


def test_a_file_in_place_of_the_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").write_text("no folder")
    with pytest.raises(DataError, match="^faces: expected the folder img_align_celeba or the file .*received neither"):
        load_faces(tmp_path)


@pytest.mark.parametrize("given", [False, True])
def test_faces_are_not_downloaded(tmp_path: Path, given: bool) -> None:
    words = ["non-commercial research only", "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "--data-dir"]
    with pytest.raises(DataError, match="^faces: .*" + ".*".join([*words, "SCRATCHVAE_DATA", "drawn-faces"])):
        load_faces(tmp_path if given else None)
    with pytest.raises(DataError, match="^frey-faces: .*https://cs.nyu.edu/~roweis/data.html.*--data-dir.*SCRATCHVAE"):
        load_frey_faces(tmp_path if given else None)


# ---- the prepared archive


def archive(n: int = 403) -> dict[str, numpy.ndarray]:
    numbers = numpy.arange(n)
    images = numpy.broadcast_to(numpy.uint8(numbers % 251)[:, None, None, None], (n, 64, 64, 3))
    attributes = numpy.where(numbers[:, None] % [2, 3, 4] == 0, 1, -1).astype(numpy.int8)
    return {"images": images, "attributes": attributes, "attribute_names": numpy.array(NAMES, "S20")}


@pytest.mark.parametrize("subfolder", [".", "faces"])
def test_prepared_archive(tmp_path: Path, subfolder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / subfolder).mkdir(exist_ok=True)
    numpy.savez_compressed(tmp_path / subfolder / ARCHIVE, image_ids=numpy.arange(403), **archive())
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path))
    train, test = load("faces")
    assert numpy.rint(train.images[:, 5, 5, 1] * 255).tolist() == [0, 1, 2]
    assert test.images.shape == (400, 64, 64, 3) and test.images[0].max() == numpy.float32(3 / 255)
    assert train.attributes["Smiling"].tolist() == [True, False, True]
    assert test.attributes["Young"].tolist() == [i % 4 == 0 for i in range(3, 403)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": None}, "expected arrays named images, attributes, attribute_names, received none named images"),
        ({"attribute_names": None, "attributes": None}, "received none named attributes, attribute_names"),
        ({"images": archive()["images"][:400]}, r"expected more than 400 images .* received uint8 \(400, 64, 64, 3\)"),
        ({"images": archive()["images"][:, :32]}, r"received uint8 \(403, 32, 64, 3\)"),
        ({"images": archive()["images"][..., 0]}, r"received uint8 \(403, 64, 64\)"),
        ({"images": archive()["images"][:, :2, :2].astype(numpy.uint16)}, "received uint16"),
        ({"images": archive()["images"][:, :2, :2] / 255}, "received float64"),
        ({"attributes": archive()["attributes"] * 0.5}, "expected -1 for no and 1 for yes, .* from -0.5 to 0.5"),
        ({"attributes": archive()["attributes"][:-1]}, r"received the shapes \(402, 3\) and \(3,\)"),
        ({"attributes": archive()["attributes"][:, :2]}, r"received the shapes \(403, 2\) and \(3,\)"),
        ({"attributes": archive()["attributes"] + numpy.int8(1)}, "expected -1 for no and 1 for yes, .* from 0 to 2"),
        ({"attribute_names": numpy.array([b"a", b"b", b"b"])}, "expected different words .* received a, b, b"),
        ({"attribute_names": numpy.array([b"a", b"b", b"\xff"])}, "expected different words"),
        ({"attribute_names": numpy.arange(3)}, "attribute_names: expected text, received values of type int64"),
        ({"attribute_names": numpy.array(NAMES, object)}, "received an array of Python objects"),
    ],
)
def test_a_prepared_archive_of_another_structure_is_refused(
    tmp_path: Path, change: dict[str, numpy.ndarray | None], sentence: str
) -> None:
    arrays = {name: array for name, array in (archive() | change).items() if array is not None}
    numpy.savez_compressed(tmp_path / ARCHIVE, **arrays)
    with pytest.raises(DataError, match=sentence):
        load_faces(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / ARCHIVE, **archive())
    whole = (tmp_path / ARCHIVE).read_bytes()
    for damaged in (b"", whole[:-30], whole[:500] + bytes(50) + whole[550:]):
        (tmp_path / ARCHIVE).write_bytes(damaged)
        with pytest.raises(DataError, match=rf"^reading .*{ARCHIVE}"):
            load_faces(tmp_path)


def test_the_images_are_preferred_to_the_archive(tmp_path: Path) -> None:
    numpy.savez_compressed(celeba(tmp_path / "data") / ARCHIVE, **archive())
    assert len(load_faces(tmp_path / "data")[0]) == 11


def test_the_first_3400_images_of_celeba(data_dir: Path) -> None:
    if not (data_dir / "faces" / ARCHIVE).exists():
        pytest.skip("needs the prepared archive")
    train, test = load_faces(data_dir)
    assert train.images.shape == (3000, 64, 64, 3) and test.images.shape == (400, 64, 64, 3)
    assert len(train.attributes) == 40 and test.attributes["Smiling"].shape == (400,)
    assert 0.4 < train.attributes["Smiling"].mean() < 0.6 and train.attributes["No_Beard"].mean() > 0.75


# ---- the Frey faces


@pytest.fixture
def frames(rng: numpy.random.Generator) -> numpy.ndarray:
    return rng.integers(0, 256, (30, 28, 20), dtype=numpy.uint8)


def test_frey_faces_of_both_files_are_the_same(tmp_path: Path, frames: numpy.ndarray) -> None:
    (tmp_path / "a" / "faces").mkdir(parents=True)
    numpy.savez(tmp_path / "a" / "faces" / "frey_faces.npz", images=frames)
    scipy.io.savemat(tmp_path / "frey_rawface.mat", {"ff": frames.reshape(30, 560).T})
    for folder in (tmp_path / "a", tmp_path):
        train, test = load("frey-faces", folder)
        assert train.images.dtype == numpy.float32
        numpy.testing.assert_array_equal(train.images[..., 0] * numpy.float32(255), frames[:27])
        numpy.testing.assert_array_equal(test.images[..., 0] * numpy.float32(255), frames[27:])


@pytest.mark.parametrize("change", [lambda x: x[:, :20], lambda x: x / 255, lambda x: x[:1], lambda x: x[..., None]])
def test_frey_faces_of_another_structure_are_refused(
    tmp_path: Path, frames: numpy.ndarray, change: Callable[[numpy.ndarray], numpy.ndarray]
) -> None:
    numpy.savez(tmp_path / "frey_faces.npz", images=change(frames))
    with pytest.raises(
        DataError, match=r"images of .*: expected at least two frames of uint8 and the shape \(28, 20\)"
    ):
        load_frey_faces(tmp_path)


def test_a_matlab_file_of_other_rows_is_refused(tmp_path: Path, frames: numpy.ndarray) -> None:
    scipy.io.savemat(tmp_path / "frey_rawface.mat", {"ff": frames.reshape(30, 560)})
    with pytest.raises(DataError, match=r"expected at least two frames .* received uint8 \(30, 560\)"):
        load_frey_faces(tmp_path)


def test_the_frey_faces(data_dir: Path) -> None:
    if not (data_dir / "faces" / "frey_faces.npz").exists():
        pytest.skip("needs the file")
    train, test = load_frey_faces(data_dir)
    assert train.images.shape == (1769, 28, 20, 1) and test.images.shape == (196, 28, 20, 1)
