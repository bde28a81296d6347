"""Wrong answers of methods: name of the mode -> the method, and what it becomes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import FrameworkSettings, Unsupported
from crossframe.backends.reference.model import Model

Method = Callable[..., Any]
Answer = tuple[str, Callable[[Method], Method]]


def give(method: str, value: object) -> Answer:
    """Return an answer that is always the same."""
    return method, lambda _: lambda *arguments: value


def change(method: str, convert: Callable[[Any], Any]) -> Answer:
    """Return an answer that is converted."""
    return method, lambda correct: lambda *arguments: convert(correct(*arguments))


def do(method: str, action: Callable[[], object]) -> Answer:
    """Return an answer after which something happens."""

    def replace(correct: Method) -> Method:
        def answer(*arguments: Any) -> Any:
            result = correct(*arguments)
            action()
            return result

        return answer

    return method, replace


def fail(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


class UnspeakableError(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def recurse() -> None:
    recurse()


def write_much() -> None:
    os.write(1, b"\x1b[2J noise \xff\x00" * 500_000)


def save_as(make: Callable[[Path], object]) -> Answer:
    return "save", lambda _: lambda path: make(path)


def save_pipe(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "weights.npz")


def save_link(path: Path) -> None:
    path.mkdir()
    (path / "weights.npz").symlink_to("/dev/zero")


def export_as(make: Callable[[Path], object]) -> Answer:
    return "export_onnx", lambda _: lambda path, opset: make(path)


def write_model(path: Path, model: Model) -> None:
    """Write the network as a correct file."""
    import onnx

    from crossframe.harness.portability import spec_onnx

    onnx.save(spec_onnx.write_model(model.task, model.weights(), 13), path)


def write_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def save_graph(nodes: Callable[[Any, Any], list[Any]], output: int = 1, width: int = 1) -> Callable[[Path], None]:
    """Return a function that writes a model with the given nodes, from `x` (batch, 2) to `y`."""

    def save(path: Path) -> None:
        import onnx
        from onnx import TensorProto, helper

        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
        y = helper.make_tensor_value_info("y", output, ["batch", width])
        graph = helper.make_graph(nodes(helper, TensorProto), "graph", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)

    return save


def constant(helper: Any, name: str, value: Any) -> Any:
    from onnx import numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def fill(value: float) -> Callable[[Any, Any], list[Any]]:
    """Return the nodes of a graph whose outputs all have one value."""

    def nodes(helper: Any, proto: Any) -> list[Any]:
        return [
            constant(helper, "axes", np.array([1], np.int64)),
            constant(helper, "zero", np.float32(0)),
            constant(helper, "value", np.float32(value)),
            helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
            helper.make_node("Mul", ["sum", "zero"], ["zeros"]),
            helper.make_node("Add", ["zeros", "value"], ["y"]),
        ]

    return nodes


def loop_for_ever(helper: Any, proto: Any) -> list[Any]:
    """Return the nodes of a graph with a loop of 2**62 rounds."""
    from onnx import TensorProto

    iteration = helper.make_tensor_value_info("iteration", TensorProto.INT64, [])
    going_in = helper.make_tensor_value_info("going_in", TensorProto.BOOL, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, None)
    after = helper.make_tensor_value_info("after", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["going_in"], ["going"]), helper.make_node("Sin", ["value"], ["after"])],
        "body",
        [iteration, going_in, value],
        [going, after],
    )
    return [
        constant(helper, "rounds", np.int64(1 << 62)),
        constant(helper, "true", np.bool_(True)),
        helper.make_node("Loop", ["rounds", "true", "x"], ["y"], body=body),
    ]


def grow(helper: Any, proto: Any) -> list[Any]:
    """Return the nodes of a graph whose output has 2**40 numbers."""
    return [
        constant(helper, "repeats", np.array([1 << 20, 1 << 20], np.int64)),
        helper.make_node("Tile", ["x", "repeats"], ["y"]),
    ]


def as_text(helper: Any, proto: Any) -> list[Any]:
    return [helper.make_node("Cast", ["x"], ["y"], to=proto.STRING)]


def keep_shape(helper: Any, proto: Any) -> list[Any]:
    return [helper.make_node("Identity", ["x"], ["y"])]


def write_external(path: Path) -> None:
    """Write a model whose weights lie in a file outside of its folder."""
    import onnx
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../../../../../etc/passwd")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "graph", [x], [y], [tensor])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert onnx.__version__


def change_first(convert: Callable[[Any], Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """Return arrays, the first of them converted."""
    name = next(iter(arrays))
    return {**arrays, name: convert(arrays[name])}


def settings(**values: Any) -> FrameworkSettings:
    return FrameworkSettings(**{"threads": 1, "float32_products": "float32", **values})


ANSWERS: dict[str, Answer] = {}
ARRAYS: dict[str, Callable[[Any], Any]] = {
    "flat": np.ravel,
    "nan": lambda array: array * np.nan,
    "infinite": lambda array: array * np.inf,
    "none": lambda array: None,
    "list": lambda array: array.tolist(),
    "text": lambda array: array.astype(str),
    "complex": lambda array: array.astype(np.complex64),
    "objects": lambda array: array.astype(object),
    "half": lambda array: array[: (len(array) + 1) // 2],
    "empty": lambda array: array[:0],
    "integers": lambda array: array.astype(np.int32),
    "wide": lambda array: np.concatenate([array, array], axis=-1),
    "deep": lambda array: array[..., None],
    "large": lambda array: array * 1e30,
    "scalar": lambda array: 1.0,
}
for name, convert in ARRAYS.items():
    ANSWERS[f"predict_{name}"] = change("predict", convert)
    ANSWERS[f"weight_{name}"] = change("weights", partial(change_first, convert))
WEIGHTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "missing": lambda arrays: dict(list(arrays.items())[1:]),
    "extra": lambda arrays: {**arrays, "../surprise": np.zeros(3)},
    "none": lambda arrays: None,
    "empty": lambda arrays: {},
    "list": lambda arrays: list(arrays.items()),
    "numbered": lambda arrays: dict(enumerate(arrays.values())),
}
for name, convert_all in WEIGHTS.items():
    ANSWERS[f"weights_{name}"] = change("weights", convert_all)
SETTINGS: dict[str, object] = {
    "empty": {},
    "none": None,
    "text": "many",
    "threads_fraction": settings(threads=1.5),
    "threads_text": settings(threads="all"),
    "threads_array": settings(threads=np.int64(2)),
    "details_nested": settings(details={"a": {"b": [1]}}),
    "details_nan": settings(details={"a": float("nan")}),
    "details_object": settings(details={"a": object()}),
    "details_controls": settings(details={"\x1b[2J": "\x07|<b>=1+1"}),
    "details_numbered": settings(details={1: 2}),
}
PLACEMENTS: dict[str, object] = {
    "none": None,
    "number": 3,
    "controls": "\x1b[31mcpu\n",
    "other": "tpu:0",
    "long": "cpu" * 1_000_000,
}
BYTES: dict[str, object] = {
    "fraction": 1234.5,
    "negative": -1,
    "text": "much",
    "nan": float("nan"),
    "array": np.int64(7),
    "huge": 10**30,
    "true": True,
}
for name, value in SETTINGS.items():
    ANSWERS[f"settings_{name}"] = give("settings", value)
for name, value in PLACEMENTS.items():
    ANSWERS[f"placement_{name}"] = give("placement", value)
for name, value in BYTES.items():
    ANSWERS[f"device_peak_{name}"] = give("device_peak_bytes", value)
    ANSWERS[f"device_reserved_{name}"] = give("device_reserved_bytes", value)
for name, error in {
    "exit": SystemExit(3),
    "exit_zero": SystemExit(0),
    "interrupt": KeyboardInterrupt(),
    "generator_exit": GeneratorExit(),
    "unspeakable": UnspeakableError(),
    "long_text": RuntimeError("x" * 10_000_000),
    "controls": RuntimeError("\x1b[2J\x1b]0;title\x07 <script>alert(1)</script> | =1+1 \udc80"),
    "base": BaseException("base"),
    "memory": MemoryError(),
    "unsupported_none": Unsupported(),
}.items():
    for method in ("train", "predict", "save", "export_onnx", "settings"):
        ANSWERS[f"{method}_raises_{name}"] = do(method, fail(error))
for name, action in {
    "exits": lambda: os._exit(5),
    "exits_zero": lambda: os._exit(0),
    "aborts": os.abort,
    "crashes": lambda: ctypes.string_at(0),
    "recurses": recurse,
    "terminates": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "kills": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs_up": lambda: os.kill(os.getpid(), signal.SIGHUP),
    "stops": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "sleeps": lambda: time.sleep(600),
    "prints": write_much,
    "closes_files": lambda: os.closerange(0, 256),
    "closes_output": sys.stdout.close,
    "changes_folder": lambda: os.chdir("/"),
}.items():
    ANSWERS[f"train_{name}"] = do("train", action)
    ANSWERS[f"export_{name}"] = do("export_onnx", action)
ANSWERS |= {
    "save_nothing": save_as(lambda path: None),
    "save_file": save_as(lambda path: path.write_text("no folder")),
    "save_pipe": save_as(save_pipe),
    "save_link": save_as(save_link),
    "load_nothing": give("load", None),
    "put_none": give("put", None),
    "sync_long": do("sync", lambda: time.sleep(0.05)),
    "export_missing": export_as(lambda path: None),
    "export_empty": export_as(lambda path: path.write_bytes(b"")),
    "export_noise": export_as(lambda path: path.write_bytes(np.random.default_rng(0).bytes(3000))),
    "export_pipe": export_as(os.mkfifo),
    "export_folder": export_as(Path.mkdir),
    "export_device": export_as(lambda path: path.symlink_to("/dev/zero")),
    "export_link": export_as(lambda path: path.symlink_to("/etc/passwd")),
    "export_sparse": export_as(write_sparse),
    "export_nan": export_as(save_graph(fill(float("nan")))),
    "export_infinite": export_as(save_graph(fill(float("inf")))),
    "export_zeros": export_as(save_graph(fill(0.0))),
    "export_other_shape": export_as(save_graph(keep_shape, width=2)),
    "export_text": export_as(save_graph(as_text, 8, 2)),
    "export_endless": export_as(save_graph(loop_for_ever, width=2)),
    "export_grows": export_as(save_graph(grow, width=1 << 21)),
    "export_external": export_as(write_external),
}
