"""Probes see what they name, by a wide margin, and rounding does not hide it: found with the reference model alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import crossframe.backends.reference.model as reference
from crossframe.backends.reference import losses, optimizers
from crossframe.harness.parity.checks import weight_errors
from crossframe.harness.parity.hints import CALL_MISTAKES
from crossframe.harness.parity.optimizer_variants import OPTIMIZERS, OWN
from crossframe.harness.parity.probe_batches import STEEP
from crossframe.harness.parity.probe_design import LONG_STEPS, PREDICTED_ROWS
from crossframe.harness.parity.tolerances import tolerances_for
from crossframe.harness.worker.probes import EPOCH, select_start
from crossframe.tasks.spec import SGD, Adam, Arrays
from tests.support.designed_probes import (
    EPOCH_STEPS,
    MOST_ALLOWED,
    SEEDS,
    TASKS,
    VISIBLE,
    allowed,
    design,
    exact_and_low,
    measure,
    run,
    visibility,
)


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
