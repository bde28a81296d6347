"""A model file to be tested: its origin, its inputs, the expected outputs, and its drawbacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.harness.portability.test_vectors import ReferenceVectors
from crossframe.harness.records.portability import ModelStructure
from crossframe.tasks.spec import LSTM, Conv2D, Task

AS_EXPORTED = "as exported"


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file in one variant. `path` is in a folder of its own, together with its external weights."""

    exporter: str
    name: str  # of the task, or of a file without a task
    path: Path
    feeds: Path  # the inputs of `vectors` as an archive
    vectors: ReferenceVectors
    task: Task | None = None
    targets: np.ndarray | None = None  # of the held-out samples
    framework_outputs: np.ndarray | None = None  # of the exporting framework, for the held-out samples
    framework_error: float | None = None  # largest difference of these from the expected outputs
    structure: ModelStructure | None = None  # None until the file is inspected
    variant: str = AS_EXPORTED  # or `opset 13`, `route NAME`, `float16`, `int8`

    @property
    def key(self) -> str:
        """The file as the name of a folder; the producer of a third-party file may be any text."""
        return "-".join(re.sub(r"[^\w.]+", "-", part)[:40] for part in (self.name, self.exporter, self.variant))

    @property
    def label(self) -> str:
        """The name of the file in messages."""
        return f"{self.name} {self.exporter} {self.variant}"

    def held_out_outputs(self) -> np.ndarray:
        """Return the expected first output for every held-out sample, in order."""
        sets = [name for name in self.vectors.rows if name != "whole"]
        return np.concatenate([self.vectors.expected[name][0] for name in sets])


@dataclass(frozen=True)
class PreparedFile:
    """A model file that is ready for the runtimes, or the reason why it could not be prepared."""

    file: ModelFile  # without a new path and structure if there is a reason
    reason: str | None


def list_costs(file: ModelFile) -> list[str]:
    """Return the drawbacks of a file for every runtime, from its operators and its signature."""
    if file.structure is None:
        return []
    structure, census = file.structure, file.structure.census
    costs = [f"onnx.checker: {structure.problem}"] if structure.problem else []
    for names, description in (
        (census.foreign_domains, "operators of other domains"),
        (census.training_operators, "operators in training mode"),
        (census.weights_not_constant, "recurrent weights computed at run time"),
        (census.weights_as_inputs, "weights that are also inputs"),
    ):
        if names:
            costs.append(f"{description}: {', '.join(names[:3])}")
    if structure.external.files:
        costs.append(f"weights in {len(structure.external.files)} external files")
    for tensor in structure.inputs:
        if tensor.shape and isinstance(tensor.shape[0], int):
            costs.append(f"batch axis of {tensor.name} frozen at {tensor.shape[0]}")
    return costs + (list_layer_costs(file.task, census.operators) if file.task else [])


def list_layer_costs(task: Task, operators: dict[str, int]) -> list[str]:
    """Return the layers of the task that the file replaces by many operators (operator -> nodes)."""
    recurrent = sum(isinstance(layer, LSTM) for _, layer, _ in task.walk_leaves())
    costs = []
    # DynamicQuantizeLSTM is the quantized LSTM.
    if sum(operators.get(name, 0) for name in ("LSTM", "DynamicQuantizeLSTM")) < recurrent:
        loops = [f"a {name}" for name in ("Loop", "Scan") if name in operators]
        costs.append(f"its LSTM is {loops[0] if loops else f'unrolled into {sum(operators.values())} nodes'}")
    # The LSTM of ONNX has time as its first axis, which costs two transposes; no other layer needs any.
    spare = operators.get("Transpose", 0) - 2 * recurrent
    if spare > 0 and task.has(Conv2D):
        costs.append(f"{spare} Transposes around its convolutions")
    return costs
