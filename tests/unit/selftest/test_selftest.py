"""A self-test on a machine whose driver shows a GPU that some builds do not support."""

import json
from pathlib import Path

import pytest

from crossframe.harness.cli import program
from crossframe.harness.selftest import known_costs, selftest
from tests.support.fake_nvml import HOPPER, install_driver


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in for a machine with a Hopper GPU, and shorten the self-test."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, "580.82.07", HOPPER)
    monkeypatch.setattr(selftest, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(known_costs, "STEPS_S", (0.01,))
    monkeypatch.setattr(known_costs, "FIRST_STEPS_S", (0.001,))
    monkeypatch.setattr(known_costs, "FIRST_TRIES", 1)
    monkeypatch.setattr(known_costs, "HOLDERS", {"child": (64 << 20,)})
    monkeypatch.setattr(selftest, "select_clock_task", lambda _: known_costs.select_smallest_task())


def run_command(*words: str) -> int:
    """Run `crossframe selftest` without comparisons of pairs; return its exit code."""
    return program.main(["selftest", "--pairs", "0", "--tries", "0", *words])


@pytest.mark.frameworks  # measures for seconds
@pytest.mark.usefixtures("hopper")
def test_clocks_are_tested_where_the_backend_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--backend", "reference,mxnet", "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["candidate"], report["device"], len(report["known_costs"])) == ("reference", "cpu", 3)
    reference, mxnet = report["clocks"]
    assert (reference["state"], reference["device"]) == ("ok", "cpu")
    assert (mxnet["state"], mxnet["device"]) == ("unsupported", "cuda:0")
    assert "up to 8.9" in mxnet["reason"]
    # The noise of the CPU says nothing about runs on the GPU.
    assert "NumPy (reference) on cpu" in str(selftest.last_summary("cpu"))
    assert selftest.last_summary("cuda:0") is None


@pytest.mark.usefixtures("hopper")
def test_a_candidate_that_cannot_run_ends_the_selftest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--candidate", "mxnet", "--backend", "reference") == 1
    assert "MXNet: unsupported: its build supports compute capability up to 8.9" in capsys.readouterr().err


def test_a_report_of_another_version_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(selftest, "cache_folder", lambda: tmp_path)
    path = selftest.report_path("cpu")
    path.parent.mkdir(parents=True)
    path.write_text('{"exact": [], "created": "2026-11-21"}')
    assert selftest.last_summary("cpu") is None
