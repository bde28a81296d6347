"""Runs of version 1 are read as those of version 2."""

import json
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.records import store, version1
from crossframe.harness.records.portability import PortabilityState
from crossframe.harness.worker.states import State
from tests.conftest import ROOT

COMMITTED = ROOT / "results" / "2026-11-21-two-cores"


def test_the_committed_records_are_read_whole() -> None:
    lines = (COMMITTED / "records.jsonl").read_text().splitlines()
    records, warnings = store.read(COMMITTED)
    assert warnings == []
    assert len(records) == len(lines) > 0
    for record, line in zip(records, lines, strict=True):
        stored = json.loads(line)
        assert record.ended == stored["started"]  # version 1 stored the end under this name
        assert record.started is None
        measures = stored["measures"]
        assert record.measurements.infer_batch_size == measures["infer_many"]
        assert record.measurements.step_samples_s == measures["step_samples_s"]
        assert [point.quality for point in record.measurements.curve] == [
            {name: point[name] for name in ("accuracy", "mse") if name in point} for point in measures["curve"]
        ]
        receipt = record.measurements.receipt
        assert receipt is not None
        assert receipt.thread_pools == measures["receipt"]["pools"]
        assert receipt.settings.threads == measures["receipt"]["settings"]["threads"]
        assert record.roofline is not None
        assert record.roofline.step_flops == stored["limits"]["step_flops"]
        assert record.evaluation is not None
        assert record.evaluation.quality == stored["verdict"]["quality"]


def test_the_committed_run_is_read() -> None:
    stored = json.loads((COMMITTED / "run.json").read_text())
    info = store.read_run(COMMITTED)
    assert info.schema == 2
    assert info.options.timeout_s == stored["options"]["timeout"]
    assert info.options.time_budget_s is None
    assert info.options.profile_operators is False
    assert info.host.cpu == stored["host"]["cpu"]
    assert len(info.jobs) == len(stored["jobs"])


def test_the_committed_ceilings_are_read() -> None:
    (ceiling,) = store.read_ceilings(COMMITTED)
    assert (ceiling.backend, ceiling.state, ceiling.caveats) == ("reference", State.OK, [])


def test_the_committed_portability_report_is_read() -> None:
    stored = json.loads((COMMITTED / "portability.json").read_text())["cells"]
    results, warnings = store.read_portability(COMMITTED)
    assert warnings == []
    assert results is not None
    assert len(results) == len(stored) > 0
    for result, cell in zip(results, stored, strict=True):
        assert result.state == PortabilityState(cell["state"])
        distances = result.checks.distances
        assert (distances is None) == (not cell["checks"].get("numbers"))
        if distances is not None:
            assert distances.relative_error == cell["checks"]["numbers"]["scaled"]


def test_the_first_runs_lacked_options() -> None:
    stored = json.loads((COMMITTED / "run.json").read_text())
    for name in ("budget_s", "seeds", "profile", "scale"):
        del stored["options"][name]
    del stored["specs"]
    info = version1.convert_run(stored)
    assert (info.options.seeds, info.options.time_budget_s, info.options.scale, info.specs) == (1, None, [], {})


def shorten(stored: dict[str, Any]) -> None:
    stored["measures"] = None


def drop_settings(stored: dict[str, Any]) -> None:
    del stored["measures"]["receipt"]["settings"]


def empty_samples(stored: dict[str, Any]) -> None:
    stored["measures"]["step_samples_s"] = []


@pytest.mark.parametrize("damage", [shorten, drop_settings, empty_samples])
def test_a_damaged_record_is_left_out(tmp_path: Path, damage: Any) -> None:
    stored = json.loads((COMMITTED / "records.jsonl").read_text().splitlines()[0])
    damage(stored)
    (tmp_path / "records.jsonl").write_text(json.dumps(stored))
    records, warnings = store.read(tmp_path)
    assert records == []
    assert len(warnings) == 1
