"""What a resumed run takes from its folder: its plan and its records, but no programs and no paths.

The folder may come from elsewhere. Interpreters and the folder of data are those of the command line.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from crossframe.harness.errors import UsageError
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.plan.plan import Plan, add_repeats
from crossframe.harness.records import store
from crossframe.harness.records.model import Record, RunInfo, RunOptions
from crossframe.harness.run.folder import draw_task_inputs
from crossframe.harness.run.pins import Pins, pin_inputs, read_pins
from crossframe.harness.worker.states import State

# Reasons of failures that can go: the job is run again when the run is resumed.
CURABLE_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.EACCES, errno.EPERM, errno.EINTR, errno.ENOMEM),
)
CURABLE_TEXTS = (*map(os.strerror, CURABLE_ERRORS), "MemoryError", "the inputs ", "can't be run here")


def resume_command(folder: Path, options: RunOptions) -> str:
    """Return the command that continues a run."""
    words = ["crossframe", "run", "--resume", str(folder)]
    for name, python in options.python.items():
        words += ["--python", f"{name}={python}"]
    if options.data_dir:
        words += ["--data-dir", options.data_dir]
    return shlex.join(words)


def take_programs(info: RunInfo, options: RunOptions, folder: Path) -> RunInfo:
    """Return a run with the interpreters and the folder of data of the command line, whose options are `options`.

    UsageError unless the interpreters are those with which the run was started.
    """
    if options.python != info.options.python:
        raise UsageError(
            "a run goes on with the interpreters with which it was started, and they are never taken from its folder; "
            f"if you trust them: {resume_command(folder, info.options)}"
        )
    return replace(info, options=replace(info.options, data_dir=options.data_dir))


def continue_with(plan: Plan, folder: Path, repeats: int | None) -> Plan:
    """Return the plan of a run with at least so many repeats, and store it; the same plan where it has them."""
    jobs = add_repeats(plan.jobs, repeats or 0)
    if len(jobs) == len(plan.jobs):
        return plan
    options = replace(plan.options, repeats=repeats)
    store.write_run(folder, replace(store.read_run(folder), options=options, jobs=list(jobs)))
    return replace(plan, jobs=jobs, options=options)


def restore_inputs(plan: Plan, folder: Path) -> None:
    """Draw the inputs that are missing, and check all of them. UsageError if one is not the one of the start."""
    try:
        digests = read_pins(folder)
        with closing(ChildProcess()) as child:  # data may be large
            for task in plan.tasks.values():
                child.call(draw_task_inputs, plan, folder, task)
        if digests is None:  # of an older version
            pin_inputs(folder)
            return
        pins = Pins(digests)
        for name in digests:
            pins.require(folder / "inputs" / name)
    except ValueError as error:  # also digests that are damaged
        raise UsageError(f"{folder}: {error}") from None


def list_finished(records: Iterable[Record]) -> set[str]:
    """Return the names of the jobs that need not run again."""
    return {record.job for record in records if not is_curable(record)}


def is_curable(record: Record) -> bool:
    """Return whether a job failed for a reason that can go."""
    if record.state == State.NOT_INSTALLED:
        return True
    return record.state == State.FAILED and any(text in (record.reason or "") for text in CURABLE_TEXTS)
