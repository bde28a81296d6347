"""TODO: say what this module is."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from crossframe.harness.machine.environments import Environment, make_all
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.plan.plan import Plan


def refusals(plan: Plan) -> dict[str, str]:
    """Backend name -> why it cannot run on the plan's device. An interpreter of the user's own is left to show it."""
    found = {backend.name: refusal(backend, plan.device) for backend in plan.backends.values()}
    return {name: why for name, why in found.items() if why and name not in plan.options["python"]}


def prepared(plan: Plan, wanted: Collection[str]) -> tuple[dict[str, Environment], dict[str, tuple[str, str]]]:
    """(ready, missing) of some of a plan's backends: name -> environment, and name -> (state, reason)."""
    own = {name: Path(python) for name, python in plan.options["python"].items()}
    kind = plan.device.partition(":")[0]
    known = [backend for name, backend in plan.backends.items() if name in wanted]
    refused = refusals(plan)
    ready, failed = make_all([backend for backend in known if backend.name not in refused], kind, own)
    missing = {name: ("not_installed", reason) for name, reason in failed.items()}
    unsupported = {name: ("unsupported", reason) for name, reason in refused.items() if name in wanted}
    return ready, missing | unsupported
