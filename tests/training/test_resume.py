"""A run that was killed, interrupted or torn goes on to the same bits; a run that is not the same is refused."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy
import pytest
from builders import EPOCHS, STEPS, Spy, arrays, assert_same_run, data, train, without_seconds

import scratchvae as sv
from scratchvae.errors import DataError, InputError
from scratchvae.optim import SGD, LinearSchedule


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


# ---- the same bits


def test_two_runs_are_one(run_dir, whole):
    model, history = train(run_dir)
    assert_same_run(run_dir, whole)
    assert history["step"] == [STEPS, 2 * STEPS, 3 * STEPS] and len(set(history["elbo"])) == 3
    loaded = sv.load(run_dir / "last.npz")
    for name, array in model.state().items():
        numpy.testing.assert_array_equal(array, loaded.state()[name])


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import builders
from pathlib import Path
def kill(): os.kill(os.getpid(), signal.SIGKILL)
{plan}
builders.train(Path({run_dir!r}), rate=builders.Spy(*spy))
"""
AT_STEP = "spy = ({step}, kill)"
AT_REPLACE = """
spy, seen, replace = (), [], os.replace
def killing(*paths):
    seen.append(paths)
    if len(seen) == {count}:
        {before}
        kill()
    replace(*paths)
os.replace = killing
"""


def kill_and_resume(run_dir, plan, resume=True):
    script = KILLED.format(tests=str(Path(__file__).parents[1]), run_dir=str(run_dir), plan=plan)
    package = str(Path(sv.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return train(run_dir, resume=True)[1] if resume else None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without SIGKILL")
@pytest.mark.parametrize("step", [STEPS + int(i) for i in numpy.random.default_rng(1).integers(0, 2 * STEPS, 2)] + [2])
def test_killed_at_a_step(run_dir, whole, step):
    history = kill_and_resume(run_dir, AT_STEP.format(step=step))
    assert_same_run(run_dir, whole)
    assert history["epoch"] == [1, 2, 3]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without SIGKILL")
@pytest.mark.parametrize(
    ("count", "before"),
    [
        (5, "pass"),  # best.npz and the metrics of epoch 2 are written, last.npz is not
        (5, "replace(*paths)"),  # the checkpoint of epoch 2 has just taken its place
        (5, "open(paths[0], 'wb').write(b'half')"),  # the temporary file is torn
    ],
    ids=["before", "after", "torn"],
)
def test_killed_while_a_checkpoint_is_written(run_dir, whole, count, before):
    """Files are replaced in the order config, last, then best (where it is the best) and last of every epoch."""
    kill_and_resume(run_dir, AT_REPLACE.format(count=count, before=before))
    assert_same_run(run_dir, whole)


@pytest.mark.parametrize("step", [0, 1, STEPS - 1, STEPS, STEPS + 2, 2 * STEPS - 1, EPOCHS * STEPS - 1])
def test_interrupted_at_any_step(run_dir, whole, step):
    with pytest.raises(KeyboardInterrupt, match=rf"stopped after step {step + 1}; the last checkpoint is .*last\.npz"):
        train(run_dir, rate=Spy(step, lambda: signal.raise_signal(signal.SIGINT)))
    assert len(without_seconds(run_dir)) == (step + 1) // STEPS, "an epoch that is over has its line"
    history = train(run_dir, resume=True)[1]
    assert_same_run(run_dir, whole)
    assert history["step"] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert all(seconds > 0 for seconds in history["seconds"])


def test_interrupted_twice(run_dir, whole):
    for step, resume in ((1, False), (2, True), (9, True)):
        with pytest.raises(KeyboardInterrupt):
            train(run_dir, resume=resume, rate=Spy(step, lambda: signal.raise_signal(signal.SIGINT)))
    train(run_dir, resume=True)
    assert_same_run(run_dir, whole)


def test_epochs_may_grow_to_a_longer_run(run_dir, whole):
    train(run_dir, epochs=1)
    history = train(run_dir, epochs=EPOCHS, resume=True)[1]
    assert_same_run(run_dir, whole)
    assert history["epoch"] == [1, 2, 3]
    assert json.loads((run_dir / "config.json").read_text())["epochs"] == EPOCHS


def test_a_finished_run_comes_back_unchanged(run_dir):
    model, history = train(run_dir)
    before = (run_dir / "last.npz").read_bytes()
    again, repeated = train(run_dir, resume=True)
    assert repeated == history and (run_dir / "last.npz").read_bytes() == before
    for name, array in model.state().items():
        numpy.testing.assert_array_equal(array, again.state()[name])


class Worsening:
    """A learning rate that is far too large from the fourth epoch on."""

    def __call__(self, step):
        return 0.02 if step < EPOCHS * STEPS else 3.0

    def __repr__(self):
        return "Worsening()"


def test_a_resumed_run_remembers_its_best_score(run_dir):
    """Epochs that get worse after a resume leave best.npz as it was."""
    train(run_dir, rate=Worsening())
    best = (run_dir / "best.npz").read_bytes()
    _, history = train(run_dir, epochs=EPOCHS + 2, resume=True, rate=Worsening())
    assert max(history["validation_elbo"][EPOCHS:]) < max(history["validation_elbo"][:EPOCHS])
    assert (run_dir / "best.npz").read_bytes() == best


def test_the_momentum_of_another_optimizer_is_kept(tmp_path):
    momentum = partial(SGD, momentum=0.9)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a", optimizer=momentum, rate=Spy(5, lambda: signal.raise_signal(signal.SIGINT)))
    train(tmp_path / "a", optimizer=momentum, resume=True)
    train(tmp_path / "b", optimizer=momentum)
    assert_same_run(tmp_path / "a", tmp_path / "b")


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_float64_model_goes_on_in_float64(tmp_path):
    def run(name, epochs, resume=False):
        model = sv.VAE.mlp(10, 2, (8,)).to(dtype=numpy.float64)
        sv.fit(
            model,
            data(),
            epochs=epochs,
            run_dir=tmp_path / name,
            resume=resume,
            learning_rate=0.02,
            batch_size=9,
            progress=False,
        )
        return model

    run("a", 4)
    assert run("b", 6).dtype == run("a", 6, resume=True).dtype == numpy.float64
    assert arrays(tmp_path / "a" / "last.npz") == arrays(tmp_path / "b" / "last.npz")


class Network(sv.nn.Module):
    """A user's own, which does not say how it prints."""

    def __init__(self, inputs, outputs, noise):
        self.layer = sv.nn.Linear(inputs, outputs, noise)

    def __call__(self, x):
        return self.layer(x)


class Halving:
    """A user's own schedule, which does not say how it prints."""

    def __call__(self, step):
        return 0.02 / (1 + step)


def scaled(step, factor):
    return factor / (1 + step)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("rate", [Halving, lambda: partial(scaled, factor=0.02)])
def test_own_networks_and_schedules_go_on(tmp_path, rate):
    def run(name, epochs, resume=False):
        noise = sv.Noise(0)
        model = sv.VAE(
            sv.models.GaussianEncoder(Network(10, 4, noise.child("encoder"))),
            sv.models.BernoulliDecoder(Network(2, 10, noise.child("decoder"))),
            latent_size=2,
        )
        sv.fit(model, data(), epochs=epochs, run_dir=tmp_path / name, resume=resume, kl_weight=rate(), progress=False)

    run("a", 2)
    run("a", 3, resume=True)
    run("b", 3)
    assert arrays(tmp_path / "a" / "last.npz") == arrays(tmp_path / "b" / "last.npz")


# ---- the metrics file


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text + '{"epoch": 3, "step": 12, "elb',
        lambda text: text + '{"epoch": 3, "step": 12, "elbo": -1.0, "seconds": 0}\n',
        lambda text: text + "\n\0\0\0\0",
        lambda text: text + "12",
    ],
    ids=["torn", "ahead", "zeros", "number"],
)
def test_metrics_are_cut_back_to_the_checkpoint(run_dir, whole, damage):
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, rate=Spy(2 * STEPS, lambda: signal.raise_signal(signal.SIGINT)))
    metrics = run_dir / "metrics.jsonl"
    metrics.write_text(damage(metrics.read_text()))
    assert train(run_dir, resume=True)[1]["epoch"] == [1, 2, 3]
    assert_same_run(run_dir, whole)


# ---- what is refused


def test_a_directory_that_holds_a_run_is_refused_and_left_alone(run_dir):
    train(run_dir, epochs=1)
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    with pytest.raises(InputError, match=r"run directory .*run: expected an empty one, .*\(resume, or name another\)"):
        train(run_dir)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"seed": 4}, ["seed"]),
        ({"batch_size": 13, "n_samples": 2}, ["batch_size", "n_samples"]),
        ({"kl_weight": 1.0}, ["kl_weight"]),
        ({"kl_weight": LinearSchedule(0.2, 1.0, 7)}, ["kl_weight"]),
        ({"rate": 0.01}, ["learning_rate"]),
        ({"clip_norm": None}, ["clip_norm"]),
        ({"optimizer": SGD}, ["optimizer"]),
        ({"optimizer": partial(sv.optim.Adam, beta1=0.8)}, ["optimizer"]),
        ({"x": data(1)}, ["data", "validation"]),
        ({"x": data()[::-1]}, ["data"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, (list, dict)) else None,
)
def test_changed_settings_are_refused_by_name(run_dir, settings, names):
    train(run_dir, epochs=1)
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    with pytest.raises(
        InputError, match=r"resume .*run: expected the settings of the run.*only epochs may grow"
    ) as raised:
        train(run_dir, resume=True, **settings)
    assert all(f"'{name}'" in str(raised.value) for name in names)
    others = {"seed", "batch_size", "n_samples", "kl_weight", "learning_rate", "clip_norm", "data"} - set(names)
    assert not any(f"'{name}'" in str(raised.value) for name in others)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before


def test_epochs_may_not_shrink(run_dir):
    train(run_dir, epochs=2)
    with pytest.raises(InputError, match="resume .*run: expected at least the run's 2 epochs, received 1"):
        train(run_dir, epochs=1, resume=True)


def test_another_model_is_refused(run_dir):
    train(run_dir, epochs=1)
    with pytest.raises(InputError, match="resume .*'model'"):
        sv.fit(sv.VAE.mlp(10, 3, (8,)), data(), run_dir=run_dir, resume=True, progress=False)


@pytest.mark.parametrize("length", [0, 100, -1], ids=["empty", "short", "last byte"])
def test_a_torn_checkpoint_is_refused_by_name(run_dir, length):
    train(run_dir, epochs=1)
    last = run_dir / "last.npz"
    last.write_bytes(last.read_bytes()[:length])
    with pytest.raises(DataError, match=r"load .*run.last\.npz: expected a checkpoint .*torn or foreign file"):
        train(run_dir, resume=True)


def test_a_checkpoint_without_the_optimizer_is_refused(run_dir):
    train(run_dir, epochs=1)
    sv.save(sv.load(run_dir / "last.npz"), run_dir / "last.npz")
    with pytest.raises(DataError, match=r"resume .*last\.npz: expected a checkpoint of a run, received .*without"):
        train(run_dir, resume=True)


def test_missing_files_are_named(run_dir):
    with pytest.raises(DataError, match=r"resume .*run: expected a run directory, received no config\.json in it"):
        train(run_dir, resume=True)
    assert not run_dir.exists()
    train(run_dir, epochs=1)
    (run_dir / "last.npz").unlink()
    with pytest.raises(DataError, match=r"load .*last\.npz: expected a file, received nothing there"):
        train(run_dir, resume=True)
    (run_dir / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"read .*config\.json: expected the configuration of a run"):
        train(run_dir, resume=True)


def test_resume_needs_a_run_directory():
    with pytest.raises(InputError, match=r"resume: expected a run directory, received none \(run_dir=\.\.\. names it"):
        train(None, resume=True)


@pytest.mark.parametrize("module", [numpy, sv], ids=lambda module: module.__name__)
def test_other_versions_are_reported(run_dir, module):
    train(run_dir, epochs=1)
    config, name = run_dir / "config.json", module.__name__
    assert json.loads(config.read_text())["versions"][name] == module.__version__
    config.write_text(config.read_text().replace(f'"{name}": "{module.__version__}"', f'"{name}": "0.9"'))
    with pytest.warns(
        UserWarning, match=r"other versions than before, so perhaps not to the same bits: .*'0\.9'.* then, "
    ):
        train(run_dir, epochs=2, resume=True)


def test_another_clipping_by_value_is_refused(run_dir):
    train(run_dir, epochs=1, optimizer=partial(sv.optim.Adam, clip_value=0.5))
    with pytest.raises(InputError, match="only epochs may grow"):
        train(run_dir, epochs=1, resume=True, optimizer=partial(sv.optim.Adam, clip_value=0.1))


def test_a_run_whose_metrics_are_lost_is_refused(run_dir):
    train(run_dir, epochs=2)
    (run_dir / "metrics.jsonl").unlink()
    with pytest.raises(DataError, match=r"expected the metrics of 2 epochs in metrics.jsonl, received those of 0"):
        train(run_dir, epochs=2, resume=True)


# ---- numbers of NumPy, and runs of an older version


def test_settings_that_are_numbers_of_numpy(run_dir, whole):
    settings = {
        "epochs": numpy.int64(2),
        "batch_size": numpy.int32(12),
        "seed": numpy.uint8(3),
        "clip_norm": numpy.float64(5),
    }
    assert train(run_dir, n_samples=numpy.int64(1), **settings)[1]["epoch"] == [1, 2]
    train(run_dir, epochs=numpy.uint16(3), resume=True)
    assert_same_run(run_dir, whole)


@pytest.mark.parametrize("epochs", [True, 2.0, numpy.float64(2), "2", numpy.bool_(True), None])
def test_other_numbers_of_epochs_are_refused(epochs, run_dir):
    with pytest.raises(InputError, match="fit: expected epochs of at least 1, received "):
        train(run_dir, epochs=epochs)
    assert not run_dir.exists()


class Decaying(sv.optim.Adam):
    """Adam of a later version, with one more setting."""

    def __init__(self, parameters, learning_rate=1e-3, clip_norm=None, later_setting=0.0):
        super().__init__(parameters, learning_rate, clip_norm=clip_norm)
        self.later_setting = later_setting


Decaying.__name__ = "Adam"


def test_a_new_setting_of_the_optimizer_counts_as_its_default_in_an_older_run(run_dir, whole):
    train(run_dir, epochs=2)
    with pytest.raises(InputError, match=r"'later_setting': 0\.0.*, received .*'later_setting': 0\.1"):
        train(run_dir, resume=True, optimizer=partial(Decaying, later_setting=0.1))
    train(run_dir, resume=True, optimizer=Decaying)
    assert_same_run(run_dir, whole)
    assert json.loads((run_dir / "config.json").read_text())["optimizer"]["later_setting"] == 0
    train(run_dir, resume=True, optimizer=Decaying)
    with pytest.raises(InputError, match="the settings of the run"):
        train(run_dir, resume=True)


def test_a_new_setting_of_a_constructor_counts_as_its_default_in_an_older_run(run_dir, whole, monkeypatch):
    train(run_dir, epochs=2)
    mlp, recorded = sv.VAE.mlp, json.loads((run_dir / "config.json").read_text())["model"]

    def later(dropout=0.0, **arguments):
        model = mlp(**arguments)
        model.configuration = recorded | {"dropout": dropout}
        return model

    monkeypatch.setattr(sv.VAE, "mlp", staticmethod(later))
    train(run_dir, resume=True)
    assert_same_run(run_dir, whole)
    monkeypatch.setattr(sv.VAE, "mlp", staticmethod(lambda **arguments: later(0.5, **arguments)))
    with pytest.raises(InputError, match=r"resume .*'dropout': 0\.0.* received .*'dropout': 0\.5"):
        train(run_dir, resume=True)


def open_run(run_dir, resume, weight, default=None):
    model = sv.VAE.mlp(4, 2, (3,))
    optimizer = sv.optim.Adam(model.parameters())
    settings = {"seed": 1} | ({} if weight is None else {"weight": weight})
    return sv.run_directory.Run(
        run_dir, resume, settings, 1, model, optimizer, numpy.zeros((1, 2)), {"weight": default}
    )


def test_a_new_setting_of_fit_counts_as_its_default_in_an_older_run(run_dir, monkeypatch):
    with open_run(run_dir, False, None):
        pass
    with pytest.raises(InputError, match="'weight': None.* received .*'weight': 1"), open_run(run_dir, True, 1.0):
        pass
    write_text = sv.run_directory.write_text
    with monkeypatch.context() as patch:  # killed after the checkpoint, before the configuration
        patch.setattr(
            sv.run_directory,
            "write_text",
            lambda path, text: 1 / 0 if "config" in path.name else write_text(path, text),
        )
        with pytest.raises(ZeroDivisionError), open_run(run_dir, True, 1.0, default=1.0):
            pass
    for _ in range(2):
        with open_run(run_dir, True, 1.0, default=1.0):
            pass
    with pytest.raises(InputError, match="only epochs may grow"), open_run(run_dir, True, 2.0, default=1.0):
        pass


# ---- machines


def test_fewer_processors_are_another_machine(run_dir, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    train(run_dir, epochs=1)
    train(run_dir, epochs=2, resume=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2})
    with pytest.warns(UserWarning, match="other versions .*, 3 processors.* then, .*, 1 processors.* now"):
        train(run_dir, epochs=3, resume=True)


@pytest.mark.parametrize("name", ["blas", "simd", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUPY_TF32"])
def test_another_blas_or_instruction_set_is_another_machine(name, run_dir):
    train(run_dir, epochs=1)
    config = json.loads((run_dir / "config.json").read_text())
    config["versions"][name] = "another"
    (run_dir / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=f"other versions than before.*'{name}': 'another'"):
        train(run_dir, epochs=2, resume=True)


def test_a_run_on_a_gpu_records_cupy_cuda_and_the_card(gpu, run_dir):
    train(run_dir, epochs=1, device="gpu")
    config = json.loads((run_dir / "config.json").read_text())
    assert {"cupy": gpu.__version__, "cuda": str(gpu.cuda.runtime.runtimeGetVersion())}.items() <= config[
        "versions"
    ].items() and config["versions"]["card"]
    train(run_dir, epochs=2, device="gpu", resume=True)
    config["versions"]["card"] = "another"
    (run_dir / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="other versions than before.*'card': 'another'"):
        train(run_dir, epochs=3, device="gpu", resume=True)


def test_an_older_run_that_did_not_record_this_package_and_its_blas_resumes_without_a_warning(run_dir):
    train(run_dir, epochs=1)
    config = json.loads((run_dir / "config.json").read_text())
    config["versions"] = {
        name: config["versions"][name] for name in config["versions"].keys() - {"scratchvae", "blas", "simd"}
    }
    (run_dir / "config.json").write_text(json.dumps(config))
    train(run_dir, epochs=2, resume=True)


def test_options_of_the_caller_are_kept_and_a_run_that_has_only_them_is_not_begun(run_dir, whole):
    with sv.run_directory.RunDirectory(run_dir, "resume this") as directory:
        directory.begin({"colour": "red"})
        assert not sv.run_files.has_begun(run_dir)
        with pytest.raises(DataError, match="expected a run directory"):
            train(run_dir, resume=True)
        with pytest.raises(KeyboardInterrupt, match=r"to resume by `resume this`, or fit\("):
            train(directory, rate=Spy(2, lambda: signal.raise_signal(signal.SIGINT)))
    train(run_dir, resume=True)
    assert json.loads((run_dir / "config.json").read_text())["options"] == {"colour": "red"}
    assert_same_run(run_dir, whole)
    with sv.run_directory.RunDirectory(run_dir) as directory, pytest.raises(InputError, match="one with a run"):
        directory.begin({})
    with sv.run_directory.RunDirectory(run_dir.parent) as directory, pytest.raises(InputError, match="one with a run"):
        directory.begin({})  # its parent: a run with this one as a part
