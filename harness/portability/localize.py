"""The node at which wrong outputs begin, and the smallest model that shows it.

If another runtime computes the file correctly, the error is in the runtime, and bisection over truncated graphs finds
the node. Otherwise the error is in the file: it does not compute some layer of the reference model, and the result is
the node after the last tensor that equals one of the reference model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from crossframe.harness.files import MEGABYTE, write_atomically
from crossframe.harness.portability import surgery
from crossframe.harness.portability.checks import TOLERANCE
from crossframe.harness.portability.model_file import ModelFile
from crossframe.harness.portability.runtime_matrix import RuntimeMatrix
from crossframe.harness.portability.test_vectors import Feeds, ReferenceVectors
from crossframe.harness.records.portability import Fault
from crossframe.tasks.spec import Arrays

MOST_BYTES = 64 * MEGABYTE  # of a file that is searched
TRUSTED_RUNTIMES = ("onnxruntime", "reference_evaluator")


def is_close(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two arrays are equal within the tolerance; NaN equals NaN."""
    if actual.shape != expected.shape:
        return False
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)) or 1.0
    return bool(np.allclose(actual, expected, rtol=0, atol=TOLERANCE * largest, equal_nan=True))


def has_same_values(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two arrays have the same values in any layout."""
    return actual.size == expected.size and is_close(np.sort(actual, axis=None), np.sort(expected, axis=None))


class FaultSearch:
    """A file with wrong outputs in one runtime, and the value of every tensor by a trusted runtime."""

    def __init__(self, matrix: RuntimeMatrix, file: ModelFile, runtime: str) -> None:
        self.matrix, self.file, self.runtime = matrix, file, runtime
        self.set_name = "batch_2" if "batch_2" in file.vectors.feeds else "declared"
        self.folder = matrix.folder / "reproducers" / f"{file.key}-{runtime}"
        self.model = onnx.load(file.path)
        self.tensors = surgery.list_computed_tensors(self.model)
        self.dependent = surgery.find_input_dependent(self.model)
        self.feeds = file.vectors.feeds[self.set_name]
        trusted = [name for name in TRUSTED_RUNTIMES if matrix.is_usable(name) and name != runtime]
        attempts = (self.run(self.model, self.feeds, self.tensors, name) for name in trusted)
        self.values: Arrays = next((values for values in attempts if values), {})

    def run(self, model: ModelProto, feeds: Feeds, tensors: Sequence[str], runtime: str) -> Arrays:
        """Return tensor -> value, {} if the runtime fails."""
        path = self.folder / "searched.onnx"
        write_atomically(path, surgery.cut_at(model, tensors).SerializeToString())
        archive = ReferenceVectors({self.set_name: feeds}, {}, {}).save(self.folder / "feeds.npz")
        file = replace(self.file, path=path, feeds=archive, variant="searched")
        outputs = self.matrix.run_file(file, runtime).read_outputs()
        keys = {name: f"{self.set_name}/{number}" for number, name in enumerate(tensors)}
        return {name: outputs[key] for name, key in keys.items() if key in outputs}

    def differs_at(self, tensor: str) -> bool:
        """Return whether the runtime under test computes this tensor differently from the trusted one."""
        values = self.run(self.model, self.feeds, [tensor], self.runtime)
        return tensor in values and not is_close(values[tensor], self.values[tensor])

    def bisect(self, tensors: Sequence[str]) -> str:
        """Return the first tensor that differs, given that the last one does."""
        low, high = -1, len(tensors) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.differs_at(tensors[middle]) else (middle, high)
        return tensors[high]

    def find_missing_layer(self, tensors: Sequence[str]) -> tuple[str, str]:
        """Return the tensor after the last correct one, and the layer that the file does not compute."""
        layers = {"input": next(iter(self.feeds.values())), **self.file.vectors.layers}
        matches = {
            layer: [index for index, name in enumerate(tensors) if has_same_values(self.values[name], expected)]
            for layer, expected in layers.items()
        }
        missing = next((layer for layer in self.file.vectors.layers if not matches[layer]), "the last layer")
        earlier = list(layers)[: list(layers).index(missing)] if missing in layers else list(layers)
        last = max((index for layer in earlier for index in matches[layer]), default=-1)
        return tensors[min(last + 1, len(tensors) - 1)], missing

    def find_node(self, tensor: str) -> NodeProto:
        """Return the node that computes a tensor."""
        return next(node for node in self.model.graph.node if tensor in node.output)

    def write_reproducer(self, node: NodeProto) -> str:
        """Write a model of one node and its inputs and outputs; return the path of the model."""
        path = self.folder / "model.onnx"
        model, feeds = surgery.isolate_node(self.model, node, self.values | self.feeds, self.dependent)
        write_atomically(path, model.SerializeToString())
        arrays = {f"input/{name}": array for name, array in feeds.items()}
        arrays |= {f"output/{name}": self.values[name] for name in node.output if name in self.values}
        write_atomically(self.folder / "io.npz", arrays)
        return str(path)


def locate_fault(matrix: RuntimeMatrix, file: ModelFile, runtime: str) -> Fault | None:
    """Return the node at which wrong outputs begin, and write a model that reproduces them.

    Return None if the file is too large to be searched, if no trusted runtime runs it, or if there are no reference
    outputs.
    """
    if file.path.stat().st_size > MOST_BYTES:
        return None
    search = FaultSearch(matrix, file, runtime)
    if not search.values or search.set_name not in file.vectors.expected:
        return None
    floats = [name for name in search.tensors if name in search.dependent and search.values[name].dtype.kind == "f"]
    output = search.values[search.model.graph.output[0].name]
    if is_close(output, file.vectors.expected[search.set_name][0]):
        tensor = search.bisect(floats)
        reason = f"{runtime} differs there from another runtime"
    else:
        tensor, layer = search.find_missing_layer(floats)
        reason = f"the file does not compute {layer}"
    node = search.find_node(tensor)
    return Fault(node.name or tensor, node.op_type, reason, search.write_reproducer(node))
