"""`crossframe conformance` fails for backends with a mistake, of every class of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.plan.plan import Plan
from crossframe.harness.records.model import PlannedJob
from crossframe.harness.run.conformance import ConformanceState, check_conformance, summarize_results
from tests.support.mistake_jobs import HONEST, MeasuredJobs
from tests.third_party.mistakes.catalogue import CLASSES

TASK, FRAMEWORK = "circle", "torch"
# Class -> a mistake of it. Two are enough for every test run; all of them take two minutes.
EXAMPLES = {
    "calls": "calls_shuffled",
    "clock": "clock_train_in_put",
    "examination": "examined_by_command",
    "checkpoints": "checkpoint_without_counters",
    "predictions": "predict_single_is_initial",
    "optimizers": "optimizer_amsgrad",
    "regularization": "clip_also_below",
    "losses": "loss_off_by_1_permille",
    "layers": "layer_leaky_relu",
    "precision": "precision_inputs_half",
}
EVERY_RUN = ("clock", "checkpoints")


def list_failures(mistake: str, folder: Path) -> list[str]:
    """Return the checks of conformance that a backend with a mistake fails; it must be judged as a whole, too."""
    jobs = MeasuredJobs(FRAMEWORK, TASK, folder, cpus=[0])
    cell = jobs.planned[mistake].cell
    options = replace(jobs.plan.options, python={FRAMEWORK: str(jobs.environment.python)}, parity=False)
    plan = Plan(jobs.plan.tasks, jobs.plan.backends, "cpu", (PlannedJob(cell, 1),), options)
    results = [each for each in check_conformance(plan) if each.name != "contract::modes"]
    failures = [f"{each.name}: {each.reason}" for each in results if each.state == ConformanceState.FAILED]
    assert summarize_results(results).conforms == (not failures)
    return failures


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in EVERY_RUN else [pytest.mark.campaign]) for kind in EXAMPLES],
)
def test_a_backend_with_a_mistake_does_not_conform(kind: str, tmp_path: Path) -> None:
    assert EXAMPLES[kind] in CLASSES[kind]
    assert list_failures(EXAMPLES[kind], tmp_path)


def test_the_same_backend_without_a_mistake_conforms(tmp_path: Path) -> None:
    assert list_failures(HONEST, tmp_path) == []
