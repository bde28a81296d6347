"""onnx's own evaluator: NumPy, an operator after another; slow, and the nearest to the standard's words."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator


class Session:
    def __init__(self, path: str, threads: int, device: str):
        self.evaluator = ReferenceEvaluator(onnx.load(path))
        self.facts = {"engine": "NumPy"}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Nothing is compiled."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.evaluator.run(None, feeds)
