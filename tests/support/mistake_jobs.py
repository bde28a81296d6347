"""Mistakes of the catalogue (`tests/third_party/mistakes`) in measured jobs, judged as `crossframe run` judges them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from crossframe.harness.analysis.fairness import differences, fairness_rows
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.launch.leavings import read_measures
from crossframe.harness.machine.environments import Environment, make_environment
from crossframe.harness.plan.inputs import inputs_path, write_inputs
from crossframe.harness.plan.plan import Plan, make_plan, task_for
from crossframe.harness.records.model import SCHEMA_VERSION, EnvironmentCost, PlannedJob, Record, RunOptions
from crossframe.harness.run.execution import Execution
from crossframe.harness.run.job_checks import describe_failures
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.worker.jobs import WorkerJob
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State
from tests.support.mistake_probes import BACKENDS, Finding, wrap_backend
from tests.support.synthetic import VERIFIED
from tests.third_party.mistakes.catalogue import MISTAKES

HONEST = "control_honest"  # no mistake
JOB_S = 60  # at most, for each job
FASTER = 0.6  # of the time of the honest backend
HELD_BYTES = 250e6  # of the 300 MB that some mistakes hold
WORKED_S = 1.0  # of the processor time that some mistakes spend in other processes


@dataclass(frozen=True, kw_only=True)
class ManyJobs(WorkerJob[TrainMeasurements]):
    """Training jobs in one process."""

    PROGRAM: ClassVar[tuple[str, ...]] = ("mistakes.many_jobs",)
    MEASUREMENTS: ClassVar[type] = TrainMeasurements

    folders: list[str]


class MeasuredJobs:
    """The measured jobs of one backend and task, preset quick, with one mistake each."""

    def __init__(self, framework: str, task: str, folder: Path, cpus: list[int], precision: str = "float32") -> None:
        self.framework, self.folder, self.precision = framework, folder, precision
        options = RunOptions(
            task=[task], backend=[framework], preset="quick", device="cpu", cpus=cpus, precision=[precision]
        )
        plan = make_plan(options)
        modes = {name: self.mode_of(name) for name in MISTAKES}
        self.wrapper = wrap_backend(framework, list(modes.values()))
        self.plan = Plan(plan.tasks, {framework: self.wrapper}, "cpu", (), options)
        self.environment: Environment = make_environment(BACKENDS[framework], "cpu")
        cell = plan.jobs[0].cell
        self.planned = {name: PlannedJob(replace(cell, mode=mode), 1) for name, mode in modes.items()}
        path = inputs_path(folder, cell)
        if not path.exists():
            write_inputs(path, task_for(plan, cell), None, None)

    def mode_of(self, mistake: str) -> str:
        """Return the mode in which the backend makes a mistake."""
        return f"{MISTAKES[mistake].mode or BACKENDS[self.framework].manifest.modes[0]}+{mistake}"

    def make_execution(self, checker: OnnxChecker, child: ChildProcess) -> Execution:
        """Return the execution that judges the jobs."""
        environments = {self.framework: self.environment}
        parity = {planned.cell: VERIFIED for planned in self.planned.values()}
        return Execution(self.plan, self.folder, environments, {}, parity, [], checker, child)

    def measure(self, mistakes: Sequence[str], alone: bool) -> dict[str, Record]:
        """Run a job for each mistake, in one process or in one each; return the records."""
        with closing(OnnxChecker()) as checker, closing(ChildProcess()) as child:
            execution = self.make_execution(checker, child)
            outcomes = self.launch_each(execution, mistakes) if alone else self.launch_together(execution, mistakes)
            return {mistake: self.judge(execution, mistake, outcome) for mistake, outcome in outcomes.items()}

    def launch_each(self, execution: Execution, mistakes: Sequence[str]) -> Mapping[str, Outcome[TrainMeasurements]]:
        return {name: execution.launch_job(self.planned[name], self.environment) for name in mistakes}

    def launch_together(
        self, execution: Execution, mistakes: Sequence[str]
    ) -> Mapping[str, Outcome[TrainMeasurements]]:
        """Run all jobs in one process. If it ends early twice in a job, that job has failed; the others go on."""
        outcomes: dict[str, Outcome[TrainMeasurements]] = {}
        suspect = None  # the job in which the process ended
        left = list(mistakes)
        while left:
            folders = {name: execution.job_folder(self.planned[name]) for name in left}
            for name, folder in folders.items():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "measures.json").unlink(missing_ok=True)
                job = execution.make_job(self.planned[name])
                (folder / "job.json").write_text(json.dumps(job.to_json(), indent=1))
            many = ManyJobs(cpus=self.plan.options.cpus, folders=[str(folder) for folder in folders.values()])
            outer = launch(
                self.environment.python,
                self.wrapper,
                many,
                self.folder / f"many-{len(left)}{'-again' * bool(suspect)}",
                JOB_S * (2 + len(left)),
            )
            for name, folder in folders.items():
                stored = read_measures(folder, TrainMeasurements)
                if stored is None and name != suspect:
                    suspect = name
                    break
                if stored is None:
                    outcomes[name] = Outcome(outer.state, outer.reason, 0.0, TrainMeasurements())
                    break
                outcomes[name] = Outcome(stored[0], stored[1], 0.0, stored[2])
            left = [name for name in left if name not in outcomes]
        return outcomes

    def judge(self, execution: Execution, mistake: str, outcome: Outcome[TrainMeasurements]) -> Record:
        """Return the record of a job, as a run would store it."""
        planned = self.planned[mistake]
        state, reason, evaluation = execution.judge_outcome(planned, outcome, None)
        return Record(
            schema=SCHEMA_VERSION,
            job=planned.name,
            repeat=1,
            cell=planned.cell,
            state=state,
            reason=reason,
            started="",
            ended="",
            wall_s=outcome.wall_s,
            measurements=outcome.measurements,
            evaluation=evaluation,
            parity=VERIFIED,
            environment=EnvironmentCost(None, None),
        )

    def find(self, mistake: str, record: Record, honest: Record) -> Finding:
        """Return how the job caught a mistake: by its checks, or by a meter that shows it."""
        task = record.cell.task
        failures = describe_failures(record.evaluation.checks) if record.evaluation else None
        if record.state != State.OK or failures:
            return Finding(mistake, self.framework, task, "job check", failures or record.reason)
        shown = self.read_meters(record, honest) if MISTAKES[mistake].alone else None
        if shown is None and MISTAKES[mistake].gains:
            return self.find_gain(mistake, record, honest)
        return Finding(mistake, self.framework, task, "meter" if shown else "nothing", shown)

    def find_gain(self, mistake: str, record: Record, honest: Record) -> Finding:
        """Return the finding of a trick that changes no result: `no gain` if it made nothing much faster."""
        ratios = {
            name: float(np.median(getattr(record.measurements, name)) / np.median(getattr(honest.measurements, name)))
            for name in MISTAKES[mistake].gains
        }
        caught_by = "no gain" if min(ratios.values()) > FASTER else "nothing"
        return Finding(mistake, self.framework, record.cell.task, caught_by, f"times the honest backend's: {ratios}")

    def read_meters(self, record: Record, honest: Record) -> str | None:
        """Return what a meter shows that it does not show of the honest job, None if nothing.

        Both jobs must have had a process of their own: the peak of a process with many jobs is that of all before.
        """
        other = [replace(honest, cell=replace(honest.cell, backend="honest"))]
        unequal = differences(fairness_rows([record, *other]))
        if unequal:
            return f"resources were not equal: {'; '.join(unequal)}"
        peak, honest_peak = record.measurements.host_peak_bytes, honest.measurements.host_peak_bytes
        if peak and honest_peak and peak - honest_peak > HELD_BYTES:
            return f"host_peak_bytes is {(peak - honest_peak) / 1e6:.0f} MB above that of the honest backend"
        receipt, honest_receipt = record.measurements.receipt, honest.measurements.receipt
        if receipt and honest_receipt and (receipt.cpu_s or 0) - (honest_receipt.cpu_s or 0) > WORKED_S:
            return (
                f"training takes {receipt.cpu_s:.1f} s of processor time, the honest one {honest_receipt.cpu_s:.1f} s"
            )
        onnx = record.evaluation.onnx if record.evaluation else None
        if onnx and onnx.state == State.FAILED:
            return f"model.onnx: {onnx.reason}"
        return None
