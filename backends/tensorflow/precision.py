"""What each precision is in TensorFlow: the type of weights and loss, and Keras' policy for what lies between."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported


@dataclass(frozen=True)
class Precision:
    stored: str
    policy: str  # Keras' word
    tf32: bool = False

    @property
    def scaled(self) -> bool:
        """Whether the range of numbers is so small that gradients need the loss scaled."""
        return self.policy == "mixed_float16"


PRECISIONS = {
    "float32": Precision("float32", "float32"),
    "float64": Precision("float64", "float64"),
    "tf32": Precision("float32", "float32", tf32=True),
    "bfloat16": Precision("float32", "mixed_bfloat16"),
    "float16": Precision("float32", "mixed_float16"),
}


def settle(device: str, name: str) -> Precision:
    """The precision, all switches set for it; Unsupported where it cannot be had."""
    if name not in PRECISIONS:
        raise Unsupported(f"this backend trains in {', '.join(PRECISIONS)}, not in {name}")
    precision = PRECISIONS[name]
    if precision.tf32 and device == "cpu":
        raise Unsupported("a product in TF32 needs an NVIDIA GPU; on the CPU there is none")
    # Unless asked for, no TF32 in matrix products or convolutions: float32 shall mean float32.
    tf.config.experimental.enable_tensor_float_32_execution(precision.tf32)
    return precision


def scaling(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Keras' own loss scaling around an optimizer."""
    return keras.optimizers.LossScaleOptimizer(optimizer, LOSS_SCALE, SCALE_GROWS_AFTER)
