"""OpenVINO on the CPU, in float32. Its default is bfloat16 wherever the processor supports it."""

from __future__ import annotations

import numpy as np
import openvino


class Session:
    """An `openvino.CompiledModel`."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        self.core = openvino.Core()
        self.settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        self.model = self.core.read_model(path)
        self.facts: dict[str, str] = {}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Compile for the shapes of `example`, or for all shapes."""
        if example is not None:
            self.model.reshape({name: list(array.shape) for name, array in example.items()})
        self.compiled = self.core.compile_model(self.model, "CPU", self.settings)
        precision = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.facts = {"engine": "CPU", "precision": precision}

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        outputs = self.compiled(feeds)
        return [np.array(outputs[port]) for port in self.compiled.outputs]
