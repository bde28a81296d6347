"""What a mistake needs of a framework beyond the contract: setting weights, forgetting optimizer state, other layers.

The framework of a model is the name of the backend that made it. Frameworks are imported late: the table of mistakes
must be readable where none is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from operator import attrgetter
from typing import Any

import numpy as np

from crossframe.backends.contract import Dialect
from crossframe.tasks.spec import Arrays

FRAMEWORKS = ("torch", "tensorflow", "mxnet", "jax")


def framework_of(model: Any) -> str:
    """Return the name of the backend that made a model."""
    return type(model).__module__.split(".")[-2]


def find_dialect(model: Any) -> Dialect:
    """Return the dialect of the backend that made a model, as far as it applies in the precision of the model."""
    declared: Dialect = import_module(f"crossframe.backends.{framework_of(model)}").DIALECT
    exact = "float64" in str(model.dtype)
    return {name: value for name, value in declared.items() if not (exact and name == "adam_correction")}


def set_torch(model: Any, weights: Arrays) -> None:
    import torch

    from crossframe.backends.torch.network import array_map

    arrays, state = array_map(model.task), model.network.state_dict()
    for name, value in weights.items():
        key, convert = arrays[name]
        state[key].copy_(torch.as_tensor(np.ascontiguousarray(convert(value)), dtype=model.dtype))


def set_tensorflow(model: Any, weights: Arrays) -> None:
    from crossframe.backends.tensorflow.network import array_map

    arrays = array_map(model.task)
    for name, value in weights.items():
        layer, path, convert, _ = arrays[name]
        attrgetter(path)(model.network.get_layer(layer)).assign(convert(value))


def set_mxnet(model: Any, weights: Arrays) -> None:
    from crossframe.backends.mxnet.model import share_memory
    from crossframe.backends.mxnet.network import array_map

    arrays = array_map(model.task)
    for name, value in weights.items():
        path, convert = arrays[name]
        attrgetter(path)(model.network).set_data(share_memory(np.array(convert(value), model.dtype, order="C")))


def set_jax(model: Any, weights: Arrays) -> None:
    given = {name: model.to_device(value, model.dtype) for name, value in weights.items()}
    model.parameters = {name: given.get(name, value) for name, value in model.parameters.items()}
    model.statistics = {name: given.get(name, value) for name, value in model.statistics.items()}


SETTERS = {"torch": set_torch, "tensorflow": set_tensorflow, "mxnet": set_mxnet, "jax": set_jax}


def set_weights(model: Any, weights: Arrays) -> None:
    """Give a model other parameters and buffers, those of `weights`; its optimizer state stays."""
    SETTERS[framework_of(model)](model, weights)


def forget_torch(model: Any, moments: bool, counters: bool) -> None:
    for state in model.optimizer.state.values():
        for slot, value in state.items():
            if value is not None and (counters if slot == "step" else moments):
                value.zero_()
    if counters and model.schedule is not None:
        from crossframe.backends.torch.optimizers import make_schedule

        for group in model.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = model.task.optimizer.rate
        model.schedule = make_schedule(model.task, model.optimizer)


def forget_tensorflow(model: Any, moments: bool, counters: bool) -> None:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for variable in optimizer.variables:
        if variable.path.endswith("iteration"):
            if counters:
                variable.assign(0)
        elif moments and not variable.path.endswith("learning_rate"):
            variable.assign(np.zeros(variable.shape))


def forget_mxnet(model: Any, moments: bool, counters: bool) -> None:
    from crossframe.backends.mxnet.optimizers import make_optimizer

    if moments:
        for _, _, array in model.list_slots():
            array[:] = 0
    if counters:
        model.optimizer = make_optimizer(model.task, 0)


def forget_jax(model: Any, moments: bool, counters: bool) -> None:
    import jax

    def forget(leaf: Any) -> Any:
        chosen = counters if np.issubdtype(leaf.dtype, np.integer) else moments
        return leaf * 0 if chosen else leaf

    model.state = jax.tree.map(forget, model.state)


FORGETTERS: dict[str, Callable[..., None]] = {
    "torch": forget_torch,
    "tensorflow": forget_tensorflow,
    "mxnet": forget_mxnet,
    "jax": forget_jax,
}


def forget(model: Any, moments: bool = True, counters: bool = True) -> None:
    """Set the moments of an optimizer to zero, its counters of updates, or both."""
    FORGETTERS[framework_of(model)](model, moments, counters)


@contextmanager
def replace_entries(framework: str, table: str, entries: dict[Any, Any]) -> Iterator[None]:
    """Replace entries of a table of `network.py` of a backend, such as LAYERS, for the time of a `with`."""
    original = getattr(import_module(f"crossframe.backends.{framework}.network"), table)
    saved = {key: original[key] for key in entries}
    original.update(entries)
    try:
        yield
    finally:
        original.update(saved)
