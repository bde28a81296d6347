"""The report in a terminal of 80 columns, from records alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from crossframe.harness.records.model import ParitySummary, ProcessSamples, Record
from crossframe.harness.report import formats, summary
from crossframe.harness.report.answer import shorten_list
from crossframe.harness.report.document import build_report
from crossframe.harness.worker.states import State
from tests.support.pages import install_backends, make_backend, make_failure, make_three
from tests.support.synthetic import make_record, save_run


def write_summary(folder: Path, records: Sequence[Record], titles: dict[str, str] | None = None) -> str:
    """Return the summary of a run with these records, in one line."""
    return " ".join(summary.as_summary(build_report(save_run(folder / "run", records, titles))).split())


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_winner_is_named_with_its_advantage(tmp_path: Path) -> None:
    text = write_summary(tmp_path, make_three(), {"a": "Alpha"})
    assert text.startswith("Alpha eager trains circle 1.50x as fast as b eager.")
    assert "No first place is shared. All 3 cells succeeded and were verified" in text


def test_a_tie_is_named_and_nothing_is_ahead(tmp_path: Path) -> None:
    text = write_summary(tmp_path, make_three((1.0, 1.0, 1.0)))
    assert text.startswith("No training speed is ahead beyond the noise. a eager, b eager and c eager tie on circle.")


def test_too_few_repeats_rank_nothing(tmp_path: Path) -> None:
    text = write_summary(tmp_path, [make_record(name, 1, 0.01) for name in "ab"])
    assert text.startswith("No training speed is ranked: not enough evidence: 1 of at least ")


def test_failures_are_in_the_answer_and_in_the_table_and_have_a_reason(tmp_path: Path) -> None:
    failure = make_failure("d", state=State.TIMEOUT, reason="over 6 s")
    text = write_summary(tmp_path, [*make_three(), failure])
    assert "3 of 4 cells succeeded" in text
    assert "Without success: circle d eager (timeout)." in text
    assert "d eager - timeout - -" in text
    assert "circle d eager: timeout: over 6 s" in text


def test_cells_that_were_not_verified_are_marked(tmp_path: Path) -> None:
    unverified = make_record("d", 1, 0.01, parity=ParitySummary(State.FAILED, "gradient differs", None))
    assert "d eager unverified" in write_summary(tmp_path, [*make_three(), unverified])


def test_tables_for_people_have_titles_and_files_for_programs_names(tmp_path: Path) -> None:
    report = build_report(save_run(tmp_path / "run", make_three(), {"a": "Alpha"}))
    assert "| circle | Alpha | eager | ok |" in formats.FORMATS["md"](report)
    assert re.search(r"circle +Alpha +eager +ok", formats.FORMATS["table"](report))
    assert "circle,a,eager,cpu" in formats.FORMATS["csv"](report)
    assert [cell["backend"] for cell in json.loads(formats.FORMATS["json"](report))["cells"]] == ["a", "b", "c"]


def test_warnings_have_titles(tmp_path: Path) -> None:
    seen = ProcessSamples(2, 100_000_000, 100_000_000, 400_000_000, [0], 9, 0.001)
    text = write_summary(tmp_path, [make_record("a", 1, 0.01, processes=seen)], {"a": "Alpha"})
    assert "up to 300 MB in Alpha eager by 2 processes" in text


def test_modes_that_exist_and_were_not_measured_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backends = [
        make_backend(tmp_path / name, name, {}, modes) for name, modes in (("a", ("eager", "jit")), ("b", ("eager",)))
    ]
    install_backends(monkeypatch, *backends)
    report = build_report(save_run(tmp_path / "run", make_three(), {"a": "Alpha"}))
    for text in (summary.as_summary(report), *(formats.FORMATS[name](report) for name in ("table", "md"))):
        words = " ".join(text.split())
        assert "modes of Alpha: eager measured; not measured: jit" in words
        assert "modes of b: eager measured; there are no others" in words
        assert "modes of c: eager measured; whether there are others is unknown" in words
    assert report.profiles[0].measured.modes_not_measured == {"jit": None}


def test_each_workload_is_a_group(tmp_path: Path) -> None:
    records = [make_record(name, 1, 0.01, cell={"batch_size": size}) for name in "ab" for size in (8, 64)]
    lines = summary.as_summary(build_report(save_run(tmp_path / "run", records))).splitlines()
    assert [line for line in lines if line.startswith("circle")] == ["circle, batch 8", "circle, batch 64"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names = {"a": "A framework with a long name", "b": "b", "c": "c"}
    report = build_report(save_run(tmp_path / "run", [*make_three(), make_failure("d")], names))
    lines = summary.as_summary(report).splitlines()
    assert max(map(len, lines)) <= max(columns, 70)
    assert "…" not in "".join(lines)


def test_a_run_without_records_says_so(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", [make_record("a", 1, 0.01)])
    (run / "records.jsonl").unlink()
    assert summary.as_summary(build_report(run)).startswith("Nothing was measured yet")


def test_a_long_list_is_counted() -> None:
    assert shorten_list(list("abcdef"), "; ") == "a; b; c; d and 2 more"
