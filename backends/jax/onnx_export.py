"""ONNX export of a JAX network, by jax2onnx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossframe.backends.jax.network import EXPORT_LAYERS, Parameters, build
from crossframe.backends.jax.precision import Arithmetic
from crossframe.tasks.spec import Task


def export_onnx(  # noqa: PLR0913  # the parameters of all backends, and the buffers
    task: Task, parameters: Parameters, buffers: Parameters, arithmetic: Arithmetic, path: Path, opset: int
) -> None:
    """Write the network as one ONNX file with a free batch axis."""
    network = build(task, EXPORT_LAYERS)
    load_exporter()(
        lambda x: network(parameters, buffers, x),
        [("batch", *task.input_shape)],
        model_name=task.name,
        opset=opset,
        enable_double_precision=arithmetic.storage_dtype == "float64",
        return_mode="file",
        output_path=path,
        input_names=["x"],
        output_names=["y"],
        export_mode="web",  # one file, weights inside
    )


def load_exporter() -> Callable[..., Any]:
    """Return `jax2onnx.to_onnx`, with its plugins for JAX and for the one function of flax that `EXPORT_LAYERS` uses.

    By default jax2onnx also loads its plugins for three more libraries and its own examples, for which it compiles 74
    programs. That takes four fifths of the time of an export.
    """
    from jax2onnx import to_onnx  # imported late: it takes longer than JAX
    from jax2onnx.plugins import plugin_system
    from jax2onnx.plugins.flax.linen import max_pool  # noqa: F401  # registers itself

    if not plugin_system._already_imported_plugins:
        folder = Path(plugin_system.__file__).parent / "jax"
        plugin_system._import_tree(folder, "jax2onnx.plugins.jax")
        plugin_system._already_imported_plugins = True
    return to_onnx
