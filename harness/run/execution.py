"""The execution of the jobs of a run: each job is launched, judged and stored as one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from crossframe.backends.contract import Precision
from crossframe.harness.analysis.gpu import gpu_not_used_reason
from crossframe.harness.analysis.readers import read_achieved_rate
from crossframe.harness.analysis.roofline import roofline_for
from crossframe.harness.files import below
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.gpu_sampler import GpuSampler
from crossframe.harness.launch.interference import InterferenceMeter
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.inputs import inputs_path, is_complete, seed_for
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.records import store
from crossframe.harness.records.model import (
    SCHEMA_VERSION,
    CeilingResult,
    Cell,
    EnvironmentCost,
    Evaluation,
    GpuSamples,
    ParitySummary,
    PlannedJob,
    Record,
)
from crossframe.harness.run.evaluate import evaluate
from crossframe.harness.run.folder import utc_now
from crossframe.harness.run.job_checks import check_speed
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.run.pins import ChangedInputsError, Pins
from crossframe.harness.worker.failures import summarize_error
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class Execution:
    """A run whose environments are ready and whose cells are verified."""

    plan: Plan
    folder: Path
    environments: Mapping[str, Environment]  # name of a backend -> environment
    missing: Mapping[str, tuple[State, str]]  # name of a backend without environment -> (state, reason)
    parity: Mapping[Cell, ParitySummary]
    ceilings: Sequence[CeilingResult]
    checker: OnnxChecker
    child: ChildProcess  # which opens what workers left
    pins: Pins = field(default_factory=lambda: Pins({}))

    def execute_job(self, planned: PlannedJob) -> Record:
        """Run one job and store its record."""
        environment = self.environments.get(planned.cell.backend)
        started, meter = utc_now(), InterferenceMeter()
        with GpuSampler(self.plan.device if environment else "cpu") as sampler:
            outcome = self.launch_job(planned, environment)
        machine, ended, samples = meter.read(), utc_now(), sampler.samples()
        state, reason, evaluation = self.judge_outcome(planned, outcome, samples)
        roofline = roofline_for(task_for(self.plan, planned.cell), planned.cell, self.ceilings)
        cost = EnvironmentCost(environment.bytes, environment.install_s) if environment else EnvironmentCost(None, None)
        record = Record(
            schema=SCHEMA_VERSION,
            job=planned.name,
            repeat=planned.repeat,
            complete=is_complete(self.plan, planned),
            cell=planned.cell,
            state=state,
            reason=reason,
            started=started,
            ended=ended,
            wall_s=outcome.wall_s,
            measurements=replace(outcome.measurements, export=None),  # it is in the evaluation
            evaluation=evaluation,
            parity=self.parity.get(planned.cell),
            environment=cost,
            machine=machine,
            roofline=roofline,
            gpu=samples,
            processes=outcome.processes,
        )
        return store_record(self.folder, add_speed_check(record))

    def launch_job(self, planned: PlannedJob, environment: Environment | None) -> Outcome[TrainMeasurements]:
        """Run the worker of a job; without an environment, return why there is none."""
        if environment is None:
            return Outcome(*self.missing[planned.cell.backend], 0.0, TrainMeasurements())
        backend, job = self.plan.backends[planned.cell.backend], self.make_job(planned)
        try:
            self.pins.require(Path(job.inputs))
            return launch(environment.python, backend, job, self.job_folder(planned), self.plan.options.timeout_s)
        except ChangedInputsError as error:
            reason = str(error)
        except OSError as error:
            reason = f"it can't be run here: {error}"
        return Outcome(State.FAILED, reason, 0.0, TrainMeasurements())

    def judge_outcome(
        self, planned: PlannedJob, outcome: Outcome[TrainMeasurements], samples: GpuSamples | None
    ) -> tuple[State, str | None, Evaluation | None]:
        """Return (state, reason, evaluation) of a job.

        It is `failed` if its arrays cannot be evaluated, its checkpoint is not exact, or the GPU was never used.
        """
        if outcome.state != State.OK:
            return outcome.state, outcome.reason, None
        measurements = outcome.measurements
        try:
            job, folder = self.make_job(planned), self.job_folder(planned)
            evaluation = evaluate(job, folder, measurements, self.checker, self.child)
        except Exception as error:  # whatever the worker left, the next job runs
            cause = summarize_error(error).replace(f"{self.job_folder(planned)}/", "")
            return State.FAILED, f"its outputs can't be evaluated: {cause}", None
        reason = gpu_not_used_reason(samples, measurements)
        if measurements.checkpoint_exact is False:
            reason = "loading its own checkpoint does not restore the weights"
        return (State.FAILED if reason else State.OK), reason, evaluation

    def make_job(self, planned: PlannedJob) -> TrainJob:
        """Return the job of a worker, with everything that it needs."""
        cell, backend = planned.cell, self.plan.backends[planned.cell.backend]
        return TrainJob(
            module=backend.module,
            packages=list(backend.manifest.packages),
            mode=cell.mode,
            device=cell.device,
            precision=Precision(cell.precision),
            task=task_for(self.plan, cell),
            inputs=str(inputs_path(self.folder, cell, seed_for(self.plan, planned)).resolve()),
            onnx_opset=backend.manifest.onnx_opset,
            profile_operators=self.plan.options.profile_operators and is_complete(self.plan, planned),
            cpus=self.plan.options.cpus,
            complete=is_complete(self.plan, planned),
        )

    def job_folder(self, planned: PlannedJob) -> Path:
        """Return the folder of a job."""
        return below(self.folder.resolve(), "jobs", planned.name)


def store_record(folder: Path, record: Record) -> Record:
    """Store the record of a job and return it; one that does not fit the schema becomes that of a failed job."""
    try:
        store.append(folder, record)
        return record
    except ValueError as error:
        reason = f"its results can't be stored: {summarize_error(error)}"
    failed = replace(record, state=State.FAILED, reason=reason, measurements=TrainMeasurements(), evaluation=None)
    failed = replace(failed, gpu=None, roofline=None)
    store.append(folder, failed)
    return failed


def add_speed_check(record: Record) -> Record:
    """Return a record whose evaluation has the check of the speed too, if its device has a ceiling."""
    if record.evaluation is None or record.roofline is None:
        return record
    check = check_speed(read_achieved_rate("step_flops")(record), record.roofline.ceiling_flops_per_s)
    if check is None:
        return record
    return replace(record, evaluation=replace(record.evaluation, checks=[*record.evaluation.checks, check]))
