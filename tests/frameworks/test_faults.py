"""A gate that provably can fail: mistakes made on purpose in every real backend, each of which parity must catch.

One process a backend holds them all. The tasks' layers are there, at sizes where a probe takes milliseconds.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends import Backend, discover
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make
from crossframe.harness.parity import checks as parity
from crossframe.harness.parity.hints import hint
from crossframe.harness.parity.probe_design import OPTIMIZERS, VARIANTS, draw_batches
from crossframe.harness.parity.probe_set import Question
from crossframe.harness.parity.reference_traces import Oracle
from crossframe.harness.plan.plan import Cell
from crossframe.harness.worker.probes import EPOCH, Probe, again_of
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Arrays, Task, initial_weights, to_json
from tests.conftest import THIRD_PARTY
from tests.unit.backends.test_reference import drawn, small

FOLDER = THIRD_PARTY / "faults"
CANDIDATES = {name: backend for name, backend in discover().items() if backend.has_builds}
EPOCH_STEPS = 4

# fault -> (task that shows it, probes that must catch it between them)
SHOWN_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "gates_swapped": ("lstm", ("forward lstm1",)),
    "second_bias_trained": ("lstm", ("gradient",)),
    "kernel_transposed": ("cnn", ("forward conv1",)),
    "padding_off_by_one": ("cnn", ("forward conv1",)),
    "flatten_order_wrong": ("cnn", ("forward dense1",)),
    "loss_halved": ("circle", ("gradient",)),
    "loss_summed": ("circle", ("gradient",)),
    "epsilon_changed": ("circle", ("adam plain", "adagrad plain", "rmsprop plain")),
    "momentum_changed": ("circle", ("momentum plain",)),
    "decay_decoupled": ("circle", ("adam decay",)),
    "decay_missing": ("circle", ("sgd decay", "adam decay")),
    "rate_off_by_1_percent": ("circle", ("gradient", "adam plain", "first epoch")),
    "clipping_left_out": ("circle", ("sgd clip", "rmsprop clip")),
    "schedule_left_out": ("circle", ("sgd schedule", "adam schedule")),
    "state_forgotten": ("circle", ("momentum plain", "adam plain")),
    "dropout_left_on": ("autoencoder", ("forward dense1",)),
    "batches_shifted_by_one": ("circle", ("first epoch",)),
    "weight_not_loaded": ("lstm", ("forward",)),
    "lower_precision": ("autoencoder", ("forward dense1", "gradient")),
}
# fault -> what the hint must say; the others have a shape that many mistakes share
HINTED = {
    "gates_swapped": "the gates of lstm1 stand in the order i g f o",
    "second_bias_trained": "a second bias is trained",
    "kernel_transposed": "the kernel of conv1.w is transposed",
    "loss_halved": "every step is 0.5 times the oracle's",
    "rate_off_by_1_percent": "every step is 1.01 times the oracle's",
    "epsilon_changed": "its epsilon is 10 times the spec's",
    "decay_missing": "weight decay is left out",
    "clipping_left_out": "clipping is left out",
    "schedule_left_out": "the schedule is left out",
    "state_forgotten": "the optimizer forgets",
}
# Twice from the same start, and not the same: the first only by its rounding.
UNREPEATED = ("sums_reordered", "unseeded")
# The same optimizer in a form that the backend has not declared: caught by every probe in which the forms differ.
UNDECLARED = {
    "adam_epsilon": ("adam plain", ("after_correction", "before_correction")),
    "adagrad_epsilon": ("adagrad plain", ("outside_root", "inside_root")),
    "rmsprop_epsilon": ("rmsprop plain", ("outside_root", "inside_root")),
    "momentum_rate": ("momentum schedule", ("outside_velocity", "inside_velocity")),
}


def all_probes(task: Task) -> dict[str, Probe]:
    from crossframe.harness.parity.probe_design import probes

    return {probe.name: probe for probe in probes(task, EPOCH_STEPS, every_optimizer=task.name == "circle")}


def question(task: Task, path: Path) -> Oracle:
    x, y = drawn(task, 16 * EPOCH_STEPS)
    order = np.arange(16 * EPOCH_STEPS).reshape(EPOCH_STEPS, 16)
    weights = {f"weights/{name}": value for name, value in initial_weights(task, 0).items()}
    np.savez(path, **draw_batches(task, x.astype(np.float32), y, order, 0), **weights)
    return Oracle(Question(task, list(all_probes(task).values()), path, path))


def spoilt(probe: Probe, fault: str) -> Probe:
    return replace(probe, name=f"{fault}/{probe.name}", task=replace(probe.task, name=f"{probe.task.name}+{fault}"))


class Traced:
    """What one backend left of every probe, honest and spoilt."""

    def __init__(self, backend: Backend, folder: Path):
        wrapped = f"crossframe.backends.{backend.name}"
        facts = {**backend.facts, "environment": {**backend.facts["environment"], "FAULTS_WRAP": wrapped}}
        python = make(backend, "cpu").python
        self.backend = backend.name
        self.told: dict[str, Any] = {}
        self.oracles: dict[str, Oracle] = {}
        self.traces: dict[str, Arrays] = {}
        for name in ("circle", "cnn", "lstm", "autoencoder"):
            self.oracles[name] = question(small(name), folder / f"{name}.npz")
            asked = all_probes(small(name))
            wanted = list(asked.values())
            wanted += [
                spoilt(asked[probe], fault)
                for fault, (task, shown) in SHOWN_BY.items()
                if task == name
                for probe in shown
            ]
            wanted += [spoilt(asked["odd batches"], fault) for fault in UNREPEATED]
            document = {
                "module": "faults",
                "packages": [],
                "inputs": str(folder / f"{name}.npz"),
                "device": "cpu",
                "mode": backend.modes[0],
                "precision": "float32",
                "probes": [asdict(probe) | {"task": to_json(probe.task)} for probe in wanted],
                "cpus": [0],
            }
            around = Backend(backend.name, "faults", FOLDER, facts)
            outcome = launch(python, around, document, folder / name, 600, "crossframe.harness.worker.probe")
            assert outcome.state == "ok", outcome.reason
            self.told[name] = outcome.measures
            with np.load(folder / name / "outputs.npz", allow_pickle=False) as stored:
                self.traces[name] = {key: stored[key] for key in stored.files}
        # Enough work that what is left of it stands out: the task itself, and its epoch alone.
        large = discover_tasks()["lstm"]["standard"]
        oracle = question(large, folder / "large.npz")
        epoch = next(probe for probe in oracle.question.probes if probe.name == EPOCH)
        spoiled = replace(epoch, task=replace(large, name="lstm+no_op_barrier"), weights_after=(), outputs=False)
        told = {
            **document,
            "inputs": str(folder / "large.npz"),
            "probes": [asdict(spoiled) | {"task": to_json(spoiled.task)}],
        }
        outcome = launch(python, around, told, folder / "large", 600, "crossframe.harness.worker.probe")
        assert outcome.state == "ok", outcome.reason
        self.without_barrier: float = outcome.measures["unfinished"]

    def checks(self, task: str, name: str, fault: str = "", dialect: dict[str, Any] | None = None) -> Iterator[Any]:
        """The checks of one probe, as `crossframe parity` makes them."""
        oracle, told = self.oracles[task], self.told[task]
        probe = next(probe for probe in oracle.question.probes if probe.name == name)
        seen = self.left(task, spoilt(probe, fault).name if fault else name)
        words = told["dialect"] if dialect is None else dialect
        want, scale = oracle.trace(probe, words), oracle.scale(probe, words)
        own = {name: value for name, value in oracle.weights.items() if name in probe.task.parameters()}
        yield from parity.compare(probe, seen, want, scale, own, oracle.batches, "float32")

    def left(self, task: str, name: str) -> Arrays:
        ran = self.told[task]["probes"][name.removesuffix(", again")]
        assert ran["state"] == "ok", ran["reason"]
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in self.traces[task].items() if k.startswith(prefix)}

    def repeats(self, task: str, device: str, fault: str = "") -> parity.Check:
        """The check of a probe's second time, as if it had run on `device`."""
        oracle = self.oracles[task]
        probe = next(probe for probe in oracle.question.probes if probe.twice)
        ran = spoilt(probe, fault) if fault else probe
        scale = oracle.scale(probe, self.told[task]["dialect"])
        cell = Cell(task, self.backend, "", device, "float32", 16)
        seen, again = self.left(task, ran.name), self.left(task, again_of(ran))
        return parity.repeats(probe, seen, again, scale, oracle.weights, cell)


@pytest.fixture(scope="module", params=CANDIDATES)
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    return Traced(CANDIDATES[request.param], tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("task", ["circle", "cnn", "lstm", "autoencoder"])
def test_an_honest_backend_passes(traced: Traced, task: str) -> None:
    checks = [check for name in all_probes(small(task)) for check in traced.checks(task, name)]
    assert len(checks) > 20
    failed = [parity.describe(check) for check in checks if not check.passed]
    assert not failed


@pytest.mark.parametrize("fault", SHOWN_BY)
def test_a_fault_is_caught(traced: Traced, fault: str) -> None:
    task, shown = SHOWN_BY[fault]
    for probe in shown:
        assert not all(check.passed for check in traced.checks(task, probe, fault)), f"{probe} did not see it"


@pytest.mark.parametrize("fault", HINTED)
def test_a_known_mistake_is_named(traced: Traced, fault: str) -> None:
    task, shown = SHOWN_BY[fault]
    first = parity.localise(list(traced.checks(task, shown[0], fault)))
    assert first is not None
    traces = {key.removeprefix(f"{fault}/"): v for key, v in traced.traces[task].items() if key.startswith(fault)}
    assert HINTED[fault] in (hint(traced.oracles[task], first, traces, traced.told[task]["dialect"]) or "")


@pytest.mark.parametrize("word", UNDECLARED)
def test_a_dialect_that_is_not_declared_is_caught(traced: Traced, word: str) -> None:
    probe, forms = UNDECLARED[word]
    declared = traced.told["circle"]["dialect"]
    spoken = declared.get(word, forms[0])
    other = {**declared, word: next(form for form in forms if form != spoken)}
    assert all(check.passed for check in traced.checks("circle", probe))
    assert not all(check.passed for check in traced.checks("circle", probe, dialect=other))


@pytest.mark.parametrize("task", ["circle", "cnn", "lstm", "autoencoder"])
def test_two_runs_are_equal_and_on_a_gpu_part_by_rounding_alone(traced: Traced, task: str) -> None:
    cpu, gpu = (traced.repeats(task, device) for device in ("cpu", "cuda:0"))
    assert (cpu.passed, cpu.error, cpu.limit) == (True, 0, 0) and gpu.passed
    reordered = traced.repeats(task, "cuda:0", "sums_reordered")
    assert reordered.passed, parity.describe(reordered)
    assert reordered.error > 0 and not traced.repeats(task, "cpu", "sums_reordered").passed
    for device in ("cpu", "cuda:0"):
        unseeded = traced.repeats(task, device, "unseeded")
        assert not unseeded.passed and "two runs from the same start differ" in parity.describe(unseeded)


def test_a_barrier_that_is_none_is_caught(traced: Traced) -> None:
    """On the CPU torch and TensorFlow finish before they return, so that there a missing barrier changes nothing."""
    assert all(parity.barrier(told["unfinished"]).passed for told in traced.told.values())
    if traced.backend in ("mxnet", "jax"):
        assert not parity.barrier(traced.without_barrier).passed


def test_every_optimizer_in_every_variant_was_asked() -> None:
    names = all_probes(small("circle"))
    assert {f"{optimizer} {variant}" for optimizer in OPTIMIZERS for variant in VARIANTS} <= names.keys()
