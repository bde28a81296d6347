"""The modes of a framework that a run measured, and those that it did not."""

import pytest

from crossframe.backends import discover
from crossframe.harness.analysis.frameworks import (
    describe_unmeasured_modes,
    find_unmeasured_modes,
    list_measured_modes,
    resolve_titles,
)
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records.model import BackendInfo
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_repeats

REFUSED = "can't run on cpu: reduce-overhead replays CUDA graphs; on the CPU it is compile"


def report_modes(*modes: str, device: str = "cpu", state: State = State.OK) -> list[CellReport]:
    """Return the reports of cells of PyTorch in these modes."""
    reason = None if state == State.OK else "broken"
    records = [
        record
        for mode in modes
        for record in make_repeats("torch", [1.0], cell={"mode": mode, "device": device}, state=state, reason=reason)
    ]
    return build_cell_reports(records, {})


@pytest.mark.parametrize(
    ("measured", "device", "expected"),
    [
        (["eager"], "cpu", {"compile": None, "reduce-overhead": REFUSED, "max-autotune": None}),
        (["eager"], "cuda:0", {"compile": None, "reduce-overhead": None, "max-autotune": None}),
        (["max-autotune", "compile", "eager", "reduce-overhead"], "cuda:0", {}),
    ],
)
def test_modes_that_exist_and_were_not_measured(
    measured: list[str], device: str, expected: dict[str, str | None]
) -> None:
    cells = report_modes(*measured, device=device)
    assert find_unmeasured_modes(cells, discover()["torch"]) == expected
    assert list_measured_modes(cells) == sorted(measured)


def test_a_mode_that_failed_everywhere_was_not_measured() -> None:
    cells = report_modes("eager") + report_modes("compile", state=State.FAILED)
    modes = find_unmeasured_modes(cells, discover()["torch"])
    assert modes["compile"] == "failed"
    assert list_measured_modes(cells) == ["eager"]
    assert describe_unmeasured_modes(modes) == f"max-autotune; compile (failed); reduce-overhead ({REFUSED})"
    assert describe_unmeasured_modes({}) == ""


def test_backends_of_one_title_are_told_apart() -> None:
    stored = {name: BackendInfo(title, None) for name, title in (("a", "A"), ("b", "A"), ("c", "C"))}
    assert resolve_titles(stored, ["a", "b", "c", "old"]) == {"a": "A (a)", "b": "A (b)", "c": "C", "old": "old"}
