"""The readiness of the backends of a plan: whether they can run on this machine, and their environments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from crossframe.harness.machine.environments import Environment, make_environments
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.plan.plan import Plan, find_refusal, select_modes
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class RefusedMode:
    """A mode that can't run on the device of a plan, known in advance."""

    backend: str
    mode: str
    reason: str
    tasks: list[str]  # that it can't run; empty: all

    def describe(self, titles: Mapping[str, str]) -> str:
        """Return the mode, its tasks and the reason in one line; `titles` are those of the backends."""
        tasks = f" on {', '.join(self.tasks)}" if self.tasks else ""
        return f"{titles[self.backend]} {self.mode}{tasks}: {self.reason}"


def refusals(plan: Plan) -> dict[str, str]:
    """Return the backends that cannot run on the device of the plan: name -> reason.

    Interpreters given with --python are not checked in advance.
    """
    reasons = {backend.name: refusal(backend, plan.device) for backend in plan.backends.values()}
    return {name: reason for name, reason in reasons.items() if reason and name not in plan.options.python}


def list_refused_modes(plan: Plan) -> list[RefusedMode]:
    """Return the modes that the device of the plan is known to refuse, among those that the options ask for."""
    refused: dict[tuple[str, str, str], list[str]] = {}
    for backend in plan.backends.values():
        for mode in select_modes(backend, plan.options.mode):
            for task in plan.tasks.values():
                reason = find_refusal(backend, mode, plan.device_kind, task)
                if reason:
                    refused.setdefault((backend.name, mode, reason), []).append(task.name)
    return [
        RefusedMode(backend, mode, reason, tasks if len(tasks) < len(plan.tasks) else [])
        for (backend, mode, reason), tasks in refused.items()
    ]


def prepare_environments(
    plan: Plan, names: Collection[str]
) -> tuple[dict[str, Environment], dict[str, tuple[State, str]]]:
    """Make the environments of the named backends of a plan.

    Returns name -> environment, and name -> (state, reason) for backends that cannot run.
    """
    interpreters = {name: Path(python) for name, python in plan.options.python.items()}
    refused = refusals(plan)
    backends = [backend for name, backend in plan.backends.items() if name in names and name not in refused]
    environments, failures = make_environments(backends, plan.device_kind, interpreters)
    not_installed = {name: (State.NOT_INSTALLED, reason) for name, reason in failures.items()}
    unsupported = {name: (State.UNSUPPORTED, reason) for name, reason in refused.items() if name in names}
    return environments, not_installed | unsupported
