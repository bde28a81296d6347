"""The reference model with one failure for each mode: however a worker ends, its cell gets a state and a reason."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossframe.backends import reference
from crossframe.backends.contract import Batch, Dialect, OperatorCost, Unsupported, joint_device
from crossframe.backends.reference.model import Model as ReferenceModel
from crossframe.tasks.spec import Arrays, Task

MODES = (
    "honest", "raises", "refuses", "exits", "crashes", "hangs", "rubbish", "out_of_memory", "diverges", "elsewhere",
    "bad_export", "forgets", "damages", "lies", "pretends", "retreats", "strays",
    "answers_elsewhere", "reloads_elsewhere",
)  # fmt: skip
DIALECT: Dialect = {}


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> "Model":
    return Model(task, weights, np.dtype(precision), mode)


def fail(kind: str | None) -> None:
    """Fail in a way that training and profiler share."""
    match kind:
        case "raises":
            raise RuntimeError("the planted error")
        case "refuses":
            raise Unsupported("the planted refusal")
        case "crashes":
            ctypes.string_at(0)


class Model(ReferenceModel):
    """The reference model with the failure of a mode."""

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype, mode: str) -> None:
        super().__init__(task, weights, dtype, {})
        self.mode = mode
        self.answered = self.reloaded = False

    def train(self, batches: Sequence[Batch]) -> None:
        super().train(batches)
        fail(self.mode)
        match self.mode:
            case "exits":
                os._exit(7)
            case "hangs":
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                time.sleep(600)
            case "rubbish":
                os.write(1, b"\xff\x00{]" * 1000)
                Path("measures.json").write_text("{ not json")
                os._exit(0)
            case "out_of_memory":
                raise MemoryError("RESOURCE_EXHAUSTED: planted")
            case "diverges":
                self.parameters = {name: value * np.nan for name, value in self.parameters.items()}
            case "lies":
                self.parameters = {name: value + 0.01 for name, value in self.parameters.items()}

    def placement(self) -> str:
        """Return what a GPU backend would report after a fall-back to the CPU, in whole or in part."""
        devices = {
            "elsewhere": ["cuda:0"],
            "pretends": ["cuda:0"],
            "retreats": ["cpu" if self.updates else "cuda:0"],
            "strays": ["cuda:0", "cpu"],
            "answers_elsewhere": ["cuda:0", *["cpu"] * self.answered],
            "reloads_elsewhere": ["cpu" if self.reloaded else "cuda:0"],
        }
        return joint_device(devices.get(self.mode, ["cpu"]))

    def device_peak_bytes(self) -> int | None:
        return 0 if self.mode == "pretends" else None

    def load(self, path: Path) -> None:
        self.reloaded = True
        if self.mode != "forgets":
            super().load(path)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.answered = True
        return super().predict(x)

    def export_onnx(self, path: Path, opset: int) -> None:
        if self.mode == "damages":
            (path.parent / "outputs.npz").write_bytes(b"PK not an archive")
        path.write_bytes(b"not a model")


def profile(model: Model, batches: Sequence[Batch]) -> Sequence[OperatorCost]:
    """Profile a step, or fail in the way that $FAULTY_PROFILER names."""
    kind = os.environ.get("FAULTY_PROFILER")
    fail(kind)
    if kind == "negative":
        return [OperatorCost("honest", 1, 0.1), OperatorCost("negative", 1, -0.1)]
    return reference.profile(model, batches)
