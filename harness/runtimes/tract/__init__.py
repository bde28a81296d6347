"""tract, which is written in Rust and compiles a file ahead of time."""

from __future__ import annotations

import numpy as np
import tract

DTYPES = {"float16": "f16", "float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "bool"}


class Session:
    """A runnable model of tract."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        self.model = tract.onnx().load(path)
        self.names = [self.model.input_name(number) for number in range(self.model.input_count())]
        self.facts = {"engine": f"tract {tract.version()}"}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Compile for the shapes of `example`, or for all shapes."""
        if example:
            for number, name in enumerate(self.names):
                array = example[name]
                self.model.set_input_fact(number, ",".join(map(str, (*array.shape, DTYPES[str(array.dtype)]))))
        self.runnable = self.model.into_model().into_runnable()

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        return [tensor.to_numpy() for tensor in self.runnable.run([feeds[name] for name in self.names])]
