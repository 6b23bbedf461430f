"""What a stranger hands in: empty paths, tiny files, columns of many scales, settings and layers in odd places."""

from functools import partial

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.errors import DataError, InputError

X = (numpy.random.default_rng(0).random((40, 16)) < 0.4).astype(numpy.float32)


def model(**options):
    return sv.VAE.mlp(16, 2, (8,), **options)


@pytest.mark.parametrize("option", ["--run-dir", "--resume", "--data", "--data-labels", "--data-dir"])
def test_an_empty_path_is_not_the_current_folder(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--quiet", "--epochs", "1", f"{option}="]) == 2
    assert "expected a text that is not empty, received ''" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_images_do_not_make_three_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numpy.save("two.npy", X[:2])
    assert main(["train", "--data", "two.npy", "--quiet"]) == 2
    assert f"images of {tmp_path / 'two.npy'}: expected at least two to train with" in capsys.readouterr().err


def test_labels_may_come_from_an_npz_that_also_has_images(tmp_path):
    labels = numpy.arange(40) % 3
    numpy.save(tmp_path / "x.npy", X)
    numpy.savez(tmp_path / "y.npz", images=X, labels=labels)
    assert (sv.data.read(tmp_path / "x.npy", tmp_path / "y.npz")["train"].labels == labels).all()
    with pytest.raises(InputError, match="the path of a file of labels, received '.*nowhere'"):
        sv.data.read(tmp_path / "x.npy", tmp_path / "nowhere")


def test_evaluate_refuses_labels_without_the_file_that_they_belong_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numpy.save("x.npy", X)
    assert main(["train", "--data", "x.npy", "--run-dir", "run", "--epochs", "1", "--quiet", "--no-pictures"]) == 0
    assert main(["evaluate", "run", "--data-labels", "x.npy"]) == 2
    assert "expected --data FILE with --data-labels, received none" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_the_scales_of_the_columns(rng):
    x = rng.normal(size=(40, 16)).astype(numpy.float32)
    x[:, 8:] *= 1e6
    with pytest.raises(sv.NonFiniteError, match=r"differ in scale by 10\^6 \(divide each column"):
        sv.fit(model(likelihood="gaussian"), x, 1, progress=False)
    with pytest.raises(sv.NonFiniteError, match=r"the data vary by \de\+25 \(divide each column"):
        sv.fit(model(likelihood="gaussian"), numpy.sign(x) * numpy.float32(1e25), 1, progress=False)


def test_numbers_that_the_model_type_does_not_hold_are_refused():
    with pytest.raises(DataError, match=r"numbers that float32 holds, received values up to 1e\+300"):
        sv.evaluate(model(likelihood="gaussian"), 1e300 * X.astype(numpy.float64))


class TabledSGD(sv.optim.SGD):
    """SGD with a further setting."""

    def __init__(self, parameters, learning_rate, clip_norm=None, table=None):
        super().__init__(parameters, learning_rate, clip_norm=clip_norm)
        self.table = table


def test_a_list_among_an_optimizers_settings_is_compared_on_resume(tmp_path):
    for epochs, table in ((1, [1, 2]), (2, [1, 2])):
        options = {"run_dir": tmp_path / "run", "resume": epochs > 1, "progress": False}
        sv.fit(model(), X, epochs, optimizer=partial(TabledSGD, table=table), **options)
    with pytest.raises(InputError, match="expected the settings of the run"):
        sv.fit(model(), X, 3, optimizer=partial(TabledSGD, table=[1, 3]), **options)


def test_arrays_of_an_optimizer_that_a_run_would_lose_are_refused(tmp_path):
    optimizer = partial(TabledSGD, table=[numpy.zeros(3)])
    with pytest.raises(InputError, match="received table, a numpy.ndarray .*`moments` names"):
        sv.fit(model(), X, 1, optimizer=optimizer, run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    sv.fit(model(), X, 1, optimizer=optimizer, progress=False)


@pytest.mark.parametrize("run_dir", ["", 3])
def test_a_run_directory_is_a_path(run_dir):
    with pytest.raises(InputError, match="run_dir as the path of a directory"):
        sv.fit(model(), X, 1, run_dir=run_dir, progress=False)


def test_adam_refuses_half_precision():
    with pytest.raises(InputError, match="float32 or float64, received float16"):
        sv.fit(model().to(dtype=numpy.float16), X, 1, progress=False)


def test_a_layer_within_a_partial_is_refused():
    class Network(sv.nn.Module):
        def __init__(self):
            self.layer = partial(sv.nn.Linear(3, 2, sv.Noise(0)))

    with pytest.raises(InputError, match="layer, a partial that holds one"):
        Network().count()


def test_the_equation_takes_lists():
    values = model().elbo(X.tolist(), sv.Noise(0))
    numpy.testing.assert_allclose(values.data, model().elbo(X, sv.Noise(0)).data, rtol=1e-5)


def test_rows_that_fill_no_square_are_named_as_such():
    with pytest.raises(sv.errors.ShapeError, match="or rows that fill a square, received rows of 6 numbers"):
        sv.plotting.images(X[:, :6])
