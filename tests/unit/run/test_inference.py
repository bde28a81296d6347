"""The table of `crossframe infer`: throughput relative to onnxruntime, or the state and its reason; wrong answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends.reference.model import Model
from crossframe.harness.analysis.model import Metric
from crossframe.harness.files import write_atomically
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.run import inference
from crossframe.harness.run.inference import BASELINE, InferenceRow, format_rows, measure_inference
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.epochs import prefix_names
from crossframe.harness.worker.infer import ANSWERS
from crossframe.harness.worker.jobs import InferJob
from crossframe.harness.worker.measurements import InferMeasurements
from crossframe.harness.worker.predictions import sample_batch_size
from crossframe.harness.worker.states import State
from tests.support.synthetic import plan_for

ROW = InferenceRow(
    task="circle",
    backend="any",
    device="cpu",
    precision="float32",
    runs="eager",
    batch_size=8,
    state=State.OK,
    reason=None,
    p50_s=Metric(2e-3, n=1),
    p95_s=Metric(4e-3, n=1),
    samples_per_s=Metric(4000.0, n=1),
)
TITLES = {"any": "Any", "other": "Other"}
ONNX = replace(ROW, runs=BASELINE, samples_per_s=Metric(8000.0, n=1))


def test_throughput_is_relative_to_onnxruntime_on_the_same_file() -> None:
    heading, framework, onnx = format_rows([ROW, ONNX], TITLES).splitlines()
    assert heading.endswith("x ort")
    assert framework.split() == ["circle", "Any", "eager", "8", "2.000", "4.000", "4,000", "0.50"]
    assert onnx.split()[-1] == "1.00"


def test_another_backend_s_file_is_no_baseline() -> None:
    _, framework, onnx = format_rows([ROW, replace(ONNX, backend="other")], TITLES).splitlines()
    assert framework.split()[-1] == "4,000"
    assert onnx.split()[-1] == "1.00"


def test_a_row_without_samples_has_its_state_and_reason() -> None:
    failed = replace(ROW, state=State.TIMEOUT, reason="not done", p50_s=None, p95_s=None, samples_per_s=None)
    assert format_rows([failed], TITLES).splitlines()[1].endswith("timeout: not done")


def test_several_precisions_are_named() -> None:
    low = replace(ROW, precision="bfloat16")
    assert ["eager bfloat16" in line for line in format_rows([ROW, low], TITLES).splitlines()[1:]] == [True, False]


@pytest.mark.parametrize(("factor", "state"), [(1.0, State.OK), (1.01, State.FAILED)])
def test_wrong_answers_fail_the_row(monkeypatch: pytest.MonkeyPatch, factor: float, state: State) -> None:
    def launch(_: Path, __: Any, job: InferJob, folder: Path, timeout_s: float) -> Outcome[InferMeasurements]:
        data = read_arrays(job.inputs)
        model = Model(job.task, select_weights(data, job.task), np.dtype("float32"), {})
        timed = sample_batch_size(model, data["x_test"], 8)[1]
        answers = timed.stack()
        answers["outputs"] = answers["outputs"] * np.float32(factor)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ANSWERS, prefix_names("8", answers))
        return Outcome(State.OK, None, 1.0, InferMeasurements(infer_samples_s={"8": timed.samples_s}))

    monkeypatch.setattr(inference, "launch", launch)
    rows = measure_inference(plan_for("cpu", backend=["reference"]), [8])
    (row,) = [row for row in rows if row.runs != BASELINE]
    assert row.state == state
    assert (row.samples_per_s is not None) == (state == State.OK)
    assert (row.reason is None) if state == State.OK else ("timed predictions of 8 samples" in str(row.reason))
