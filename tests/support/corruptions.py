"""Honest ONNX files, spoilt one way each: what a checker that is worth its name must catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper


def constant(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change(model: ModelProto, name: str, do: Callable[[np.ndarray], np.ndarray]) -> ModelProto:
    tensor = constant(model, name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(do(numpy_helper.to_array(tensor))), name))
    return model


def gates_swapped(model: ModelProto) -> ModelProto:
    """The forget gate in the place of the output gate, as who forgets that ONNX's order is i, o, f, c."""
    for name in ("lstm1.W", "lstm1.R"):
        change(model, name, lambda w: np.concatenate([np.split(w, 4, axis=1)[gate] for gate in (0, 2, 1, 3)], axis=1))
    return model


def bias_dropped(model: ModelProto) -> ModelProto:
    return change(model, "dense1.b", np.zeros_like)


def batch_frozen(model: ModelProto) -> ModelProto:
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_value = 2
    return model


def wrong_opset(model: ModelProto) -> ModelProto:
    """Stamped with an opset in which Squeeze took its axes elsewhere."""
    model.opset_import[0].version = 12
    return model


def batch_norm_in_training(model: ModelProto) -> ModelProto:
    """The statistics of the batch in place of those of training."""
    last = model.graph.node[-1]
    units = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    last.output[0] = "before"
    parts = {"scale": np.ones(units), "shift": np.zeros(units), "mean": np.zeros(units), "variance": np.ones(units)}
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), name) for name, v in parts.items())
    outputs = ["y", "mean.out", "variance.out"]
    model.graph.node.append(
        helper.make_node("BatchNormalization", ["before", *parts], outputs, "norm", training_mode=1)
    )  # fmt: skip
    return model


def beside(model: ModelProto, location: str) -> ModelProto:
    """The first weight in a file of its own, which is not there."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_protobuf(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


# Name -> (what is done to the model, a word of the line that must name it).
MODELS: dict[str, tuple[Callable[[ModelProto], ModelProto], str]] = {
    "gates swapped": (gates_swapped, "lstm1"),
    "bias dropped": (bias_dropped, "dense1"),
    "batch frozen": (batch_frozen, "frozen at 2"),
    "wrong opset": (wrong_opset, "Squeeze"),
    "batch norm in training mode": (batch_norm_in_training, "training mode"),
    "weights missing": (lambda model: beside(model, "weights.bin"), "weights.bin"),
    "weights outside": (lambda model: beside(model, "../weights.bin"), "leave the folder"),
}
FILES: dict[str, Callable[[Path], None]] = {"truncated": truncated, "not a protobuf": not_a_protobuf}


def spoil(path: Path, name: str) -> None:
    """Corrupt the file in place."""
    if name in FILES:
        FILES[name](path)
        return
    onnx.save(MODELS[name][0](onnx.load(path)), path)
