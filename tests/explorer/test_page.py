"""What goes into the page: rows, codes, colours and directions; and that nothing in it can become a script."""

import base64
import hashlib
import html
import io
import re

import numpy
import pytest
from explorer_pages import MOLECULES, ROOM, SKETCHES, SYMBOLS, Tags, content_of, stirred

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.errors import InputError, ShapeError
from scratchvae.explorer.page import Explorer
from scratchvae.explorer.rows import MOST_ROWS, SPRITE_PIXELS
from scratchvae.pixels import Pixels

HOSTILE = '</script><script>document.title="seen"</script><img src=x onerror="document.title=\'seen\'">'
X = numpy.random.default_rng(1).random((30, 8, 8, 1)).astype(numpy.float32)


def model(**options):
    return stirred(sv.VAE.mlp(64, **{"latent_size": 3, "hidden": (4,)} | options))


def numbers(packed):
    return numpy.frombuffer(base64.b64decode(packed["base64"]), dtype=numpy.dtype(packed["type"]).newbyteorder("<"))


@pytest.fixture(scope="module")
def page():
    return sv.explorer(model(), X, numpy.arange(30) % 3, attributes={"odd": numpy.arange(30) % 2 == 1})


def test_codes_are_the_means_of_the_encoder(page):
    content, means = content_of(page), model().encode(X).mean
    numpy.testing.assert_allclose(numbers(content["codes"]).reshape(30, 3), means, rtol=1e-3, atol=1e-4)
    numpy.testing.assert_allclose(content["variances"], means.var(axis=0), rtol=1e-4)
    assert content["active"] == sv.active_units(model(), X).tolist() and content["rows"] == list(range(30))


@pytest.mark.parametrize("width", [64, 5])
def test_rows_with_missing_entries_are_on_the_map_and_not_shown(width):
    """Pictures of 64 entries, and vectors of 5: range and shades are those of the known entries."""
    vae = sv.VAE.mlp(width, 2, (4,), missing=True, likelihood="gaussian")
    x = 3 * X.reshape(30, 64)[:, :width]
    low, high = x.min(), x.max()
    x[0, :2] = numpy.nan
    content = content_of(sv.explorer(vae, x, thumbnails=False))
    numpy.testing.assert_allclose(numbers(content["codes"]).reshape(30, 2), vae.encode(x).mean, rtol=1e-3, atol=1e-4)
    shades = content.get("images", {}).get("shades", {})
    seen = content["vectors"]["range"] if width == 5 else [shades["low"], shades["high"]]
    numpy.testing.assert_allclose(seen, [0 if width == 5 else low, high], rtol=0.02)
    with pytest.raises(InputError, match="^explorer: expected rows without missing entries to show, received NaN"):
        sv.explorer(vae, x)


def test_the_plane_is_that_of_pca_and_neighbours_are_counted(page):
    content, z = content_of(page), model().encode(X).mean.astype(float)
    pca = sv.linear.PCA(2).fit(z)
    for own, other in zip(content["pca"]["directions"], pca.components_, strict=True):
        assert abs(abs(numpy.dot(own, other)) - 1) < 1e-5
    numpy.testing.assert_allclose(content["pca"]["shares"], pca.explained_variance_ratio_, rtol=1e-4)
    distances = numpy.linalg.norm(z[:, None] - z[None], axis=2) + 99 * numpy.eye(30)
    assert abs(content["neighbours"] - numpy.quantile(distances.min(axis=1), 0.99)) < 1e-6


def test_directions_are_differences_of_means_and_slopes():
    t = numpy.random.default_rng(2).standard_normal(30)
    t[3] = numpy.nan
    properties, attributes = {"size": t}, {"odd": numpy.arange(30) % 2 == 1, "all": numpy.ones(30, dtype=bool)}
    content = content_of(sv.explorer(model(), X, numpy.arange(30) % 3, attributes=attributes, properties=properties))
    found = {each["name"]: each["vector"] for each in content["directions"]}
    assert list(found) == ["label 0", "label 1", "label 2", "odd", "size"]
    z = model().encode(X).mean.astype(float)
    odd = sv.latent_space.mean_difference(z, attributes["odd"])
    numpy.testing.assert_allclose(found["odd"], odd, rtol=1e-4, atol=1e-6)
    known = numpy.isfinite(t)
    slopes = [numpy.polyfit(t[known], z[known, k], 1)[0] * t[known].std() for k in range(3)]
    numpy.testing.assert_allclose(found["size"], slopes, rtol=1e-4, atol=1e-6)
    assert content["colourings"][-1]["values"][3] is None


@pytest.mark.parametrize(
    "labels, classes",
    [
        (numpy.arange(30) % 3, ["0", "1", "2"]),
        (["b", "a"] * 15, ["a", "b"]),
        (numpy.arange(30) % 2.0, ["0", "1"]),
        (numpy.linspace(0, 1, 30), None),
        (numpy.where(numpy.arange(30) == 2, numpy.nan, 1.0), None),
    ],
)
def test_labels_are_classes_unless_they_are_fractions(labels, classes):
    (colouring,) = content_of(sv.explorer(model(), X, labels))["colourings"]
    assert colouring.get("classes") == classes
    if classes:
        assert [classes[k] for k in colouring["values"]] == [str(int(y)) if y not in ("a", "b") else y for y in labels]


def test_thumbnails_are_the_rows_in_ink():
    from PIL import Image

    images = content_of(sv.explorer(model(), numpy.where(X > 0.9, X, 0)))["images"]
    sheet = images["thumbnails"]
    picture = Image.open(io.BytesIO(base64.b64decode(sheet["address"].partition(",")[2])))
    assert images["shades"] == {"low": 0.0, "high": 1.0, "ink": True} and sheet["columns"] == 6
    pixels = numpy.asarray(picture)[8:16, 16:24] / 255.0  # row 8 of the data: the third of the second line
    numpy.testing.assert_allclose(pixels, 1 - numpy.where(X > 0.9, X, 0)[8, :, :, 0], atol=3e-3)


def test_bytes_are_shown_as_the_floats_that_they_stand_for():
    k = (255 * X).round().astype(numpy.uint8)
    first, *others = (sv.explorer(model(), x).page for x in (numpy.divide(k, 255, dtype="f4"), k, Pixels(k)))
    assert others == [first, first]


def test_many_large_images_are_reduced_and_rows_chosen_evenly():
    x = numpy.zeros((2 * MOST_ROWS + 2, 32, 40, 3), dtype=numpy.float32)
    x[:, :, 20:] = numpy.linspace(0, 1, len(x), dtype=numpy.float32)[:, None, None, None]
    content = content_of(sv.explorer(sv.VAE.mlp(3840, 2, ()), x))
    assert content["rows"] == list(range(0, len(x), 3)) and len(content["rows"]) <= MOST_ROWS
    sheet, n = content["images"]["thumbnails"], len(content["rows"])
    assert sheet["address"].startswith("data:image/jpeg") and n * sheet["width"] * sheet["height"] <= SPRITE_PIXELS
    assert sheet["width"] / sheet["height"] == pytest.approx(1.25, rel=0.1)


def test_sketches_molecules_and_vectors_are_what_was_given():
    sketches = sv.SketchRNN.lstm(2, 3, 3, 2, scale=float(sv.data.describe_sketches(SKETCHES)["scale"]))
    content = content_of(sv.explorer(sketches, SKETCHES))
    lengths, scale = content["sketches"]["lengths"], content["decoder"]["scale"]
    offsets = scale * numbers(content["sketches"]["offsets"]).reshape(-1, 2).astype(float)
    third = offsets[sum(lengths[:2]) : sum(lengths[:3])]
    numpy.testing.assert_allclose(third, SKETCHES[2, : lengths[2], :2], atol=2e-2)
    assert content["sketches"]["lifted"][: lengths[0]] == "".join(str(int(up)) for up in SKETCHES[0, : lengths[0], 3])
    molecules = sv.MoleculeVAE.gru(SYMBOLS, 60, 2, 4)
    assert content_of(sv.explorer(molecules, MOLECULES.molecules))["molecules"] == MOLECULES.molecules.tolist()
    tokens = molecules.alphabet.encode(MOLECULES.molecules.tolist())
    assert content_of(sv.explorer(molecules, tokens))["molecules"] == MOLECULES.molecules.tolist()
    table = numpy.random.default_rng(0).standard_normal((9, 5)).astype(numpy.float32)
    content = content_of(sv.explorer(sv.VAE.mlp(5, 2, (), likelihood="gaussian"), table))
    assert content["picture"] == "vector" and (numbers(content["vectors"]["values"]).reshape(9, 5) == table).all()


def test_without_thumbnails_no_row_is_in_the_page():
    content = content_of(sv.explorer(model(), X, thumbnails=False))
    assert "thumbnails" not in content["images"]
    strings = sv.explorer(sv.MoleculeVAE.gru(SYMBOLS, 60, 2, 4), MOLECULES.molecules, thumbnails=False).page
    assert not any(f'"{smiles}"' in strings for smiles in MOLECULES.molecules if len(smiles) > 8)
    assert "sketches" not in content_of(
        sv.explorer(sv.SketchRNN.lstm(2, 3, 3, 2, scale=3.4), SKETCHES, thumbnails=False)
    )
    content = content_of(sv.explorer(sv.VAE.mlp(5, 2, ()), X.reshape(-1, 5), thumbnails=False))
    assert "values" not in content["vectors"]


# ---- nothing that comes from data can become a script


def test_hostile_names_are_text_and_the_policy_allows_two_texts_alone():
    labels = numpy.array([HOSTILE, "<!--", "{{script}}"] * 10)
    page = sv.explorer(model(), X, labels, properties={HOSTILE: numpy.arange(30.0)}, title=HOSTILE)
    parsed = Tags(page.page)
    names = [tag for tag, _ in parsed.tags]
    assert names.count("script") == 2 and names.count("style") == 1 and "img" not in names and "iframe" not in names
    content = content_of(page)
    assert set(content["colourings"][0]["classes"]) == set(labels) and content["title"] == HOSTILE
    assert parsed.text("title") == HOSTILE
    (policy,) = [own["content"] for _, own in parsed.tags if own.get("http-equiv") == "Content-Security-Policy"]
    script, style = parsed.text("script", type=None), parsed.text("style")
    for directive, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy


def test_the_page_names_no_other_file_and_has_no_inline_handler_or_style(page):
    for tag, own in Tags(page.page).tags:
        assert not {"src", "href", "srcdoc", "style"} & set(own) and not any(name.startswith("on") for name in own), tag


def test_its_scripts_make_no_text_a_program_or_markup():
    for path in ROOM.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(|XMLHttp|import\("
        assert not re.search(words, text), path
        assert len(text.splitlines()) <= 400 and max(map(len, text.splitlines())) <= 120, path


def test_in_a_notebook_it_is_a_frame_that_reaches_nothing_else(page):
    (tag, own), *others = Tags(page._repr_html_()).tags
    assert tag == "iframe" and not others and own["sandbox"] == "allow-scripts"
    assert own["srcdoc"] == page.page == html.unescape(html.escape(page.page))


# ---- what is refused


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: sv.explorer(sv.linear.PCA(2), X), InputError, "expected a VAE.*received a PCA"),
        (lambda: sv.explorer(sv.SketchRNN.lstm(0, 3, 3, 2, scale=3.4), SKETCHES), InputError, "with a latent space"),
        (lambda: sv.explorer(model(), X, [1, 2]), ShapeError, r"label of shape \(30,\)"),
        (lambda: sv.explorer(model(), X, properties={"a": ["x"] * 30}), InputError, "numbers as a"),
        (
            lambda: sv.explorer(sv.VAE.mlp(1, 1), numpy.zeros((200, 1)), [f"{i}a" for i in range(200)]),
            InputError,
            "at most 100",
        ),
        (lambda: sv.explorer(model(), X, image_shape=(3, 3)), ShapeError, r"an image_shape \(H, W, C\) of 64 entries"),
        (lambda: sv.explorer(model(), X[:0]), InputError, "at least one row"),
        (lambda: sv.explorer(model(), X[:, :2]), ShapeError, "rows of 64 entries"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_weights_that_are_not_finite_are_refused():
    broken = model()
    broken.decoder.network.layers[0].weight.data[0, 0] = numpy.nan
    with pytest.raises(InputError, match="explorer: expected weights and codes"):
        sv.explorer(broken, X)


# ---- the command line


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    numpy.savez(folder / "celeba64_first3400.npz", images=X, labels=numpy.arange(30) % 3)
    arguments = [
        "train",
        "--data",
        str(folder / "celeba64_first3400.npz"),
        "--run-dir",
        str(folder / "run"),
        "--hidden",
        "4",
    ]
    assert main([*arguments, "--epochs", "1", "--no-pictures", "--quiet"]) == 0
    return folder / "run"


def test_the_command_writes_a_page_of_the_test_part(run, tmp_path, capsys):
    out = tmp_path / "a.html"
    assert main(["explore", str(run), "--out", str(out), "--thumbnails"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: ")
    content = content_of(Explorer(out.read_text(encoding="utf-8")))
    assert len(content["rows"]) == 3 and content["colourings"][0]["name"] == "label" and content["images"]["thumbnails"]
    assert content["title"] == "celeba64_first3400.npz: VAE, K = 2"


def test_photographs_of_persons_are_left_out_unless_asked_for(run, tmp_path):
    out = tmp_path / "a.html"
    assert main(["explore", str(run), "--out", str(out)]) == 0
    assert '"thumbnails"' not in out.read_text(encoding="utf-8")
    assert sv.data.shows_persons("faces") and sv.data.shows_persons("frey-faces")
    assert not sv.data.shows_persons("drawn-faces") and not sv.data.shows_persons("mnist")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["explore", "nowhere"], "expected a file"),
        (["explore", "MODEL"], "explore: expected --data, as the run does not name its data"),
        (["explore", "MODEL", "--data", "drawn-digits", "--data-labels", "x"], "explore: expected --data FILE"),
        (["explore", "RUN", "--out", "FOLDER"], "cannot write"),
    ],
)
def test_the_command_refuses_in_a_sentence(run, tmp_path, capsys, arguments, message):
    sv.save(model(), tmp_path / "model.npz")
    names = {"MODEL": str(tmp_path / "model.npz"), "RUN": str(run), "FOLDER": str(tmp_path)}
    assert main([names.get(each, each) for each in arguments]) == 2
    assert message in capsys.readouterr().err
