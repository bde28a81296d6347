"""The gate can fail: a sample of the catalogue of mistakes in the real backends. Each is caught and named.

The whole catalogue runs by `python -m tests.benchmarks.mistakes`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.mistake_probes import Finding
from tests.support.mistake_runs import CatalogueRun
from tests.third_party.mistakes.catalogue import CLASSES, CONTROLS, MISTAKES

# Framework -> mistakes. Each class is in several frameworks, and each framework has mistakes of all kinds of checks.
SAMPLE: dict[str, tuple[str, ...]] = {
    "torch": (
        "calls_shuffled", "calls_schedule_counts_calls", "sizes_other_size_forgets",
        "clock_train_in_put", "repeat_object_skipped",
        "examined_by_number_of_updates", "examined_by_command",
        "checkpoint_without_counters", "checkpoint_in_memory",
        "predict_single_is_initial", "predict_multiples_of_64",
        "optimizer_amsgrad", "clip_also_below", "loss_labels_smoothed_little", "layer_relu6",
        "precision_weights_bfloat16", "meter_all_processors",
        "residual_padding_at_end", "residual_per_sample", "residual_predicts_in_training",
    ),
    "tensorflow": (
        "calls_last_repeated", "calls_one_gradient",
        "clock_train_in_next_put", "examined_by_long_calls", "checkpoint_without_moments",
        "predict_kept_by_content", "optimizer_amsgrad", "loss_without_shift", "layer_gelu",
        "residual_epsilon_1e-3", "residual_momentum_reversed",
    ),
    "mxnet": (
        "calls_first_skipped", "calls_last_lost",
        "clock_train_in_thread", "repeat_content_skipped", "examined_by_second_epoch", "checkpoint_first_loaded",
        "predict_limit_500", "optimizer_last_layer_faster", "decay_not_of_biases", "layer_leaky_relu",
        "residual_variance_other", "residual_nesterov_polyak",
    ),
    "jax": (
        "calls_reversed", "calls_only_last", "calls_first_repeated",
        "repeat_same_call_skipped", "examined_by_batch_size", "checkpoint_without_optimizer",
        "predict_stale_weights", "schedule_late", "loss_clamped_at_1e-7", "precision_inputs_tf32",
        "residual_statistics_not_restored", "residual_warm_up_late",
    ),
}  # fmt: skip
# Mistakes that still get through; the list must become empty.
STILL_OPEN: set[tuple[str, str]] = set()
CASES = [(framework, mistake) for framework, mistakes in SAMPLE.items() for mistake in mistakes]

# What a reason must name: the layer or parameter, the number of updates, the predictions, the file, or the resource.
NAMED = re.compile(
    r"after \d+ updates?|in (dense|conv|lstm)\d|forward \w+|outputs|prediction|checkpoint|resume|sync|copies|\.npz|\.pt"
    r"|model\.onnx|host_peak_bytes|processors|time of (a step|an epoch)"
)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Finding]:
    """Return (framework, mistake) -> how it was caught, for the sample and the controls."""
    folder: Path = tmp_path_factory.mktemp("mistakes")
    cases = CASES + [(framework, control) for framework in SAMPLE for control in CONTROLS]
    run = CatalogueRun(folder, [0, 1])
    results = run.find_all([(mistake, framework, MISTAKES[mistake].tasks[0]) for framework, mistake in cases])
    return {(finding.framework, finding.mistake): finding for finding in results}


@pytest.mark.parametrize(
    ("framework", "mistake"),
    [
        pytest.param(*case, marks=[pytest.mark.xfail(reason="still gets through")] if case in STILL_OPEN else [])
        for case in CASES
    ],
)
def test_a_mistake_is_caught_and_named(findings: dict[tuple[str, str], Finding], framework: str, mistake: str) -> None:
    finding = findings[framework, mistake]
    assert finding.caught_by in ("probe", "job check", "meter"), finding.reason
    assert finding.reason is not None
    assert NAMED.search(finding.reason), finding.reason


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("framework", SAMPLE)
def test_a_backend_without_mistakes_passes(
    findings: dict[tuple[str, str], Finding], framework: str, control: str
) -> None:
    finding = findings[framework, control]
    assert finding.caught_by == "nothing", finding.reason


def test_the_sample_is_of_all_classes() -> None:
    sampled = {mistake for _, mistake in CASES}
    assert all(sampled & table.keys() for table in CLASSES.values())
    assert sampled <= MISTAKES.keys()
    assert set(CASES) >= STILL_OPEN


def test_the_catalogue_is_large_and_its_names_are_unique() -> None:
    assert sum(map(len, CLASSES.values())) == len(MISTAKES) - len(CONTROLS) >= 120
