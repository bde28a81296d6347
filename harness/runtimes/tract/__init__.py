"""tract, which is written in Rust and translates a file ahead of time."""

from __future__ import annotations

import numpy as np
import tract

KINDS = {"float16": "f16", "float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "bool"}


class Session:
    def __init__(self, path: str, threads: int, device: str):
        self.model = tract.onnx().load(path)
        self.names = [self.model.input_name(number) for number in range(self.model.input_count())]
        self.facts = {"engine": f"tract {tract.version()}"}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        for number, name in enumerate(self.names if example else []):
            array = example[name]  # type: ignore[index]
            self.model.set_input_fact(number, ",".join(map(str, (*array.shape, KINDS[str(array.dtype)]))))
        self.runnable = self.model.into_model().into_runnable()

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [tensor.to_numpy() for tensor in self.runnable.run([feeds[name] for name in self.names])]
