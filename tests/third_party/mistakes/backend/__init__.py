"""The backend that $MISTAKES_WRAP names, with one mistake: a task `lstm+gates_swapped`, or a mode `eager+loss_summed`.

In the task the mistake belongs to one probe, so one process runs many mistakes; in the mode it belongs to the process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from crossframe.backends.contract import Unsupported
from crossframe.tasks.spec import Arrays, Task

from ..catalogue import MISTAKES
from ..wrappers import Prepare

CORRECT = import_module(os.environ["MISTAKES_WRAP"])
DIALECT: Mapping[str, str | float] = CORRECT.DIALECT
MODES = tuple(os.environ.get("MISTAKES_MODES", "").split()) or CORRECT.MODES


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Any:
    """Return the model of the real backend, with the mistake that the task or the mode names."""
    name, _, of_task = task.name.partition("+")
    mode, _, of_mode = mode.partition("+")
    prepare_correct = Prepare(CORRECT, device, mode, precision, reuses=bool(of_task))
    task, mistake = replace(task, name=name), of_task or of_mode
    model = MISTAKES[mistake].make(prepare_correct, task, weights) if mistake else prepare_correct(task, weights)
    if of_mode and not of_mode.endswith("_export"):
        vars(model)["export_onnx"] = refuse_export
    return model


def refuse_export(path: Path, opset: int) -> None:
    """Save the seconds of an export that no mistake concerns."""
    raise Unsupported("the catalogue of mistakes exports no file")
