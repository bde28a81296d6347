"""Inputs for files without a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossframe.harness.errors import UsageError
from crossframe.harness.portability import single_file
from crossframe.harness.portability.inspect_model import read_structure
from crossframe.harness.portability.run_models import UnreadableError
from crossframe.harness.records.portability import TensorInfo
from tests.support.models import write_one_node


def test_inputs_are_drawn_as_declared() -> None:
    array = single_file.draw_input(TensorInfo("x", "float32", ["batch", 4, None]), samples=7)
    assert array.shape == (7, 4, single_file.FREE_AXIS)
    assert array.dtype == np.float32
    indices = single_file.draw_input(TensorInfo("i", "int64", [5]), samples=None)
    assert set(indices) <= {0, 1}


@pytest.mark.parametrize(
    "tensor",
    [
        TensorInfo("x", "float32", None),
        TensorInfo("x", "not a tensor", [1]),
        TensorInfo("x", "float32", [1 << 20, 1 << 20]),
        TensorInfo("x", "int64", [3, -1]),
    ],
)
def test_undeclared_inputs_are_unreadable(tensor: TensorInfo) -> None:
    with pytest.raises(UnreadableError, match="--reference"):
        single_file.draw_input(tensor, samples=None)


def test_the_inputs_of_a_file_are_limited_together(tmp_path: Path) -> None:
    structure = read_structure(write_one_node(tmp_path, shape=[1 << 25]))
    (tensor,) = structure.inputs
    assert single_file.draw_inputs(structure, None)["x"].nbytes == 1 << 27
    several = replace(structure, inputs=[replace(tensor, name=name) for name in "abc"])
    with pytest.raises(UnreadableError, match="input c has the shape"):
        single_file.draw_inputs(several, None)


def test_free_batches_are_split_into_sets(tmp_path: Path) -> None:
    free = single_file.make_vectors(read_structure(write_one_node(tmp_path, shape=["n", 4])), None)
    assert free.feeds["batch_64"]["x"].shape == (64, 4)
    assert free.expected == {}
    fixed = single_file.make_vectors(read_structure(write_one_node(tmp_path, shape=[3, 4])), None)
    assert {name: feeds["x"].shape for name, feeds in fixed.feeds.items()} == {"declared": (3, 4)}


def test_reference_arrays_are_matched_by_name(tmp_path: Path) -> None:
    structure = read_structure(write_one_node(tmp_path, shape=["n", 4]))
    x = np.ones((9, 4), np.float32)
    np.savez(tmp_path / "both.npz", **{"input/x": x, "output/y": x})  # type: ignore[arg-type]  # NumPy's stub
    feeds, outputs = single_file.read_reference(tmp_path / "both.npz", structure)
    np.testing.assert_array_equal(feeds["x"], x)
    np.testing.assert_array_equal(outputs[0], x)
    np.savez(tmp_path / "half.npz", x=x)
    with pytest.raises(UsageError, match="but not y"):
        single_file.read_reference(tmp_path / "half.npz", structure)
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(UsageError, match="not an archive"):
        single_file.read_reference(tmp_path / "text.npz", structure)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY\x01\x00"])
def test_reference_arrays_that_are_damaged_are_named(tmp_path: Path, content: bytes) -> None:
    structure = read_structure(write_one_node(tmp_path, shape=["n", 4]))
    (tmp_path / "io.npz").write_bytes(content)
    with pytest.raises(UsageError, match="not an archive"):
        single_file.read_reference(tmp_path / "io.npz", structure)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([b"a"]), np.array(["2020"], "M8[Y]")])
def test_reference_arrays_that_are_no_numbers_are_named(tmp_path: Path, array: np.ndarray) -> None:
    structure = read_structure(write_one_node(tmp_path, shape=["n", 4]))
    np.savez(tmp_path / "io.npz", x=array, y=array)
    with pytest.raises(UsageError, match="not of numbers"):
        single_file.read_reference(tmp_path / "io.npz", structure)
