"""`crossframe compare`, `history` and the Parquet table, from runs that never ran."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness import errors
from crossframe.harness.cli import parser
from crossframe.harness.decision import compare, history
from crossframe.harness.errors import Usage
from crossframe.harness.records import store
from tests.support.synthetic import record, repeats, write_run

STEPS = (0.010, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101, 0.0103)
HOST = {"cpu": "this one", "processors": 2, "kernel": "6.1"}


def run(folder: Path, factor: float = 1.0, found: list[dict[str, Any]] | None = None, **told: Any) -> Path:
    """A run of `a`, so many times as slow as another, and of `b`, which stays as it is."""
    slowed = [factor * step for step in STEPS]
    made = write_run(folder, found or [*repeats("a", slowed), *repeats("b", STEPS)])
    path = made / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": HOST} | told))
    return made


def words(told: dict[str, Any], backend: str) -> dict[str, str]:
    return {one["metric"]: one["word"] for one in told["figures"] if one["backend"] == backend}


def test_what_became_slower_is_said_of_whom_it_is_true(tmp_path: Path) -> None:
    told = compare.document(run(tmp_path / "before"), run(tmp_path / "after", 1.2), False)
    slower = words(told, "a")
    assert slower["step_s"] == slower["train_samples_per_s"] == slower["first_step_s"] == "slower"
    assert slower["host_peak_bytes"] == slower["onnx_bytes"] == slower["accuracy"] == "same"
    assert set(words(told, "b").values()) == {"same"}
    step = next(one for one in told["figures"] if one["backend"] == "a" and one["metric"] == "step_s")
    assert step["low"] < 1.2 < step["high"] and step["ratio"] == pytest.approx(1.2) and step["worse"]
    back = compare.document(tmp_path / "after", tmp_path / "before", False)
    assert words(back, "a")["step_s"] == "faster" and not any(one["worse"] for one in back["figures"])


def test_larger_and_less_accurate_are_seen(tmp_path: Path) -> None:
    changed = {"measures": {"host_peak_bytes": 2 * 10**8}, "verdict": {"quality": {"accuracy": 0.5}}}
    worse = [one for place, step in enumerate(STEPS, start=1) for one in [record("a", place, step, **changed)]]
    told = compare.document(run(tmp_path / "a"), run(tmp_path / "b", found=worse), False)
    assert words(told, "a")["host_peak_bytes"] == "larger" and words(told, "a")["accuracy"] == "less accurate"


def test_few_repeats_are_not_enough(tmp_path: Path) -> None:
    few = [[record("a", place, 0.01 * factor) for place in (1, 2)] for factor in (1, 2)]
    told = compare.document(run(tmp_path / "a", found=few[0]), run(tmp_path / "b", found=few[1]), False)
    assert set(words(told, "a").values()) == {"not enough evidence"}
    assert "too few repeats" in compare.as_table(told)


@pytest.mark.parametrize("limit, code", [("5%", errors.GATE_TRIPPED), ("0.5", errors.DONE), ("30%", errors.DONE)])
def test_the_gate(tmp_path: Path, limit: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = str(run(tmp_path / "before")), str(run(tmp_path / "after", 1.2))
    assert parser.main(["compare", before, after, "--fail-if-regress", limit]) == code
    assert ("regressed: circle a eager" in capsys.readouterr().err) == (code == errors.GATE_TRIPPED)
    assert parser.main(["compare", before, before, "--fail-if-regress", limit]) == errors.DONE


def test_a_cell_that_fails_now_trips_the_gate(tmp_path: Path) -> None:
    broken = [record("a", 1, 0.01) | {"state": "failed", "reason": "no", "measures": {}, "verdict": None}]
    unproven = [one | {"parity": {"state": "failed", "reason": "off", "hint": None}} for one in repeats("b", STEPS)]
    told = compare.document(run(tmp_path / "a"), run(tmp_path / "b", found=[*broken, *unproven]), False)
    lines = compare.regressions(told, 0.05)
    assert any("was ok, is failed" in line for line in lines)
    assert any("was ok, is not proven equal" in line for line in lines)
    assert "nothing could be compared" in lines


def test_other_hosts_are_refused_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run(tmp_path / "a"), run(tmp_path / "b", host=HOST | {"cpu": "that one"})
    with pytest.raises(Usage, match="different hosts"):
        compare.document(before, after, False)
    assert parser.main(["compare", str(before), str(after)]) == errors.USAGE
    assert "--across-hosts" in capsys.readouterr().err
    assert parser.main(["compare", str(before), str(after), "--across-hosts", "--format", "json"]) == errors.DONE
    told = json.loads(capsys.readouterr().out)
    assert {"what": "host.cpu", "a": '"this one"', "b": '"that one"'} in told["changed"]


def test_what_else_changed_stands_beside(tmp_path: Path) -> None:
    newer = repeats("a", STEPS, measures={"versions": {"a": "2.0"}})
    after = run(tmp_path / "b", found=newer, host=HOST | {"kernel": "6.2"}, commit="abc")
    told = compare.document(run(tmp_path / "a"), after, False)
    changed = {one["what"]: (one["a"], one["b"]) for one in told["changed"]}
    assert changed["host.kernel"] == ('"6.1"', '"6.2"') and changed["commit"] == ("null", '"abc"')
    assert changed["versions.a a"] == ('"1.0"', '"2.0"')
    assert "changed: versions.a a" in compare.as_markdown(told)
    assert any(one["reason"] == "only in a" and one["backend"] == "b" for one in told["left_out"])


@pytest.mark.parametrize("limit", ["many", "-5%", "120%"])
def test_a_limit_that_is_none_is_usage(limit: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser.main(["compare", "a", "b", f"--fail-if-regress={limit}"])
    assert stopped.value.code == errors.USAGE


def test_history_goes_by_host_and_marks_each_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "2", created="2026-11-22T00:00:00+00:00")
    run(tmp_path / "1", created="2026-11-21T00:00:00+00:00")
    run(tmp_path / "3", created="2026-11-23T00:00:00+00:00", host=HOST | {"kernel": "6.2"})
    run(tmp_path / "4", created="2026-11-24T00:00:00+00:00", host={"cpu": "that one"})
    (tmp_path / "no-run").mkdir()
    told = history.document(tmp_path)
    assert [[one["name"] for one in host["runs"]] for host in told["hosts"]] == [["1", "2", "3"], ["4"]]
    changed = [[one["what"] for one in made["changed"]] for made in told["hosts"][0]["runs"]]
    assert changed == [[], [], ["host.kernel"]]
    assert parser.main(["history", str(tmp_path)]) == errors.DONE
    shown = capsys.readouterr().out
    assert '    * host.kernel: "6.1" -> "6.2"' in shown and "  * 2026-11-23T00:00:00+00:00  samples/s" in shown
    assert parser.main(["history", str(tmp_path), "--json"]) == errors.DONE
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(told))
    with pytest.raises(store.NoRun, match="holds no run"):
        history.document(tmp_path / "no-run")


def test_parquet_holds_every_sample(tmp_path: Path, capfdbinary: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    folder = run(tmp_path / "run")
    assert parser.main(["report", str(folder), "--format", "parquet"]) == errors.DONE
    table = parquet.read_table(io.BytesIO(capfdbinary.readouterr().out)).to_pylist()
    own = [row for row in table if (row["backend"], row["repeat"], row["figure"]) == ("a", 2, "step_samples_s")]
    assert [(row["index"], row["value"]) for row in own] == [(0, STEPS[1]), (1, STEPS[1]), (2, STEPS[1])]
    assert {row["index"] for row in table if row["figure"] == "epochs.train_s"} == set(range(5))
