"""Training steps timed in a process of their own; the self-test starts many of these processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crossframe.backends import Backend
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.worker.jobs import TimeStepsJob
from crossframe.harness.worker.measurements import StepMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Task


class MeasurementError(Exception):
    """A process of the self-test failed; the message names the backend, the state and the reason."""

    def __init__(self, message: str, state: State = State.FAILED) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class StepTimer:
    """The settings that all measurements of a self-test share."""

    folder: Path
    cpus: list[int]
    device: str
    timeout_s: float
    mode: str | None = None  # None: the first of the backend
    precision: Precision = Precision.FLOAT32

    def write_inputs(self, task: Task) -> Path:
        """Return the path of the inputs of a task, drawn on first use."""
        path = self.folder / f"{task.name}.npz"
        if not path.exists():
            write_inputs(path, task, None, None)
        return path

    def time_steps(
        self, task: Task, backend: Backend, environment: Environment, ceiling: bool = False
    ) -> StepMeasurements:
        """Return the measurements of one process that only does training steps. MeasurementError if it fails.

        With `ceiling`, the ceiling of the device is measured too.
        """
        job = TimeStepsJob(
            cpus=self.cpus,
            module=backend.module,
            packages=list(backend.manifest.packages),
            mode=self.mode or backend.manifest.modes[0],
            device=self.device,
            precision=self.precision,
            task=task,
            inputs=str(self.write_inputs(task).resolve()),
            ceiling=ceiling,
        )
        outcome = launch(environment.python, backend, job, self.folder / "job", self.timeout_s)
        if outcome.state != State.OK:
            raise MeasurementError(f"{backend.name}: {outcome.state}: {outcome.reason}", outcome.state)
        return outcome.measurements


def device_for(backend: Backend, device: str) -> str:
    """Return the device on which a backend is measured: the CPU if it has no builds, such as the reference model."""
    return device if backend.has_builds else "cpu"
