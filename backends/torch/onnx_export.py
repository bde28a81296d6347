"""PyTorch's two ONNX exporters: the exported program of torch.export, and the older tracing by TorchScript."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from crossframe.backends.contract import Unsupported
from crossframe.backends.torch.precision import Arithmetic
from crossframe.tasks.spec import Task


def export_dynamo(network: nn.Module, example: Tensor, path: Path, opset: int) -> None:
    """Export by torch.export; Unsupported if the exporter cannot convert its graph to `opset`."""
    from onnxscript import optimizer  # imported late: training does not need it

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
    if written != opset:  # the exporter keeps its own opset, without an error, if it cannot convert the graph
        raise Unsupported(f"torch's exporter wrote opset {written} instead of {opset}")
    # Fold without size limits; otherwise the file would reorder the weights of an LSTM at run time.
    optimizer.fold_constants(program.model, input_size_limit=2**31, output_size_limit=2**31)
    optimizer.remove_unused_nodes(program.model)
    program.save(path, external_data=False)  # one file, weights inside


def export_torchscript(network: nn.Module, example: Tensor, path: Path, opset: int) -> None:
    """Export by tracing, with the older exporter."""
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


# The `onnx_routes` of the manifest.
ROUTES: dict[str, Callable[[nn.Module, Tensor, Path, int], None]] = {
    "dynamo": export_dynamo,
    "torchscript": export_torchscript,
}


@torch.inference_mode()  # without gradients to trace, an LSTM takes less than half of the time
def export_onnx(  # noqa: PLR0913  # the parameters of all backends, and the route
    task: Task, network: nn.Module, arithmetic: Arithmetic, path: Path, opset: int, route: str = "dynamo"
) -> None:
    """Write the network as one ONNX file with a free batch axis."""
    network = copy.deepcopy(network).cpu().eval()  # a copy: the exporter rebinds the weights of an LSTM
    # A batch of 2, since the exporter treats an axis of size 1 as constant.
    example = torch.zeros(2, *task.input_shape, dtype=arithmetic.storage_dtype)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # each export reports that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own use of deprecated functions
        ROUTES[route](network, example, path, opset)
