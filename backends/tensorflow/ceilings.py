"""A matrix product and a copy in TensorFlow, for measuring the ceilings of a device."""

from __future__ import annotations

import tensorflow as tf

from crossframe.backends.contract import RepeatedOperation, repeat_then_sync
from crossframe.backends.tensorflow.model import Model


def ceiling(model: Model, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
    """Return `matmul` of `side` x `side` matrices and `DeepCopy` of `size` bytes (`identity` would not copy)."""
    with tf.device(model.device):
        square = tf.cast(tf.random.uniform((side, side)), model.compute_dtype)
        source = tf.ones(size // 4)

    def multiply() -> None:
        with tf.device(model.device):
            tf.matmul(square, square)

    def copy() -> None:
        with tf.device(model.device):
            tf.raw_ops.DeepCopy(x=source)

    return repeat_then_sync(multiply, model.sync), repeat_then_sync(copy, model.sync)
