"""The formats of a portability report."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from crossframe.harness.portability import formats
from crossframe.harness.records.codec import from_json
from crossframe.harness.records.portability import (
    REFERENCE_MODEL,
    Census,
    Checks,
    Distances,
    ExternalData,
    Fault,
    FileReport,
    InputChecks,
    ModelStructure,
    NanBehaviour,
    OpsetRange,
    OpsetSpan,
    PortabilityReport,
    PortabilityState,
    Provenance,
    RuntimeMetrics,
    RuntimeResult,
    Stage,
)
from crossframe.harness.worker.states import State

WRONG = RuntimeResult(
    task="t",
    exporter="e",
    variant="as exported",
    runtime="r",
    opset=17,
    sha256="0",
    state=PortabilityState.WRONG,
    stage=Stage.COMPARE,
    reason="off",
    checks=Checks(
        distances=Distances(0.5, 0.25, 9.0, 0.5, False), inputs=InputChecks(zeros="shape", nan=NanBehaviour.SWALLOWED)
    ),
    fault=Fault("lstm1", "LSTM", "the file does not compute lstm1", "model.onnx"),
    metrics=RuntimeMetrics(load_s=0.125),
)
STRUCTURE = ModelStructure(
    provenance=Provenance("writer 1", {"ai.onnx": 17}, 8, 100, "0"),
    external=ExternalData(["w.bin", "/w.bin"], ["/w.bin"], ["w.bin"]),
    census=Census({"LSTM": 1}, [], [], [], []),
    inputs=[],
    outputs=[],
    problem="invalid",
)
RANGE = OpsetRange("e", "t", [7, 8, 9, 12], {}, {"r": OpsetSpan(8, 12, {}), "s": OpsetSpan(None, None, {})})
REPORT = PortabilityReport(
    schema=2,
    name="run",
    concurrency=2,
    device="cuda:3",
    files=[FileReport("e", "t", State.OK, None, STRUCTURE, REFERENCE_MODEL)],
    results=[WRONG, replace(WRONG, runtime="s", state=PortabilityState.PASS, reason=None, fault=None)],
    opset_ranges=[RANGE],
)

NOTES = [
    "2 results: 1 pass, 1 wrong",
    "t e: load: onnx.checker: invalid",
    "t e: load: weights outside: /w.bin",
    "t e: load: weights missing: w.bin",
    "t e as exported in r: wrong: off",
    "t e in r: outputs are wrong from node lstm1 on: the file does not compute lstm1; reproducer: model.onnx",
    "a NaN sample becomes a number in r: t e",
    "a NaN sample becomes a number in s: t e",
    "opsets of t e: writes 7-9, 12; r 8 to 12, s none",
    "times are those of one thread on one processor, 2 results at a time",
]


def test_notes_contain_reasons_faults_and_opsets() -> None:
    assert formats.list_notes(REPORT) == NOTES


def test_times_on_a_gpu_are_noted() -> None:
    on_gpu = replace(WRONG, facts={"device": "cuda:3"})
    note = formats.list_notes(replace(REPORT, results=[on_gpu]))[-1]
    assert note == "times of r are those of cuda:3, including copies to and from it"


@pytest.mark.parametrize("reference", ["reference_evaluator", None])
def test_other_references_are_noted(reference: str | None) -> None:
    report = replace(REPORT, files=[replace(REPORT.files[0], reference=reference)])
    expected = reference or "nothing: no reference runtime runs it"
    assert f"t e: compared with {expected}" in formats.list_notes(report)


def test_table_has_a_column_for_each_runtime() -> None:
    headings, _, task, row = formats.as_table(REPORT).splitlines()[:4]
    assert headings.split() == ["exporter", "r", "s"]
    assert task == "t"
    assert re.split(r"\s{2,}", row) == ["e", "wrong (compare)", "pass"]


def test_table_has_the_variants_if_there_are_several() -> None:
    other = replace(REPORT, results=[*REPORT.results, replace(WRONG, variant="opset 13")])
    rows = [re.split(r"\s{2,}", line) for line in formats.as_table(other).splitlines()]
    assert ["exporter", "variant", "r", "s"] in rows
    assert ["e", "opset 13", "wrong (compare)", "-"] in rows


def test_people_read_titles() -> None:
    results = [replace(result, exporter="torch", runtime="onnxruntime") for result in REPORT.results]
    report = replace(REPORT, results=results, files=[replace(REPORT.files[0], reference=REFERENCE_MODEL)])
    for text in (formats.as_table(report), formats.as_markdown(report)):
        assert "PyTorch" in text
        assert "ONNX Runtime" in text
        assert "torch" not in text.replace("PyTorch", "")
    assert '"exporter": "torch"' in formats.as_json(report)


def test_markdown_has_a_row_for_each_file() -> None:
    lines = formats.as_markdown(REPORT).splitlines()
    assert lines[2] == "| task | exporter | variant | r | s |"
    assert "| t | e | as exported | wrong (compare) | pass |" in lines
    assert f"- {NOTES[0]}" in lines


def test_csv_has_a_line_for_each_result() -> None:
    rows = list(csv.DictReader(io.StringIO(formats.as_csv(REPORT))))
    assert [(row["runtime"], row["state"]) for row in rows] == [("r", "wrong"), ("s", "pass")]
    assert rows[0]["max_abs"] == "0.5"
    assert rows[0]["load_s"] == "0.125"
    assert rows[0]["host_peak_bytes"] == ""


def test_json_is_read_back() -> None:
    assert from_json(formats.as_json(REPORT), PortabilityReport) == REPORT


def test_every_format_is_listed() -> None:
    assert set(formats.FORMATS) == {"table", "json", "csv", "md"}
