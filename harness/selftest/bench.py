"""One process that does nothing but steps, and what it measures: the selftest runs many of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossframe.backends import Backend
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.inputs import write_inputs
from crossframe.tasks.spec import Task, to_json


class NotMeasured(Exception):
    """A process did not end well; the message says which, and how."""


@dataclass(frozen=True)
class Bench:
    """What all measurements of one selftest share."""

    folder: Path
    cpus: list[int]
    device: str
    timeout_s: float

    def inputs(self, task: Task) -> Path:
        path = self.folder / f"{task.name}.npz"
        if not path.exists():
            write_inputs(path, task, None, None)
        return path

    def measure(self, task: Task, backend: Backend, environment: Environment, ceiling: bool = False) -> dict[str, Any]:
        """The measures of one process that does nothing but steps; NotMeasured where it fails."""
        document = {
            "task": to_json(task),
            "module": backend.module,
            "mode": backend.modes[0],
            "device": self.device,
            "precision": "float32",
            "inputs": str(self.inputs(task).resolve()),
            "cpus": self.cpus,
            "ceiling": ceiling,
        }
        folder = self.folder / "job"
        outcome = launch(
            environment.python, backend, document, folder, self.timeout_s, "crossframe.harness.worker.time_steps"
        )
        if outcome.state != "ok":
            raise NotMeasured(f"{backend.name}: {outcome.state}: {outcome.reason}")
        return outcome.measures


def home(backend: Backend, device: str) -> str:
    """Where a backend is measured: what names no build of its own, as NumPy, has no card."""
    return device if backend.has_builds else "cpu"
