"""onnxruntime on the CPU, graph optimisations as by default."""

from __future__ import annotations

import numpy as np
import onnxruntime


class Session:
    def __init__(self, path: str, threads: int, device: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors alone
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.facts = {"engine": ", ".join(self.session.get_providers())}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Done on reading."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.session.run(None, feeds)
