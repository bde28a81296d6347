"""A product and a copy, to see what the device can do at most in TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from backends.contract import Work

if TYPE_CHECKING:
    from backends.tensorflow.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`matmul` and `DeepCopy`: `identity` hands on the same memory."""
    with tf.device(model.device):
        square = tf.cast(tf.random.uniform((side, side)), model.computed)
        source = tf.ones(size // 4)

    def multiply(times: int) -> None:
        with tf.device(model.device):
            for _ in range(times):
                tf.matmul(square, square)
        model.sync()

    def copy(times: int) -> None:
        with tf.device(model.device):
            for _ in range(times):
                tf.raw_ops.DeepCopy(x=source)
        model.sync()

    return multiply, copy
