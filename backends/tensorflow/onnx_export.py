"""ONNX export of a Keras network."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from crossframe.backends.tensorflow.network import build
from crossframe.backends.tensorflow.precision import Arithmetic
from crossframe.tasks.spec import Task


def export_onnx(task: Task, network: keras.Model, arithmetic: Arithmetic, path: Path, opset: int) -> None:
    """Write the network as one ONNX file with a free batch axis."""
    dtype = arithmetic.storage_dtype
    with tf.device("cpu"):
        # Export a copy without cuDNN's LSTM, which ONNX cannot express. Its input images are channels first.
        copy = build(task, dtype, cudnn=False)
        copy.set_weights(network.get_weights())
        x = keras.Input(task.input_shape, dtype=dtype, name="x")
        images = keras.layers.Permute((2, 3, 1), dtype=dtype)(x) if len(task.input_shape) == 3 else x
        signature = [tf.TensorSpec(x.shape, dtype, name="x")]
        keras.Model(x, {"y": copy(images)}).export(
            path, format="onnx", opset_version=opset, input_signature=signature, verbose=False
        )
