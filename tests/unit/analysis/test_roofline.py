"""Sizes and limits: what a task has to do when it is larger, and how close it comes to what the device can."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Unsupported, Work
from crossframe.harness.analysis import metrics, roofline
from crossframe.harness.launch import launch
from crossframe.harness.machine import environments
from crossframe.harness.run import ceilings
from crossframe.harness.worker import ceiling
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import initial_weights
from crossframe.tasks.widen import widen, split_name
from tests.conftest import Command
from tests.support.fake_nvml import HOPPER, with_driver
from tests.support.synthetic import plan_for, record

QUICK = {name: presets["quick"] for name, presets in discover_tasks().items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_scaled_task_has_the_same_operations_with_more_to_do(name: str) -> None:
    plain, large = QUICK[name], widen(QUICK[name], 4)
    assert (large.name, large.batch_size) == (f"{name}-x4", 4 * plain.batch_size)
    assert split_name(large.name) == (name, 4) and split_name(name) == (name, 1)
    assert widen(plain, 1) == plain
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
    assert roofline.train_flops(QUICK[name]) == 2 * (3 * every - entry)
    parameters = sum(value.size for value in initial_weights(QUICK[name], 0).values())
    assert roofline.train_bytes(QUICK[name], "float32") == 3 * 4 * parameters
    assert roofline.train_bytes(QUICK[name], "bfloat16") == roofline.train_bytes(QUICK[name], "float64") / 2


def test_what_is_reached_stands_beside_the_ceiling_of_the_same_run(crossframe: Command, tmp_path: Path) -> None:
    words = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--scale", "1,8", "--no-parity")
    assert crossframe("run", *words, "--out", tmp_path / "run").returncode == 0
    (measured,) = json.loads((tmp_path / "run" / "ceilings.json").read_text())["measured"]
    assert (measured["state"], measured["precision"]) == ("ok", "float32")
    cells = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    for cell in cells:
        reached = {name: metric["value"] for name, metric in cell["metrics"].items()}
        flops = roofline.train_flops(widen(QUICK["circle"], 8 if cell["task"] == "circle-x8" else 1))
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
    small, large = metrics.build_cell_reports(found, {})
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
        (cell["task"], cell["batch_size"]): cell["metrics"]["scaling_exponent"]
        for cell in metrics.build_cell_reports(found, {})
    }
    assert told["circle", 8]["value"] == pytest.approx(
        0.0
    )  # beside circle-x2 at 16: the same time for four times the work
    assert told["circle", 16]["value"] is None and "no larger scale" in told["circle", 16]["reason"]


def test_a_ceiling_that_a_process_exceeds_is_none() -> None:
    bounds = {"step_flops": 10, "step_bytes": 10, "ceiling_flops_per_s": 900.0, "ceiling_bytes_per_s": None}
    found = [{**record("a", repeat, step_s), "limits": bounds} for repeat, step_s in enumerate((0.02, 0.01), 1)]
    (cell,) = metrics.build_cell_reports(found, {})
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

    monkeypatch.setattr(ceilings, "launch", launched)
    ready = {name: environments.Environment(Path("python")) for name in speeds}
    measured = ceilings.measure_ceilings(plan, tmp_path, ready, ["float32"])
    bounds = roofline.roofline_for(plan, plan.jobs[0].cell, measured)
    assert (bounds["ceiling_flops_per_s"], bounds["ceiling_bytes_per_s"]) == (5e12, None)
    # A run that goes on does not measure again; another precision has ceilings of its own.
    speeds.clear()
    assert ceilings.measure_ceilings(plan, tmp_path, ready, ["float32"]) == measured
    assert (
        roofline.roofline_for(plan, replace(plan.jobs[0].cell, precision="float64"), measured)["ceiling_flops_per_s"]
        is None
    )


class Timed:
    """A model whose product takes 2 ms and whose copy takes 50, but for the first of each, which is slow."""

    def __init__(self) -> None:
        self.given = 2 * ceiling.SIZES["cuda"][1]
        self.asked: dict[str, list[int]] = {"product": [], "copy": []}

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        assert (side, size) == ceiling.SIZES["cuda"]

        def work(name: str, once_s: float) -> Work:
            def do(times: int) -> None:
                self.asked[name].append(times)
                time.sleep(times * once_s if len(self.asked[name]) > 1 else 0.2)

            return do

        return work("product", 0.002), work("copy", 0.05)

    def device_peak_bytes(self) -> int:
        return self.given


def test_the_ceiling_is_a_product_and_a_copy_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "PIPELINED_S", 0.05)
    model = Timed()
    side, size = ceiling.SIZES["cuda"]
    found = ceiling.reached(model, "cuda:1")
    assert found["flops_per_s"] == pytest.approx(2 * side**3 / 0.002, rel=0.3)
    assert found["bytes_per_s"] == pytest.approx(2 * size / 0.05, rel=0.1)
    # What is short is asked for several times at once, so that a GPU need not wait for the next.
    assert max(model.asked["product"]) > 1 and set(model.asked["copy"]) == {1}
    model.given -= 1
    with pytest.raises(RuntimeError, match="asked for a copy on cuda:1"):
        ceiling.reached(model, "cuda:1")
    with pytest.raises(Unsupported, match="no method `ceiling`"):
        ceiling.reached(object(), "cpu")


@pytest.mark.parametrize("name", [name for name, backend in discover().items() if backend.has_builds])
def test_every_backend_has_a_ceiling(tmp_path: Path, name: str) -> None:
    backend = discover()[name]
    cell = {"mode": backend.modes[0], "device": "cpu", "precision": "float32"}
    job = {**cell, "module": backend.module, "cpus": sorted(os.sched_getaffinity(0))}
    python = environments.make_environment(backend, "cpu").python
    outcome = launch.launch(python, backend, job, tmp_path / "job", 120, "crossframe.harness.worker.ceiling")
    assert outcome.state == "ok", outcome.reason
    # A copy that is none, or a product that is not waited for, would be faster than any processor.
    assert 1e8 < outcome.measures["flops_per_s"] < 1e14 and 1e8 < outcome.measures["bytes_per_s"] < 2e12


def test_on_a_cpu_the_frameworks_are_asked_for_what_numpy_cannot() -> None:
    plan = plan_for("cpu")
    ready = {"torch": environments.Environment(Path("python"))}
    asked = {precision: set(ceilings.ceiling_backends(plan, ready, precision)) for precision in ("float64", "bfloat16")}
    assert asked == {"float64": {"reference"}, "bfloat16": {"torch"}}


def test_a_copy_is_a_ceiling_for_every_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = plan_for("cpu", precision=["bfloat16"])
    speeds = {
        "reference": {"flops_per_s": 3e11, "bytes_per_s": 4e10},
        "torch": {"flops_per_s": 8e11, "bytes_per_s": 3e9},
    }
    monkeypatch.setattr(
        ceilings, "launch", lambda _, backend, *__: launch.Outcome("ok", None, 1.0, speeds[backend.name])
    )
    measured = ceilings.measure_ceilings(
        plan, tmp_path, {"torch": environments.Environment(Path("python"))}, ["bfloat16"]
    )
    bounds = roofline.roofline_for(plan, plan.jobs[0].cell, measured)
    assert (bounds["ceiling_flops_per_s"], bounds["ceiling_bytes_per_s"]) == (8e11, 4e10)
