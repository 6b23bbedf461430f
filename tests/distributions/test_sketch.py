"""The distribution over sketches that a decoder gives; scratchvae/checks/sketches.py holds it to its equations."""

import numpy
import pytest
from scipy.special import log_softmax

import scratchvae as sv
from scratchvae import ops
from scratchvae.backend import asarray
from scratchvae.checks.sketches import END_ROW, density_by_hand
from scratchvae.distributions import SketchStep
from scratchvae.errors import InputError, ShapeError
from scratchvae.gradcheck import check_gradients
from scratchvae.models.sketch_networks import SketchDecoder, SketchHead
from scratchvae.noise import GivenNoise, Noise


def decoder(latent_size=2, hidden_size=5, mixtures=3, scale=1.0, dtype=numpy.float64, **options):
    """Weights larger than at first, so that what is drawn depends on z and on all rows before."""
    model = SketchDecoder(latent_size, hidden_size, mixtures, Noise(3), scale=scale, **options).to(dtype=dtype)
    rng = numpy.random.default_rng(7)
    for parameter in model.parameters():
        parameter.data += 0.5 * rng.standard_normal(parameter.shape)
    return model


def sketches(rng, lengths=(3, 1, 5, 0), steps=7):
    """Sketches of so many points; what stands behind the row of the end is NaN."""
    x = numpy.full((len(lengths), steps, 5), numpy.nan)
    for sketch, n in zip(x, lengths, strict=True):
        sketch[:n, :2] = rng.standard_normal((n, 2))
        sketch[:n, 2:] = numpy.eye(3)[rng.integers(0, 2, n)]
        sketch[n] = END_ROW
    return x


@pytest.fixture
def x(rng):
    return sketches(rng)


@pytest.fixture
def z(rng):
    return rng.standard_normal((4, 2))


# ---- the density


def test_samples_of_z_have_each_its_density(rng, x):
    model, z = decoder(), rng.standard_normal((3, 4, 2))
    received = model(z).log_prob(x)
    assert received.shape == (3, 4)
    for s in range(3):
        numpy.testing.assert_allclose(received.data[s], model(z[s]).log_prob(x).data, rtol=0, atol=1e-13)


def test_padding_and_the_order_of_the_batch_change_no_bit(x, z):
    p = decoder()
    log_p = p(z).log_prob(x).data
    assert numpy.isfinite(log_p).all()
    padded = numpy.concatenate([x, numpy.broadcast_to(END_ROW, (4, 17, 5))], axis=1)
    numpy.testing.assert_array_equal(p(z).log_prob(padded).data, log_p)
    order = [2, 0, 3, 1]
    numpy.testing.assert_array_equal(p(z[order]).log_prob(x[order]).data, log_p[order])


def test_a_sketch_has_the_product_of_the_densities_of_its_steps(x, z):
    """log p of a sketch = the sum of log p(row | rows before), decoded one by one; a prefix has the first of them."""
    model = decoder(scale=1.75)
    with sv.no_grad():
        p = model(z[:1])
        state, before, total = (p.h0, p.c0), numpy.array([[0.0, 0, 1, 0, 0]]), 0.0
        for t, row in enumerate(x[0, :4]):
            row = row[None] / numpy.array([1.75, 1.75, 1, 1, 1])
            state = p.lstm.step(before, state, p.constant)
            total += p.head(state[0]).log_prob(row)[0] - (2 * numpy.log(1.75) if t < 3 else 0)
            numpy.testing.assert_allclose(p.log_prob(x[:1, : t + 1]), total, rtol=0, atol=1e-13)
            before = row
        numpy.testing.assert_allclose(p.log_prob(x[:1]), total, rtol=0, atol=1e-13)


def test_the_density_is_that_of_x_as_given(x, z):
    """Changed units: log p(s x) under scale s = log p(x) under scale 1 - 2 n log s."""
    large = x * numpy.array([3.0, 3, 1, 1, 1])
    n = numpy.array([3, 1, 5, 0])
    received = decoder(scale=3.0)(z).log_prob(large).data
    numpy.testing.assert_allclose(received, decoder()(z).log_prob(x).data - 2 * n * numpy.log(3), rtol=0, atol=1e-12)


def test_gradients_of_every_parameter_and_of_z(rng, x):
    model = decoder(hidden_size=2, mixtures=2)
    z = sv.Tensor(rng.standard_normal((4, 2)))
    assert check_gradients(lambda *_: model(z).log_prob(x), z, *model.parameters(), order=1) < 1e-7
    small = decoder(hidden_size=1, mixtures=1, layer_norm=True)
    assert check_gradients(lambda z: small(z).log_prob(x), rng.standard_normal((4, 2)), order=2) < 1e-6


@pytest.mark.parametrize("shape", [(3, 7, 5), (4, 7, 4), (4, 0, 5), (7, 5)])
def test_what_is_no_batch_of_sketches_is_refused(z, shape):
    with pytest.raises(ShapeError, match=r"sketches of shape \(4, T, 5\)"):
        decoder()(z).log_prob(numpy.zeros(shape))


def test_noise_drops_out_and_without_it_nothing_is_dropped(x, z):
    model, whole = decoder(keep=0.5), decoder()
    numpy.testing.assert_array_equal(model(z).log_prob(x).data, whole(z).log_prob(x).data)
    dropped = model(z, Noise(1)).log_prob(x).data
    assert (dropped != whole(z).log_prob(x).data).all()
    numpy.testing.assert_array_equal(model(z, Noise(1)).log_prob(x).data, dropped)


def test_without_latent_units_there_is_one_distribution(x):
    model = decoder(latent_size=0)
    log_p = model(numpy.zeros((4, 0))).log_prob(x)
    gradients = sv.grad(ops.sum(log_p), model.parameters())
    assert all((g != 0).any() for g in gradients if g.size)
    expected = [density_by_hand(model, sketch, numpy.zeros(0)) for sketch in x]
    numpy.testing.assert_allclose(log_p.data, expected, rtol=0, atol=1e-12)


def test_the_head_bounds_deviations_and_correlations():
    head = SketchHead(1, 2, Noise(0), smallest_std=0.1).to(dtype=numpy.float64)
    head.linear.weight.data[...] = 1.0
    for h in (-1e3, 1e3):
        offset = head(numpy.array([[h]])).offset
        assert (offset.log_stds.data >= numpy.log(0.1)).all() and (abs(offset.r.data) <= 4).all()
    numpy.testing.assert_allclose(head(numpy.zeros((1, 1))).offset.log_stds.data, numpy.log(1.1), rtol=1e-12)


@pytest.mark.parametrize(
    "options", [{"scale": 0.0}, {"scale": numpy.inf}, {"smallest_std": -1.0}, {"mixtures": 0}, {"latent_size": -1}]
)
def test_settings_that_cannot_be_are_refused(options):
    with pytest.raises(InputError):
        SketchDecoder(**{"latent_size": 2, "hidden_size": 3, "mixtures": 2, "noise": Noise(0)} | options)


# ---- samples


def numbers(rng, steps, n, device="cpu", dtype=numpy.float64):
    arrays = {"pen and component": rng.random((steps, n, 2)), "offset": rng.standard_normal((steps, n, 2))}
    return GivenNoise({name: asarray(array.astype(dtype), device) for name, array in arrays.items()})


def ends(x):
    return x[..., 4].argmax(axis=-1)


def test_a_step_draws_pen_and_offset_at_its_temperature(rng):
    head = SketchHead(2, 2, Noise(0)).to(dtype=numpy.float64)
    head.linear.bias.data += rng.standard_normal(15)
    with sv.no_grad():
        step = head(numpy.zeros((10_000, 2)))
    u = (numpy.arange(10_000) + 0.5) / 10_000
    rows = step.sample(numpy.stack([u, 0 * u], axis=-1), numpy.ones((10_000, 2)), temperature=0.5)
    expected = numpy.exp(log_softmax(2 * step.pen.logits[0]))
    numpy.testing.assert_allclose(rows[:, 2:].mean(axis=0), expected, atol=2e-4)
    point = rows[:, 4] == 0
    assert (rows[~point, :2] == 0).all()
    s, rho = numpy.sqrt(0.5) * numpy.exp(step.offset.log_stds[0, 0]), numpy.tanh(step.offset.r[0, 0])
    moved = step.offset.means[0, 0] + s * numpy.array([1, rho + numpy.sqrt(1 - rho**2)])
    numpy.testing.assert_allclose(rows[point, :2], numpy.broadcast_to(moved, (point.sum(), 2)), rtol=1e-12)
    assert SketchStep(step.pen, step.offset).shape == rows.shape


def test_a_sketch_that_does_not_end_is_ended(rng, z):
    model = decoder()
    model.head.linear.bias.data[2] = -1e3
    x = model(z).sample(Noise(0), longest=6)
    assert (ends(x) == 6).all() and (x[:, 6] == END_ROW).all()


def test_a_prefix_stands_at_the_beginning_and_drawing_goes_on_from_it(rng, z):
    model, noise = decoder(scale=2.0), numbers(rng, 8, 4)
    model.head.linear.bias.data[2] -= 2  # longer sketches
    whole = model(z).sample(noise, longest=8)
    first = int(ends(whole).argmax())
    assert ends(whole)[first] > 3
    its_noise = GivenNoise({name: array[:, [first]] for name, array in noise.arrays.items()})
    again = model(z[[first]]).sample(its_noise, prefix=whole[first, :3], longest=8)
    numpy.testing.assert_allclose(again[0], whole[first], rtol=0, atol=1e-13)

    prefix = numpy.tile(END_ROW, (4, 3, 1))  # one prefix of each length from 0 to 3
    for n in range(4):
        prefix[n, :n] = whole[first, :n]
    x = model(z).sample(noise, prefix=prefix, longest=8)
    for n in range(4):
        numpy.testing.assert_allclose(x[n, :n], prefix[n, :n], rtol=0, atol=1e-13)
    numpy.testing.assert_allclose(x[0], whole[0], rtol=0, atol=1e-13)
    assert model(numpy.stack([z, z])).sample(Noise(0), prefix=whole[first, :2], longest=8).shape == (2, 4, 9, 5)


def test_bad_requests_are_refused(z):
    p = decoder()(z)
    for temperature in (0.0, -1.0, numpy.inf, numpy.nan):
        with pytest.raises(InputError, match="a positive temperature"):
            p.sample(Noise(0), temperature=temperature)
    for shape in ((9, 5), (3, 4), (5,)):
        with pytest.raises(ShapeError, match="P at most 8"):
            p.sample(Noise(0), prefix=numpy.zeros(shape), longest=8)
    with pytest.raises(InputError, match="longest"):
        p.sample(Noise(0), longest=0)


def test_the_first_row_is_the_end_or_a_point():
    """q(end), and the integral of q(pen) m(dx, dy) over all points with the pen down and up, add up to 1."""
    model = decoder(latent_size=0, hidden_size=3, mixtures=2, scale=1.5)
    axis = numpy.linspace(-24, 24, 321)
    offsets = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    with sv.no_grad():
        total = numpy.exp(model(numpy.zeros((1, 0))).log_prob(numpy.array([[END_ROW]])))[0]
        p = model(numpy.zeros((len(offsets), 0)))
        for pen in ([1, 0, 0], [0, 1, 0]):
            points = numpy.concatenate([offsets, numpy.tile(pen, (len(offsets), 1))], axis=1)
            total += numpy.exp(p.log_prob(points[:, None])).sum() * (axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 1e-6


def test_single_precision_stays_on_every_device(rng, x, z, device):
    x, z = (a.astype(numpy.float32) for a in (numpy.nan_to_num(x), z))
    x[..., 4] += x[..., 2:].sum(axis=-1) == 0
    results = {}
    for where in {"cpu", device}:
        model = decoder(dtype=numpy.float32, keep=0.9).to(where)
        p = model(asarray(z, where), Noise(0, device=where))
        gradients = sv.grad(ops.sum(p.log_prob(asarray(x, where))), model.parameters())
        noise = numbers(numpy.random.default_rng(4), 6, 4, where, numpy.float32)
        prefix = asarray(x[2, :1], where)
        with sv.no_grad():
            p = model(asarray(z, where))
            results[where] = p.log_prob(asarray(x, where)), p.sample(noise, 0.7, prefix, longest=6)
        assert {a.dtype for a in [*gradients, *results[where]]} == {numpy.dtype("float32")}
    for received, expected in zip(results[device], results["cpu"], strict=True):
        numpy.testing.assert_allclose(sv.to_numpy(received), expected, rtol=0, atol=2e-5)
