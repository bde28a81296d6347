"""The readiness of the backends of a plan: whether they can run on this machine, and their environments."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from crossframe.harness.machine.environments import Environment, make_environments
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.plan.plan import Plan
from crossframe.harness.worker.states import State


def refusals(plan: Plan) -> dict[str, str]:
    """Return the backends that cannot run on the device of the plan: name -> reason.

    Interpreters given with --python are not checked in advance.
    """
    reasons = {backend.name: refusal(backend, plan.device) for backend in plan.backends.values()}
    return {name: reason for name, reason in reasons.items() if reason and name not in plan.options.python}


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
