"""Commands that are ended by a signal at a random moment: no process lives on, no record is lost or doubled."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossframe.harness.records import store
from crossframe.harness.worker.states import State
from tests.faults.model import Fault
from tests.faults.workers import check_end, check_formats, run_command

GROUP = "signals"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
REPEATS = 3
END_S = 5.0
MARK = "CROSSFRAME_FAULT"  # environment variable that everything inherits which a command starts
SELECTION = ["--backend", "reference", "--task", "circle", "--preset", "quick"]
RUNTIME = ["--runtime", "reference_evaluator", "--python", f"reference_evaluator={sys.executable}"]
PORTABILITY = ["portability", "run", "--backend", "spec", *RUNTIME]
RUN = ["run", *SELECTION, "--no-parity", "--repeats", str(REPEATS), "--out", "run"]


@dataclass(frozen=True)
class Target:
    """A command that gets a signal after at most `longest_s`, about as long as it takes.

    It starts in a copy of the folder `start` of `make_starts`, or in an empty one.
    """

    arguments: Sequence[str]
    start: str | None
    longest_s: float

    @property
    def name(self) -> str:
        """The name of the command; that of a resumed run is `resume`."""
        return "resume" if "--resume" in self.arguments else self.arguments[0]


TARGETS = (
    Target(RUN, None, 9.0),
    Target(["run", "--resume", "run"], "half", 6.0),
    Target(PORTABILITY, "whole", 6.0),
    Target(["parity", *SELECTION], None, 6.0),
    Target(RUN, None, 9.0),
    Target(["check", "model.onnx", *RUNTIME], "whole", 4.0),
)


def make_starts(folder: Path) -> None:
    """Make the folders `whole`, with a run and an ONNX file, and `half`, with a run of which one record is there."""
    whole, half = folder / "whole", folder / "half"
    whole.mkdir()
    for command in (RUN, PORTABILITY):
        done = run_command(*command, cwd=whole)
        assert done.returncode == 0, done.stderr
        if command == RUN:
            shutil.copytree(whole, half)
    records = half / "run" / store.RECORDS
    records.write_bytes(records.read_bytes().splitlines(keepends=True)[0])
    shutil.copyfile(next((whole / "run").rglob("model.onnx")), whole / "model.onnx")


def try_signals(folder: Path, count: int, seed: int = 0) -> Iterator[Fault]:
    """Try so many signals at random moments of the commands."""
    generator = random.Random(seed)
    make_starts(folder)
    for number in range(count):
        chosen, target = SIGNALS[number % len(SIGNALS)], TARGETS[number % len(TARGETS)]
        wait_s = generator.uniform(0.0, target.longest_s)
        problems = list(try_signal(folder, target, chosen, wait_s))
        yield Fault(GROUP, f"{target.name}, {chosen.name} after {wait_s:.2f} s", "; ".join(problems) or None)


def try_signal(folder: Path, target: Target, chosen: signal.Signals, wait_s: float) -> Iterator[str]:
    """Start a command, send a signal, and do the same again or resume it; yield the problems."""
    here = folder / "state"
    if target.start:
        shutil.copytree(folder / target.start, here)
    else:
        here.mkdir()
    before = read_content(here / "run")
    yield from interrupt(target.arguments, here, chosen, wait_s)
    if not read_content(here / "run").startswith(before):
        yield "a whole record is lost"
    if (here / "run" / "run.json").exists():
        yield from check_resumption(here / "run")
    elif read_content(here / "run"):
        yield "records without a run.json"
    if target.name not in ("run", "resume"):
        yield from check_end(run_command(*target.arguments, cwd=here))
    shutil.rmtree(here)


def interrupt(arguments: Sequence[str], folder: Path, chosen: signal.Signals, wait_s: float) -> Iterator[str]:
    """Start a command and send a signal; yield what lives on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossframe", *arguments],
        cwd=folder,
        env={**os.environ, MARK: str(folder)},
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
    if left := wait_for_end(f"{MARK}={folder}\0"):
        yield f"{left} live on"


def check_resumption(run: Path) -> Iterator[str]:
    """Resume a run; yield the problems of its records and of its report."""
    before = store.read(run)[0]
    done = run_command("run", "--resume", "run", cwd=run.parent)
    yield from check_end(done)
    records, warnings = store.read(run)
    if [record for record in before if record.state == State.OK and record not in records]:
        yield "a whole record is lost"
    if sorted(record.repeat for record in records) != list(range(1, REPEATS + 1)) or warnings:
        yield f"the records are those of {[record.repeat for record in records]}, with {len(warnings)} damaged"
    if len(read_content(run).splitlines()) != REPEATS:
        yield "a job was done twice"
    if any(record.state != State.OK for record in records):
        yield f"a job ended as {[record.state for record in records]}"
    yield from check_formats(run)


def read_content(run: Path) -> bytes:
    path = run / store.RECORDS
    return path.read_bytes() if path.exists() else b""


def wait_for_end(variable: str) -> list[str]:
    """Return the processes with a variable in their environment that are left after `END_S`."""
    end = time.monotonic() + END_S
    while left := list(find_processes(variable)):
        if time.monotonic() > end:
            return left
        time.sleep(0.05)
    return []


def find_processes(variable: str) -> Iterator[str]:
    """Yield the id and the command of each process that has a variable in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (folder / "environ").read_bytes():
                yield f"{folder.name} ({(folder / 'cmdline').read_bytes().decode(errors='replace')[:200]})"
        except OSError:
            continue
