"""Small model files of the specification, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from crossframe.harness.portability import run_models, spec_onnx
from crossframe.harness.portability.model_file import AS_EXPORTED, ModelFile
from crossframe.harness.portability.test_vectors import vectors_from_task
from crossframe.tasks.spec import (
    LSTM,
    SGD,
    Arrays,
    Conv2D,
    Dense,
    Flatten,
    LastStep,
    MaxPool2D,
    ReLU,
    Task,
    initial_weights,
)
from tests.support.corruptions import corrupt

RECURRENT = Task(
    name="recurrent",
    data="",
    input_shape=(5, 4),
    layers=(LSTM(6), LSTM(3), LastStep(), Dense(3)),
    loss="softmax_cross_entropy",
    optimizer=SGD(1.0),
    epochs=1,
    target=0.0,
)
IMAGES = Task(
    name="images",
    data="",
    input_shape=(3, 8, 8),
    layers=(Conv2D(4, 3, 1), ReLU(), MaxPool2D(2), Flatten(), Dense(3)),
    loss="softmax_cross_entropy",
    optimizer=SGD(1.0),
    epochs=1,
    target=0.0,
)
SAMPLES = 100


def draw_weights(task: Task) -> Arrays:
    """Return weights without zeros, so that a lost bias makes a difference."""
    generator = np.random.default_rng(1)
    weights = initial_weights(task, 0)
    return {name: (w + generator.normal(0, 0.1, w.shape)).astype(np.float32) for name, w in weights.items()}


def make_model_file(folder: Path, task: Task, corruption: str | None = None, opset: int = spec_onnx.OPSET) -> ModelFile:
    """Write a model of the task, corrupt it if requested, and inspect it."""
    weights, generator = draw_weights(task), np.random.default_rng(2)
    path = folder / "tests" / f"{task.name}-{corruption}-{opset}" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(spec_onnx.write_model(task, weights, opset), path)
    if corruption:
        corrupt(path, corruption)
    x = generator.normal(size=(SAMPLES, *task.input_shape)).astype(np.float32)
    vectors = vectors_from_task(task, weights, x)
    feeds = vectors.save(folder / "tests" / f"{task.name}.npz")
    targets = generator.integers(0, 3, SAMPLES)
    variant = corruption or AS_EXPORTED
    file = ModelFile("spec", task.name, path, feeds, vectors, task, targets, variant=variant)
    return run_models.inspect_file(file, folder)


def write_one_node(
    folder: Path, operator: str = "Relu", shape: list[int | str] | None = None, domain: str = ""
) -> Path:
    """Write `model.onnx` with one node, x -> y; `shape` None declares no rank."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"
