"""A hint names the mistake that was made, and none where another one was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossframe.backends.reference.model as reference
from crossframe.harness.parity import checks
from crossframe.harness.parity.checkpoint_hints import lose_counter, lose_slots
from crossframe.harness.parity.hints import CALL_MISTAKES, find_hint
from crossframe.harness.parity.layer_mistakes import LAYER_MISTAKES
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.worker.probes import Probe, Recorder, name_resumed, trace
from crossframe.tasks.spec import Arrays, Conv2D, initial_weights, map_leaves
from tests.support.planted_mistakes import BATCH_SIZE, make_reference
from tests.support.small_tasks import small_task


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> ReferenceTraces:
    return make_reference(small_task("circle"), tmp_path_factory.mktemp("circle") / "inputs.npz")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> ReferenceTraces:
    return make_reference(replace(small_task("resnet"), batch_size=BATCH_SIZE), tmp_path_factory.mktemp("r") / "i.npz")


def lose_statistics(model: reference.Model) -> None:
    start = initial_weights(model.task, 0)
    model.statistics = {name: start[name].astype(np.float64) for name in model.statistics}


def find(references: ReferenceTraces, name: str) -> Probe:
    return next(probe for probe in references.probe_set.probes if probe.name == name)


def hint_for(references: ReferenceTraces, probe: Probe, traces: Arrays) -> str | None:
    """Return the hint for the first failure of a probe; it must fail."""
    failure = checks.first_failure(list(checks.compare_traces(traces, references.expect(probe, {}, "float64"))))
    assert failure is not None
    return find_hint(references, failure, {f"{probe.name}/{key}": value for key, value in traces.items()}, {})


def run(references: ReferenceTraces, probe: Probe, kind: Any = reference.Model, **options: Any) -> Arrays:
    model = kind(probe.task, references.start(probe), np.dtype("float64"), {})
    return trace(replace(probe, inputs=()), model, references.batches, **options)


def test_nesterov_is_not_a_scaled_rate(circle: ReferenceTraces) -> None:
    probe = find(circle, "momentum plain")
    optimizer: Any = probe.task.optimizer
    changed = replace(probe, task=replace(probe.task, optimizer=replace(optimizer, nesterov=True)))
    assert hint_for(circle, probe, run(circle, changed)) == "its momentum is Nesterov's, not Polyak's"


def test_a_scaled_rate_is_named_where_it_explains_everything(circle: ReferenceTraces) -> None:
    probe = find(circle, "momentum plain")
    optimizer: Any = probe.task.optimizer
    faster = replace(probe, task=replace(probe.task, optimizer=replace(optimizer, rate=optimizer.rate * 1.01)))
    assert "every step is 1.01 times" in (hint_for(circle, probe, run(circle, faster)) or "")


def test_plain_sgd_has_no_state_to_forget(circle: ReferenceTraces) -> None:
    class Noisy(reference.Model):
        def update(self, gradients: Arrays) -> None:
            factor = 1.0 if self.updates == 0 else 1.1
            super().update({name: value * factor for name, value in gradients.items()})

    probe = find(circle, "sgd plain")
    hint = hint_for(circle, probe, run(circle, probe, Noisy))
    assert "state" not in (hint or "")
    assert "scaled" not in (hint or "")


@pytest.mark.parametrize("meaning", CALL_MISTAKES)
@pytest.mark.parametrize("name", ["sgd plain", "adam plain"])
def test_a_mistake_in_a_call_is_named(circle: ReferenceTraces, name: str, meaning: str) -> None:
    probe = find(circle, name)
    if meaning == "a batch that comes again is skipped":
        probe = find(circle, "own network, all variants")
    hint = hint_for(circle, probe, run(circle, probe, change_call=CALL_MISTAKES[meaning]))
    assert hint == f"in a call of `train` {meaning}"


@pytest.mark.parametrize(
    ("lose", "meaning"),
    [
        (lose_slots, "the state of the optimizer"),
        (lose_counter, "the number of updates"),
        (lose_statistics, "the running statistics"),
    ],
)
def test_a_checkpoint_without_a_part_is_named(
    request: pytest.FixtureRequest, lose: Callable[[reference.Model], object], meaning: str, tmp_path: Path
) -> None:
    references: ReferenceTraces = request.getfixturevalue("resnet" if lose is lose_statistics else "circle")
    probe = find(references, "own network, all variants")
    assert probe.saved_after is not None
    model = reference.prepare(probe.task, references.start(probe), "cpu")
    recorder = Recorder(probe, model, references.batches)
    recorder.train(probe.batches[: probe.saved_after])
    lose(model)
    recorder.record(probe.saved_after)
    for updates, names in probe.calls(probe.saved_after):
        recorder.train(names)
        recorder.record(updates)
    expected = references.expect(probe, {}, "float64")
    failure = checks.first_failure(list(checks.compare_resumed(recorder.traces, recorder.traces, expected)))
    assert failure is not None
    left = {f"{name_resumed(probe)}/{key}": value for key, value in recorder.traces.items()}
    assert f"does not restore {meaning}" in (find_hint(references, failure, left, {}) or "")


# What is wrong -> the probe that fails first.
LAYER_HINTS = {
    "the momentum of the running statistics is reversed": "gradient",
    "the running statistics have a momentum of 0.99": "gradient",
    "batch normalization has an epsilon of 1e-3": "forward norm1",
    "convolutions with a stride have their padding at the end": "forward block2",
}


@pytest.mark.parametrize("meaning", LAYER_HINTS)
def test_mistakes_in_the_settings_of_layers_are_named(resnet: ReferenceTraces, meaning: str) -> None:
    probe = find(resnet, LAYER_HINTS[meaning])
    layers = map_leaves(probe.task.layers, LAYER_MISTAKES[meaning])
    changed = replace(probe, task=replace(probe.task, layers=layers))
    assert hint_for(resnet, probe, run(resnet, changed)) == meaning


def test_padding_on_the_opposite_sides_is_a_mistake_where_sides_differ() -> None:
    swap = LAYER_MISTAKES["convolutions have their padding on the opposite sides"]
    assert swap(Conv2D(2, 3, 1)) == Conv2D(2, 3, 1)
    assert swap(Conv2D(2, 3, ((0, 1), (2, 0)))) == Conv2D(2, 3, ((1, 0), (0, 2)))
