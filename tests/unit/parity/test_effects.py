"""Effects of dialects: a setting that matters changes the quality; one that does not apply has no effect."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.parity.effects import describe_effect, dialect_effect
from crossframe.harness.plan.inputs import write_inputs
from crossframe.tasks import discover
from crossframe.tasks.spec import SGD, Adam

QUICK = discover()["circle"]["quick"]
DIALECT: dict[str, str | float] = {"adam_epsilon": "before_correction", "momentum_rate": "inside_velocity"}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path / "cache"))
    write_inputs(tmp_path / "inputs.npz", QUICK, None, None)
    return tmp_path / "inputs.npz"


def test_a_large_epsilon_changes_the_quality(inputs: Path) -> None:
    coarse = replace(QUICK, optimizer=Adam(0.01, epsilon=1.0))
    effect = dialect_effect(coarse, inputs, DIALECT, compute=True)
    assert effect is not None
    assert effect.dialect is not None
    assert effect.words == {"adam_epsilon": "before_correction"}
    assert effect.spec != effect.dialect
    assert f"{effect.dialect:.6f}" in describe_effect("a backend", "circle", effect)


def test_an_effect_that_was_not_computed_has_no_values(inputs: Path) -> None:
    effect = dialect_effect(QUICK, inputs, DIALECT, compute=False)
    assert effect is not None
    assert effect.spec is None
    assert effect.dialect is None
    assert "not computed" in describe_effect("a backend", "circle", effect)


def test_a_computed_effect_is_found_again(inputs: Path) -> None:
    computed = dialect_effect(QUICK, inputs, DIALECT, compute=True)
    assert dialect_effect(QUICK, inputs, DIALECT, compute=False) == computed


def test_a_dialect_that_does_not_apply_to_a_task_has_no_effect(inputs: Path) -> None:
    assert dialect_effect(replace(QUICK, optimizer=SGD(0.1)), inputs, DIALECT, compute=True) is None
