"""What each precision is in MXNet: the type of weights and loss and, in mixed precision, what its `amp` computes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.contrib import amp
from mxnet.contrib.amp.loss_scaler import LossScaler
from mxnet.gluon import HybridBlock

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported


@dataclass(frozen=True)
class Precision:
    stored: str
    computed: str | None = None  # None: as stored


PRECISIONS = {
    "float32": Precision("float32"),
    "float64": Precision("float64"),
    "bfloat16": Precision("float32", "bfloat16"),
    "float16": Precision("float32", "float16"),
}
WHY_NOT = {
    ("tf32", "cpu"): "a product in TF32 needs an NVIDIA GPU; on the CPU there is none",
    ("tf32", "cuda"): "MXNet has no switch for TF32: NVIDIA_TF32_OVERRIDE keeps it off for the whole process",
    ("bfloat16", "cuda"): "MXNet's amp casts to bfloat16 on a CPU alone",
    ("float16", "cpu"): 'MXNet has no float16 product on a CPU ("FP16 gemm on cpu not implemented!"): use bfloat16',
}
# Operators without an input: amp would cast their inputs to float32, and fails for want of them in a hybridized LSTM.
WITHOUT_INPUT = {"_arange", "_eye", "_full", "_linspace", "_ones", "_zeros", "_zeros_without_dtype"}
held: list[str] = []  # the type that amp was told, once and for the whole process


def settle(device: str, name: str) -> Precision:
    """The precision, `amp` started where it needs it; Unsupported where it cannot be had."""
    kind = device.partition(":")[0]
    if (name, kind) in WHY_NOT:
        raise Unsupported(WHY_NOT[name, kind])
    if name not in PRECISIONS:
        raise Unsupported(f"this backend trains in {', '.join(PRECISIONS)}, not in {name}")
    computed = PRECISIONS[name].computed
    if held and held != [computed]:
        raise Unsupported(f"MXNet's amp rewrites its operators for good: this process computes in {held[0]}")
    if computed and not held:
        held.append(computed)
        dtype = amp.amp.bfloat16 if computed == "bfloat16" else "float16"
        full = [operator for operator in amp.list_fp32_ops(dtype) if operator not in WITHOUT_INPUT]
        amp.init(computed, fp32_ops=full)
    return PRECISIONS[name]


class Float32(HybridBlock):
    """A network whose outputs, whatever it computes in, are float32 again: what the loss and `predict` want."""

    def __init__(self, network: HybridBlock):
        super().__init__()
        self.network = network

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.cast(self.network(x), dtype="float32")


def mixed(network: HybridBlock, precision: Precision) -> HybridBlock:
    return Float32(network) if precision.computed else network


def scaler(precision: Precision, scale: float = LOSS_SCALE) -> LossScaler | None:
    """MXNet's own loss scaling, where the range of numbers is so small that gradients need it."""
    if precision.computed != "float16":
        return None
    made = LossScaler()
    made._loss_scale = made._next_loss_scale = scale  # it takes no settings
    made._scale_seq_len = SCALE_GROWS_AFTER
    return made


def unscale(scaler: LossScaler, parameters: list[mx.gluon.Parameter]) -> bool:
    """Gradients of the loss itself, in place; False where they overflowed and the update is to be left out."""
    scale = scaler.loss_scale
    overflow = scaler.has_overflow(parameters)  # reads a number back from the device: MXNet has no other way
    scaler._loss_scale = scaler._next_loss_scale  # else it would halve only after the next one
    for parameter in parameters:
        gradient = parameter.grad()
        gradient /= scale
    return not overflow
