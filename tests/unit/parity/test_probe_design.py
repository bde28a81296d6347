"""Probes see what they name, by a wide margin, and rounding does not hide it: found with the reference model alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossframe.backends.reference.model as reference
from crossframe.backends.reference import losses, optimizers
from crossframe.harness.parity.checks import ExpectedTraces, compare_resumed, output_error, weight_errors
from crossframe.harness.parity.hints import CALL_MISTAKES
from crossframe.harness.parity.near_ties import CloseTieModel
from crossframe.harness.parity.optimizer_variants import OPTIMIZERS, OWN
from crossframe.harness.parity.probe_batches import STEEP
from crossframe.harness.parity.probe_design import LONG_STEPS, PREDICTED_ROWS, design_probes
from crossframe.harness.parity.tolerances import ROUNDING_FACTOR, tolerances_for
from crossframe.harness.worker.probes import EPOCH, Probe, resume, select_start, trace
from crossframe.tasks import discover
from crossframe.tasks.spec import SGD, Adam, Arrays, initial_weights
from tests.support.small_tasks import SMALL, draw_samples, small_task

TASKS = {name: small_task(name) if name in SMALL else presets["standard"] for name, presets in discover().items()}
VISIBLE = 10  # times the tolerance
MOST_ALLOWED = 0.01
EPOCH_STEPS = 12
STEPS_OF_AN_EPOCH = 25  # of the data of `circle`, about as many as those of the others
SEEDS = (0, 1, 2)


@cache
def design(name: str, seed: int = 0, batch_size: int = 16) -> tuple[dict[str, Probe], Arrays]:
    """Return the probes of a task by name, and their arrays."""
    task = TASKS[name]
    x, y = draw_samples(task, EPOCH_STEPS * batch_size, seed)
    order = np.random.default_rng(seed).permutation(len(x)).reshape(1, EPOCH_STEPS, batch_size)
    data = {"x_train": x.astype(np.float32), "y_train": y, "order": np.repeat(order, 2, axis=0)}
    probes, arrays = design_probes(task, data, initial_weights(task, seed), name == "circle", seed)
    return {probe.name: probe for probe in probes}, arrays


def run(probe: Probe, arrays: Arrays, model: type[reference.Model] = reference.Model, **options: Any) -> Arrays:
    """Return the traces of a probe in a model."""
    dtype = np.dtype("float32" if model is CloseTieModel else "float64")
    return trace(probe, model(probe.task, select_start(arrays, probe), dtype, {}), arrays, **options)


@cache
def exact_and_low(name: str, probe: str, seed: int = 0, batch_size: int = 16) -> tuple[Arrays, Arrays]:
    """Return the traces of a probe in float64, and with the rounding of float32."""
    probes, arrays = design(name, seed, batch_size)
    return run(probes[probe], arrays), run(probes[probe], arrays, CloseTieModel)


def measure(changed: Arrays, exact: Arrays, probe: Probe, arrays: Arrays) -> Iterator[tuple[str, int, float]]:
    """Yield (kind, updates, error) for everything that is compared."""
    for key in (key for key in exact if key.startswith("outputs/")):
        suffix = key.removeprefix("outputs/")
        yield "outputs", int(suffix) if suffix.isdigit() else 0, output_error(changed[key], exact[key])
    for updates in probe.weights_after:
        if updates:
            yield "weights", updates, max(weight_errors(changed, exact, select_start(arrays, probe), updates).values())


def visibility(changed: Arrays, name: str, probe_name: str, seed: int = 0) -> float:
    """Return how many times the allowed error a mistake is, where it shows most."""
    probes, arrays = design(name, seed)
    probe = probes[probe_name]
    exact, low = exact_and_low(name, probe_name, seed)
    rounding = {(kind, updates): error for kind, updates, error in measure(low, exact, probe, arrays)}
    return max(
        error / allowed(probe, kind, updates, rounding[kind, updates], "float32")
        for kind, updates, error in measure(changed, exact, probe, arrays)
    )


def allowed(probe: Probe, kind: str, updates: int, rounding: float, precision: str) -> float:
    """Return the error that passes."""
    return max(tolerances_for(probe, precision, updates)[kind], ROUNDING_FACTOR * rounding)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("mistake", CALL_MISTAKES)
def test_every_mistake_in_the_order_of_batches_shows(name: str, mistake: str) -> None:
    probes, arrays = design(name)
    calls = [probe for probe in probes.values() if any(len(names) > 1 for _, names in probe.calls())]
    assert len(calls) >= 4
    changed = ((probe.name, run(probe, arrays, change_call=CALL_MISTAKES[mistake])) for probe in calls)
    assert any(visibility(traces, name, probe) > VISIBLE for probe, traces in changed)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_single_swap_shows(name: str, first: bool) -> None:
    def swap(names: Any) -> list[str]:
        pairs = list(names)
        at = 0 if first else len(pairs) - 2
        if len(pairs) > 1:
            pairs[at : at + 2] = pairs[at : at + 2][::-1]
        return pairs

    probes, arrays = design(name)
    assert any(
        visibility(run(probes[each], arrays, change_call=swap), name, each) > VISIBLE
        for each in ("own network, all variants", f"{OWN} plain", "odd batches")
    )


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("batch_size", "seed"),
    [
        (1, 0),
        (16, 1),
        *(pytest.param(*each, marks=pytest.mark.campaign) for each in ((1, 1), (1, 2), (16, 0), (16, 2))),
    ],
)
def test_rounding_allows_at_most_one_percent(name: str, seed: int, batch_size: int) -> None:
    probes, arrays = design(name, seed, batch_size)
    for probe in probes.values():
        exact, low = exact_and_low(name, probe.name, seed, batch_size)
        for kind, updates, rounding in measure(low, exact, probe, arrays):
            limit = allowed(probe, kind, updates, rounding, "float32")
            assert limit <= MOST_ALLOWED, f"{probe.name}: {kind} after {updates}"
            assert tolerances_for(probe, "float64", updates)[kind] <= MOST_ALLOWED


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_are_above_and_below_the_limit_of_clipping(name: str, seed: int) -> None:
    norms: list[float] = []

    class Recorder(reference.Model):
        def update(self, gradients: Arrays) -> None:
            norms.append(float(np.sqrt(sum((value**2).sum() for value in gradients.values()))))
            super().update(gradients)

    probes, arrays = design(name, seed)
    clipped = [probe for probe in probes.values() if probe.task.clip_norm is not None]
    assert clipped
    for probe in clipped:
        norms.clear()
        run(probe, arrays, Recorder)
        limit = probe.task.clip_norm or 0.0
        above = sum(norm > limit * 1.05 for norm in norms)
        below = sum(norm < limit * 0.95 for norm in norms)
        assert min(above, below) >= 2, f"{probe.name}: {above} above, {below} below"


@pytest.mark.parametrize("name", TASKS)
def test_no_bias_is_zero_and_no_two_probes_begin_with_the_same_inputs(name: str) -> None:
    probes, arrays = design(name)
    for probe in probes.values():
        if probe.name not in (EPOCH, "gradient at zero"):
            assert all(np.all(value != 0) for value in select_start(arrays, probe).values()), probe.name
            assert probe.task.name == TASKS[name].name
    first = {(arrays[f"{probe.batches[0]}/x"].tobytes(), probe.task) for probe in probes.values()}
    assert len(first) == len(probes)
    begins = [arrays[f"{probe.batches[0]}/x"].tobytes() for probe in probes.values() if not probe.name.startswith(OWN)]
    assert len(set(begins)) == len(begins)


@cache
def design_late(name: str, seed: int = 0) -> tuple[Probe, Arrays, int]:
    """Return the probe that lasts as long as the training of a task, its arrays, and the updates of the training."""
    task = TASKS[name]
    x, y = draw_samples(task, 16, seed)
    order = np.tile(np.arange(16).reshape(1, 1, 16), (task.epochs, STEPS_OF_AN_EPOCH, 1))
    data = {"x_train": x.astype(np.float32), "y_train": y, "order": order}
    probes, arrays = design_probes(task, data, initial_weights(task, seed), every_optimizer=False, seed=seed)
    probe = next(probe for probe in probes if probe.name == f"{OWN} all variants")
    return probe, arrays, task.epochs * STEPS_OF_AN_EPOCH


def end_table(model: reference.Model, gradients: Arrays) -> None:
    """Update without a schedule, with Adam's corrections from a table of 200 entries."""
    number, model.updates = model.updates, min(model.updates, 199)
    reference.Model.update(model, gradients)
    model.updates = number + 1


def reset(model: reference.Model, gradients: Arrays) -> None:
    if model.updates % 150 == 0:
        model.state = {name: {} for name in model.state}
    reference.Model.update(model, gradients)


def halve(model: reference.Model, gradients: Arrays) -> None:
    before = dict(model.parameters)
    reference.Model.update(model, gradients)
    if model.updates > 160:
        model.parameters = {name: (before[name] + value) / 2 for name, value in model.parameters.items()}


def store_half(model: reference.Model, gradients: Arrays) -> None:
    reference.Model.update(model, gradients)
    if model.updates > 160:
        model.parameters = {name: np.float16(value).astype(value.dtype) for name, value in model.parameters.items()}


def freeze(model: reference.Model, gradients: Arrays) -> None:
    frozen = model.updates > 160
    kept = {name: value for name, value in gradients.items() if not (frozen and name.startswith("dense1."))}
    reference.Model.update(model, kept)


def drop(model: reference.Model, gradients: Arrays) -> None:
    if (model.updates + 1) % 150:
        reference.Model.update(model, gradients)
    else:
        model.updates += 1


LATE_MISTAKES = (reset, halve, store_half, freeze, drop)


@pytest.mark.frameworks  # takes seconds
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("mistake", LATE_MISTAKES)
def test_a_mistake_that_begins_late_shows(name: str, mistake: Callable[[reference.Model, Arrays], None]) -> None:
    probe, arrays, _ = design_late(name)
    model = type("Late", (reference.Model,), {"update": mistake})
    errors = [error for *_, error in measure(run(probe, arrays, model), run(probe, arrays), probe, arrays)]
    assert max(errors) > 3 * tolerances_for(probe, "float32", 1)["weights"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_late_probe_lasts_as_long_as_the_training_and_hardly_rounds(name: str, seed: int) -> None:
    probe, arrays, updates = design_late(name, seed)
    assert len(probe.batches) == max(probe.weights_after) >= updates
    calls = [len(names) for _, names in probe.calls()]
    assert len({*calls[4:]}) == 1  # a compiler meets one length
    assert calls[-1] % 2
    assert probe.saved_after == len(probe.batches) - calls[-1] > 150
    exact, low = run(probe, arrays), run(probe, arrays, CloseTieModel)
    assert all(allowed(probe, *each, "float32") < MOST_ALLOWED for each in measure(low, exact, probe, arrays))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("part", ["counter", "state"])
def test_a_checkpoint_that_is_incomplete_late_shows(name: str, part: str, tmp_path: Path) -> None:
    class Incomplete(reference.Model):
        def load(self, path: Path) -> None:
            super().load(path)
            if part == "counter":
                self.updates %= 128
            elif self.updates > 160:
                self.state = {name: {} for name in self.state}

    probe, arrays, _ = design_late(name)
    expected = ExpectedTraces(probe, "float32", run(probe, arrays), tuple, select_start(arrays, probe), arrays)
    run(probe, arrays, checkpoint=tmp_path / "saved")
    for model, passes in ((reference.Model, True), (Incomplete, False)):
        fresh = model(probe.task, select_start(arrays, probe), np.dtype("float64"), {})
        traces = resume(probe, fresh, arrays, tmp_path / "saved")
        assert all(check.passed for check in compare_resumed(*traces, expected)) == passes


def test_a_table_of_corrections_that_ends_shows() -> None:
    probe, arrays, _ = design_late("circle")
    probe = replace(probe, task=replace(probe.task, schedule=None))
    model = type("Late", (reference.Model,), {"update": end_table})
    errors = [error for *_, error in measure(run(probe, arrays, model), run(probe, arrays), probe, arrays)]
    assert max(errors) > 100 * tolerances_for(probe, "float32", 1)["weights"]


def amsgrad(s: Adam, update: optimizers.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    before = state.get("max", np.zeros_like(g))
    optimizers.adam(s, update, g, state)
    state["max"] = np.maximum(before, state["v"])
    changed = {"m": state["m"], "v": state["max"]}
    k = update.number
    return update.rate * changed["m"] / (1 - s.beta1**k) / (np.sqrt(changed["v"] / (1 - s.beta2**k)) + s.epsilon)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if isinstance(task.optimizer, Adam)])
def test_amsgrad_shows(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, arrays = design(name, seed)
    probe = probes[f"{OWN} plain"]
    exact_and_low(name, probe.name, seed)
    monkeypatch.setitem(optimizers.OPTIMIZERS, Adam, amsgrad)
    assert visibility(run(probe, arrays), name, probe.name, seed) > VISIBLE


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.loss != "mean_squared_error"])
def test_a_little_label_smoothing_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = TASKS[name].loss
    correct = losses.LOSSES[loss]

    def smooth(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = correct(logits, y)
        if loss == "binary_cross_entropy":
            return value, gradient + 0.002 * (y - 0.5)[:, None] / len(y)
        classes = logits.shape[1]
        return value, gradient + 0.002 * (np.eye(classes)[y] - 1 / classes) / len(y)

    probes, arrays = design(name)
    exact_and_low(name, "gradient", 0)
    monkeypatch.setitem(losses.LOSSES, loss, smooth)
    assert visibility(run(probes["gradient"], arrays), name, "gradient") > VISIBLE


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.loss != "mean_squared_error"])
def test_clamped_probabilities_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, arrays = design(name)
    probe = probes["gradient at steep logits"]
    weights = select_start(arrays, probe)
    logits = reference.prepare(probe.task, weights, "cpu").predict(arrays[f"{probe.batches[0]}/x"])
    assert np.abs(logits).max() > 100  # exp overflows in float32 above 88
    loss = probe.task.loss
    correct = losses.LOSSES[loss]

    def clamp(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = correct(logits, y)
        if loss == "binary_cross_entropy":
            p = 1 / (1 + np.exp(-logits[:, 0]))
            of_label = np.where(y == 1, p, 1 - p)
        else:
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            of_label = (shifted / shifted.sum(axis=1, keepdims=True))[np.arange(len(y)), y]
        return value, np.where((of_label < 1e-7)[:, None], 0.0, gradient)

    exact_and_low(name, probe.name, 0)
    monkeypatch.setitem(losses.LOSSES, loss, clamp)
    assert visibility(run(probe, arrays), name, probe.name) > VISIBLE


@pytest.mark.parametrize("name", TASKS)
def test_a_decay_that_leaves_out_biases_shows(name: str) -> None:
    class NoBiasDecay(reference.Model):
        def update(self, gradients: Arrays) -> None:
            decay = self.task.optimizer.weight_decay
            biases = {key for key in gradients if key.endswith(".b")}
            super().update(
                {key: value - decay * self.parameters[key] * (key in biases) for key, value in gradients.items()}
            )

    probes, arrays = design(name)
    probe = probes["own network, all variants"]
    unclipped = replace(probe, task=replace(probe.task, clip_norm=None))
    exact, wrong = (run(unclipped, arrays, model) for model in (reference.Model, NoBiasDecay))
    shares = []
    for updates in probe.weights_after:
        errors = weight_errors(wrong, exact, select_start(arrays, probe), updates)
        largest = max(error for parameter, error in errors.items() if parameter.endswith(".b"))
        shares.append(largest / tolerances_for(probe, "float32", updates)["weights"])
    assert max(shares) > VISIBLE


@pytest.mark.parametrize("name", TASKS)
def test_what_a_task_is_probed_with(name: str) -> None:
    probes, arrays = design(name)
    assert [len(arrays[f"{each}/rows"]) for each in probes["predictions"].inputs] == list(PREDICTED_ROWS)
    assert {f"{OWN} plain", f"{OWN} all variants"} <= probes.keys()
    assert max(probes[f"{OWN} plain"].weights_after) == LONG_STEPS > 100
    assert probes["own network, all variants"].saved_after is not None
    calls = [len(names) for _, names in probes[EPOCH].calls()]
    assert calls[:3] == [1, 1, EPOCH_STEPS - 2]
    two_epochs = [len(names) for _, names in probes["own network, all variants"].calls()]
    assert two_epochs == [1, 1, EPOCH_STEPS - 2, EPOCH_STEPS]
    assert (f"{STEEP}/{next(iter(TASKS[name].parameters()))}" in arrays) == (TASKS[name].loss != "mean_squared_error")


def test_no_setting_of_the_optimizers_is_a_default() -> None:
    for optimizer in OPTIMIZERS.values():
        fields = {
            field: value
            for field, value in vars(optimizer).items()
            if field not in ("weight_decay", "momentum", "nesterov")
        }
        defaults = vars(type(optimizer)(0.123))
        assert all(value != defaults[field] for field, value in fields.items())
    assert {type(optimizer) for optimizer in OPTIMIZERS.values()} >= {SGD, Adam}
