"""TensorFlow by the contract: Keras layers and optimizers, and a step of our own: looped over the batches in a graph,
compiled by XLA, or eager.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crossframe.backends.contract import Batch, Operator, Unsupported, Work, place_of_all
from crossframe.backends.tensorflow.network import LOSSES, addresses, build, channels_first, channels_last
from crossframe.backends.tensorflow.optimizers import NUMBERS, OPTIMIZERS, rate
from crossframe.backends.tensorflow.precision import Precision, scaling, settle
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

MODES = ("graph", "xla", "eager")

# With one of these in the network, XLA compiles the step alone, else the loop around it too (circle: three times as
# fast). In a loop XLA's convolution loses its threads on the CPU, 1 step a second against 25; an LSTM, which takes
# seconds to compile, would be compiled once more for nothing.
LONG_STEPS = (spec.Conv2D, spec.LSTM)


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """The model on `device`, ready to train."""
    found = [f"cuda:{number}" for number, _ in enumerate(tf.config.list_physical_devices("GPU"))]
    if device != "cpu" and device not in found:
        seen = ", ".join(found) or "no CUDA device"
        raise Unsupported(f"this build of TensorFlow, {tf.__version__}, sees {seen}, so not {device}")
    if device == "cpu":
        # A GPU in sight would be taken hold of unused, and Keras would choose cuDNN's LSTM.
        tf.config.set_visible_devices([], "GPU")
    return Model(task, weights, device.replace("cuda", "GPU"), mode, settle(device, precision))


class Model:
    def __init__(self, task: Task, weights: Arrays, device: str, mode: str, precision: Precision):
        self.task = task
        self.device = device
        # Where results were. An operator without a kernel for the device goes to the CPU in silence: in a graph, whose
        # operators name no device, always; else by soft placement, which stays on, for what only the host can do.
        self.answer: tf.Tensor | None = None  # what `predict` returned last
        self.mode = mode
        self.dtype = dtype = precision.stored
        self.computed = keras.DTypePolicy(precision.policy).compute_dtype
        self.scaled = precision.scaled
        with tf.device(device):
            self.network = build(task, precision.policy, cudnn=mode != "xla")  # XLA cannot compile cuDNN's LSTM
            for name, (layer, path, convert, _) in addresses(task).items():
                attrgetter(path)(self.network.get_layer(layer)).assign(convert(weights[name]))
            self.trained = self.network.trainable_variables
            self.optimizer = OPTIMIZERS[type(task.optimizer)](rate(task), task.optimizer, NUMBERS[dtype])
            if self.scaled:
                self.optimizer = scaling(self.optimizer)
            self.optimizer.build(self.trained)
        self.checkpoint = tf.train.Checkpoint(network=self.network, optimizer=self.optimizer)
        self.loss = LOSSES[task.loss]
        self.step, self.loop, self.infer = self.update, self.epoch, self.network
        self.jit_step = mode == "xla" and any(isinstance(layer, LONG_STEPS) for layer in task.layers)
        self.jit_loop = mode == "xla" and not self.jit_step
        if mode != "eager":
            self.compile()

    def compile(self) -> None:
        """One trace of each function, whatever the number and the size of the batches."""
        x, z = (tf.TensorSpec(shape, self.dtype) for shape in (self.network.input_shape, self.network.output_shape))
        y = z if self.task.loss == "mean_squared_error" else tf.TensorSpec((None,), tf.int64)
        stacks = [tf.TensorSpec((None, *one.shape), one.dtype) for one in (x, y)]
        if self.jit_step:
            self.step = tf.function(self.update, jit_compile=True)
        self.loop = tf.function(self.epoch, [tf.TensorSpec((), tf.int32), *stacks], jit_compile=self.jit_loop)
        self.infer = tf.function(self.network, [x], jit_compile=self.mode == "xla")

    def update(self, x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = self.loss(self.network(x, training=True), y)
            if self.scaled:
                loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trained)
        scale = self.optimizer.dynamic_scale if self.scaled else 1.0  # of the gradients, until the optimizer has them
        if self.task.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.task.clip_norm * scale)
        if self.task.optimizer.weight_decay:
            decay = self.task.optimizer.weight_decay * scale
            gradients = [gradient + decay * weight for gradient, weight in zip(gradients, self.trained)]
        self.optimizer.apply(gradients, self.trained)

    def epoch(self, count: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> None:
        """One update for each of the first `count` batches in the stacks x and y, (batches, batch, ...)."""
        number = tf.constant(0)
        # Autograph makes this a loop of the graph. Over a tf.range, XLA would compile it anew for each count.
        while number < count:
            self.step(x[number], y[number])
            number += 1

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        with tf.device(self.device):
            targets = tf.constant(y, tf.int64) if y.ndim == 1 else tf.constant(channels_last(y), self.dtype)
            return tf.constant(channels_last(x), self.dtype), targets

    def train(self, batches: Sequence[Batch]) -> None:
        with tf.device(self.device):
            if self.mode == "eager":
                for x, y in batches:
                    self.update(x, y)
                return
            # A stack wants equal shapes, and the last batch of an epoch may be smaller.
            for _, equal in groupby(batches, key=lambda batch: batch[0].shape[0]):
                xs, ys = zip(*equal)
                # XLA compiles for the length of a stack; filled up to a power of two, the lengths are few.
                spare = 2 ** (len(xs) - 1).bit_length() - len(xs) if self.jit_loop else 0
                self.loop(len(xs), tf.stack(xs + spare * xs[:1]), tf.stack(ys + spare * ys[:1]))

    def predict(self, x: np.ndarray) -> np.ndarray:
        with tf.device(self.device):
            outputs = self.infer(tf.constant(channels_last(x), self.dtype))
        self.answer = outputs
        return channels_first(outputs.numpy())

    def weights(self) -> Arrays:
        return {
            name: np.array(convert(attrgetter(path)(self.network.get_layer(layer)).numpy()))
            for name, (layer, path, _, convert) in addresses(self.task).items()
        }

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def save(self, path: Path) -> None:
        self.checkpoint.write(path / "model")

    def load(self, path: Path) -> None:
        self.checkpoint.read(path / "model").assert_consumed()

    def export_onnx(self, path: Path, opset: int) -> None:
        with tf.device("cpu"):
            # A copy without cuDNN's LSTM, which has no form in ONNX; images come in with their channels first.
            copy = build(self.task, self.dtype, cudnn=False)
            copy.set_weights(self.network.get_weights())
            x = keras.Input(self.task.input_shape, dtype=self.dtype, name="x")
            last = keras.layers.Permute((2, 3, 1), dtype=self.dtype)(x) if len(self.task.input_shape) == 3 else x
            signature = [tf.TensorSpec(x.shape, self.dtype, name="x")]
            keras.Model(x, {"y": copy(last)}).export(
                path, format="onnx", opset_version=opset, input_signature=signature, verbose=False
            )

    def placement(self) -> str:
        names = {weight.value.device for weight in self.network.weights}
        names |= set() if self.answer is None else {self.answer.backing_device}
        devices = map(tf.DeviceSpec.from_string, names)
        return place_of_all("cpu" if one.device_type == "CPU" else f"cuda:{one.device_index}" for one in devices)

    def device_peak_bytes(self) -> int | None:
        return None if self.device == "cpu" else tf.config.experimental.get_memory_info(self.device)["peak"]

    def settings(self) -> dict[str, Any]:
        exact = not tf.config.experimental.tensor_float_32_execution_enabled()
        return {
            "threads": tf.config.threading.get_intra_op_parallelism_threads() or None,
            "float32_products": "float32" if exact else "tf32",
            "xla": self.mode == "xla",
        }

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        from crossframe.backends.tensorflow.profiler import operators

        return operators(self, batches)

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        from crossframe.backends.tensorflow.ceiling import works

        return works(self, side, size)
