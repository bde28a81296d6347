"""The table of `crossframe parity` has titles and reasons; JSON keeps the names of backends."""

from __future__ import annotations

import json

from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.result import CellParity, ParityResult
from crossframe.harness.parity.verify import format_json, format_results
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.states import State

PASSED = Check("gradient", "gradient", 1, "dense1.w", 2e-6, 1e-6, 1e-4, passed=True)
CELLS = [Cell("circle", "any", mode, "cpu", "float32", 64) for mode in ("eager", "jit")]
RESULTS = [
    CellParity(
        CELLS[0],
        ParityResult(
            State.OK,
            None,
            checks=[PASSED],
            dialect={"adam_epsilon": "before_correction"},
            missing_optimizers={"adagrad": "no AdaGrad"},
        ),
    ),
    CellParity(CELLS[1], ParityResult(State.FAILED, "weights differ", hint="a gate")),
]


def test_the_table_has_titles() -> None:
    text = " ".join(format_results(RESULTS, {"any": "Any framework"}).split())
    assert "Any framework eager ok gradient 2e-06" in text
    assert "circle Any framework jit: failed: weights differ; a gate" in text
    assert "dialect of Any framework: adam_epsilon = before_correction" in text
    assert "Any framework eager has no adagrad, which circle does not use: no AdaGrad" in text


def test_json_has_names() -> None:
    rows = json.loads(format_json(RESULTS))
    assert [row["cell"]["backend"] for row in rows] == ["any", "any"]
    assert rows[0]["missing_optimizers"] == {"adagrad": "no AdaGrad"}
