"""Writing and reading the files of a run."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.records import store
from crossframe.harness.records.codec import from_json, to_json
from crossframe.harness.records.model import CeilingResult, EnvironmentCost, GpuSamples, Record
from crossframe.harness.worker.measurements import EvaluationPoint, OperatorProfile, OperatorTime
from crossframe.harness.worker.states import State
from tests.support.synthetic import HOST, make_receipt, make_record, make_repeats, make_run_info, save_run

RECORD = make_record("a", 1, 0.01)


def test_a_record_is_read_as_it_was_appended(tmp_path: Path) -> None:
    records = [make_record("a", repeat, 0.01, measurements={"receipt": make_receipt()}) for repeat in (1, 2)]
    for record in records:
        store.append(tmp_path, record)
    assert store.read(tmp_path) == (records, [])


def test_the_last_record_of_a_job_counts(tmp_path: Path) -> None:
    again = replace(RECORD, wall_s=20.0)
    store.append(tmp_path, RECORD)
    store.append(tmp_path, again)
    assert store.read(tmp_path) == ([again], [])


def test_a_line_that_was_cut_short_does_not_damage_the_next(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text('{"schema": 2, "job"')
    store.append(tmp_path, RECORD)
    records, warnings = store.read(tmp_path)
    assert records == [RECORD]
    assert len(warnings) == 1
    assert "line 1 is damaged" in warnings[0]


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, job=""),
        replace(RECORD, repeat=0),
        replace(RECORD, wall_s=-1.0),
        replace(RECORD, environment=EnvironmentCost(bytes=-1, install_s=None)),
        replace(RECORD, cell=replace(RECORD.cell, batch_size=0)),
        replace(RECORD, gpu=GpuSamples("cuda:0", 0, {"at_s": []})),
        replace(RECORD, measurements=replace(RECORD.measurements, host_peak_bytes=-1)),
        replace(RECORD, measurements=replace(RECORD.measurements, step_samples_s=[])),
        replace(RECORD, measurements=replace(RECORD.measurements, infer_samples_s=[0.1, -0.1])),
        replace(
            RECORD,
            measurements=replace(
                RECORD.measurements, operators=OperatorProfile(State.OK, None, 1, [OperatorTime("dot", -1, 0.1)])
            ),
        ),
    ],
)
def test_values_outside_of_their_range_are_neither_written_nor_read(tmp_path: Path, record: Record) -> None:
    with pytest.raises(ValueError, match="record of"):
        store.append(tmp_path, record)
    (tmp_path / "records.jsonl").write_text(to_json(record) + "\n")
    records, warnings = store.read(tmp_path)
    assert records == []
    assert len(warnings) == 1


@pytest.mark.parametrize("changes", [{"state": "fine"}, {"measurements": None}, {"schema": 3}, {"cell": {"task": "x"}}])
def test_a_record_of_another_shape_is_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps(json.loads(to_json(RECORD)) | changes) + "\n")
    records, warnings = store.read(tmp_path)
    assert records == []
    assert len(warnings) == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e305])
def test_a_number_that_is_not_finite_is_not_stored(tmp_path: Path, loss: float) -> None:
    point = EvaluationPoint(epoch=1, loss=loss, train_loss=None, quality={"accuracy": 0.1}, train_s=1.0)
    diverged = replace(RECORD, measurements=replace(RECORD.measurements, curve=[point]))
    with pytest.raises(ValueError, match="record of"):
        store.append(tmp_path, diverged)
    assert not (tmp_path / "records.jsonl").exists()
    text = json.dumps(json.loads(to_json(RECORD)) | {"wall_s": loss})
    (tmp_path / "records.jsonl").write_text(text + "\n")
    assert len(store.read(tmp_path)[1]) == 1


def test_run_info_is_read_as_it_was_written(tmp_path: Path) -> None:
    info = make_run_info("run", make_repeats("a", [1.0, 1.0]))
    store.write_run(tmp_path, info)
    assert store.read_run(tmp_path) == info


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "no run.json"), ("{", "is damaged"), ("[]", "another version"), ('{"schema": 3}', "another version")],
)
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(store.NoRunError, match=complaint):
        store.read_run(tmp_path)


def test_run_info_that_lacks_a_field_is_damaged(tmp_path: Path) -> None:
    save_run(tmp_path, [RECORD])
    stored = json.loads((tmp_path / "run.json").read_text())
    del stored["host"]["cpu"]
    (tmp_path / "run.json").write_text(json.dumps(stored))
    with pytest.raises(store.NoRunError, match=r"damaged.*cpu"):
        store.read_run(tmp_path)


def test_records_of_no_run_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(store.NoRunError, match=r"neither run\.json nor records\.jsonl"):
        store.read(tmp_path)
    store.write_run(tmp_path, make_run_info("run", []))
    assert store.read(tmp_path) == ([], [])


def test_ceilings_are_read_as_they_were_written(tmp_path: Path) -> None:
    ceilings = [CeilingResult("torch", "eager", "cpu", "float32", State.OK, None, 1e12, None, ["hot"])]
    assert store.read_ceilings(tmp_path) == []
    store.write_ceilings(tmp_path, ceilings)
    assert store.read_ceilings(tmp_path) == ceilings


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 2, "results": 1}'])
def test_a_damaged_portability_report_is_left_out_with_a_warning(tmp_path: Path, text: str) -> None:
    assert store.read_portability(tmp_path) == (None, [])
    (tmp_path / "portability.json").write_text(text)
    results, warnings = store.read_portability(tmp_path)
    assert results is None
    assert len(warnings) == 1


def test_the_host_of_a_run_is_typed() -> None:
    assert from_json(to_json(HOST), type(HOST)) == HOST
