"""`crossframe conformance NAME`: everything that we ask of our own backends, asked of one, with a named result a check.

Three groups: the contract (what the folder says is what the module does), parity (every task in every mode against
the oracle), and a small real run of every task (trains, checkpoint exact, device as asked, ONNX exported or refused).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossframe.harness.parity import checks as parity
from crossframe.harness.parity import verify
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records import store
from crossframe.harness.run import folder as folders
from crossframe.harness.run import run


@dataclass(frozen=True)
class Result:
    """One named check: `passed`, `failed` or `unsupported` (the backend says that it cannot, and why)."""

    name: str
    state: str
    reason: str | None = None


def examine(plan: Plan) -> Iterator[Result]:
    """The results, as they come. The plan holds one backend, all its modes and the tasks to ask about."""
    (backend,) = plan.backends.values()
    found = verify.examine(plan, seed=0, work=False)
    told = next((verdict["modes"] for verdict in found if verdict.get("modes")), None)
    if told is not None:
        same = told == backend.modes
        why = None if same else f"backend.toml says {backend.modes}, the module {told}"
        yield Result("contract::modes", "passed" if same else "failed", why)
    for verdict in found:
        yield from parity_results(verdict)
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        folder = Path(name)
        folders.start(plan, folder)
        run.carry_out(plan, folder, set())
        for record in store.read(folder)[0]:
            yield from run_results(record)


def parity_results(verdict: dict[str, Any]) -> Iterator[Result]:
    """One result a probe and kind of check; or one, where the probes did not run."""
    cell = verdict["cell"]
    where = f"parity::{cell['task']}[{cell['mode']}]"
    if not verdict["checks"]:
        state = "unsupported" if verdict["state"] == "unsupported" else "failed"
        yield Result(where, state, verdict["reason"])
    for told in verdict["checks"]:
        check = parity.Check(**told)
        reason = None if check.passed else parity.describe(check)
        if reason and verdict["hint"] and reason == verdict["reason"]:
            reason += f"; {verdict['hint']}"
        yield Result(f"{where}::{check.name}", "passed" if check.passed else "failed", reason)


def run_results(record: dict[str, Any]) -> Iterator[Result]:
    """What a real run of one task and mode shows."""
    where = f"run::{record['cell']['task']}[{record['cell']['mode']}]"
    if record["state"] != "ok":
        yield Result(
            f"{where}::trains", "unsupported" if record["state"] == "unsupported" else "failed", record["reason"]
        )
        return
    exported = record["verdict"]["onnx"]
    state = {"ok": "passed"}.get(exported["state"], exported["state"])
    yield Result(f"{where}::trains", "passed")
    yield Result(f"{where}::checkpoint", "passed" if record["measures"]["checkpoint_exact"] else "failed")
    yield Result(f"{where}::onnx", state, exported["reason"])
