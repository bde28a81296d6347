"""Runs that are ended by a signal at a random moment: no process lives on, no record is lost or doubled."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from crossframe.harness.records import store
from crossframe.harness.worker.states import State
from tests.faults.model import Fault
from tests.faults.workers import check_end, check_formats, run_command

GROUP = "signals"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
REPEATS = 3
LONGEST_S = 9.0  # until the signal: a run takes about as long
END_S = 5.0
OPTIONS = ["--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity", "--repeats", str(REPEATS)]


def try_signals(folder: Path, count: int, seed: int = 0) -> Iterator[Fault]:
    """Try so many signals at random moments."""
    generator = random.Random(seed)
    for number in range(count):
        chosen, wait_s = SIGNALS[number % len(SIGNALS)], generator.uniform(0.0, LONGEST_S)
        run = folder / f"signal-{number}"
        problems = list(try_signal(run, chosen, wait_s))
        shutil.rmtree(run, ignore_errors=True)
        yield Fault(GROUP, f"{chosen.name} after {wait_s:.2f} s", "; ".join(problems) or None)


def try_signal(run: Path, chosen: signal.Signals, wait_s: float) -> Iterator[str]:
    """Start a run, send a signal, and resume the run; yield the problems."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossframe", "run", *OPTIONS, "--out", str(run)],
        cwd=run.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell that starts the tests in the background has them ignore signals.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )
    time.sleep(wait_s)
    process.send_signal(chosen)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        yield f"it still runs {END_S:g} s after the signal"
        process.kill()
        process.wait()
    if left := wait_for_end(str(run)):
        yield f"{left} live on"
    if not (run / "run.json").exists():  # it had not started, and left nothing to resume
        if any(run.glob("*.jsonl")):
            yield "records without a run.json"
        return
    before = store.read(run)[0]
    done = run_command("run", "--resume", str(run), cwd=run.parent)
    yield from check_end(done)
    records, warnings = store.read(run)
    if [record for record in before if record.state == State.OK and record not in records]:
        yield "a whole record is lost"
    if sorted(record.repeat for record in records) != list(range(1, REPEATS + 1)) or warnings:
        yield f"the records are those of {[record.repeat for record in records]}, with {len(warnings)} damaged"
    if len((run / "records.jsonl").read_bytes().splitlines()) != REPEATS:
        yield "a job was done twice"
    if any(record.state != State.OK for record in records):
        yield f"a job ended as {[record.state for record in records]}"
    yield from check_formats(run)


def wait_for_end(text: str) -> list[int]:
    """Return the processes with a text in their command that are left after `END_S`."""
    end = time.monotonic() + END_S
    while left := find_processes(text):
        if time.monotonic() > end:
            return left
        time.sleep(0.05)
    return []


def find_processes(text: str) -> list[int]:
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids
