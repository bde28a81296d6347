"""The reference evaluator of onnx, which runs the operators in NumPy: slow, but closest to the standard."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator


class Session:
    """An `onnx.reference.ReferenceEvaluator`."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        self.evaluator = ReferenceEvaluator(onnx.load(path))
        self.facts = {"engine": "NumPy"}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Do nothing: the evaluator does not compile."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        outputs: list[np.ndarray] = self.evaluator.run(None, feeds)
        return outputs
