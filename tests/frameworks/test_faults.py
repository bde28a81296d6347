"""The gate can fail: mistakes made on purpose in every real backend, each of which parity must catch.

One process for each backend and task runs them all. The tasks have their own layers, at sizes where a probe takes
milliseconds.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import Backend
from crossframe.backends.contract import Precision
from crossframe.harness.parity import checks
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.hints import find_hint
from crossframe.harness.parity.optimizer_variants import OPTIMIZERS, VARIANTS
from crossframe.harness.worker.probes import EPOCH, name_second_pass
from crossframe.tasks import discover
from crossframe.tasks.widen import widen
from tests.support.planted_mistakes import (
    BACKENDS,
    PARAMETERS,
    ProbedTask,
    list_probes,
    make_reference,
    plant,
    probe_task,
    run_probes,
)
from tests.support.small_tasks import SMALL, small_task

GPU_SCALE = 8  # of the task without a barrier, so that a step takes a GPU longer than the host takes to start it

# mistake -> (task that shows it, probes each of which must catch it)
CAUGHT_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "layer_gates_swapped": ("lstm", ("forward lstm1",)),
    "layer_second_bias_trained": ("lstm", ("gradient",)),
    "layer_kernel_transposed": ("cnn", ("forward conv1",)),
    "layer_padding_off_by_one": ("cnn", ("forward conv1",)),
    "layer_flatten_order_wrong": ("cnn", ("forward dense1",)),
    "loss_halved": ("circle", ("gradient",)),
    "loss_summed": ("circle", ("gradient",)),
    "optimizer_epsilon_changed": ("circle", ("adam plain", "adagrad plain", "rmsprop plain")),
    "optimizer_momentum_changed": ("circle", ("momentum plain",)),
    "decay_decoupled": ("circle", ("adam all variants",)),
    "decay_missing": ("circle", ("sgd decay", "adam all variants")),
    "optimizer_rate_off_by_1_percent": ("circle", ("gradient", "adam plain", "first epoch")),
    "clip_left_out": ("circle", ("sgd clip", "rmsprop all variants")),
    "schedule_left_out": ("circle", ("sgd schedule", "adam all variants")),
    "optimizer_state_forgotten": ("circle", ("momentum plain", "adam plain")),
    "layer_dropout_left_on": ("autoencoder", ("forward dense1",)),
    "calls_pipelined": ("circle", ("first epoch",)),
    "layer_weight_not_loaded": ("lstm", ("forward",)),
    "precision_inputs_half": ("autoencoder", ("forward dense1", "gradient")),
}
# mistake -> part of its hint; the other mistakes have a shape that several mistakes share
HINTS = {
    "layer_gates_swapped": "the gates of lstm1 are in the order i g f o",
    "layer_second_bias_trained": "a second bias is trained",
    "layer_kernel_transposed": "the kernel of conv1.w is transposed",
    "loss_halved": "every step is 0.5 times the expected one",
    "optimizer_rate_off_by_1_percent": "every step is 1.01 times the expected one",
    "optimizer_epsilon_changed": "its epsilon is 10 times that of the spec",
    "decay_missing": "weight decay is left out",
    "clip_left_out": "clipping is left out",
    "schedule_left_out": "the schedule is left out",
    "optimizer_state_forgotten": "the optimizer forgets",
}
# Backends whose two runs from the same start differ: the first by rounding only.
NOT_REPEATABLE = ("data_samples_reordered", "data_unseeded")
# The same optimizer in a form that the backend has not declared: caught by every probe in which the forms differ.
UNDECLARED = {
    "adam_epsilon": ("adam plain", ("after_correction", "before_correction")),
    "adagrad_epsilon": ("adagrad plain", ("outside_root", "inside_root")),
    "rmsprop_epsilon": ("rmsprop plain", ("outside_root", "inside_root")),
    "momentum_rate": ("momentum schedule", ("outside_velocity", "inside_velocity")),
}


class ProbedBackend:
    """What one backend left of every probe, without and with mistakes.

    `python` is an interpreter to use, as it is, instead of the environment of the backend.
    """

    def __init__(self, backend: Backend, folder: Path, device: str = "cpu", python: Path | None = None) -> None:
        self.name = backend.name
        self.tasks: dict[str, ProbedTask] = {}
        for name in SMALL:
            mistakes = [
                (mistake, probe) for mistake, (task, probes) in CAUGHT_BY.items() if task == name for probe in probes
            ]
            mistakes += [(mistake, "odd batches") for mistake in NOT_REPEATABLE]
            task, precision = small_task(name), Precision.FLOAT32
            self.tasks[name] = probe_task(backend, task, precision, mistakes, folder / name, device, python)
        self.unfinished_without_barrier = measure_missing_barrier(backend, folder, device, python)

    def check_repeats(self, task: str, device: str, mistake: str = "") -> Check:
        """Return the check of two runs of a probe, as if it had run on `device`."""
        probed = self.tasks[task]
        probe = next(probe for probe in probed.reference.probe_set.probes if probe.twice)
        planted = plant(probe, mistake) if mistake else probe
        first, second = probed.select_traces(planted.name), probed.select_traces(name_second_pass(planted))
        expected = probed.reference.expect(probe, probed.measurements.dialect, probed.precision)
        return checks.check_repeats(first, second, expected, device)


def measure_missing_barrier(backend: Backend, folder: Path, device: str, python: Path | None) -> float:
    """Return the share of an epoch that is unfinished after a `sync` that does nothing.

    It is measured on the task `lstm` in its own size, so that the unfinished part stands out.
    """
    task = widen(discover()["lstm"]["standard"], 1 if device == "cpu" else GPU_SCALE)
    inputs = folder / "large.npz"
    reference = make_reference(task, inputs)
    epoch = next(probe for probe in reference.probe_set.probes if probe.name == EPOCH)
    mistaken = replace(task, name="lstm+clock_no_barrier")
    probe = replace(epoch, task=mistaken, weights_after=(), outputs=False)
    outcome = run_probes(backend, Precision.FLOAT32, [probe], inputs, folder / "large", device, python)
    assert outcome.state == "ok", outcome.reason
    assert outcome.measurements.unfinished is not None
    return outcome.measurements.unfinished


@pytest.fixture(scope="module", params=PARAMETERS)
def probed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ProbedBackend:
    return ProbedBackend(BACKENDS[request.param], tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("task", SMALL)
def test_a_backend_without_mistakes_passes(probed: ProbedBackend, task: str) -> None:
    results = [check for name in list_probes(small_task(task)) for check in probed.tasks[task].check(name)]
    assert len(results) > 20
    assert [checks.describe_check(check) for check in results if not check.passed] == []


@pytest.mark.parametrize("mistake", CAUGHT_BY)
def test_a_mistake_is_caught(probed: ProbedBackend, mistake: str) -> None:
    task, probes = CAUGHT_BY[mistake]
    for probe in probes:
        results = list(probed.tasks[task].check(probe, mistake))
        assert results
        assert not all(check.passed for check in results), f"{probe} did not catch it"


@pytest.mark.parametrize("mistake", HINTS)
def test_a_known_mistake_is_named(probed: ProbedBackend, mistake: str) -> None:
    name, probes = CAUGHT_BY[mistake]
    task = probed.tasks[name]
    failure = checks.first_failure(list(task.check(probes[0], mistake)))
    assert failure is not None
    prefix = f"{mistake}/"
    traces = {key.removeprefix(prefix): value for key, value in task.traces.items() if key.startswith(prefix)}
    hint = find_hint(task.reference, failure, traces, task.measurements.dialect)
    assert hint is not None
    assert HINTS[mistake] in hint


@pytest.mark.parametrize("setting", UNDECLARED)
def test_a_dialect_that_is_not_declared_is_caught(probed: ProbedBackend, setting: str) -> None:
    probe, forms = UNDECLARED[setting]
    task = probed.tasks["circle"]
    declared = task.measurements.dialect
    form = declared.get(setting, forms[0])
    undeclared = {**declared, setting: next(each for each in forms if each != form)}
    assert all(check.passed for check in task.check(probe))
    assert not all(check.passed for check in task.check(probe, dialect=undeclared))


@pytest.mark.parametrize("task", SMALL)
def test_two_runs_agree_and_on_a_gpu_differ_by_rounding_only(probed: ProbedBackend, task: str) -> None:
    cpu, gpu = (probed.check_repeats(task, device) for device in ("cpu", "cuda:0"))
    assert (cpu.passed, cpu.error, cpu.tolerance) == (True, 0, 0)
    assert gpu.passed
    reordered = probed.check_repeats(task, "cuda:0", "data_samples_reordered")
    assert reordered.passed, checks.describe_check(reordered)
    assert reordered.error > 0
    assert not probed.check_repeats(task, "cpu", "data_samples_reordered").passed
    for device in ("cpu", "cuda:0"):
        unseeded = probed.check_repeats(task, device, "data_unseeded")
        assert not unseeded.passed
        assert "two runs from the same start differ" in checks.describe_check(unseeded)


def test_a_sync_that_is_no_barrier_is_caught(probed: ProbedBackend) -> None:
    """On the CPU torch and TensorFlow finish before they return, so there a missing barrier changes nothing."""
    for task in probed.tasks.values():
        assert task.measurements.unfinished is not None
        assert checks.check_barrier(task.measurements.unfinished).passed
    if probed.name in ("mxnet", "jax"):
        assert not checks.check_barrier(probed.unfinished_without_barrier).passed


def test_every_optimizer_has_a_probe_plain_and_with_all_variants() -> None:
    names = list_probes(small_task("circle")).keys()
    assert {f"{optimizer} {variant}" for optimizer in OPTIMIZERS for variant in VARIANTS} <= names
