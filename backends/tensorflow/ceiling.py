"""A product and a copy, to see what the device can do at most in TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from crossframe.backends.contract import Work, repeated

if TYPE_CHECKING:
    from crossframe.backends.tensorflow.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`matmul` and `DeepCopy`: `identity` hands on the same memory."""
    with tf.device(model.device):
        square = tf.cast(tf.random.uniform((side, side)), model.computed)
        source = tf.ones(size // 4)

    def multiply() -> None:
        with tf.device(model.device):
            tf.matmul(square, square)

    def copy() -> None:
        with tf.device(model.device):
            tf.raw_ops.DeepCopy(x=source)

    return repeated(multiply, model.sync), repeated(copy, model.sync)
