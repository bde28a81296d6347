"""Checks fail for errors above tolerance and rounding, whatever the reference model does in a lower precision."""

from dataclasses import replace

import numpy as np
import pytest

from crossframe.harness.parity import checks
from crossframe.harness.parity.checks import Check, ExpectedTraces
from crossframe.harness.worker.probes import Probe
from crossframe.tasks.spec import Arrays
from tests.support.small_tasks import small_task

OUTPUTS = np.array([[1.0], [2.0]])
LABELS = np.array([0.0, 1.0])
CHECK = Check("adam plain", "weights", 1, "dense1.w", 2e-2, 1e-6, 1e-4, passed=False)


def expect_outputs(probe: Probe, exact: Arrays, low: Arrays) -> ExpectedTraces:
    batches = {f"{name}/y": LABELS for name in probe.batches}
    return ExpectedTraces(probe, "float32", exact, lambda: ((low, exact),), {"b": np.zeros(1)}, batches)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_reference_model_that_overflows_excuses_nothing() -> None:
    probe = Probe("forward", small_task("circle"), ("drawn0",), outputs=True)
    expected = expect_outputs(probe, {"outputs/0": OUTPUTS}, {"outputs/0": np.full((2, 1), np.nan)})
    results = list(checks.compare_traces({"outputs/0": OUTPUTS * 1.5}, expected))
    assert results
    assert not any(check.passed for check in results)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_never_passes() -> None:
    probe = Probe("forward", small_task("circle"), ("drawn0",), outputs=True)
    expected = expect_outputs(probe, {"outputs/0": OUTPUTS}, {"outputs/0": OUTPUTS})
    results = list(checks.compare_traces({"outputs/0": np.full((2, 1), np.nan)}, expected))
    assert results
    assert not any(check.passed for check in results)


def test_the_error_of_weights_is_relative_to_the_furthest_distance() -> None:
    expected = {"weights/1/b": np.array([1.0]), "weights/2/b": np.array([1e-6])}
    traces = {**expected, "weights/2/b": np.array([1.1e-5])}
    assert checks.weight_errors(traces, expected, {"b": np.zeros(1)}, 2) == pytest.approx({"b": 1e-5})


def test_a_parameter_that_must_not_move_has_no_tolerance() -> None:
    expected, start = {"weights/1/b": np.zeros(1)}, {"b": np.zeros(1)}
    assert checks.weight_errors(expected, expected, start, 1) == {"b": 0.0}
    assert checks.weight_errors({"weights/1/b": np.full(1, 1e-30)}, expected, start, 1) == {"b": np.inf}


@pytest.mark.parametrize(
    ("name", "amplified", "passes"), [("resnet", 1.005, True), ("resnet", 1.02, False), ("cnn", 1.02, True)]
)
def test_amplified_rounding_behind_a_batch_normalization_excuses_nothing(
    name: str, amplified: float, passes: bool
) -> None:
    probe = Probe("trained", small_task(name), ("drawn0",), weights_after=(1,))
    expected = expect_outputs(probe, {"weights/1/b": np.ones(1)}, {"weights/1/b": np.full(1, amplified)})
    (check,) = checks.compare_traces({"weights/1/b": np.full(1, amplified)}, expected)
    assert check.passed == passes
    if not passes:
        assert "too much to tell it from a mistake; verify the network in float64" in checks.describe_check(check)


def test_the_cost_of_rounding_never_falls() -> None:
    """The float32 model departs from the exact one and meets it again by chance; its largest error counts."""
    probe = Probe("met", small_task("circle"), ("drawn0", "drawn1"), weights_after=(1,), outputs=True)
    exact = {"outputs/0": OUTPUTS, "outputs/1": OUTPUTS, "weights/1/b": np.ones(1)}
    expected = expect_outputs(probe, exact, {**exact, "outputs/0": OUTPUTS * 1.01})
    results = list(checks.compare_traces({**exact, "outputs/1": OUTPUTS * 1.005}, expected))
    assert len(results) == 5
    assert all(check.passed for check in results)


def test_the_cost_of_rounding_is_computed_only_where_it_decides() -> None:
    probe = Probe("forward", small_task("circle"), ("drawn0",), outputs=True)
    computed: list[str] = []

    def compute() -> checks.RoundingPairs:
        computed.append("rounding")
        return (({"outputs/0": OUTPUTS * 1.01}, {"outputs/0": OUTPUTS}),)

    expected = replace(expect_outputs(probe, {"outputs/0": OUTPUTS}, {}), rounding=compute)
    (outputs, *_) = checks.compare_traces({"outputs/0": OUTPUTS}, expected)
    assert outputs.passed
    assert outputs.rounding is None
    assert not computed
    (outputs, *_) = checks.compare_traces({"outputs/0": OUTPUTS * 1.02}, expected)
    assert outputs.passed
    assert outputs.rounding == pytest.approx(0.01)
    assert computed


def test_stored_checks_are_the_worst_and_finite() -> None:
    results = [replace(CHECK, error=1e-9, passed=True), replace(CHECK, error=np.inf), replace(CHECK, kind="loss")]
    worst = checks.select_worst(results)
    assert [(check.kind, check.error) for check in worst] == [("weights", checks.LARGEST_ERROR), ("loss", 2e-2)]


def test_a_failed_check_is_described_with_probe_parameter_error_and_tolerance() -> None:
    assert checks.describe_check(CHECK) == (
        "adam plain: weights after 1 update in dense1.w is off by 2.0e-02 (tolerance 1e-04, rounding may cost 1.0e-06)"
    )
    barrier = checks.check_barrier(0.9)
    assert not barrier.passed
    assert "sync is no barrier" in checks.describe_check(barrier)


def test_two_runs_must_agree_to_the_last_bit_on_a_cpu() -> None:
    probe = Probe("odd batches", small_task("circle"), ("drawn0",), weights_after=(1,), twice=True)
    weights = {"b": np.zeros(1)}
    first, second = {"weights/1/b": np.ones(1)}, {"weights/1/b": np.ones(1) + 1e-7}
    expected = ExpectedTraces(probe, "float32", first, tuple, weights, {})
    assert checks.check_repeats(first, first, expected, "cpu").passed
    assert not checks.check_repeats(first, second, expected, "cpu").passed
    assert checks.check_repeats(first, second, expected, "cuda:0").passed
    assert not checks.check_repeats(first, {"weights/1/b": np.ones(1) * 1.01}, expected, "cuda:0").passed
