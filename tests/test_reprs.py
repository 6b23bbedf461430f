"""What the last line of a notebook's cell prints: words, shapes and ranges, short whatever the size of the arrays."""

import base64
import io
import sys

import numpy
import pytest
from PIL import Image

import scratchvae as sv
from scratchvae.arrays import shortened
from scratchvae.data import Dataset
from scratchvae.distributions import Bernoulli, Categorical, Laplace, Normal, Poisson
from scratchvae.noise import GivenNoise
from scratchvae.pixels import Pixels

MANY = numpy.linspace(-1, 1, 600, dtype=numpy.float32).reshape(200, 3)
PARAMETER = sv.Tensor(numpy.zeros((30, 40), numpy.float32))
WORDS = "(200, 3) float32 from -1 to 1"
STEPS = "learning_rate=0.1, clip_norm=None, clip_value=None, n_steps=0, momentum=0.0"
TEXTS = {
    "Normal": (Normal(MANY, MANY), f"Normal(mean={WORDS}, log_std={WORDS}, event_ndim=1)"),
    "a small one": (Normal(MANY[0, :2], numpy.zeros(())), "Normal(mean=[-1. , -0.9967], log_std=0., event_ndim=1)"),
    "Bernoulli": (Bernoulli(MANY, 1), f"Bernoulli(logits={WORDS}, event_ndim=1)"),
    "Laplace": (Laplace(MANY, MANY), f"Laplace(mean={WORDS}, log_scale={WORDS}, event_ndim=1)"),
    "Poisson": (Poisson(MANY), f"Poisson(log_rate={WORDS}, event_ndim=1)"),
    "Categorical": (Categorical(MANY), f"Categorical(logits={WORDS})"),
    "of Tensors": (Categorical(PARAMETER), "Categorical(logits=Tensor(leaf, shape=(30, 40), float32, cpu))"),
    "SGD": (sv.optim.SGD([PARAMETER], 0.1), f"SGD({STEPS}) of 1,200 parameters"),
    "a schedule": (sv.optim.LinearSchedule(0.0, 1.0, 5), "LinearSchedule(start=0.0, end=1.0, n_steps=5)"),
    "Noise": (sv.Noise(3), "Noise(seed=3, step=0, device='cpu', training=False)"),
    "GivenNoise": (GivenNoise({"z": MANY, "x": numpy.zeros(3)}), f"GivenNoise(z: {WORDS}, x: [0., 0., 0.])"),
    "one array": (GivenNoise(MANY), f"GivenNoise({WORDS})"),
    "Tensor": (sv.Tensor(MANY), "Tensor(leaf, shape=(200, 3), float32, cpu)"),
    "a layer": (sv.nn.MLP([3, 4, 2], sv.Noise(0)), "MLP(3 -> 4 -> 2, relu)"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name):
    value, text = TEXTS[name]
    assert repr(value) == text and len(text) < 200


def test_an_array_in_a_few_words():
    assert shortened(numpy.arange(4)) == "[0, 1, 2, 3]" and shortened(numpy.float32(0.25)) == "0.25"
    assert shortened(numpy.arange(9)) == "(9,) int64 from 0 to 8"
    assert shortened(numpy.array([0.0, numpy.nan] * 9)) == "(18,) float64 from nan to nan"
    assert shortened(numpy.array(["CCO"] * 9)) == "(9,) <U3" and shortened("CCO") == "'CCO'"
    assert shortened(numpy.zeros((0, 9))) == "[]"
    assert shortened(numpy.broadcast_to(0.5, (2**14, 2**13))) == "(16384, 8192) float64"  # not looked through


def test_a_data_set_says_what_it_holds():
    digits = sv.data.draw_digits(100, seed=0)
    factors = ", ".join(list(digits.factors)[:8])
    assert repr(digits).splitlines() == [
        "Dataset of 100 images",
        f"  images: (100, 28, 28, 1) float32 from {digits.images.min():.4g} to {digits.images.max():.4g}",
        f"  labels: (100,) int64 from {digits.labels.min()} to {digits.labels.max()}",
        f"  factors: {factors} and {len(digits.factors) - 8} more",
        "  strokes of each",
    ]
    molecules = Dataset(molecules=numpy.array(["CCO"] * 2000), properties={"logp": numpy.zeros(2000)}, omissions=1500)
    assert repr(molecules) == (
        "Dataset of 2,000 molecules\n  molecules: (2000,) <U3\n  properties: logp\n  1,500 besides, left out"
    )
    assert repr(Dataset()) == Dataset()._repr_html_()[5:-6] == "Dataset of nothing"
    assert molecules._repr_html_() == f"<pre>{repr(molecules).replace('<', '&lt;')}</pre>"


@pytest.mark.parametrize(("n", "shape", "size"), [(100, (28, 28, 1), (280, 56)), (3, (200, 100, 3), (75, 50))])
def test_a_notebook_shows_the_first_images_of_a_data_set(n, shape, size, rng):
    images = rng.random((n, *shape)).astype(numpy.float32)
    page = Dataset(images, attributes={"<b>": numpy.zeros(n, bool)})._repr_html_()
    assert "attributes: &lt;b&gt;" in page and len(page) < 100_000
    sheet = Image.open(io.BytesIO(base64.b64decode(page.split("base64,")[1].split('"')[0])))
    assert sheet.size == size
    step, (h, w) = -(-max(shape[:2]) // 64), (size[1] // (2 if n > 10 else 1), size[0] // min(n, 10))
    pixels = numpy.asarray(sheet).reshape(*sheet.size[::-1], -1)
    for k in {0, n // 2 if n < 20 else 13}:
        row, column = divmod(k, 10)
        tile = pixels[row * h : (row + 1) * h, column * w : (column + 1) * w]
        numpy.testing.assert_array_equal(tile, (255 * images[k, ::step, ::step]).round())
    assert Dataset(images.reshape(n, -1))._repr_html_().endswith("</pre>")
    k = (255 * images).round().astype(numpy.uint8)
    lazy, whole = (Dataset(x)._repr_html_().split("<img")[1] for x in (Pixels(k), k / numpy.float32(255)))
    assert lazy == whole and f"images: Pixels of shape {k.shape}" in repr(Dataset(Pixels(k)))


def test_a_model_of_a_users_own_networks_is_described_as_before():
    """Its text is compared when a run is resumed."""

    class Own(sv.nn.Module):
        likelihood = Bernoulli

    assert repr(Own()) == "Own" and "p(x | z)  Own    x (784)" in repr(sv.VAE(Own(), Own(), 2, (784,)))


def test_in_a_notebook_the_bar_is_a_widget(monkeypatch):
    """`fit` asks tqdm.auto, which knows where it runs."""
    asked = []
    auto = pytest.importorskip("tqdm.auto")
    monkeypatch.setattr(auto, "tqdm", lambda **options: asked.append(options) or sys.modules["tqdm"].tqdm(disable=True))
    x = numpy.zeros((4, 3), numpy.float32)
    with pytest.warns(sv.PosteriorCollapseWarning):
        sv.fit(sv.VAE.mlp(3, 1, (2,)), x, epochs=2, batch_size=2)
    assert [options["total"] for options in asked] == [4]
