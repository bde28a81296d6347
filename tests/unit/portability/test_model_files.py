"""Model files: their inspection, their test vectors, and changes of their graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crossframe.harness.portability import inspect_model, run_models, spec_onnx, surgery
from crossframe.harness.portability.model_file import list_costs
from crossframe.harness.portability.test_vectors import HELD_OUT
from crossframe.tasks import discover
from crossframe.tasks.spec import initial_weights
from tests.support.corruptions import FILE_CORRUPTIONS, MODEL_CORRUPTIONS, corrupt
from tests.support.models import IMAGES, RECURRENT, SAMPLES, draw_weights, make_model_file


@pytest.mark.parametrize("name", discover())
@pytest.mark.parametrize("opset", [7, 12, 13, 21])
def test_spec_files_have_the_requested_opset(name: str, opset: int) -> None:
    task = discover()[name]["quick"]
    model = spec_onnx.write_model(task, initial_weights(task, 0), opset)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == opset


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "inner/../../weights.bin", "link/passwd"])
def test_weights_outside_the_folder_are_found(tmp_path: Path, location: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert inspect_model.leaves_folder(tmp_path, location)


def test_weights_in_a_subfolder_are_inside(tmp_path: Path) -> None:
    assert not inspect_model.leaves_folder(tmp_path, "inner/weights.bin")


def test_a_correct_file_has_no_costs(tmp_path: Path) -> None:
    file = make_model_file(tmp_path, IMAGES)
    assert file.structure is not None
    assert file.structure.problem is None
    assert file.structure.census.operators["Conv"] == 1
    assert file.structure.inputs[0].shape == ["batch", 3, 8, 8]
    assert list_costs(file) == []


@pytest.mark.parametrize(
    ("corruption", "cost"), [("batch frozen", "frozen at 2"), ("batch norm in training mode", "in training mode")]
)
def test_costs_of_corrupt_models(tmp_path: Path, corruption: str, cost: str) -> None:
    file = make_model_file(tmp_path, RECURRENT, corruption)
    assert cost in " ".join(list_costs(file))


@pytest.mark.parametrize("corruption", FILE_CORRUPTIONS)
def test_files_that_are_not_models_are_unreadable(tmp_path: Path, corruption: str) -> None:
    with pytest.raises(run_models.UnreadableError, match="load"):
        make_model_file(tmp_path, RECURRENT, corruption)


@pytest.mark.parametrize("corruption", MODEL_CORRUPTIONS)
def test_every_corruption_changes_the_model(tmp_path: Path, corruption: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(spec_onnx.write_model(RECURRENT, draw_weights(RECURRENT)), path)
    before = path.read_bytes()
    corrupt(path, corruption)
    assert path.read_bytes() != before


def test_held_out_samples_are_each_in_one_set(tmp_path: Path) -> None:
    rows = make_model_file(tmp_path, IMAGES).vectors.rows
    joined = np.concatenate([rows[name] for name in HELD_OUT if name in rows])
    np.testing.assert_array_equal(np.sort(joined), np.arange(SAMPLES))


def test_cut_graphs_keep_the_tensors_that_subgraphs_read() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["outer", "outer"], ["twice"])],
        "body",
        [],
        [helper.make_tensor_value_info("twice", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Neg", ["x"], ["outer"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("Abs", ["chosen"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y"))
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [yes]))
    assert [node.op_type for node in surgery.cut_at(model, ["chosen"]).graph.node] == ["Neg", "If"]
