"""The table of `crossframe infer`: throughput relative to onnxruntime, or the state and its reason."""

from dataclasses import replace

from crossframe.harness.analysis.model import Metric
from crossframe.harness.run.inference import BASELINE, InferenceRow, format_rows
from crossframe.harness.worker.states import State

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
ONNX = replace(ROW, runs=BASELINE, samples_per_s=Metric(8000.0, n=1))


def test_throughput_is_relative_to_onnxruntime_on_the_same_file() -> None:
    heading, framework, onnx = format_rows([ROW, ONNX]).splitlines()
    assert heading.endswith("x ort")
    assert framework.split() == ["circle", "any", "eager", "8", "2.000", "4.000", "4,000", "0.50"]
    assert onnx.split()[-1] == "1.00"


def test_another_backend_s_file_is_no_baseline() -> None:
    _, framework, onnx = format_rows([ROW, replace(ONNX, backend="other")]).splitlines()
    assert framework.split()[-1] == "4,000"
    assert onnx.split()[-1] == "1.00"


def test_a_row_without_samples_has_its_state_and_reason() -> None:
    failed = replace(ROW, state=State.TIMEOUT, reason="not done", p50_s=None, p95_s=None, samples_per_s=None)
    assert format_rows([failed]).splitlines()[1].endswith("timeout: not done")


def test_several_precisions_are_named() -> None:
    low = replace(ROW, precision="bfloat16")
    assert ["eager bfloat16" in line for line in format_rows([ROW, low]).splitlines()[1:]] == [True, False]
