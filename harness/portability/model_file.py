"""A file under examination: where it comes from, what it is fed, and what is expected of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.portability.test_vectors import Reference
from crossframe.tasks.spec import LSTM, Conv2D, Task

AS_EXPORTED = "as exported"
REDUCED = ("float16", "int8")


@dataclass(frozen=True)
class Subject:
    """`path` lies alone in its folder, so that whatever runs there is complete."""

    exporter: str
    name: str  # of the task, or of a stranger's file
    path: Path
    feeds: Path
    reference: Reference
    task: Task | None = None
    targets: np.ndarray | None = None  # of the held-out samples
    own: np.ndarray | None = None  # the framework's outputs for them
    own_error: float | None = None  # by how much these depart from the oracle's at most
    told: dict[str, Any] = field(default_factory=dict)  # what crossframe.harness.portability.inspect_model left
    variant: str = AS_EXPORTED  # or `opset 13`, `float16`, `int8`

    @property
    def key(self) -> str:
        """A folder's name; a stranger's file may say anything of where it comes from."""
        return "-".join(re.sub(r"[^\w.]+", "-", part)[:40] for part in (self.name, self.exporter, self.variant))

    def oracle(self) -> np.ndarray:
        """The oracle's first output for every sample, in order."""
        return np.concatenate([self.reference.wanted[name][0] for name in self.reference.rows if name != "whole"])


def costs(subject: Subject) -> list[str]:
    """What the file makes a runtime pay, right as it may be, by its census and signature."""
    census, operators = subject.told["census"], subject.told["census"]["operators"]
    found = []
    if subject.told["problem"]:
        found.append(f"onnx.checker: {subject.told['problem']}")
    for key, words in (
        ("foreign_domains", "operators of other domains"),
        ("training_operators", "operators in training mode"),
        ("weights_not_constant", "recurrent weights computed at run time"),
        ("weights_as_inputs", "weights that are inputs too"),
    ):
        if census[key]:
            found.append(f"{words}: {', '.join(census[key][:3])}")
    if subject.told["external"]["files"]:
        found.append(f"weights in {len(subject.told['external']['files'])} files beside it")
    for entry in subject.told["inputs"]:
        if entry["shape"] and isinstance(entry["shape"][0], int):
            found.append(f"batch axis of {entry['name']} frozen at {entry['shape'][0]}")
    return found + (of_layers(subject.task, operators) if subject.task else [])


def of_layers(task: Task, operators: dict[str, int]) -> list[str]:
    """Where the file says in many operators what the task says in one layer."""
    recurrent = sum(isinstance(layer, LSTM) for layer in task.layers)
    found = []
    # The quantized one is an LSTM too.
    if sum(operators.get(name, 0) for name in ("LSTM", "DynamicQuantizeLSTM")) < recurrent:
        loops = [f"a {name}" for name in ("Loop", "Scan") if name in operators]
        found.append(f"its LSTM is {loops[0] if loops else f'unrolled into {sum(operators.values())} nodes'}")
    # ONNX's LSTM wants its steps first, which costs two; nothing else wants any.
    spare = operators.get("Transpose", 0) - 2 * recurrent
    if spare > 0 and any(isinstance(layer, Conv2D) for layer in task.layers):
        found.append(f"{spare} Transposes around its convolutions")
    return found
