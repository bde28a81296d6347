"""The model of the contract in TensorFlow: Keras layers and optimizers in a custom training step.

The step is looped over the batches in a graph (`graph`), compiled by XLA (`xla`), or run eagerly (`eager`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from crossframe.backends import contract
from crossframe.backends.contract import Batch, FrameworkSettings, check_device, joint_device
from crossframe.backends.tensorflow.network import LOSSES, array_map, build, channels_first, channels_last
from crossframe.backends.tensorflow.onnx_export import export_onnx
from crossframe.backends.tensorflow.optimizers import make_optimizer
from crossframe.backends.tensorflow.precision import Arithmetic, add_loss_scaler, configure
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

MODES: tuple[str, ...] = ("graph", "xla", "eager")

# With one of these layers in the network, XLA compiles only the step, otherwise also the loop around it (circle: three
# times as fast). In a loop XLA's convolution loses its threads on the CPU (1 step per second instead of 25); an LSTM,
# which takes seconds to compile, would be compiled twice without a gain.
LONG_STEPS = (spec.Conv2D, spec.LSTM)


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the model on `device`, ready to train."""
    check_device(device, f"TensorFlow {tf.__version__}", lambda: len(tf.config.list_physical_devices("GPU")))
    if device == "cpu":
        # With a visible GPU, TensorFlow would reserve its memory, and Keras would choose cuDNN's LSTM.
        tf.config.set_visible_devices([], "GPU")
    return Model(task, weights, device.replace("cuda", "GPU"), mode, configure(task, device, precision))


class Model:
    """`contract.Model` in TensorFlow."""

    def __init__(self, task: Task, weights: Arrays, device: str, mode: str, arithmetic: Arithmetic) -> None:
        self.task = task
        self.device = device
        # The last result of `predict`, for its device. TensorFlow silently runs an operator without a kernel for the
        # device on the CPU: always in a graph, whose operators name no device; otherwise by soft placement, which stays
        # on for operators that only the host can run.
        self.outputs: tf.Tensor | None = None
        self.mode = mode
        self.arithmetic = arithmetic
        self.dtype = dtype = arithmetic.storage_dtype
        self.compute_dtype = keras.DTypePolicy(arithmetic.policy).compute_dtype
        self.needs_loss_scaler = arithmetic.needs_loss_scaler
        with tf.device(device):
            self.network = build(task, arithmetic.policy, cudnn=mode != "xla")  # XLA cannot compile cuDNN's LSTM
            for name, (layer, path, convert, _) in array_map(task).items():
                attrgetter(path)(self.network.get_layer(layer)).assign(convert(weights[name]))
            self.trainable_parameters = self.network.trainable_variables
            self.optimizer = add_loss_scaler(make_optimizer(task, dtype), arithmetic)
            self.optimizer.build(self.trainable_parameters)
        self.checkpoint = tf.train.Checkpoint(network=self.network, optimizer=self.optimizer)
        self.loss = LOSSES[task.loss]
        self.step, self.loop, self.infer = self.update, self.epoch, self.network
        self.jit_step = mode == "xla" and task.has(*LONG_STEPS)
        self.jit_loop = mode == "xla" and not self.jit_step
        if mode != "eager":
            self.compile()

    def compile(self) -> None:
        """Make graphs that need one trace each, for any number and size of batches."""
        x, z = (tf.TensorSpec(shape, self.dtype) for shape in (self.network.input_shape, self.network.output_shape))
        y = z if self.task.loss == "mean_squared_error" else tf.TensorSpec((None,), tf.int64)
        stacks = [tf.TensorSpec((None, *part.shape), part.dtype) for part in (x, y)]
        if self.jit_step:
            self.step = tf.function(self.update, jit_compile=True)
        self.loop = tf.function(self.epoch, [tf.TensorSpec((), tf.int32), *stacks], jit_compile=self.jit_loop)
        self.infer = tf.function(self.network, [x], jit_compile=self.mode == "xla")

    def update(self, x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = self.loss(self.network(x, training=True), y)
            if self.needs_loss_scaler:
                loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trainable_parameters)
        # The scale of the gradients, until the optimizer unscales them.
        scale = self.optimizer.dynamic_scale if self.needs_loss_scaler else 1.0
        if self.task.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.task.clip_norm * scale)
        if self.task.optimizer.weight_decay:
            decay = self.task.optimizer.weight_decay * scale
            gradients = [gradient + decay * weight for gradient, weight in zip(gradients, self.trainable_parameters)]
        self.optimizer.apply(gradients, self.trainable_parameters)

    def epoch(self, count: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> None:
        """Do one update for each of the first `count` batches in the stacks x and y, (batches, batch, ...)."""
        index = tf.constant(0)
        # Autograph makes this a loop of the graph. With a loop over tf.range, XLA would compile again for each count.
        while index < count:
            self.step(x[index], y[index])
            index += 1

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
            # A stack needs equal shapes, and the last batch of an epoch may be smaller.
            for _, group in groupby(batches, key=lambda batch: batch[0].shape[0]):
                xs, ys = zip(*group)
                # XLA compiles for each length of a stack. Padding to a power of two keeps the number of lengths small.
                padding = 2 ** (len(xs) - 1).bit_length() - len(xs) if self.jit_loop else 0
                self.loop(len(xs), tf.stack(xs + padding * xs[:1]), tf.stack(ys + padding * ys[:1]))

    def predict(self, x: np.ndarray) -> np.ndarray:
        with tf.device(self.device):
            outputs = self.infer(tf.constant(channels_last(x), self.dtype))
        self.outputs = outputs
        return channels_first(outputs.numpy())

    def weights(self) -> Arrays:
        return self.copy_arrays(self.task.parameters())

    def buffers(self) -> Arrays:
        return self.copy_arrays(self.task.buffers())

    def copy_arrays(self, names: Collection[str]) -> Arrays:
        """Return a copy of parameters or buffers on the host, by name."""
        return {
            name: np.array(convert(attrgetter(path)(self.network.get_layer(layer)).numpy()))
            for name, (layer, path, _, convert) in array_map(self.task).items()
            if name in names
        }

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def save(self, path: Path) -> None:
        self.checkpoint.write(path / "model")

    def load(self, path: Path) -> None:
        self.checkpoint.read(path / "model").assert_consumed()

    def export_onnx(self, path: Path, opset: int) -> None:
        export_onnx(self.task, self.network, self.arithmetic, path, opset)

    def placement(self) -> str:
        names = {weight.value.device for weight in self.network.weights}
        names |= set() if self.outputs is None else {self.outputs.backing_device}
        devices = map(tf.DeviceSpec.from_string, names)
        return joint_device("cpu" if d.device_type == "CPU" else f"cuda:{d.device_index}" for d in devices)

    def device_peak_bytes(self) -> int | None:
        return None if self.device == "cpu" else tf.config.experimental.get_memory_info(self.device)["peak"]

    def device_reserved_bytes(self) -> int | None:
        return None  # get_memory_info reports memory in use only

    def settings(self) -> FrameworkSettings:
        exact = not tf.config.experimental.tensor_float_32_execution_enabled()
        return FrameworkSettings(
            threads=tf.config.threading.get_intra_op_parallelism_threads() or None,
            float32_products="float32" if exact else "tf32",
            details={"xla": self.mode == "xla"},
        )


_: type[contract.Model] = Model
