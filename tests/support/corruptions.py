"""Corruptions of a correct ONNX file, all of which the checks must detect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper


def find_weight(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change_weight(model: ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = find_weight(model, name)
    array = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def swap_gates(model: ModelProto) -> None:
    """Swap the forget gate and the output gate, as if ONNX had another order than i, o, f, c."""

    def swap(weight: np.ndarray) -> np.ndarray:
        gates = np.split(weight, 4, axis=1)
        return np.concatenate([gates[index] for index in (0, 2, 1, 3)], axis=1)

    for name in ("lstm1.W", "lstm1.R"):
        change_weight(model, name, swap)


def drop_bias(model: ModelProto) -> None:
    change_weight(model, "dense1.b", np.zeros_like)


def freeze_batch(model: ModelProto) -> None:
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_value = 2


def stamp_wrong_opset(model: ModelProto) -> None:
    """Declare an opset in which the axes of Squeeze were an attribute."""
    model.opset_import[0].version = 12


def normalize_in_training_mode(model: ModelProto) -> None:
    """Append a BatchNormalization that uses the statistics of the batch."""
    last = model.graph.node[-1]
    units = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    last.output[0] = "before"
    parts = {"scale": np.ones(units), "shift": np.zeros(units), "mean": np.zeros(units), "variance": np.ones(units)}
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), name) for name, v in parts.items())
    outputs = ["y", "mean.out", "variance.out"]
    node = helper.make_node("BatchNormalization", ["before", *parts], outputs, "norm", training_mode=1)
    model.graph.node.append(node)


def move_weight(model: ModelProto, location: str) -> None:
    """Declare the first weight as external data in a file that does not exist."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_html(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


@dataclass(frozen=True)
class Corruption:
    """A change of a model in place, and a word that the results must contain."""

    change: Callable[[ModelProto], None]
    expected: str


MODEL_CORRUPTIONS = {
    "gates swapped": Corruption(swap_gates, "lstm1"),
    "bias dropped": Corruption(drop_bias, "dense1"),
    "batch frozen": Corruption(freeze_batch, "frozen at 2"),
    "wrong opset": Corruption(stamp_wrong_opset, "Squeeze"),
    "batch norm in training mode": Corruption(normalize_in_training_mode, "training mode"),
    "weights missing": Corruption(partial(move_weight, location="weights.bin"), "weights.bin"),
    "weights outside": Corruption(partial(move_weight, location="../weights.bin"), "leave the folder"),
}
FILE_CORRUPTIONS: dict[str, Callable[[Path], None]] = {"truncated": truncate, "not a protobuf": replace_by_html}


def corrupt(path: Path, name: str) -> None:
    """Corrupt the file `path` in place."""
    if name in FILE_CORRUPTIONS:
        FILE_CORRUPTIONS[name](path)
        return
    model = onnx.load(path)
    MODEL_CORRUPTIONS[name].change(model)
    onnx.save(model, path)
