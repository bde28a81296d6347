"""What a dialect changes, measured: a word that matters shows, one that does not concern a task says nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.parity.effects import described, effect
from crossframe.harness.plan.inputs import write_inputs
from crossframe.tasks import discover
from crossframe.tasks.spec import SGD, Adam

QUICK = discover()["circle"]["quick"]
BEFORE = {"adam_epsilon": "before_correction", "momentum_rate": "inside_velocity"}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path / "cache"))
    write_inputs(tmp_path / "inputs.npz", QUICK, None, None)
    return tmp_path / "inputs.npz"


def test_an_epsilon_that_matters_changes_the_quality(inputs: Path) -> None:
    coarse = replace(QUICK, optimizer=Adam(0.01, epsilon=1.0))
    found = effect(coarse, inputs, BEFORE, work=True)
    assert found is not None
    assert found["words"] == {"adam_epsilon": "before_correction"}
    assert found["spec"] != found["dialect"]
    assert f"{found['dialect']:.6f}" in described("a backend", "circle", found)


def test_what_was_not_worked_out_is_not_made_up(inputs: Path) -> None:
    found = effect(QUICK, inputs, BEFORE, work=False)
    assert found is not None and found["spec"] is None and found["dialect"] is None
    assert "not worked out" in described("a backend", "circle", found)


def test_a_dialect_that_does_not_concern_a_task_has_no_effect(inputs: Path) -> None:
    assert effect(replace(QUICK, optimizer=SGD(0.1)), inputs, BEFORE, work=True) is None
