"""Devices, sizes and limits: where the work is done, which card can do it, and how close it comes to what it could."""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from backends import Backend, discover, read
from backends.contract import Unsupported, Work
from harness import cli, doctor, environments, estimate, host, launch
from harness import folder as folders
from harness.commands import SELECTION, options_of
from harness.inputs import write_inputs
from harness.measurement import ceiling, figures, limits
from harness.parity import prove
from harness.parity.probes import EPOCH
from harness.plan import Cell, Plan, make_plan
from harness.portability import runtimes
from tasks import discover as discover_tasks
from tasks.scale import scaled, unscaled
from tasks.spec import initial_weights, to_json
from tests.conftest import STRANGER, Command
from tests.fake_nvml import AMPERE, CLOSED, HOPPER, KEPLER, with_driver
from tests.synthetic import record

QUICK = {name: presets["quick"] for name, presets in discover_tasks().items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_scaled_task_has_the_same_operations_with_more_to_do(name: str) -> None:
    plain, large = QUICK[name], scaled(QUICK[name], 4)
    assert (large.name, large.batch_size) == (f"{name}-x4", 4 * plain.batch_size)
    assert unscaled(large.name) == (name, 4) and unscaled(name) == (name, 1)
    assert scaled(plain, 1) == plain
    assert [type(layer) for layer in large.layers] == [type(layer) for layer in plain.layers]
    assert (large.input_shape, large.output_shape()) == (plain.input_shape, plain.output_shape())
    assert large.parameters().keys() == plain.parameters().keys()
    # The first and last layer grow on one side only, all others on both.
    assert 4 * plain.flops() <= large.flops() <= 16 * plain.flops()


def test_scales_are_tasks_of_their_own_in_a_run(crossframe: Command, tmp_path: Path) -> None:
    words = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--scale", "1,2", "--no-parity")
    done = crossframe("run", *words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    told = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)
    assert {(cell["task"], cell["batch_size"]) for cell in told["cells"]} == {("circle", 64), ("circle-x2", 128)}
    assert told["tasks"]["circle-x2"]["parameters"] == 2 * 32 + 32 + 32 + 1
    again = crossframe("run", "--resume", tmp_path / "run")
    assert again.returncode == 0 and "2 of 2 jobs are done" in again.stderr
    # A batch larger than the data would be cut short in silence.
    for words in (("--preset", "original", "--scale", "2"), ("--preset", "quick", "--scale", "64", "--task", "circle")):
        refused = crossframe("run", "--backend", "reference", *words, "--out", tmp_path / "none")
        assert refused.returncode == 2 and not (tmp_path / "none").exists()


def on_a_gpu(tmp_path: Path, mode: str, program: str = "harness.worker") -> launch.Outcome:
    """The faulty backend, which trains on the CPU whatever it is asked, asked for a GPU."""
    faulty = read("faulty", "faulty", STRANGER / "faulty")
    write_inputs(tmp_path / "inputs.npz", QUICK["circle"], None, None)
    question = prove.ask(QUICK["circle"], tmp_path / "inputs.npz", tmp_path / "probes", every_optimizer=False)
    proving = program == "harness.parity.tracer"
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
    "program", ["harness.worker", "harness.measurement.predictor", "harness.measurement.stopwatch"]
)
def test_a_fall_back_to_the_cpu_is_a_failure(tmp_path: Path, program: str) -> None:
    outcome = on_a_gpu(tmp_path, "honest", program)
    assert outcome.state == "failed"
    assert outcome.reason and "asked for cuda:0, but its parameters and results lie on cpu" in outcome.reason
    assert "epochs" not in outcome.measures or program != "harness.worker"  # no figure of the CPU under a GPU's name


@pytest.mark.parametrize(
    "mode, place",
    [("retreats", "cpu"), ("answers_elsewhere", "cpu and cuda:0"), ("reloads_elsewhere", "cpu")],
)
def test_a_backend_that_goes_on_on_the_cpu_is_caught(tmp_path: Path, mode: str, place: str) -> None:
    outcome = on_a_gpu(tmp_path, mode)
    assert (outcome.state, outcome.measures["placement"]) == ("failed", "cuda:0")
    assert outcome.reason and outcome.reason.endswith(f"its parameters and results lie on {place}")


@pytest.mark.parametrize(
    "program", ["harness.worker", "harness.measurement.stopwatch", "harness.measurement.predictor"]
)
def test_a_single_parameter_elsewhere_is_caught(tmp_path: Path, program: str) -> None:
    outcome = on_a_gpu(tmp_path, "strays", program)
    assert outcome.reason and outcome.reason.endswith("its parameters and results lie on cpu and cuda:0")


def test_results_elsewhere_are_caught_where_inference_alone_is_measured(tmp_path: Path) -> None:
    outcome = on_a_gpu(tmp_path, "answers_elsewhere", "harness.measurement.predictor")
    assert outcome.state == "failed" and outcome.measures["infer_samples_s"]  # it had answered before it was caught
    assert outcome.reason and outcome.reason.endswith("its parameters and results lie on cpu and cuda:0")


@pytest.mark.parametrize("mode, place", [("strays", "cpu and cuda:0"), ("answers_elsewhere", "cpu and cuda:0")])
def test_what_was_computed_elsewhere_proves_nothing(tmp_path: Path, mode: str, place: str) -> None:
    outcome = on_a_gpu(tmp_path, mode, "harness.parity.tracer")
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


@pytest.mark.skipif(bool(host.gpus()), reason="this machine has a GPU")
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


@pytest.mark.skipif(bool(host.gpus()), reason="this machine has a GPU")
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
    before = begun(tmp_path / "run", "cuda:0", *host.gpus())
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(folders.resumed(told).jobs) == 1
    with_driver(monkeypatch, driver, *cards)
    assert cli.main(["run", "--resume", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()
    assert "begun on Hopper card of 80.0 GB (driver 580.82.07), and here is " + others in said.err
    assert said.out == "" and files(tmp_path) == before


def plan_for(device: str, **changed: Any) -> Plan:
    words = {**SELECTION, "device": device, "preset": "quick", "task": ["circle"], **changed}
    return make_plan(options_of(argparse.Namespace(**words)))


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
    assert [card["name"] for card in host.gpus()] == seen
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
    ready, missing = environments.prepared(plan, plan.backends)
    assert missing == {name: ("unsupported", told["unsupported"][name]) for name in refused}
    assert ready.keys() == plan.backends.keys() - refused.keys()
    own = plan_for("cuda", python=[(name, sys.executable) for name in plan.backends])
    assert environments.refusals(own) == {}


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
    why = host.refusal(discover()["torch"], "cuda:0") or ""
    assert "for CUDA 12, needs 525.60.13" in why and why.endswith("; a build of your own may run: --python torch=PATH")


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
        ready, failed = runtimes.made(wanted, "cuda:0", {})
        assert list(ready) == ["onnxruntime"] and reason in failed["onnxruntime_cuda"]
        (row,) = [row for row in doctor.cards() if row["backend"] == "onnxruntime_cuda"]
        assert row["reason"] == failed["onnxruntime_cuda"]
    with_driver(monkeypatch, "580.82.07", HOPPER)
    ready, failed = runtimes.made(wanted, "cuda:0", {})
    assert {name: str(one.python) for name, one in ready.items()} == {"onnxruntime": "cpu", "onnxruntime_cuda": "cuda"}
    with_driver(monkeypatch, "550.54.14", HOPPER)  # an interpreter of the user's own is left to show what it can
    ready, failed = runtimes.made(wanted, "cuda:0", {"onnxruntime_cuda": Path("own")})
    assert ready["onnxruntime_cuda"].python == Path("own") and not failed


def test_a_backend_that_names_no_build_for_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, "580.82.07", HOPPER)
    bare = Backend("bare", "bare", Path(), {"install": {"cpu": {}}})
    assert host.refusal(bare, "cuda:0") == "bare names no requirements for cuda"
    assert host.refusal(bare, "cpu") is None and host.refusal(discover()["reference"], "cuda:0") is None


@pytest.mark.parametrize("name", QUICK)
def test_training_takes_three_times_the_forward_pass_but_for_the_network_s_own_input(name: str) -> None:
    # Uses of weights in one sample's forward pass, and of those that meet the input; counted by hand from the design.
    uses = {
        "circle": (2 * 16 + 16, 2 * 16),
        "cnn": (27 * 32 * 576 + 288 * 64 * 144 + 2304 * 128 + 1280, 27 * 32 * 576),
        "lstm": (28 * (356 + 512) * 1024 + 2560, 28 * 100 * 1024),
        "autoencoder": (2 * (784 * 400 + 400 * 200 + 200 * 32), 784 * 400),
    }
    every, entry = uses[name]
    assert limits.train_flops(QUICK[name]) == 2 * (3 * every - entry)
    parameters = sum(value.size for value in initial_weights(QUICK[name], 0).values())
    assert limits.train_bytes(QUICK[name], "float32") == 3 * 4 * parameters
    assert limits.train_bytes(QUICK[name], "bfloat16") == limits.train_bytes(QUICK[name], "float64") / 2


def test_what_is_reached_stands_beside_the_ceiling_of_the_same_run(crossframe: Command, tmp_path: Path) -> None:
    words = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--scale", "1,8", "--no-parity")
    assert crossframe("run", *words, "--out", tmp_path / "run").returncode == 0
    (measured,) = json.loads((tmp_path / "run" / "ceilings.json").read_text())["measured"]
    assert (measured["state"], measured["precision"]) == ("ok", "float32")
    cells = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    for cell in cells:
        reached = {name: metric["value"] for name, metric in cell["metrics"].items()}
        flops = limits.train_flops(scaled(QUICK["circle"], 8 if cell["task"] == "circle-x8" else 1))
        assert reached["flops_per_s"] == pytest.approx(flops * reached["train_samples_per_s"])
        assert reached["ceiling_share"] == pytest.approx(reached["flops_per_s"] / measured["flops_per_s"])
        assert reached["bandwidth_share"] == pytest.approx(reached["bytes_per_s"] / measured["bytes_per_s"])
        assert 0 < reached["ceiling_share"] < 1 and 0 < reached["bandwidth_share"] < 1
    exponents = {cell["task"]: cell["metrics"]["scaling_exponent"] for cell in cells}
    assert exponents["circle"]["value"] is not None
    assert exponents["circle-x8"]["value"] is None and "no larger scale" in exponents["circle-x8"]["reason"]


@pytest.mark.parametrize("longer, expected", [(1, 0.0), (8, 0.5), (64, 1.0)])
def test_what_takes_as_long_with_more_to_do_is_bound_by_starting_it(longer: int, expected: float) -> None:
    found = []
    for task, step_s, batch_size, flops in (("circle", 0.01, 64, 10), ("circle-x8", 0.01 * longer, 512, 640)):
        made = record("a", 1, step_s, cell={"task": task, "batch_size": batch_size})
        ceilings = {"ceiling_flops_per_s": None, "ceiling_bytes_per_s": 1e9}
        found.append({**made, "limits": {"step_flops": flops, "step_bytes": 10, **ceilings}})
    small, large = figures.cells(found, {})
    assert small["metrics"]["scaling_exponent"]["value"] == pytest.approx(expected)
    assert large["metrics"]["scaling_exponent"]["value"] is None
    assert small["metrics"]["ceiling_share"]["value"] is None and small["metrics"]["ceiling_share"]["reason"]
    assert small["metrics"]["bandwidth_share"]["value"] == pytest.approx(10 / 0.01 / 1e9)


def test_cells_of_other_batches_are_not_scales_of_each_other() -> None:
    """A circle twice as wide on half of the batch has no more to do; nothing could be said of it."""
    found = [
        {**record("a", 1, 0.01, cell={"task": task, "batch_size": size}), "limits": {"step_flops": flops}}
        for task, size, flops in (("circle", 8, 10), ("circle", 16, 20), ("circle-x2", 8, 20), ("circle-x2", 16, 40))
    ]
    told = {
        (cell["task"], cell["batch_size"]): cell["metrics"]["scaling_exponent"] for cell in figures.cells(found, {})
    }
    assert told["circle", 8]["value"] == pytest.approx(
        0.0
    )  # beside circle-x2 at 16: the same time for four times the work
    assert told["circle", 16]["value"] is None and "no larger scale" in told["circle", 16]["reason"]


def test_a_ceiling_that_a_process_exceeds_is_none() -> None:
    bounds = {"step_flops": 10, "step_bytes": 10, "ceiling_flops_per_s": 900.0, "ceiling_bytes_per_s": None}
    found = [{**record("a", repeat, step_s), "limits": bounds} for repeat, step_s in enumerate((0.02, 0.01), 1)]
    (cell,) = figures.cells(found, {})
    assert cell["metrics"]["flops_per_s"]["value"] == pytest.approx(750)  # 500 and 1,000
    share = cell["metrics"]["ceiling_share"]
    assert share["value"] is None and "more than the ceiling" in share["reason"]


def test_on_a_gpu_the_backends_themselves_measure_the_ceiling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_driver(monkeypatch, "580.82.07", HOPPER)
    plan = plan_for("cuda", precision=["float32"])
    speeds = {"torch": 3e12, "jax": 5e12}

    def launched(python: Path, backend: Backend, job: dict[str, Any], *_: Any) -> launch.Outcome:
        measures = {"flops_per_s": speeds[backend.name], "bytes_per_s": None}
        return launch.Outcome("ok", None, 1.0, measures if job["device"] == "cuda:0" else {})

    monkeypatch.setattr(limits, "launch", launched)
    ready = {name: environments.Environment(Path("python")) for name in speeds}
    measured = limits.measure(plan, tmp_path, ready, ["float32"])
    bounds = limits.of_cell(plan, plan.jobs[0].cell, measured)
    assert (bounds["ceiling_flops_per_s"], bounds["ceiling_bytes_per_s"]) == (5e12, None)
    # A run that goes on does not measure again; another precision has ceilings of its own.
    speeds.clear()
    assert limits.measure(plan, tmp_path, ready, ["float32"]) == measured
    assert (
        limits.of_cell(plan, replace(plan.jobs[0].cell, precision="float64"), measured)["ceiling_flops_per_s"] is None
    )


class Timed:
    """A model whose product takes 2 ms and whose copy takes 50, but for the first of each, which is slow."""

    def __init__(self) -> None:
        self.asked: dict[str, list[int]] = {"product": [], "copy": []}

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        assert (side, size) == ceiling.SIZES["cuda"]

        def work(name: str, once_s: float) -> Work:
            def do(times: int) -> None:
                self.asked[name].append(times)
                time.sleep(times * once_s if len(self.asked[name]) > 1 else 0.2)

            return do

        return work("product", 0.002), work("copy", 0.05)


def test_the_ceiling_is_a_product_and_a_copy_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "PIPELINED_S", 0.05)
    model = Timed()
    side, size = ceiling.SIZES["cuda"]
    found = ceiling.reached(model, "cuda:1")
    assert found["flops_per_s"] == pytest.approx(2 * side**3 / 0.002, rel=0.3)
    assert found["bytes_per_s"] == pytest.approx(2 * size / 0.05, rel=0.1)
    # What is short is asked for several times at once, so that a GPU need not wait for the next.
    assert max(model.asked["product"]) > 1 and set(model.asked["copy"]) == {1}
    with pytest.raises(Unsupported, match="no method `ceiling`"):
        ceiling.reached(object(), "cpu")


@pytest.mark.parametrize("name", [name for name, backend in discover().items() if "install" in backend.facts])
def test_every_backend_has_a_ceiling(tmp_path: Path, name: str) -> None:
    backend = discover()[name]
    cell = {"mode": backend.modes[0], "device": "cpu", "precision": "float32"}
    job = {**cell, "module": backend.module, "cpus": sorted(os.sched_getaffinity(0))}
    python = environments.make(backend, "cpu").python
    outcome = launch.launch(python, backend, job, tmp_path / "job", 120, "harness.measurement.ceiling")
    assert outcome.state == "ok", outcome.reason
    # A copy that is none, or a product that is not waited for, would be faster than any processor.
    assert 1e8 < outcome.measures["flops_per_s"] < 1e14 and 1e8 < outcome.measures["bytes_per_s"] < 2e12


def test_on_a_cpu_the_frameworks_are_asked_for_what_numpy_cannot() -> None:
    plan = plan_for("cpu")
    ready = {"torch": environments.Environment(Path("python"))}
    asked = {precision: set(limits.candidates(plan, ready, precision)) for precision in ("float64", "bfloat16")}
    assert asked == {"float64": {"reference"}, "bfloat16": {"torch"}}


def test_a_copy_is_a_ceiling_for_every_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = plan_for("cpu", precision=["bfloat16"])
    speeds = {
        "reference": {"flops_per_s": 3e11, "bytes_per_s": 4e10},
        "torch": {"flops_per_s": 8e11, "bytes_per_s": 3e9},
    }
    monkeypatch.setattr(limits, "launch", lambda _, backend, *__: launch.Outcome("ok", None, 1.0, speeds[backend.name]))
    measured = limits.measure(plan, tmp_path, {"torch": environments.Environment(Path("python"))}, ["bfloat16"])
    bounds = limits.of_cell(plan, plan.jobs[0].cell, measured)
    assert (bounds["ceiling_flops_per_s"], bounds["ceiling_bytes_per_s"]) == (8e11, 4e10)
