"""`crossframe compare`, from runs that were never executed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.cli import program
from crossframe.harness.decision import comparison_formats
from crossframe.harness.decision.compare import build_run_comparison
from crossframe.harness.decision.comparison import RunComparison
from crossframe.harness.errors import DONE, GATE_TRIPPED, USAGE, UsageError
from crossframe.harness.records.model import Host, ParitySummary, Record
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State
from tests.conftest import ROOT
from tests.support.synthetic import HOST, make_record, make_repeats, make_run_info, save_run

STEPS_S = (0.010, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101, 0.0103)
THIS_HOST = replace(HOST, cpu="this one", processors=2, kernel="6.1")


def make_run(
    folder: Path,
    factor: float = 1.0,
    records: Sequence[Record] = (),
    host: Host = THIS_HOST,
    commit: str | None = None,
) -> Path:
    """Return a run of `a`, slower by a factor, and of `b`, which stays as it is; or of other records."""
    slowed = [factor * step_s for step_s in STEPS_S]
    records = records or [*make_repeats("a", slowed), *make_repeats("b", STEPS_S)]
    return save_run(folder, records, info=replace(make_run_info(folder.name, records), host=host, commit=commit))


def read_changes(comparison: RunComparison, backend: str) -> dict[str, str]:
    return {change.metric: change.change for change in comparison.metrics if change.cell.backend == backend}


def test_a_slower_backend_is_named_and_the_other_is_the_same(tmp_path: Path) -> None:
    comparison = build_run_comparison(make_run(tmp_path / "before"), make_run(tmp_path / "after", 1.2), False)
    changes = read_changes(comparison, "a")
    assert changes["step_s"] == changes["train_samples_per_s"] == changes["first_step_s"] == "slower"
    assert changes["host_peak_bytes"] == changes["onnx_bytes"] == changes["accuracy"] == "same"
    assert set(read_changes(comparison, "b").values()) == {"same"}
    step = next(c for c in comparison.metrics if c.cell.backend == "a" and c.metric == "step_s")
    assert step.low is not None
    assert step.high is not None
    assert step.low < 1.2 < step.high
    assert step.ratio == pytest.approx(1.2)
    assert step.worse
    reverse = build_run_comparison(tmp_path / "after", tmp_path / "before", False)
    assert read_changes(reverse, "a")["step_s"] == "faster"
    assert not any(change.worse for change in reverse.metrics)


def test_people_read_titles_and_programs_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = make_repeats("a", STEPS_S), make_repeats("a", [1.2 * step_s for step_s in STEPS_S])
    runs = [str(save_run(tmp_path / name, part, {"a": "Alpha"})) for name, part in zip(("before", "after"), records)]
    for output_format in ("table", "md"):
        assert program.main(["compare", *runs, "--format", output_format]) == DONE
        text = capsys.readouterr().out
        assert "circle Alpha eager" in text
        assert "circle a eager" not in text
    program.main(["compare", *runs, "--fail-if-regress", "5%", "--format", "json"])
    captured = capsys.readouterr()
    assert "regressed: circle Alpha eager" in captured.err
    comparison = json.loads(captured.out)
    assert comparison["titles"] == {"a": "Alpha"}
    assert {change["cell"]["backend"] for change in comparison["metrics"]} == {"a"}


def test_larger_and_less_accurate_are_detected(tmp_path: Path) -> None:
    worse = make_repeats(
        "a", STEPS_S, measurements={"host_peak_bytes": 2 * 10**8}, evaluation={"quality": {"accuracy": 0.5}}
    )
    comparison = build_run_comparison(make_run(tmp_path / "a"), make_run(tmp_path / "b", records=worse), False)
    changes = read_changes(comparison, "a")
    assert (changes["host_peak_bytes"], changes["accuracy"]) == ("larger", "less accurate")


def test_a_comparison_begins_with_the_answer_and_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = {"a": "A framework with a long title"}
    runs = [
        save_run(
            tmp_path / name,
            make_repeats("a", [factor * step_s for step_s in STEPS_S], cell={"mode": "reduce-overhead"}),
            names,
        )
        for name, factor in (("before", 1.0), ("after", 1.2))
    ]
    assert program.main(["compare", *map(str, runs)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "6 of 9 metrics became worse"
    assert "circle A framework with a long title reduce-overhead" in lines
    assert max(map(len, lines)) <= 80
    assert not any("\u2026" in line for line in lines)


def test_few_repeats_are_not_enough(tmp_path: Path) -> None:
    before = make_run(tmp_path / "a", records=make_repeats("a", [0.01, 0.01]))
    after = make_run(tmp_path / "b", records=make_repeats("a", [0.02, 0.02]))
    comparison = build_run_comparison(before, after, False)
    assert set(read_changes(comparison, "a").values()) == {"not enough evidence"}
    assert "too few repeats" in comparison_formats.as_table(comparison)


@pytest.mark.parametrize(("tolerance", "code"), [("5%", GATE_TRIPPED), ("0.5", DONE), ("30%", DONE)])
def test_the_gate(tmp_path: Path, tolerance: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = str(make_run(tmp_path / "before")), str(make_run(tmp_path / "after", 1.2))
    assert program.main(["compare", before, after, "--fail-if-regress", tolerance]) == code
    assert ("regressed: circle a eager" in capsys.readouterr().err) == (code == GATE_TRIPPED)
    assert program.main(["compare", before, before, "--fail-if-regress", tolerance]) == DONE


def test_a_cell_that_is_no_longer_ok_trips_the_gate(tmp_path: Path) -> None:
    broken = replace(
        make_record("a", 1, 0.01),
        state=State.FAILED,
        reason="no",
        measurements=TrainMeasurements(),
        evaluation=None,
    )
    unverified = make_repeats("b", STEPS_S, parity=ParitySummary(State.FAILED, "off", None))
    after = make_run(tmp_path / "b", records=[broken, *unverified])
    comparison = build_run_comparison(make_run(tmp_path / "a"), after, False)
    lines = comparison_formats.describe_regressions(comparison, 0.05)
    assert any("was ok, is failed: it is failed: no" in line for line in lines)
    assert any("was ok, is not verified equal" in line for line in lines)
    assert "nothing could be compared" in lines


def test_other_hosts_are_compared_on_request_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = make_run(tmp_path / "a")
    after = make_run(tmp_path / "b", host=replace(THIS_HOST, cpu="that one"))
    with pytest.raises(UsageError, match="different hosts"):
        build_run_comparison(before, after, False)
    assert program.main(["compare", str(before), str(after)]) == USAGE
    assert "--across-hosts" in capsys.readouterr().err
    assert program.main(["compare", str(before), str(after), "--across-hosts", "--format", "json"]) == DONE
    comparison = json.loads(capsys.readouterr().out)
    assert {"setting": "host.cpu", "a": '"this one"', "b": '"that one"'} in comparison["settings"]


def test_changed_settings_are_listed(tmp_path: Path) -> None:
    newer = make_repeats("a", STEPS_S, measurements={"versions": {"a": "2.0"}})
    after = make_run(tmp_path / "b", records=newer, host=replace(THIS_HOST, kernel="6.2"), commit="abc")
    comparison = build_run_comparison(make_run(tmp_path / "a"), after, False)
    settings = {change.setting: (change.a, change.b) for change in comparison.settings}
    assert settings["host.kernel"] == ('"6.1"', '"6.2"')
    assert settings["commit"] == ("null", '"abc"')
    assert settings["versions.a a"] == ('"1.0"', '"2.0"')
    assert "changed: versions.a a" in comparison_formats.as_markdown(comparison)
    assert [(excluded.cell.backend, excluded.reason) for excluded in comparison.excluded] == [("b", "only in a")]


def test_markup_in_names_is_escaped(tmp_path: Path) -> None:
    before, after = make_run(tmp_path / "<b>"), make_run(tmp_path / "after", 1.2)
    text = comparison_formats.as_markdown(build_run_comparison(before, after, False))
    assert "<b>" not in text
    assert text.startswith("## &lt;b> to after\n")
    assert "| circle a eager | training step, ms | slower |" in text


def test_a_run_of_version_1_is_compared_with_itself() -> None:
    run = ROOT / "results" / "2026-11-21-two-cores"
    comparison = build_run_comparison(run, run, False)
    assert comparison.settings == []
    assert len({change.cell for change in comparison.metrics}) == 16
    assert not any(change.worse for change in comparison.metrics)


@pytest.mark.parametrize("tolerance", ["many", "-5%", "120%"])
def test_a_wrong_tolerance_is_usage(tolerance: str) -> None:
    assert program.main(["compare", "a", "b", f"--fail-if-regress={tolerance}"]) == USAGE
