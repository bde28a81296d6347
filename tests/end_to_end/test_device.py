"""Devices: where the work is done, and which card can do it."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from crossframe.backends import Backend, discover, read
from crossframe.harness import runtimes
from crossframe.harness.cli import doctor, parser
from crossframe.harness.launch import launch
from crossframe.harness.machine import environments, gpus, runtime_environments
from crossframe.harness.parity import probe_set, prove
from crossframe.harness.plan import estimate, readiness
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.plan.plan import Cell
from crossframe.harness.run import folder as folders
from crossframe.harness.worker.probes import EPOCH
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import to_json
from tests.conftest import THIRD_PARTY, Command
from tests.support.fake_nvml import AMPERE, CLOSED, HOPPER, KEPLER, with_driver
from tests.support.synthetic import plan_for

QUICK = {name: presets["quick"] for name, presets in discover_tasks().items()}


def on_a_gpu(tmp_path: Path, mode: str, program: str = "crossframe.harness.worker.train") -> launch.Outcome:
    """The faulty backend, which trains on the CPU whatever it is asked, asked for a GPU."""
    faulty = read("faulty", "faulty", THIRD_PARTY / "faulty")
    write_inputs(tmp_path / "inputs.npz", QUICK["circle"], None, None)
    question = probe_set.ask(QUICK["circle"], tmp_path / "inputs.npz", tmp_path / "probes", every_optimizer=False)
    proving = program == "crossframe.harness.worker.probe"
    job = {
        "task": to_json(QUICK["circle"]),
        "module": "faulty",
        "packages": ["numpy"],
        "onnx_opset": 20,
        "inputs": str(question.path if proving else tmp_path / "inputs.npz"),
        "probes": [asdict(probe) | {"task": to_json(probe.task)} for probe in question.probes],
        "mode": mode,
        "device": "cuda:0",
        "precision": "float32",
        "cpus": sorted(os.sched_getaffinity(0))[:1],
        "batch_sizes": [1],
        "ceiling": False,
    }
    return launch.launch(Path(sys.executable), faulty, job, tmp_path / "job", 60, program)


@pytest.mark.parametrize(
    "program",
    ["crossframe.harness.worker.train", "crossframe.harness.worker.infer", "crossframe.harness.worker.time_steps"],
)
def test_a_fall_back_to_the_cpu_is_a_failure(tmp_path: Path, program: str) -> None:
    outcome = on_a_gpu(tmp_path, "honest", program)
    assert outcome.state == "failed"
    assert outcome.reason and "asked for cuda:0, but its parameters and results lie on cpu" in outcome.reason
    assert (
        "epochs" not in outcome.measures or program != "crossframe.harness.worker.train"
    )  # no figure of the CPU under a GPU's name


@pytest.mark.parametrize(
    "mode, place",
    [("retreats", "cpu"), ("answers_elsewhere", "cpu and cuda:0"), ("reloads_elsewhere", "cpu")],
)
def test_a_backend_that_goes_on_on_the_cpu_is_caught(tmp_path: Path, mode: str, place: str) -> None:
    outcome = on_a_gpu(tmp_path, mode)
    assert (outcome.state, outcome.measures["placement"]) == ("failed", "cuda:0")
    assert outcome.reason and outcome.reason.endswith(f"its parameters and results lie on {place}")


@pytest.mark.parametrize(
    "program",
    ["crossframe.harness.worker.train", "crossframe.harness.worker.time_steps", "crossframe.harness.worker.infer"],
)
def test_a_single_parameter_elsewhere_is_caught(tmp_path: Path, program: str) -> None:
    outcome = on_a_gpu(tmp_path, "strays", program)
    assert outcome.reason and outcome.reason.endswith("its parameters and results lie on cpu and cuda:0")


def test_results_elsewhere_are_caught_where_inference_alone_is_measured(tmp_path: Path) -> None:
    outcome = on_a_gpu(tmp_path, "answers_elsewhere", "crossframe.harness.worker.infer")
    assert outcome.state == "failed" and outcome.measures["infer_samples_s"]  # it had answered before it was caught
    assert outcome.reason and outcome.reason.endswith("its parameters and results lie on cpu and cuda:0")


@pytest.mark.parametrize("mode, place", [("strays", "cpu and cuda:0"), ("answers_elsewhere", "cpu and cuda:0")])
def test_what_was_computed_elsewhere_proves_nothing(tmp_path: Path, mode: str, place: str) -> None:
    outcome = on_a_gpu(tmp_path, mode, "crossframe.harness.worker.probe")
    found = outcome.measures["probes"]
    caught = {name for name, probe in found.items() if (probe["reason"] or "").endswith(f"results lie on {place}")}
    asked = {"gradient"} if mode == "strays" else {"forward", EPOCH}  # only some look at results
    assert outcome.state == "ok" and asked <= caught <= found.keys()
    assert all(found[name]["state"] == "failed" for name in caught)


@pytest.mark.parametrize("device, at_once, processors", [("cpu", 2, 1), ("cuda:0", 1, 2)])
def test_a_gpu_proves_one_cell_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, at_once: int, processors: int
) -> None:
    """Two at once would disturb each other's choice of kernels. Processors are shared out instead."""
    together, most, given = 0, 0, []
    counting, met = Lock(), Barrier(at_once)

    def prove_one(cell: Cell, *others: Any) -> dict[str, Any]:
        nonlocal together, most
        with counting:
            together += 1
            most = max(most, together)
            given.append(others[-2])
        met.wait(60)  # a lone one would wait for ever where two are to run at once
        time.sleep(0.05)
        with counting:
            together -= 1
        return {"state": "ok"}

    monkeypatch.setattr(prove, "prove", prove_one)
    cells = [Cell("circle", "any", mode, device, "float32", 64) for mode in "abcd"]
    known: Any = {("circle", 64): SimpleNamespace(question=SimpleNamespace(size=1))}
    both: Any = {"any": None}
    found = dict(prove.prove_all(cells, both, both, known, tmp_path, {"cpus": [4, 7], "timeout": 1}))
    assert found.keys() == set(cells) and most == at_once
    assert all(len(cpus) == processors for cpus in given) and {cpu for cpus in given for cpu in cpus} == {4, 7}


def test_a_placement_that_the_allocator_belies_is_caught(tmp_path: Path) -> None:
    outcome = on_a_gpu(tmp_path, "pretends")
    assert outcome.state == "failed"
    assert outcome.reason and "whose allocator gave out 0 bytes; 130 are needed at least" in outcome.reason


@pytest.mark.skipif(bool(gpus.gpus()), reason="this machine has a GPU")
@pytest.mark.parametrize(
    "command", ["run", "plan", "parity", "infer", "portability", "check", "selftest", "conformance"]
)
def test_without_a_gpu_cuda_is_missing_and_nothing_is_written(
    crossframe: Command, tmp_path: Path, command: str
) -> None:
    words = {"run": ("--preset", "quick", "--out", tmp_path / "run"), "portability": (), "check": (__file__,)}
    words |= {"selftest": (), "conformance": ("reference", "--preset", "quick")}
    done = crossframe(command, "--device", "cuda", *words.get(command, ("--preset", "quick")), cwd=tmp_path)
    assert done.returncode == 3 and "cuda is not there" in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_for_cards_alone_wants_the_device(crossframe: Command) -> None:
    done = crossframe("check", __file__, "--runtime", "onnxruntime_cuda", "--device", "cpu")
    assert done.returncode == 2 and "onnxruntime_cuda runs on a card alone: take --device cuda" in done.stderr
    assert "onnxruntime_cuda" not in runtimes.on("cpu") and "onnxruntime_cuda" in runtimes.on("cuda:1")


def begun(folder: Path, device: str, *cards: dict[str, Any]) -> dict[str, bytes]:
    """A run of one job that is left to do, begun where these cards are; its files."""
    plan = plan_for("cpu", backend=["reference"])
    folder.mkdir()
    folders.start(plan, folder)
    told = json.loads((folder / "run.json").read_text())
    told["device"], told["host"]["gpus"] = device, list(cards)
    (folder / "run.json").write_text(json.dumps(told))
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(bool(gpus.gpus()), reason="this machine has a GPU")
def test_without_its_gpu_a_run_is_not_resumed_and_nothing_is_written(crossframe: Command, tmp_path: Path) -> None:
    before = begun(
        tmp_path / "run", "cuda:0", {"name": "Hopper card", "driver": "580.82.07", "memory_bytes": 80 * 10**9}
    )
    done = crossframe("run", "--resume", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 3 and "cuda:0 is not there" in done.stderr and done.stdout == ""
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "driver, cards, others",
    [
        ("580.82.07", [AMPERE], "Ampere card of 80.0 GB (driver 580.82.07)"),
        ("595.10.01", [HOPPER], "Hopper card of 80.0 GB (driver 595.10.01)"),
        ("580.82.07", [HOPPER, HOPPER | {"uuid": "GPU-dd"}], "Hopper card of 80.0 GB (driver 580.82.07); Hopper card"),
    ],
)
def test_a_run_is_not_resumed_on_another_card(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    driver: str,
    cards: list[dict[str, Any]],
    others: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with_driver(monkeypatch, "580.82.07", HOPPER)
    before = begun(tmp_path / "run", "cuda:0", *gpus.gpus())
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(folders.resumed(told).jobs) == 1
    with_driver(monkeypatch, driver, *cards)
    assert parser.main(["run", "--resume", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()
    assert "begun on Hopper card of 80.0 GB (driver 580.82.07), and here is " + others in said.err
    assert said.out == "" and files(tmp_path) == before


@pytest.mark.parametrize(
    "asked, seen",
    [
        (None, ["Hopper card", "Ampere card", "Kepler card"]),
        ("1", ["Ampere card"]),
        ("2,0", ["Kepler card", "Hopper card"]),
        ("GPU-bb", ["Ampere card"]),
        ("0,9,1", ["Hopper card"]),  # CUDA stops at the first that is not there
        ("", []),
        ("-1", []),
    ],
)
def test_a_number_means_the_same_card_to_the_driver_and_to_cuda(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, seen: list[str]
) -> None:
    # One that is counted, but is not for us, must not end every command; CUDA leaves it out as well.
    fake = with_driver(monkeypatch, "580.82.07", HOPPER, CLOSED, AMPERE, KEPLER)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if asked is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    assert [card["name"] for card in gpus.gpus()] == seen
    assert fake.on == 0
    # Without this, CUDA would put the fastest card first.
    assert launch.variables(discover()["reference"], 1, "")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    "driver, card, refused",
    [
        ("580.82.07", HOPPER, {"mxnet": "capability up to 8.9, the Hopper card has 9.0"}),
        ("580.82.07", AMPERE, {}),
        ("550.54.15", AMPERE, {"torch": "needs driver 580.65.06 or newer, here is 550.54.15"}),
        ("580.82.07", KEPLER, dict.fromkeys(("jax", "mxnet", "tensorflow", "torch"), "the Kepler card has 3.7")),
    ],
)
def test_what_a_card_cannot_run_is_told_beforehand(
    monkeypatch: pytest.MonkeyPatch, driver: str, card: dict[str, Any], refused: dict[str, str]
) -> None:
    with_driver(monkeypatch, driver, card)
    plan = plan_for("cuda")
    told = estimate.estimate(plan, Path("nowhere"))
    assert told["unsupported"].keys() == refused.keys() and not set(told["to_make"]) & refused.keys()
    rows = {row["backend"]: row["reason"] for row in doctor.cards() if row["backend"] in plan.backends}
    for name, reason in refused.items():
        assert reason in told["unsupported"][name] and reason in rows[name]
        assert f"{name} will be unsupported on cuda:0" in estimate.as_text(told)
    assert {name for name, reason in rows.items() if reason is None} == set(plan.backends) - refused.keys()
    # A run gives the same word, and starts nothing; an interpreter of the user's own is left to show what it can.
    monkeypatch.setattr(environments, "make", lambda backend, kind: environments.Environment(Path("python")))
    ready, missing = readiness.prepared(plan, plan.backends)
    assert missing == {name: ("unsupported", told["unsupported"][name]) for name in refused}
    assert ready.keys() == plan.backends.keys() - refused.keys()
    own = plan_for("cuda", python=[(name, sys.executable) for name in plan.backends])
    assert readiness.refusals(own) == {}


def test_doctor_and_plan_speak_of_the_builds_that_this_machine_would_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))  # where no environment is
    on_cpu = estimate.estimate(plan_for("cpu"), Path("nowhere"))
    with_driver(monkeypatch, "580.82.07", HOPPER)
    told = doctor.examine()
    (finding,) = [one for one in told["findings"] if one["id"] == "no-environment"]
    assert finding["text"] == "not made yet: the environment of jax, tensorflow, torch (cuda)"
    assert not [one for one in told["findings"] if one["id"] == "no-gpu"]
    tight = [one["id"] for one in doctor.findings(told | {"free_bytes": 10e9})]
    assert "little-disk" in tight
    with_driver(monkeypatch, "580.82.07", AMPERE)
    text = doctor.as_text(doctor.examine())
    assert "mxnet: yes; CUDA 11.2, cuDNN 8 and NCCL 2 must be on the machine" in text and "torch: yes\n" in text
    on_card = estimate.estimate(plan_for("cuda"), Path("nowhere"))
    assert on_cpu["notes"] == {} and on_card["notes"].keys() == {"mxnet", "tensorflow"}
    assert "tensorflow on cuda:0: for compute capability 9.0" in estimate.as_text(on_card)
    assert on_card["disk_bytes"] - on_cpu["disk_bytes"] == pytest.approx(4 * (4.6e9 - 1.2e9))
    # An environment of the user's own is not to be made, and what our builds need is not asked of it.
    own = plan_for("cuda", python=[(name, sys.executable) for name in on_card["to_make"]])
    assert estimate.estimate(own, Path("nowhere"))["notes"] == {}


def test_a_refusal_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, "550.54.15", AMPERE)
    why = gpus.refusal(discover()["torch"], "cuda:0") or ""
    assert "for CUDA 12, needs 525.60.13" in why and why.endswith("take a build of your own: --python torch=PATH")


def test_a_site_s_cpu_build_is_not_taken_for_the_card_s() -> None:
    pins = (discover()["torch"].folder / "requirements-cuda.txt").read_text().splitlines()
    (pin,) = [Requirement(line.partition("#")[0]) for line in pins if line.startswith("torch==")]
    assert pin.specifier.contains("2.13.0+cu130") and not pin.specifier.contains("2.13.0+cpu")


def test_a_runtime_for_cards_is_refused_beforehand_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "make", lambda backend, kind: environments.Environment(Path(kind)))
    wanted = [runtimes.discover()[name] for name in ("onnxruntime", "onnxruntime_cuda")]
    for driver, card, reason in (
        ("550.54.14", HOPPER, "needs driver 580.65.06"),
        ("580.82.07", KEPLER, "7.5 and newer"),
    ):
        with_driver(monkeypatch, driver, card)
        ready, failed = runtime_environments.made(wanted, "cuda:0", {})
        assert list(ready) == ["onnxruntime"] and reason in failed["onnxruntime_cuda"]
        (row,) = [row for row in doctor.cards() if row["backend"] == "onnxruntime_cuda"]
        assert row["reason"] == failed["onnxruntime_cuda"]
    with_driver(monkeypatch, "580.82.07", HOPPER)
    ready, failed = runtime_environments.made(wanted, "cuda:0", {})
    assert {name: str(one.python) for name, one in ready.items()} == {"onnxruntime": "cpu", "onnxruntime_cuda": "cuda"}
    with_driver(monkeypatch, "550.54.14", HOPPER)  # an interpreter of the user's own is left to show what it can
    ready, failed = runtime_environments.made(wanted, "cuda:0", {"onnxruntime_cuda": Path("own")})
    assert ready["onnxruntime_cuda"].python == Path("own") and not failed


def test_a_backend_that_names_no_build_for_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, "580.82.07", HOPPER)
    bare = Backend("bare", "bare", Path(), {"install": {"cpu": {}}})
    assert gpus.refusal(bare, "cuda:0") == "bare names no requirements for cuda"
    assert gpus.refusal(bare, "cpu") is None and gpus.refusal(discover()["reference"], "cuda:0") is None
