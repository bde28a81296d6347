"""The arithmetic of each precision in TensorFlow: the type of weights and loss, and Keras' policy for the network."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf
from keras.optimizers import LossScaleOptimizer as LossScaler

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, check_precision
from crossframe.tasks.spec import Task


@dataclass(frozen=True)
class Arithmetic:
    """The types of a network in one precision."""

    storage_dtype: str
    policy: str  # of Keras
    tf32: bool = False

    @property
    def needs_loss_scaler(self) -> bool:
        """Whether the range of the type is so small that gradients need a loss scaler."""
        return self.policy == "mixed_float16"


PRECISIONS = {
    "float32": Arithmetic("float32", "float32"),
    "float64": Arithmetic("float64", "float64"),
    "tf32": Arithmetic("float32", "float32", tf32=True),
    "bfloat16": Arithmetic("float32", "mixed_bfloat16"),
    "float16": Arithmetic("float32", "mixed_float16"),
}


def configure(task: Task, device: str, precision: str) -> Arithmetic:
    """Set TensorFlow's switches for a precision and return its arithmetic; Unsupported if it is not available."""
    check_precision(precision, PRECISIONS, device)
    arithmetic = PRECISIONS[precision]
    # TF32 in matrix products and convolutions only on request: float32 means float32.
    tf.config.experimental.enable_tensor_float_32_execution(arithmetic.tf32)
    return arithmetic


def add_loss_scaler(optimizer: keras.Optimizer, arithmetic: Arithmetic) -> keras.Optimizer:
    """Return the optimizer with Keras' own loss scaler around it, if gradients need one."""
    return LossScaler(optimizer, LOSS_SCALE, SCALE_GROWS_AFTER) if arithmetic.needs_loss_scaler else optimizer
