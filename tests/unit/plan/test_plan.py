"""The plan of a run: its cells, the order of its jobs, its inputs."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from crossframe.backends import Backend, discover
from crossframe.harness.errors import UsageError
from crossframe.harness.plan import estimate, inputs
from crossframe.harness.plan.options import OPTION_HELP, create_run_folder, usable_cpus
from crossframe.harness.plan.plan import make_plan, select_modes, select_names, task_for
from crossframe.harness.plan.readiness import list_refused_modes
from crossframe.harness.records.model import RunOptions
from crossframe.tasks import CORE, spec
from crossframe.tasks import discover as discover_tasks
from tests.support.synthetic import plan_for


def test_every_repeat_holds_every_cell_once() -> None:
    plan = plan_for("cpu", backend=["reference"], task=[], repeats=3)
    cells = [job.cell for job in plan.jobs]
    assert [job.repeat for job in plan.jobs] == [1] * 4 + [2] * 4 + [3] * 4
    assert {frozenset(cells[start : start + 4]) for start in (0, 4, 8)} == {frozenset(cells)}
    assert len({tuple(cells[start : start + 4]) for start in (0, 4, 8)}) > 1, "each repeat needs another order"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RunOptions(task=["mnist"]), "unknown task 'mnist'; available: autoencoder, circle, cnn, lstm"),
        (RunOptions(backend=["caffe"]), "unknown backend 'caffe'; available: "),
        (RunOptions(backend=["torch", "jax"], mode=["xla"]), "unknown mode of torch or jax 'xla'; available: "),
        (RunOptions(precision=["int8"]), "unknown precision 'int8'"),
        (RunOptions(preset="slow"), "unknown preset 'slow'; available: quick, standard, original"),
        (RunOptions(data="imagenet"), "unknown data set 'imagenet'"),
        (RunOptions(preset="original", scale=[2]), "--scale does not apply to the preset original"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(options: RunOptions, message: str) -> None:
    with pytest.raises(UsageError) as error:
        make_plan(options)
    assert str(error.value).startswith(message)


def test_a_plan_without_a_task_has_those_of_a_default_run() -> None:
    assert list(make_plan(RunOptions(backend=["reference"])).tasks) == list(CORE)
    assert list(make_plan(RunOptions(backend=["reference"], task=["all"])).tasks) == list(discover_tasks())
    assert list(make_plan(RunOptions(backend=["reference"], task=["resnet", "cnn"])).tasks) == ["resnet", "cnn"]


def test_a_preset_that_a_task_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="the task resnet has no preset original, only standard, quick"):
        make_plan(RunOptions(task=["all"], preset="original"))


def test_names_keep_their_order_and_lose_repetitions() -> None:
    assert select_names("task", ["b", "a", "b"], ["a", "b", "c"]) == ["b", "a"]


def test_a_backend_runs_the_selected_modes_that_it_has() -> None:
    torch = discover()["torch"]
    modes = list(torch.manifest.modes)
    assert select_modes(torch, []) == modes[:1]
    assert select_modes(torch, ["all"]) == modes
    assert select_modes(torch, ["xla", modes[1]]) == [modes[1]]


def test_a_cell_trains_with_its_batch_size() -> None:
    plan = plan_for("cpu", backend=["reference"], batch_size=[4, 16], scale=[1, 2])
    sizes = {(job.cell.task, task_for(plan, job.cell).batch_size) for job in plan.jobs}
    assert sizes == {(task, size) for task in plan.tasks for size in (4, 16)}
    assert len(plan.tasks) == 2


def test_repeats_cycle_through_the_seeds(tmp_path: Path) -> None:
    plan = plan_for("cpu", backend=["reference"], repeats=5, seeds=2)
    assert [inputs.seed_for(plan, job) for job in plan.jobs] == [0, 1, 0, 1, 0]
    cell = plan.jobs[0].cell
    paths = [inputs.draw_inputs(plan, tmp_path, cell, seed) for seed in (0, 1)]
    first, second = (np.load(path, allow_pickle=False) for path in paths)
    assert paths[0] != paths[1]
    assert first.files == second.files
    assert any(not np.array_equal(first[name], second[name]) for name in first.files if name.startswith("weights/"))
    modified = paths[0].stat().st_mtime_ns
    assert inputs.draw_inputs(plan, tmp_path, cell, 0).stat().st_mtime_ns == modified  # drawn once


def test_an_epoch_uses_every_sample_at_most_once() -> None:
    order = inputs.draw_order(samples=10, batch_size=4, epochs=3, seed=0)
    assert order.shape == (3, 2, 4)
    assert all(len(set(epoch.ravel())) == 8 for epoch in order)
    assert not np.array_equal(order[0], order[1])


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    plan = plan_for("cpu", backend=["reference"], batch_size=[10**6])
    with pytest.raises(UsageError, match="circle: the batch size 1000000 exceeds the"):
        inputs.draw_inputs(plan, tmp_path, plan.jobs[0].cell)


def test_every_option_of_a_run_has_a_help_text() -> None:
    assert list(OPTION_HELP) == [field.name for field in fields(RunOptions)]


def test_processors_are_those_of_this_process() -> None:
    processors = usable_cpus(None)
    assert usable_cpus(1) == processors[:1]
    with pytest.raises(UsageError, match=f"--threads {len(processors) + 1}: this process may use only"):
        usable_cpus(len(processors) + 1)


def test_a_run_needs_an_empty_folder(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path / "run", "quick").is_dir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"exists and is not empty; to continue that run: crossframe run --resume"):
        create_run_folder(tmp_path / "run", "quick")


def test_modes_that_the_device_cannot_run_are_left_out_of_all() -> None:
    plan = plan_for("cpu", task=["circle", "cnn"], backend=["torch", "jax"], mode=["all"])
    variants = {(job.cell.task, job.cell.variant) for job in plan.jobs}
    assert ("circle", "jax scan") in variants
    assert ("cnn", "jax scan") not in variants
    assert not any(variant == "torch reduce-overhead" for _, variant in variants)
    refused = [(mode.backend, mode.mode, mode.tasks) for mode in list_refused_modes(plan)]
    assert refused == [("torch", "reduce-overhead", []), ("jax", "scan", ["cnn"])]
    assert len(estimate.describe_omissions(plan)) == 2


def test_a_mode_that_is_named_is_planned_even_so() -> None:
    plan = plan_for("cpu", backend=["torch"], mode=["reduce-overhead"])
    assert [job.cell.mode for job in plan.jobs] == ["reduce-overhead"]
    assert estimate.describe_omissions(plan) == []


@pytest.mark.parametrize("backend", [backend for backend in discover().values() if backend.manifest.unsupported])
def test_a_refusal_of_a_manifest_is_that_of_the_backend(backend: Backend) -> None:
    source = (backend.folder / "model.py").read_text()
    for entry in backend.manifest.unsupported:
        assert f'raise Unsupported("{entry.reason}")' in source
        assert entry.layer is None or hasattr(spec, entry.layer)
