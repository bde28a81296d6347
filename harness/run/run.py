"""`crossframe run`: environments, verification, jobs, evaluation, records."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from crossframe.backends.contract import Precision
from crossframe.harness.analysis.gpu import gpu_not_used_reason
from crossframe.harness.analysis.labels import cell_labels
from crossframe.harness.analysis.ranking import next_round
from crossframe.harness.analysis.readers import read_achieved_rate
from crossframe.harness.analysis.roofline import roofline_for
from crossframe.harness.console import Progress, say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, ExitCode
from crossframe.harness.files import append_line, below
from crossframe.harness.launch.gpu_sampler import GpuSampler
from crossframe.harness.launch.interference import InterferenceMeter
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.effects import dialect_effect
from crossframe.harness.parity.reference_traces import build_reference_traces
from crossframe.harness.parity.verify_cells import Verifier, show_progress
from crossframe.harness.plan.estimate import read_timings
from crossframe.harness.plan.inputs import inputs_path, is_complete, seed_for
from crossframe.harness.plan.options import RESULTS
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_json, to_plain
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
from crossframe.harness.run.ceilings import measure_ceilings
from crossframe.harness.run.evaluate import evaluate
from crossframe.harness.run.folder import utc_now
from crossframe.harness.run.job_checks import check_speed, describe_failures
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.run.pins import ChangedInputsError, Pins, read_pins
from crossframe.harness.run.resume import resume_command
from crossframe.harness.selftest.clock_gate import check_clocks, withhold
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
            evaluation = evaluate(self.make_job(planned), self.job_folder(planned), measurements, self.checker)
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


def execute(plan: Plan, folder: Path, finished: Collection[str]) -> None:
    """Verify every cell with pending jobs, run those jobs (one record each), then use up the remaining time budget.

    `finished` has the names of the jobs that have a record already.
    """
    pending = [job for job in plan.jobs if job.name not in finished]
    budget_s = plan.options.time_budget_s
    # The budget may be used for any cell, also for one without pending jobs.
    cells = list(dict.fromkeys(job.cell for job in (plan.jobs if budget_s else pending)))
    environments, missing = prepare_environments(plan, {cell.backend for cell in cells})
    parity = verify_run(plan, folder, cells, environments) if plan.options.parity else {}
    parity = withhold(parity, check_clocks(plan, parity, environments, folder / "jobs" / "clock"))
    ceilings = measure_ceilings(plan, folder, environments, sorted({cell.precision for cell in cells}))
    begin = time.monotonic()
    with closing(OnnxChecker(plan.options.timeout_s)) as checker:
        pins = Pins(read_pins(folder) or {})
        execution = Execution(plan, folder, environments, missing, parity, ceilings, checker, pins)
        labels = dict(zip(cells, map(" ".join, cell_labels(cells))))
        execute_jobs(execution, pending, labels)
        if budget_s:
            repeat_until_budget(execution, begin + budget_s, labels)


def execute_jobs(execution: Execution, jobs: Sequence[PlannedJob], labels: Mapping[Cell, str]) -> None:
    """Run jobs and show the progress; `labels` names the cells."""
    options, timings = execution.plan.options, read_timings(RESULTS)
    costs = [timings.expect(options.preset, job.cell, is_complete(execution.plan, job))[0] for job in jobs]
    sizes, started = Counter(job.repeat for job in jobs), Counter[int]()
    with Progress("measuring", costs, unit="jobs", in_seconds=True) as progress:
        for job, cost in zip(jobs, costs):
            started[job.repeat] += 1
            rounds = (
                f" of {execution.plan.repeats}" if job.repeat <= execution.plan.repeats else ""
            )  # no total in a time budget
            position = f"round {job.repeat}{rounds}, cell {started[job.repeat]} of {sizes[job.repeat]}"
            progress.start_item(labels[job.cell], position)
            record = execution.execute_job(job)
            text = f"{labels[job.cell]:<35} {describe_end(record)}"
            progress.end_item(cost, text, notable=record.state != State.OK or trips_gate(record))
            if options.preset == "original":
                print_curve(record)


def describe_end(record: Record) -> str:
    """Return how a job ended."""
    failures = describe_failures(record.evaluation.checks) if record.evaluation else None
    reason = f": {record.reason[:200]}" if record.reason else ""
    if failures:
        reason += f"; the measured job differs from what was verified: {failures}"
    return f"{record.state} in {record.wall_s:.1f} s{reason}"


def print_curve(record: Record) -> None:
    """Print the loss at each evaluation, as the original specification of the tasks does for preset `original`."""
    for point in record.measurements.curve:
        side, loss = ("held-out", point.loss) if point.train_loss is None else ("training", point.train_loss)
        say(f"    epoch {point.epoch:5d}  {side} loss {loss:.6f}")


def repeat_until_budget(execution: Execution, deadline: float, labels: Mapping[Cell, str]) -> None:
    """Run more rounds of the cells that are not yet distinguishable, until none is left or the deadline has passed.

    `deadline` is a time of the monotonic clock.
    """
    while True:
        records = store.read(execution.folder)[0]
        remaining_s = deadline - time.monotonic()
        cells = next_round(records, remaining_s)
        if not cells:
            return
        repeat = 1 + max(record.repeat for record in records)
        say(f"round {repeat}: {len(cells)} cells are not yet distinguishable, {max(0.0, remaining_s):.0f} s left")
        jobs = [PlannedJob(cell, repeat) for cell in random.Random(repeat).sample(cells, len(cells))]
        execute_jobs(execution, jobs, labels)


def verify_run(
    plan: Plan, folder: Path, cells: Sequence[Cell], environments: Mapping[str, Environment]
) -> dict[Cell, ParitySummary]:
    """Verify the cells whose backend can run; all checks go to `parity.jsonl`."""
    runnable = [cell for cell in cells if cell.backend in environments]
    summaries = {}
    jobs = below(folder.resolve(), "jobs")
    for cell in runnable:
        below(jobs, f"parity-{cell.name}")
    references = build_reference_traces(plan, folder, runnable)
    verifier = Verifier(plan, environments, references, jobs)
    for cell, result in show_progress(verifier, runnable):
        append_line(below(folder, "parity.jsonl"), to_json({"cell": cell, **to_plain(result)}))
        dialect = dialect_in(result.dialect, cell.precision)
        effect = dialect_effect(task_for(plan, cell), inputs_path(folder, cell), dialect, compute=False)
        summaries[cell] = result.summarize(effect)
    return summaries


def run_to_exit_code(plan: Plan, folder: Path, finished: Collection[str]) -> ExitCode:
    """Execute a run and return the exit code; Ctrl-C ends it with all finished jobs stored."""
    try:
        execute(plan, folder, finished)
    except KeyboardInterrupt:
        say(f"\ninterrupted; finished jobs are stored. To continue: {resume_command(folder, plan.options)}")
        return INTERRUPTED
    records = store.read_with_warnings(folder)
    if any(record.state != State.OK for record in records):
        return CELL_FAILED
    return GATE_TRIPPED if any(trips_gate(record) for record in records) else DONE


def trips_gate(record: Record) -> bool:
    """Return whether the parity of a cell failed, or a check of its measured job."""
    parity_failed = record.parity is not None and record.parity.state == State.FAILED
    return parity_failed or any(not check.passed for check in (record.evaluation.checks if record.evaluation else []))
