"""The reference model, with one misbehaviour for each mode: in its answers, or in what it leaves when the job ends.

`misbehaving.answers` holds those of the methods, `misbehaving.leavings` those of the files, `misbehaving.processes`
those of processes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np

from crossframe.backends.contract import Dialect
from crossframe.backends.reference.model import Model as ReferenceModel
from crossframe.tasks.spec import Arrays, Task

from . import answers, leavings, processes

MODES = ("honest", *answers.ANSWERS, *processes.ACTIONS, *leavings.ENDINGS)
DIALECT: Dialect = {}


class Model(ReferenceModel):
    """The reference model, with an exporter."""

    def export_onnx(self, path: Path, opset: int) -> None:
        answers.write_model(path, self)


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return a model that misbehaves as its mode says."""
    model = Model(task, weights, np.dtype(precision), {})
    if mode in answers.ANSWERS:
        method, replace = answers.ANSWERS[mode]
        setattr(model, method, replace(getattr(model, method)))
    if mode in processes.ACTIONS:
        processes.ACTIONS[mode]()
    if mode in leavings.ENDINGS:
        misbehave_at_end(mode, Path.cwd())
    return model


def misbehave_at_end(mode: str, folder: Path) -> None:
    """Change what the job left, after its last file is written and before its process ends."""
    end = os._exit

    def end_badly(code: int) -> NoReturn:
        try:
            leavings.ENDINGS[mode](folder)
        finally:
            end(code)

    if end.__name__ == "_exit":
        os._exit = end_badly  # type: ignore[assignment]
