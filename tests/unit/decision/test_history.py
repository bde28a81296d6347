"""`crossframe history`, from runs that were never executed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.cli import program
from crossframe.harness.decision.history import as_text, build_history
from crossframe.harness.errors import DONE
from crossframe.harness.records import store
from crossframe.harness.records.codec import from_json, to_plain
from crossframe.harness.records.model import Host, ParitySummary, Record
from crossframe.harness.worker.states import State
from tests.support.synthetic import HOST, make_repeats, make_run_info, save_run

THIS_HOST = replace(HOST, cpu="this one", kernel="6.1")


def make_run(folder: Path, day: int, host: Host = THIS_HOST, records: list[Record] | None = None) -> None:
    records = records or make_repeats("a", [0.01, 0.011, 0.012])
    created = f"2026-11-{day}T00:00:00+00:00"
    save_run(folder, records, info=replace(make_run_info(folder.name, records), created=created, host=host))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with three runs of a host whose kernel changes before the last, and one of another host."""
    make_run(tmp_path / "2", 22)
    make_run(tmp_path / "1", 21)
    make_run(tmp_path / "3", 23, replace(THIS_HOST, kernel="6.2"))
    make_run(tmp_path / "4", 24, replace(THIS_HOST, cpu="that one"))
    (tmp_path / "no-run").mkdir()
    return tmp_path


def test_runs_are_listed_by_host_with_each_change(results: Path) -> None:
    history = build_history(results)
    assert [[run.name for run in host.runs] for host in history.hosts] == [["1", "2", "3"], ["4"]]
    changes = [[change.setting for change in run.settings] for run in history.hosts[0].runs]
    assert changes == [[], [], ["host.kernel"]]
    assert [host.host.cpu for host in history.hosts] == ["this one", "that one"]


def test_text_and_json(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["history", str(results)]) == DONE
    text = capsys.readouterr().out
    assert text.startswith("4 runs on 2 hosts\n\nthis one\n")
    assert '* 2026-11-23 00:00: 3, preset quick\n  host.kernel: "6.1" -> "6.2"\n' in text
    (row,) = [line for line in text.splitlines() if line.startswith("* 2026-11-23 00:00  ")]
    assert row.split()[3:] == ["5,818", "±26%", "5.50", "±25%", "100", "±0%"]
    assert program.main(["history", str(results), "--format", "json"]) == DONE
    assert json.loads(capsys.readouterr().out) == to_plain(build_history(results))


def test_a_cell_that_is_not_verified_is_marked(tmp_path: Path) -> None:
    unverified = make_repeats("a", [0.01], parity=ParitySummary(State.FAILED, "off", None))
    failed = make_repeats("b", [0.01], state=State.FAILED, reason="why")
    make_run(tmp_path / "1", 21, records=[*unverified, *failed])
    lines = as_text(build_history(tmp_path)).splitlines()
    assert any(line.endswith("  not verified equal") for line in lines)
    assert any(line.endswith("  failed") for line in lines)


def test_people_read_titles(tmp_path: Path) -> None:
    records = make_repeats("a", [0.01])
    save_run(tmp_path / "1", records, info=make_run_info("1", records, {"a": "Alpha"}))
    history = build_history(tmp_path)
    assert "circle Alpha eager, quick" in as_text(history).splitlines()
    assert history.hosts[0].runs[0].cells[0].cell.backend == "a"


def test_a_history_fits_80_columns(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, as_text(build_history(results)).splitlines())) <= 80


def test_damaged_runs_are_warned_of(results: Path) -> None:
    (results / "3" / "run.json").write_text("{")
    with (results / "4" / "records.jsonl").open("a") as file:
        file.write("{\n")
    history = build_history(results)
    assert [[run.name for run in host.runs] for host in history.hosts] == [["1", "2"], ["4"]]
    assert len(history.warnings) == 2


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(store.NoRunError, match="holds no run"):
        build_history(tmp_path)


def test_history_can_be_read_back(results: Path) -> None:
    history = build_history(results)
    assert from_json(json.dumps(to_plain(history)), type(history)) == history
