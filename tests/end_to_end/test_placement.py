"""Workers that fall back to the CPU: parameters or results that are not on the requested device fail the job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.launch.gpu_sampler import PERIOD_S
from crossframe.harness.worker.jobs import WorkerJob
from crossframe.harness.worker.probes import EPOCH
from crossframe.harness.worker.states import State
from crossframe.harness.worker.train import REST_S
from tests.support.faulty_jobs import (
    launch_faulty,
    make_infer_job,
    make_probe_job,
    make_time_steps_job,
    make_train_job,
)

MakeJob = Callable[[Path, str], WorkerJob[Any]]
KINDS: list[MakeJob] = [make_train_job, make_time_steps_job, make_infer_job]


@pytest.mark.parametrize("make_job", KINDS)
def test_a_fall_back_to_the_cpu_is_a_failure(tmp_path: Path, make_job: MakeJob) -> None:
    outcome = launch_faulty(tmp_path, make_job(tmp_path, "honest"))
    assert outcome.state == State.FAILED
    assert outcome.reason
    assert "requested cuda:0, but the parameters and results are on cpu" in outcome.reason


def test_a_fall_back_leaves_no_measurement_of_the_cpu(tmp_path: Path) -> None:
    outcome = launch_faulty(tmp_path, make_train_job(tmp_path, "honest"))
    assert outcome.measurements.import_s is not None
    assert outcome.measurements.epochs == []
    assert outcome.measurements.placement is None


@pytest.mark.parametrize(
    ("mode", "placement"),
    [("retreats", "cpu"), ("answers_elsewhere", "cpu and cuda:0"), ("reloads_elsewhere", "cpu")],
)
def test_a_later_fall_back_is_detected(tmp_path: Path, mode: str, placement: str) -> None:
    outcome = launch_faulty(tmp_path, make_train_job(tmp_path, mode))
    assert (outcome.state, outcome.measurements.placement) == (State.FAILED, "cuda:0")
    assert outcome.reason
    assert outcome.reason.endswith(f"the parameters and results are on {placement}")


@pytest.mark.parametrize("make_job", KINDS)
def test_a_single_parameter_elsewhere_is_detected(tmp_path: Path, make_job: MakeJob) -> None:
    outcome = launch_faulty(tmp_path, make_job(tmp_path, "strays"))
    assert outcome.reason
    assert outcome.reason.endswith("the parameters and results are on cpu and cuda:0")


def test_results_elsewhere_are_detected_in_inference_jobs(tmp_path: Path) -> None:
    outcome = launch_faulty(tmp_path, make_infer_job(tmp_path, "answers_elsewhere"))
    assert outcome.state == State.FAILED
    assert outcome.measurements.infer_samples_s  # predictions were made before they were checked
    assert outcome.reason
    assert outcome.reason.endswith("the parameters and results are on cpu and cuda:0")


@pytest.mark.parametrize(
    ("mode", "probes"),
    [("strays", {"gradient"}), ("answers_elsewhere", {"forward", EPOCH})],  # only some probes compute outputs
)
def test_probes_computed_elsewhere_fail(tmp_path: Path, mode: str, probes: set[str]) -> None:
    outcome = launch_faulty(tmp_path, make_probe_job(tmp_path, mode))
    results = outcome.measurements.probes
    failed = {
        name for name, result in results.items() if (result.reason or "").endswith("results are on cpu and cuda:0")
    }
    assert outcome.state == State.OK
    assert probes <= failed <= results.keys()
    assert all(results[name].state == State.FAILED for name in failed)


def test_a_placement_that_the_allocator_contradicts_is_detected(tmp_path: Path) -> None:
    outcome = launch_faulty(tmp_path, make_train_job(tmp_path, "pretends"))
    assert outcome.state == State.FAILED
    assert outcome.reason
    assert "the peak of its allocator is 0 bytes; the parameters need at least 130" in outcome.reason


def test_a_worker_records_when_its_model_was_prepared_and_its_epochs_began(tmp_path: Path) -> None:
    measurements = launch_faulty(tmp_path, make_train_job(tmp_path, "elsewhere")).measurements
    receipt, prepared = measurements.receipt, measurements.prepared
    assert receipt is not None
    assert prepared is not None
    assert prepared.reserved_bytes is None
    assert measurements.device_reserved_bytes is None
    assert REST_S > 2 * PERIOD_S
    assert receipt.began_s is not None
    assert receipt.began_s - prepared.at_s >= REST_S
    began_s = [epoch.began_s or 0.0 for epoch in measurements.epochs]
    ended_s = [begin + epoch.train_s for begin, epoch in zip(began_s, measurements.epochs, strict=True)]
    assert all(end <= begin + 1e-5 for end, begin in zip(ended_s, began_s[1:]))
    last_s = [end for end, epoch in zip(ended_s, measurements.epochs) if epoch.epoch is not None][-1]
    assert receipt.ended_s is not None
    assert receipt.began_s <= began_s[0]
    assert last_s <= receipt.ended_s
