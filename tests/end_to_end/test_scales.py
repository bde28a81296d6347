"""Runs of widened tasks: what a task has to do when it is larger, beside what the device can do."""

import json
from pathlib import Path

import pytest

from crossframe.harness.analysis import roofline
from crossframe.tasks import discover
from crossframe.tasks.widen import widen
from tests.conftest import Command

CIRCLE = discover()["circle"]["quick"]
OPTIONS = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity")


def test_scales_are_tasks_of_their_own_in_a_run(crossframe: Command, tmp_path: Path) -> None:
    result = crossframe("run", *OPTIONS, "--scale", "1,2", "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    report = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)
    assert {(cell["task"], cell["batch_size"]) for cell in report["cells"]} == {("circle", 64), ("circle-x2", 128)}
    assert report["tasks"]["circle-x2"]["parameters"] == 2 * 32 + 32 + 32 + 1
    resumed = crossframe("run", "--resume", tmp_path / "run")
    assert resumed.returncode == 0
    assert "2 of 2 jobs are already done" in resumed.stderr


@pytest.mark.parametrize(
    "options", [("--preset", "original", "--scale", "2"), ("--preset", "quick", "--scale", "64", "--task", "circle")]
)
def test_a_batch_larger_than_the_data_is_refused(crossframe: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    refused = crossframe("run", "--backend", "reference", *options, "--out", tmp_path / "none")
    assert refused.returncode == 2
    assert not (tmp_path / "none").exists()


def test_rates_are_reported_beside_the_ceilings_of_the_same_run(crossframe: Command, tmp_path: Path) -> None:
    assert crossframe("run", *OPTIONS, "--scale", "1,8", "--out", tmp_path / "run").returncode == 0
    (ceiling,) = json.loads((tmp_path / "run" / "ceilings.json").read_text())["measured"]
    assert (ceiling["state"], ceiling["precision"]) == ("ok", "float32")
    cells = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)["cells"]
    assert len(cells) == 2
    for cell in cells:
        values = {name: metric["value"] for name, metric in cell["metrics"].items()}
        flops = roofline.train_flops(widen(CIRCLE, 8 if cell["task"] == "circle-x8" else 1))
        assert values["flops_per_s"] == pytest.approx(flops * values["train_samples_per_s"])
        assert values["compute_utilization"] == pytest.approx(values["flops_per_s"] / ceiling["flops_per_s"])
        assert values["bandwidth_utilization"] == pytest.approx(values["bytes_per_s"] / ceiling["bytes_per_s"])
        assert 0 < values["compute_utilization"] < 1
        assert 0 < values["bandwidth_utilization"] < 1
    exponents = {cell["task"]: cell["metrics"]["scaling_exponent"] for cell in cells}
    assert exponents["circle"]["value"] is not None
    assert exponents["circle-x8"]["value"] is None
    assert "no larger scale" in exponents["circle-x8"]["reason"]
