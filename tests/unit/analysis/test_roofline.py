"""Operations and bytes of a step, and their ratio to the ceilings of the device."""

from dataclasses import replace

import pytest

from crossframe.harness.analysis import roofline
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.records.model import CeilingResult, Roofline
from crossframe.harness.worker.states import State
from crossframe.tasks import discover
from crossframe.tasks.spec import initial_weights
from tests.support.synthetic import CELL, make_record

QUICK = {name: presets["quick"] for name, presets in discover().items()}


@pytest.mark.parametrize("name", QUICK)
def test_training_takes_three_forward_passes_less_the_gradient_of_the_input(name: str) -> None:
    # Uses of weights in the forward pass of one sample, and of those that meet the input; counted by hand.
    uses = {
        "circle": (2 * 16 + 16, 2 * 16),
        "cnn": (27 * 32 * 576 + 288 * 64 * 144 + 2304 * 128 + 1280, 27 * 32 * 576),
        "lstm": (28 * (356 + 512) * 1024 + 2560, 28 * 100 * 1024),
        "autoencoder": (2 * (784 * 400 + 400 * 200 + 200 * 32), 784 * 400),
        # Sides of 16, 8 and 4; scales of three normalizations at each.
        "resnet": (
            256 * (27 * 16 + 2 * 144 * 16 + 3 * 16)
            + 64 * (144 * 32 + 288 * 32 + 16 * 32 + 3 * 32)
            + 16 * (288 * 64 + 576 * 64 + 32 * 64 + 3 * 64)
            + 640,
            27 * 16 * 256,
        ),
    }
    total, entry = uses[name]
    assert roofline.train_flops(QUICK[name]) == 2 * (3 * total - entry)
    start = initial_weights(QUICK[name], 0)
    parameters, buffers = (
        sum(start[key].size for key in keys) for keys in (QUICK[name].parameters(), QUICK[name].buffers())
    )
    assert roofline.train_bytes(QUICK[name], "float32") == 4 * (3 * parameters + 2 * buffers)
    assert roofline.train_bytes(QUICK[name], "bfloat16") == roofline.train_bytes(QUICK[name], "float64") / 2


def test_the_roofline_of_a_cell_has_the_best_ceilings() -> None:
    task = QUICK["circle"]

    def ceiling(precision: str, flops_per_s: float | None, bytes_per_s: float | None, *caveats: str) -> CeilingResult:
        return CeilingResult(
            "a", "eager", "cpu", precision, State.OK, None, flops_per_s, bytes_per_s, caveats=list(caveats)
        )

    ceilings = [
        ceiling("float32", 3e12, None, "hot"),
        ceiling("float32", 5e12, 1e9, "hot", "busy"),
        ceiling("bfloat16", 9e12, 2e9),
    ]
    bounds = roofline.roofline_for(task, CELL, ceilings)
    assert bounds.step_flops == roofline.train_flops(task) * task.batch_size
    assert bounds.step_bytes == roofline.train_bytes(task, "float32")
    assert bounds.ceiling_flops_per_s == 5e12  # in the precision of the cell
    assert bounds.ceiling_bytes_per_s == 2e9  # a copy does not depend on the precision
    assert bounds.caveats == ["busy", "hot"]
    unmeasured = roofline.roofline_for(task, replace(CELL, precision="float64"), ceilings)
    assert unmeasured.ceiling_flops_per_s is None
    assert roofline.roofline_for(task, CELL, []).ceiling_bytes_per_s is None


def test_utilization_is_the_achieved_rate_divided_by_the_ceiling() -> None:
    record = make_record("a", 1, 0.01, roofline=Roofline(10, 20, 4000.0, 1e4))
    (report,) = build_cell_reports([record], {})
    values = {name: report.metrics[name].value for name in ("flops_per_s", "bytes_per_s")}
    assert values == pytest.approx({"flops_per_s": 1000, "bytes_per_s": 2000})
    assert report.metrics["compute_utilization"].value == pytest.approx(0.25)
    assert report.metrics["bandwidth_utilization"].value == pytest.approx(0.2)


def test_a_ceiling_that_a_process_exceeds_gives_no_utilization() -> None:
    bounds = Roofline(10, 10, 900.0, None)
    records = [make_record("a", repeat, step_s, roofline=bounds) for repeat, step_s in enumerate((0.02, 0.01), 1)]
    (report,) = build_cell_reports(records, {})
    assert report.metrics["flops_per_s"].value == pytest.approx(750)  # 500 and 1,000
    utilization = report.metrics["compute_utilization"]
    assert utilization.value is None
    assert utilization.reason is not None
    assert "more than the ceiling" in utilization.reason
    assert report.metrics["bandwidth_utilization"].reason == "no ceiling was measured for this device and precision"
