"""ONNX Runtime on the CPU, with its default graph optimizations."""

from __future__ import annotations

import numpy as np
import onnxruntime


class Session:
    """An `onnxruntime.InferenceSession` on the CPU."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors only
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.facts = {"engine": ", ".join(self.session.get_providers())}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Do nothing: the file was compiled while it was loaded."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        outputs: list[np.ndarray] = self.session.run(None, feeds)
        return outputs
