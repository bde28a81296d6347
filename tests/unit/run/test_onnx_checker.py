"""Files that onnxruntime can't run, or that never end, are a failed export; the process is fit for the next file."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.worker.measurements import ExportResult
from crossframe.harness.worker.states import State

X = np.ones((64, 2), np.float32)
EXPORT = ExportResult(State.OK, None, 0.1, 100)


@pytest.fixture(scope="module")
def checker() -> Iterator[OnnxChecker]:
    with closing(OnnxChecker()) as checker:
        yield checker


def save(folder: Path, nodes: list[Any], outputs: int = TensorProto.FLOAT) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", outputs, ["batch", 2])
    graph = helper.make_graph(nodes, "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")


def constant(name: str, value: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def multiply(value: float) -> list[Any]:
    return [constant("factor", np.float32(value)), helper.make_node("Mul", ["x", "factor"], ["y"])]


def endless() -> list[Any]:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["going_in"], ["going"]), helper.make_node("Sin", ["value"], ["after"])],
        "body",
        [info("number", TensorProto.INT64, []), info("going_in", TensorProto.BOOL, []), info("value", 1, None)],
        [info("going", TensorProto.BOOL, []), info("after", 1, None)],
    )
    loop = helper.make_node("Loop", ["rounds", "true", "x"], ["y"], body=body)
    return [constant("rounds", np.int64(1 << 62)), constant("true", np.bool_(True)), loop]


def test_a_correct_file_agrees(checker: OnnxChecker, tmp_path: Path) -> None:
    save(tmp_path, multiply(3.0))
    agreement = checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4)
    assert (agreement.state, agreement.reason, agreement.max_error) == (State.OK, None, 0.0)


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda folder: None, "no file to run"),
    "pipe": (lambda folder: os.mkfifo(folder / "model.onnx"), "not a regular file"),
    "device": (lambda folder: (folder / "model.onnx").symlink_to("/dev/zero"), "is a link"),
    "empty": (lambda folder: (folder / "model.onnx").write_bytes(b""), ""),
    "noise": (lambda folder: (folder / "model.onnx").write_bytes(bytes(range(256))), ""),
    "nan": (lambda folder: save(folder, multiply(np.nan)), "not finite"),
    "infinite": (lambda folder: save(folder, multiply(np.inf)), "not finite"),
    "wrong": (lambda folder: save(folder, multiply(3.1)), "differ from those of the framework by up to 0.1"),
    "text": (
        lambda folder: save(folder, [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)], 8),
        "no array of real numbers",
    ),
}


@pytest.mark.parametrize(("plant", "reason"), FILES.values(), ids=FILES)
def test_a_faulty_file_is_a_failed_export_and_the_next_one_is_checked(
    checker: OnnxChecker, tmp_path: Path, plant: Callable[[Path], Any], reason: str
) -> None:
    plant(tmp_path)
    agreement = checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4)
    assert agreement.state == State.FAILED
    assert reason in str(agreement.reason)
    check_next(checker, tmp_path)


def check_next(checker: OnnxChecker, tmp_path: Path) -> None:
    """Check a correct file after a faulty one."""
    (tmp_path / "next").mkdir()
    save(tmp_path / "next", multiply(3.0))
    assert checker.check(EXPORT, tmp_path / "next", X, 3 * X, 1e-4).state == State.OK


@pytest.mark.frameworks  # waits for seconds
def test_a_file_whose_inference_never_ends_is_given_up(checker: OnnxChecker, tmp_path: Path) -> None:
    save(tmp_path, endless())
    limit_s, checker.timeout_s = checker.timeout_s, 3.0
    agreement = checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4)
    checker.timeout_s = limit_s
    assert agreement.state == State.FAILED
    assert "did not end after 3 s" in str(agreement.reason)
    check_next(checker, tmp_path)


def test_nothing_of_a_file_gets_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    indices = constant("indices\x1b[2J", np.array([5, 5], np.int64))  # out of range, which is seen when it runs
    save(tmp_path, [indices, helper.make_node("Gather", ["x", "indices\x1b[2J"], ["y"], "name\x1b[2J", axis=1)])
    with closing(OnnxChecker()) as checker:
        agreement = checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4)
    assert agreement.state == State.FAILED
    assert "\x1b" not in str(agreement.reason)
    output = capfd.readouterr()
    assert output.out == output.err == ""


def test_outputs_of_the_framework_that_are_not_finite_do_not_agree(checker: OnnxChecker, tmp_path: Path) -> None:
    save(tmp_path, multiply(3.0))
    assert checker.check(EXPORT, tmp_path, X, X * np.nan, 1e-4).state == State.FAILED


def test_a_process_that_is_killed_is_started_again(checker: OnnxChecker, tmp_path: Path) -> None:
    save(tmp_path, multiply(3.0))
    assert checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4).state == State.OK
    assert checker.child.process is not None
    checker.child.process.kill()
    checker.child.process.wait()
    assert checker.check(EXPORT, tmp_path, X, 3 * X, 1e-4).state == State.OK
