"""Measuring needs neither plotly, nor uv, nor an installed Crossframe."""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import discover
from crossframe.harness.cli import machine_commands, program
from crossframe.harness.errors import CELL_FAILED, USAGE, MissingError
from crossframe.harness.report.page import page, plotly_panels
from crossframe.harness.run import folder
from crossframe.harness.selftest import clock, selftest
from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.selftest.step_timer import MeasurementError, StepTimer
from crossframe.harness.worker.states import State
from tests.conftest import ROOT
from tests.support.synthetic import make_record, save_run

pytestmark = pytest.mark.frameworks  # starts processes for seconds


def fail(*_: Any) -> None:
    raise AssertionError("an environment was made")


def test_without_plotly_there_is_no_page_and_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delitem(sys.modules, "plotly.io", raising=False)
    with pytest.raises(MissingError, match=r"plotly.*is not installed.*--format html"):
        plotly_panels.as_json({"data": []})
    run = save_run(tmp_path / "run", [make_record("a", 1, 0.1)])
    with pytest.raises(MissingError):
        page.write_page(run)
    assert not (run / "report.html").exists()


def test_an_uninstalled_source_tree_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_distribution(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(folder, "version", find_no_distribution)
    assert folder.read_version() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_clock_is_tested_in_the_named_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "make_environment", fail)
    timer = StepTimer(tmp_path, [0], "cpu", 60)
    check = clock.try_clock(timer, select_smallest_task(), discover()["reference"], Path(sys.executable))
    assert (check.backend, check.state) == ("reference", State.OK), check.reason


def test_the_selftest_uses_the_interpreters_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pythons = []

    def note_python(timer: StepTimer, task: object, backend: object, python: Path | None) -> ClockCheck:
        pythons.append(python)
        raise MeasurementError("the test ends here")

    monkeypatch.setattr(machine_commands, "check_interpreters", lambda _: None)  # this interpreter has no framework
    monkeypatch.setattr(selftest, "make_environment", fail)
    monkeypatch.setattr(selftest, "measure_known_costs", lambda *_: [])
    monkeypatch.setattr(selftest, "try_clock", note_python)
    words = ["selftest", "--backend", "torch", "--candidate", "torch", "--device", "cpu"]
    assert program.main([*words, "--python", f"torch={sys.executable}"]) == CELL_FAILED
    assert pythons == [Path(sys.executable)]
    assert program.main([*words, "--python", f"nobody={sys.executable}"]) == USAGE
    assert "unknown backend 'nobody'" in capsys.readouterr().err
