"""The checks of measured jobs: mistakes that they find, and the consequences of a failure."""

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossframe.backends import read_backend
from crossframe.backends.contract import Precision
from crossframe.harness.analysis.metrics import build_cell_report, build_cell_reports
from crossframe.harness.analysis.ranking import explain_exclusion, is_verified, rank
from crossframe.harness.errors import DONE, GATE_TRIPPED
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.records import codec
from crossframe.harness.records.model import Evaluation, JobCheck, Record, Roofline
from crossframe.harness.report.formats import list_problems
from crossframe.harness.run.evaluate import evaluate
from crossframe.harness.run.execution import add_speed_check
from crossframe.harness.run.job_checks import check_speed
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.run.run import trips_gate
from crossframe.harness.worker.epochs import put_batches
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.tasks import discover
from tests.conftest import THIRD_PARTY
from tests.support.synthetic import make_record, make_repeats

DEVIATING = read_backend("deviating", "deviating", THIRD_PARTY / "deviating")
CIRCLE = discover()["circle"]["quick"]


def launch_job(folder: Path, mode: str) -> tuple[TrainJob, Outcome[TrainMeasurements]]:
    """Run a measured job of the deviating backend."""
    write_inputs(folder / "inputs.npz", CIRCLE, None, None)
    job = TrainJob(
        cpus=sorted(os.sched_getaffinity(0))[:1],
        module="deviating",
        packages=["numpy"],
        mode=mode,
        device="cpu",
        precision=Precision.FLOAT32,
        task=CIRCLE,
        inputs=str(folder / "inputs.npz"),
        onnx_opset=20,
        profile_operators=False,
    )
    return job, launch(Path(sys.executable), DEVIATING, job, folder / "job", 180)


def run_job(folder: Path, mode: str) -> Evaluation:
    """Run a measured job of the deviating backend and return its evaluation."""
    job, outcome = launch_job(folder, mode)
    assert outcome.state == "ok", outcome.reason
    with closing(OnnxChecker()) as checker, closing(ChildProcess()) as child:
        return evaluate(job, folder / "job", outcome.measurements, checker, child)


@pytest.mark.frameworks  # measures for seconds
@pytest.mark.parametrize(
    ("mode", "failures"),
    [
        ("honest", set()),
        ("drops_last", {"first epoch", "later epoch", "the same batch again", "the same content again"}),
        ("trains_in_put", {"first epoch", "later epoch", "the same batch again", "the same content again", "copies"}),
        ("tires", {"later epoch"}),
        ("knows_epochs", {"time of an epoch"}),
        ("knows_steps", {"time of a step"}),
        ("skips_seen", {"the same batch again"}),
        ("skips_samples", {"new samples among known"}),
        ("defers", {"barrier"}),
        ("prepares_in_put", {"first copies"}),
        ("answers_many_wrong", {"outputs", "timed predictions of many samples"}),
        ("answers_one_wrong", {"timed predictions of one sample"}),
        ("answers_before_load", {"predictions after loading"}),
        ("learns_in_evaluation", {"weights after evaluation"}),
        ("foresees", {"time of new samples"}),
        ("stores_nothing", {"size of the checkpoint"}),
        ("answers_again", {"timed predictions of one sample"}),
    ],
)
def test_each_mistake_fails_its_checks(tmp_path: Path, mode: str, failures: set[str]) -> None:
    evaluation = run_job(tmp_path, mode)
    failed = {check.name: check.detail for check in evaluation.checks if not check.passed}
    assert failures <= failed.keys(), evaluation.checks
    assert all(failed.values())
    if mode == "honest":
        assert not failed
        assert len(evaluation.checks) >= 17
    assert (tmp_path / "job" / "checks.npz").exists() == bool(failed)


@pytest.mark.frameworks  # starts a worker
@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("answers_lazily", "predict: a NumPy array is required, not deviating.LazyArray"),
        ("slows_clock", "the backend replaced crossframe.harness.worker.timing.read_clock"),
    ],
)
def test_a_job_that_is_measured_wrongly_fails(tmp_path: Path, mode: str, reason: str) -> None:
    _, outcome = launch_job(tmp_path, mode)
    assert outcome.state == "failed"
    assert reason in (outcome.reason or "")


def test_every_put_has_another_order_and_a_batch_that_is_not_trained() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.puts: list[int] = []

        def put(self, x: np.ndarray, y: np.ndarray) -> int:
            self.puts.append(int(x[0, 0]))
            return self.puts[-1]

        def sync(self) -> None:
            pass

    data = {"x_train": np.arange(100, dtype=np.float32)[:, None], "y_train": np.arange(100)}
    order = np.arange(100).reshape(20, 5)
    orders = set()
    for _ in range(3):
        model = Recorder()
        assert put_batches(model, data, order) == [5 * number for number in range(20)]  # type: ignore[arg-type]
        assert len(model.puts) == 21
        orders.add(tuple(model.puts))
    assert len(orders) == 3


FAILED = JobCheck("later epoch", 0.5, 1e-4, False, "weights in dense1.w is off by 5.0e-01 (tolerance 1e-04)")


def fail_one(records: list[Record]) -> list[Record]:
    """Return the records with a failed check in the last."""
    assert records[-1].evaluation is not None
    return [*records[:-1], replace(records[-1], evaluation=replace(records[-1].evaluation, checks=[FAILED]))]


def test_a_cell_with_a_failed_check_in_any_repeat_is_not_ranked_and_named() -> None:
    steps_s = [1e-3, 1.01e-3, 0.99e-3, 1e-3, 1.02e-3]
    records = [*fail_one(make_repeats("a", steps_s)), *make_repeats("b", steps_s), *make_repeats("c", steps_s)]
    reports = {report.backend: report for report in rank(build_cell_reports(records, {}), records)[0]}
    assert not is_verified(reports["a"])
    assert explain_exclusion(reports["a"], "step_s", {1: 1e-3}, 1) == (
        "the measured job differs from what was verified: 1 of 5 repeats: later epoch: " + str(FAILED.detail)
    )
    assert reports["a"].metrics["train_samples_per_s"].tier is None
    assert {reports[name].metrics["train_samples_per_s"].tier for name in "bc"} == {1}
    assert [line for line in list_problems(list(reports.values())) if "differs from what was verified" in line]


def test_a_failed_check_trips_the_gate() -> None:
    (record,) = make_repeats("a", [1e-3])
    assert not trips_gate(record)
    assert trips_gate(*fail_one([record]))
    assert DONE != GATE_TRIPPED


def test_a_record_without_checks_keeps_its_tier() -> None:
    record = make_record("a", 1, 1e-3)
    plain = codec.to_plain(record)
    del plain["evaluation"]["checks"]
    assert build_cell_report([codec.from_plain(plain, Record)]).deviation is None


@pytest.mark.parametrize(("ceiling", "passed"), [(1e12, True), (4e8, True), (1e8, False)])
def test_more_than_three_times_the_ceiling_is_not_ranked(ceiling: float, passed: bool) -> None:
    roofline = Roofline(step_flops=10**6, step_bytes=1, ceiling_flops_per_s=ceiling, ceiling_bytes_per_s=None)
    record = add_speed_check(replace(make_record("a", 1, 1e-3), roofline=roofline))  # 1e9 operations per second
    assert record.evaluation is not None
    assert [check.passed for check in record.evaluation.checks if check.name == "speed"] == [passed]
    assert is_verified(build_cell_report([record])) == passed
    assert check_speed(1e9, None) is None
