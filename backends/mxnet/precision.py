"""The arithmetic of each precision in MXNet: the type of weights and loss, and the type that its `amp` computes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet.contrib import amp
from mxnet.contrib.amp.loss_scaler import LossScaler
from mxnet.gluon import HybridBlock

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported, check_precision
from crossframe.tasks.spec import GELU, Layer, LeakyReLU, Task


@dataclass(frozen=True)
class Arithmetic:
    """The types of a network in one precision."""

    storage_dtype: str
    compute_dtype: str | None = None  # None: as the weights


PRECISIONS = {
    "float32": Arithmetic("float32"),
    "float64": Arithmetic("float64"),
    "bfloat16": Arithmetic("float32", "bfloat16"),
    "float16": Arithmetic("float32", "float16"),
}
UNSUPPORTED = {  # (precision, kind of device) -> reason
    ("tf32", "cuda"): "MXNet has no switch for TF32: NVIDIA_TF32_OVERRIDE keeps it off for the whole process",
    ("bfloat16", "cuda"): "MXNet's amp casts to bfloat16 on a CPU only",
    ("float16", "cpu"): 'MXNet has no float16 product on a CPU ("FP16 gemm on cpu not implemented!"): use bfloat16',
}
# Operators without inputs: amp would cast their inputs to float32, and fails in a hybridized LSTM since they have none.
WITHOUT_INPUT = {"_arange", "_eye", "_full", "_linspace", "_ones", "_zeros", "_zeros_without_dtype"}
amp_types: list[str] = []  # the type that amp was initialized with, once for the whole process


def configure(task: Task, device: str, precision: str) -> Arithmetic:
    """Initialize `amp` if a precision needs it and return its arithmetic; Unsupported if it is not available."""
    check_precision(precision, PRECISIONS, device, UNSUPPORTED)
    if precision == "float64" and any(computes_in_float32(layer) for _, layer, _ in task.walk_leaves()):
        raise Unsupported("MXNet computes leaky ReLU, and GELU by the error function, in float32 beside float64 too")
    arithmetic = PRECISIONS[precision]
    compute_dtype = arithmetic.compute_dtype
    if amp_types and amp_types != [compute_dtype]:
        raise Unsupported(f"MXNet's amp rewrites its operators for good: this process computes in {amp_types[0]}")
    if compute_dtype == "bfloat16":
        require_bfloat16()
    if compute_dtype and not amp_types:
        amp_types.append(compute_dtype)
        dtype = amp.amp.bfloat16 if compute_dtype == "bfloat16" else "float16"
        float32_operators = [operator for operator in amp.list_fp32_ops(dtype) if operator not in WITHOUT_INPUT]
        amp.init(compute_dtype, fp32_ops=float32_operators)
    return arithmetic


def computes_in_float32(layer: Layer) -> bool:
    """Return whether the operator of a layer computes in float32 beside inputs of any precision (errors of 1e-8)."""
    return isinstance(layer, LeakyReLU) or (isinstance(layer, GELU) and not layer.approximate)


def require_bfloat16() -> None:
    """Raise Unsupported if the processor has no bfloat16 products: those of oneDNN need AVX-512."""
    x = mx.nd.ones((1, 1)).astype(amp.amp.bfloat16)
    try:
        mx.nd.FullyConnected(x, x, no_bias=True, num_hidden=1).wait_to_read()
    except mx.MXNetError as error:
        reason = str(error).strip().splitlines()[-1]
        raise Unsupported(f"MXNet computes bfloat16 on processors with AVX-512 only ({reason})") from error


class Float32Outputs(HybridBlock):
    """A network that computes in any type and whose outputs are float32 again, as the loss and `predict` need them."""

    def __init__(self, network: HybridBlock) -> None:
        super().__init__()
        self.network = network

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        return F.cast(self.network(x), dtype="float32")


def mix_precision(network: HybridBlock, arithmetic: Arithmetic) -> HybridBlock:
    """Return the network with outputs in the type of the loss; `amp` has rewritten its operators."""
    return Float32Outputs(network) if arithmetic.compute_dtype else network


def make_loss_scaler(arithmetic: Arithmetic, scale: float = LOSS_SCALE) -> LossScaler | None:
    """Return MXNet's own loss scaler if the range of the computed type is so small that gradients need one."""
    if arithmetic.compute_dtype != "float16":
        return None
    loss_scaler = LossScaler()
    loss_scaler._loss_scale = loss_scaler._next_loss_scale = scale  # it has no settings
    loss_scaler._scale_seq_len = SCALE_GROWS_AFTER
    return loss_scaler


def unscale(loss_scaler: LossScaler, parameters: list[mx.gluon.Parameter]) -> bool:
    """Divide the gradients by the loss scale, in place; return False if they overflowed and the update is skipped."""
    scale = loss_scaler.loss_scale
    overflow = loss_scaler.has_overflow(parameters)  # reads a number back from the device: MXNet has no other way
    loss_scaler._loss_scale = loss_scaler._next_loss_scale  # otherwise it halves only after the next update
    for parameter in parameters:
        gradient = parameter.grad()
        gradient /= scale
    return not overflow
