"""The part that all workers share: read the job, do it, leave `measures.json`, end the process.

A worker runs in a fresh process of the environment of its backend or runtime. It imports the standard library, NumPy,
`crossframe.tasks`, `crossframe.backends.contract` and its backend. What it prints goes to `log.txt` and has no meaning.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.integrity import list_replaced, take_snapshot
from crossframe.harness.worker.jobs import WorkerJob
from crossframe.harness.worker.states import State

J = TypeVar("J", bound=WorkerJob[Any])


def run_job(job_type: type[J], execute: Callable[[J, Path, Any], None], folder: Path) -> NoReturn:
    """Run the job of a folder, write its measurements whether it succeeds or not, and end the process.

    `execute(job, folder, measurements)` fills `measurements` (an instance of `job_type.MEASUREMENTS`) one by one, so
    that a failure keeps the measurements taken before it.
    """
    job = job_type.read(folder)
    os.sched_setaffinity(0, job.cpus)
    measurements = job_type.MEASUREMENTS()
    state, reason = State.OK, None
    before = take_snapshot()
    try:
        execute(job, folder, measurements)
        replaced = list_replaced(before)
        if replaced:
            raise RuntimeError(f"the backend replaced {', '.join(replaced)}: its measurements can't be trusted")
    except Exception as error:
        traceback.print_exc()
        state, reason = state_for_error(error), summarize_error(error)
    write_measures(folder, measurements, state, reason)
    sys.stdout.flush()
    sys.stderr.flush()
    # The results are complete. A framework needs up to a second to shut down; the kernel needs none.
    os._exit(0)


def write_measures(folder: Path, measurements: Any, state: State = State.OK, reason: str | None = None) -> None:
    """Write `measures.json` to a temporary name and move it into place, so that an existing file is always complete.

    ValueError where a measurement is not a finite number, which JSON does not allow.
    """
    document = {"state": state, "reason": reason, **asdict(measurements)}
    temporary = folder / "measures.json.part"
    temporary.write_text(json.dumps(document, allow_nan=False))
    temporary.replace(folder / "measures.json")
