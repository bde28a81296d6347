"""PyTorch's two ways to an ONNX file: the exported program of torch.export, and the older tracing by TorchScript."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from crossframe.backends.contract import Unsupported


def dynamo(network: nn.Module, example: Tensor, path: Path, opset: int) -> None:
    from onnxscript import optimizer  # here, since training has no need of it

    program = torch.onnx.export(
        network,
        (example,),
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    written = program.model.opset_imports[""]
    if written != opset:  # what it cannot convert the exporter leaves at its own opset, without an error
        raise Unsupported(f"torch's exporter wrote opset {written} where {opset} was asked for")
    # Without limits of size, else it leaves it to run time to put an LSTM's weights into ONNX's order.
    optimizer.fold_constants(program.model, input_size_limit=2**31, output_size_limit=2**31)
    optimizer.remove_unused_nodes(program.model)
    program.save(path, external_data=False)  # one file, weights inside


def torchscript(network: nn.Module, example: Tensor, path: Path, opset: int) -> None:
    torch.onnx.export(
        network,
        (example,),
        path,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
        opset_version=opset,
        dynamo=False,
    )


ROUTES: dict[str, Callable[[nn.Module, Tensor, Path, int], None]] = {"dynamo": dynamo, "torchscript": torchscript}
