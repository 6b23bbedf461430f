"""What benchmarks/gpu.sh will do where there is a GPU, rehearsed on the CPU and on the stand-in for CuPy."""

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy
import pytest
import strict_array

import scratchvae as sv
from scratchvae.kinds import KINDS
from scratchvae.noise import GivenNoise

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import first_contact, gpu_step, launches, parity, smoke
from benchmarks.first_contact import Part
from benchmarks.rows import NotHere, Rows, plain

ROOT = Path(__file__).parents[2]
BY_NUMPY = "by NumPy's lines"
ABOUT = {"scratchvae": sv.__version__, "commit": "abc1234", "date": "2026-01-01", "device": "cpu", "quick": True}


def rows_of(module, device, path):
    """The rows of a part by name, each of which is measured, or says why not."""
    try:
        import_module(f"benchmarks.{module}").main(["--device", device, "--quick", "--out", str(path)])
    except SystemExit as end:
        assert end.code == 1
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        assert row["figures"] and not row["reason"] if row["status"] == "measured" else row["reason"], row
    return {row["name"]: row for row in rows}


def statuses(rows):
    return {name: row["status"] for name, row in rows.items()}


# ---- the parts


def test_every_kind_of_model_is_among_the_examples():
    examples = {type(make(20)[0]) for make in smoke.EXAMPLES.values()}
    assert examples == {kind.model for kind in KINDS.values()}


def test_every_model_runs(gpu, tmp_path):
    rows = rows_of("smoke", "gpu", tmp_path / "rows")  # and is captured: a CaptureWarning would be an error
    assert statuses(rows) == dict.fromkeys([*smoke.EXAMPLES, "resumed run"], "measured")


@pytest.mark.parametrize(
    "names", [["M2", "MoleculeVAE"], pytest.param([*smoke.EXAMPLES], marks=pytest.mark.slow)], ids=len
)
def test_models_agree(names, gpu, tmp_path, monkeypatch):
    tolerance = 1e-12 if gpu is strict_array else parity.TOLERANCE["float64"]
    monkeypatch.setattr(parity, "TOLERANCE", {"float64": tolerance})
    monkeypatch.setattr(parity, "EXAMPLES", {name: smoke.EXAMPLES[name] for name in names})
    rows = rows_of("parity", "gpu", tmp_path / "rows")
    assert statuses(rows) == {f"{name}, float64": "measured" for name in names}
    assert all(row["figures"]["steps"] >= 2 for row in rows.values())


def test_a_device_that_computes_otherwise_is_noticed(strict_gpu, monkeypatch):
    """A row of weights, a thousandth off, or NaN."""
    for wrong in (1.001, numpy.nan):

        def to(model, device=None, dtype=None, wrong=wrong, original=sv.VAE.to):
            original(model, device, dtype)
            if device == "gpu":
                model.encoder.network.layers[-1].weight.data[0] *= wrong
            return model

        monkeypatch.setattr(sv.VAE, "to", to)
        with pytest.raises(ArithmeticError, match="expected at most 1e-09, differ"):
            parity.difference(smoke.multilayer, "gpu", "float64", 4, 10)


def test_the_machine_and_its_ceilings(tmp_path):
    machine = statuses(rows_of("machine", "cpu", tmp_path / "machine"))
    assert machine["libraries"] == machine["Python"] == machine["numpy"] == "measured" and "card" not in machine
    found = rows_of("ceilings", "cpu", tmp_path / "ceilings")
    assert statuses(found) == {
        "copy": "measured",
        "float32 product": "measured",
        "a launch": "measured",
        "a node of a graph": "not run",
        "a step, batch 20": "measured",
        "launches of a step, batch 20": "not run",
    }
    assert all(figure > 0 for row in found.values() for figure in row["figures"].values())
    assert found["a node of a graph"]["reason"] == "CUDA graphs need a GPU"


def test_the_work_of_a_step_is_counted_from_a_trace():
    event = {"ph": "X", "cat": "kernel", "dur": 1.5}
    trace = [event, event, event | {"cat": "gpu_memcpy", "dur": 4}, {"cat": "cuda_runtime", "dur": 99}, {"ph": "M"}]
    expected = {"kernels": 2, "copies": 1, "fills": 0, "microseconds": 7.0}
    assert launches.counts_of_a_trace({"traceEvents": trace}) == expected
    with pytest.raises(ArithmeticError, match="saw no kernel"):
        launches.counts_of_a_trace({"traceEvents": trace[2:]})


def test_a_peer_that_is_missing_or_fails_does_not_stop_the_others(monkeypatch, tmp_path):
    def broken(case, batch, device):
        raise RuntimeError("/usr/lib/graph.so: no such graph")

    peers = {"broken": broken, "absent": lambda *_: gpu_step.peer("no_such_peer"), "itself": gpu_step.ours}
    monkeypatch.setattr(gpu_step, "PEERS", peers)
    rows = rows_of("gpu_step", "cpu", tmp_path / "rows")
    words = ["measured", "failed", "not run", "measured"]
    monkeypatch.setattr(gpu_step, "CHANNELS_LAST", {})
    for case in ("MLP, batch 20", "convolutional, batch 2"):
        names = [f"{case}: {name}" for name in ("scratchvae", *peers)]
        assert statuses({name: rows[name] for name in names}) == dict(zip(names, words, strict=True))
        assert rows[f"{case}: broken"]["reason"] == "RuntimeError: graph.so: no such graph"
        assert rows[f"{case}: absent"]["reason"] == "no_such_peer is not installed"
        assert rows[f"{case}: itself"]["figures"]["ours / theirs"] > 0


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_peer_computes_the_same_loss(library, rng):
    """That of the MLP; the convolutional one is `tests/documents/test_step.py`'s."""
    pytest.importorskip(library)
    model = sv.VAE.mlp()
    x, e = (rng.random((5, 784)) < 0.5).astype("f"), rng.standard_normal((5, 20), dtype=numpy.float32)
    loss = -sv.ops.mean(model.elbo(x, GivenNoise(e)))
    expected = [float(loss), *sv.grad(loss, model.parameters())]
    arrays = gpu_step.MLP.parameters()
    if library == "torch":
        import torch

        tensors = gpu_step.torch_parameters(arrays)
        value = gpu_step.torch_loss(tensors, torch.tensor(x), torch.tensor(e))
        slopes = torch.autograd.grad(value, list(tensors.values()))
    else:
        import jax

        value, slopes = jax.jit(jax.value_and_grad(gpu_step.jax_loss))(arrays, x, e)
        slopes = [slopes[name] for name in arrays]
    for ours, theirs in zip(expected, [value.item(), *slopes], strict=True):
        numpy.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case, batch", [(gpu_step.MLP, 20), (gpu_step.CONVOLUTIONAL, 2)], ids=["MLP", "convolutional"])
def test_a_peer_takes_the_step_of_fit(case, batch):
    pytest.importorskip("torch")
    twin = gpu_step.Torch(case, batch, "cpu")
    before = [twin.loss().item() for _ in range(3)]
    step = gpu_step.torch_eager(case, batch, "cpu")
    assert gpu_step.seconds(step, 2) > 0 and len(set(before)) == 3  # z, and pixels of the MLP, are drawn anew
    assert sum(parameter.numel() for parameter in twin.parameters) == case.model().count()


@pytest.mark.parametrize("case, batch", [(gpu_step.MLP, 20), (gpu_step.CONVOLUTIONAL, 2)], ids=["MLP", "convolutional"])
def test_the_step_beside_the_peers_is_captured(case, batch, gpu):
    step, _ = gpu_step.ready(gpu_step.ours_captured, case, batch, "gpu")
    capture = step.close.func.__self__
    assert capture.launches == 1 and not capture.failed  # two warm up
    step.close()


def test_launches_are_counted(gpu):
    """One by one where the runtime counts, as the emulation's does; the table of docs/gpu.md is what was counted."""
    kept = json.loads((ROOT / "benchmarks" / "results" / "launches.json").read_text())["models"]
    rows = {
        name: {key: sum(x for k, x in f.items() if k != "nodes") for key, f in row.items()}
        for name, row in kept.items()
    }
    page = (ROOT / "docs" / "gpu.md").read_text()
    assert rows.keys() == smoke.EXAMPLES.keys()
    for name, row in rows.items():
        graph = kept[name]["captured"]
        captured = f"{row['captured']:.0f} | {graph['nodes']}" if graph["graphs"] else "not captured |"
        assert f"| {name} | {row[BY_NUMPY]:.0f} | {row['one by one']:.0f} | {captured} |" in page
    if gpu is strict_array or launches.counts_of_the_runtime() is None:
        return
    x = gpu.zeros((4, 4))
    assert launches.counted(lambda: x + x)["kernels"] == launches.counted(lambda: x @ x)["kernels"] == 1
    assert launches.counted(x.get)["copies"] == 1
    for name in ("MLP VAE", "M2"):
        assert launches.of_a_step(smoke.EXAMPLES[name]) == kept[name]["captured"]


def test_the_times_in_the_documents_are_those_of_the_summary():
    summary = json.loads((ROOT / "benchmarks" / "results" / "gpu" / "summary.json").read_text())
    (part,) = [part for part in summary["parts"] if part["name"] == "gpu_step"]
    figures = {row["name"]: row["figures"] for row in part["rows"]}
    page = (ROOT / "docs" / "gpu.md").read_text()
    models = {
        "MLP, batch 100": "MLP VAE 784-400-20, batch 100",
        "MLP, batch 1000": "MLP VAE 784-400-20, batch 1000",
        "convolutional, batch 64": "convolutional VAE 64 x 64 x 3, batch 64",
    }
    for case, model in models.items():
        ours = figures[f"{case}: scratchvae"]["milliseconds"]
        graph, overhead, eager = (
            figures[f"{case}: PyTorch {name}"]
            for name in ("compiled, one CUDA graph", "reduce-overhead, fused Adam", "eager")
        )
        captured = [f"{x:.3f}" if x < 1 else f"{x:.2f}" for x in (ours, graph["milliseconds"])]
        others = [f"{other['milliseconds']:.2f}" for other in (overhead, eager)]
        assert f"| {' | '.join([model, *captured, format(graph['ours / theirs'], '.2f'), *others])} |" in page


# ---- the runner


def python(name, program, limit=30.0, read=None):
    return Part(name, limit, [sys.executable, "-c", program], read)


ROW = '{"name": "copy", "status": "measured", "figures": {"TB/s": 3.25}, "reason": ""}'
MEASURES = f"import sys; open(sys.argv[2], 'a').write('{ROW}' + chr(10))"
HANGS = """
open(sys.argv[2], "a").write('{"name": "cut o')
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_no_part_stops_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(first_contact, "GRACE", 0.2)
    todo = [
        python("raises", MEASURES + "; raise ValueError('no such card')"),
        python("hangs", MEASURES + HANGS, limit=-24.0),  # and what the part before it leaves unused: at most 6 s
        python("crashes", "import os; os.abort()"),
        python("measures", MEASURES),
    ]
    started = time.monotonic()
    summary = first_contact.run_all(todo, tmp_path, ABOUT)
    assert time.monotonic() - started < 40
    raises, hangs, crashes, measures = summary["parts"]
    assert raises["status"] == "failed" and raises["reason"].endswith("ValueError: no such card")
    assert hangs["status"] == "over its limit" and hangs["seconds"] < 10
    assert crashes["status"] == "failed" and crashes["reason"].startswith("exit status -6")
    assert measures["status"] == "ran" and measures["reason"] == ""
    assert [len(part["rows"]) for part in summary["parts"]] == [1, 1, 0, 1]
    assert [line.split(":")[0] for line in first_contact.failures(summary["parts"])] == ["raises", "hangs", "crashes"]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    log = (tmp_path / "log.txt").read_text()
    assert [line[3:] for line in log.splitlines() if line.startswith("== ")] == [part.name for part in todo]
    child = next(int(line.split()[1]) for line in log.splitlines() if line.startswith("child"))
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(child, 0)
            time.sleep(0.05)
    text = (tmp_path / "summary.md").read_text()
    assert text.count("| copy | TB/s 3.25 |") == 3 and "- raises: failed: exit status 1" in text


def test_the_summary_tells_what_was_not_reached(tmp_path):
    seen = f"import json; print(json.load(open({str(tmp_path / 'summary.json')!r}))['parts'][1]['status'])"
    summary = first_contact.run_all([python("first", seen), python("second", "")], tmp_path, ABOUT)
    assert "not reached" in (tmp_path / "log.txt").read_text()
    assert [part["status"] for part in summary["parts"]] == ["ran", "ran"]
    waiting = {"name": "later", "status": "not reached", "seconds": 0.0, "limit": 5.0, "reason": "", "rows": []}
    assert first_contact.failures([waiting]) == ["later: not reached"]


def test_what_pytest_and_check_print_becomes_rows():
    printed = "FAILED tests/a.py::test_b[x-1] - ValueError: in /usr/lib/x.py\nERROR tests/c.py\n"
    printed += "=== 1 failed, 409 passed, 1 skipped, 1 error in 99.10s (0:01:39) ===\n"
    whole, failed, error = first_contact.rows_of_pytest(printed)
    assert whole["figures"] == {"failed": 1, "passed": 409, "skipped": 1, "error": 1}
    assert (failed["name"], failed["reason"]) == ("tests/a.py::test_b[x-1]", "ValueError: in x.py")
    assert (error["name"], error["status"]) == ("tests/c.py", "failed")
    (skipped,) = first_contact.rows_of_pytest("4 skipped in 1.10s\n")
    assert skipped["status"] == "not run" and skipped["reason"] == "no test ran: 4 skipped"
    assert first_contact.rows_of_pytest("No module named pytest")[0]["status"] == "not run"
    printed = "gradients      figure  tolerance\n  exp, first order   1.0e-09    1.0e-06  ok\n"
    printed += "  log   nan    1.0e-06  FAILED ValueError: no\n  sum   1.0e+00    1.0e-06  FAILED\n"
    whole, log, total = first_contact.rows_of_check(printed + "3 checks on the gpu, 2 failed, 1 s (NumPy 2.4)\n")
    assert whole["figures"] == {"checks": 3, "failed": 2}
    assert (log["name"], log["reason"], total["name"]) == ("log", "ValueError: no", "sum")
    assert total["reason"] == "1.0e+00, at most 1.0e-06"
    assert first_contact.rows_of_check(printed)[0]["figures"] == {"checks": 3}  # it was interrupted
    assert first_contact.rows_of_check("")[0]["status"] == "not run"


def test_all_fits_into_ten_minutes_and_three_files():
    todo = first_contact.parts("gpu", quick=False)
    assert sum(part.limit + first_contact.GRACE for part in todo) < 595
    assert [part.name for part in todo] == "machine smoke parity gpu_step ceilings tests check".split()


def test_a_row_says_nothing_of_the_machine_but_what_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("platform.node", lambda: "secret-7")
    assert plain("in /home/me/x y.py\n on secret-7: http://a/b, 3/4") == "in x y.py on host: http://a/b, 3/4"
    rows = Rows(tmp_path / "rows")
    rows.attempt("fine", lambda: {"ms": 0.123456})
    rows.attempt("absent", lambda: gpu_step.peer("no_such_peer"))
    rows.finish()  # nothing failed
    rows.attempt("wrong", lambda: 1 / 0)
    with pytest.raises(SystemExit, match="1"):
        rows.finish()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.split(":")[0] in ("fine", "absent", "wrong")]
    assert lines == [
        "fine: ms 0.1235",
        "absent: not run: no_such_peer is not installed",
        "wrong: failed: ZeroDivisionError: division by zero",
    ]
    assert issubclass(NotHere, Exception) and len((tmp_path / "rows").read_text().splitlines()) == 3


def test_without_a_gpu_every_part_says_so(tmp_path):
    if any(rows_of("machine", "gpu", tmp_path / "rows")[name]["status"] == "measured" for name in ("card", "cuda")):
        pytest.skip("there is a GPU")
    rows = rows_of("ceilings", "gpu", tmp_path / "ceilings")
    assert {row["status"] for row in rows.values()} == {"failed"}
    assert all('DeviceError: device="gpu": expected' in row["reason"] for row in rows.values())


@pytest.mark.slow
def test_the_whole_is_rehearsed_without_what_it_does_not_need(tmp_path):
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("pooch", "ruff", "tqdm", "rdkit"):
        (absent / f"{name}.py").write_text(f"raise ImportError('No module named {name}')")
    environment = os.environ | {"OUT": str(tmp_path / "out"), "PYTHON": sys.executable, "PYTHONPATH": str(absent)}
    command = [ROOT / "benchmarks" / "gpu.sh", "--device", "cpu", "--quick"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [part["name"] for part in summary["parts"]] == [part.name for part in first_contact.parts("cpu", True)]
    assert all(part["status"] == "ran" and part["rows"] for part in summary["parts"])
    assert summary["parts"][-1]["rows"][0]["figures"]["failed"] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.txt", "summary.json", "summary.md"]
    assert str(ROOT) not in (tmp_path / "out" / "summary.md").read_text()
