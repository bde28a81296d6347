"""The states in which a crash may leave the disk during a run: every command reads them, and the run goes on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from crossframe.harness.files import append_line
from crossframe.harness.records import store
from crossframe.harness.worker.states import State
from tests.faults.commands import StubWorkers, call, stub_workers, work_in
from tests.faults.disk import Promise, Recorder, Step, Tree, list_trees, write_tree
from tests.faults.model import Fault
from tests.faults.system_calls import intercept_calls

GROUP = "crash states"
RUN = "results/run"
SELECTION = ["--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity"]
RECORDED = (
    ["run", *SELECTION, "--repeats", "2", "--out", RUN],
    ["report", RUN, "--format", "html"],
    ["run", "--resume", RUN, "--repeats", "3"],
)
READERS = (
    ["report", RUN, "--format", "md"],
    ["report", RUN, "--format", "json"],
    ["compare", RUN, "../other", "--across-hosts"],
    ["history", "results"],
)
PAGE_EVERY = 10  # of so many states, the page of one is drawn before the run goes on


@dataclass(frozen=True)
class CrashState:
    """One state of the disk, with the lines of records that the harness had stored for good."""

    title: str
    tree: Tree
    lines: tuple[bytes, ...]


def record_steps(folder: Path, workers: StubWorkers) -> list[Step]:
    """Run the recorded commands below a folder, and return the steps of what happens; leave the run `other` there."""
    recorded = folder / "recorded"
    recorded.mkdir()
    recorder = Recorder(recorded)

    def append_and_promise(path: Path, line: str) -> None:
        append_line(path, line)
        recorder.steps.append(Promise(tuple(path.read_bytes().splitlines())))

    with work_in(recorded), stub_workers(workers), patch.object(store, "append_line", append_and_promise):
        for command in RECORDED:
            with intercept_calls(recorder):
                ended = call(command)
            assert ended.code == 0, ended
            recorder.observe()
    shutil.copytree(recorded / RUN, folder / "other")
    return recorder.steps


def list_states(steps: Sequence[Step], moments: Iterable[int] | None = None) -> list[CrashState]:
    """Return the distinct states after so many steps, or at any moment; of two alike, that with more stored lines."""
    states: dict[object, CrashState] = {}
    for title, moment, tree in list_trees(steps, range(len(steps) + 1) if moments is None else moments):
        promises = [step for step in steps[:moment] if isinstance(step, Promise)]
        key = tuple((path, node.kind, hash(node.content)) for path, node in tree.items())
        states[key] = CrashState(title, tree, promises[-1].lines if promises else ())
    return list(states.values())


def try_crashes(folder: Path, count: int, seed: int = 0) -> Iterator[Fault]:
    """Record a run, and try so many states, drawn at random from all."""
    workers = StubWorkers()
    states = list_states(record_steps(folder, workers))
    yield from try_states(folder, random.Random(seed).sample(states, min(count, len(states))), workers)


def try_states(folder: Path, states: Sequence[CrashState], workers: StubWorkers) -> Iterator[Fault]:
    """Try states of the disk, in a folder in which the run was recorded."""
    for number, state in enumerate(states):
        here = folder / "state"
        here.mkdir()
        write_tree(here, state.tree)
        with work_in(here), stub_workers(workers):
            problems = list(try_state(here / RUN, state, draw_page=number % PAGE_EVERY == 0))
        shutil.rmtree(here)
        yield Fault(GROUP, state.title, "; ".join(problems) or None)


def try_state(run: Path, state: CrashState, draw_page: bool) -> Iterator[str]:
    """Run the commands on a state of the disk; yield the problems."""
    lines = read_lines(run)
    if set(state.lines) - set(lines):
        yield "a whole record is lost"
    for command in (*READERS, *[["report", RUN, "--format", "html"]] * draw_page):
        yield from call(command).list_problems()
    resumed = call(["run", "--resume", RUN])
    yield from resumed.list_problems()
    if not (run / "run.json").exists():
        if resumed.code != 2 or lines:
            yield f"the run did not start and has {len(lines)} records, and its resumption ends with {resumed.code}"
        return
    if resumed.code != 0:
        yield f"resumed with code {resumed.code}: {resumed.messages[-300:]}"
        return
    yield from check_records(run, lines)


def check_records(run: Path, before: list[bytes]) -> Iterator[str]:
    """Yield the problems of the records of a run that went on; `before` it had these lines."""
    records, _ = store.read(run)
    jobs = [job.name for job in store.read_run(run).jobs]
    whole = [job for line in read_lines(run) if (job := read_job(line)) is not None]  # those that failed are repeated
    if read_lines(run)[: len(before)] != before:
        yield "a line of records has changed"
    if sorted(whole) != sorted(jobs):
        yield f"the records are those of {whole}"
    if any(record.state != State.OK for record in records):
        yield f"a job ended as {[(record.state, record.reason) for record in records]}"


def read_lines(run: Path) -> list[bytes]:
    path = run / store.RECORDS
    return path.read_bytes().splitlines() if path.exists() else []


def read_job(line: bytes) -> str | None:
    """Return the job of a line of records; None if the line is damaged, or the job failed."""
    try:
        record = store._decode_record(line)
    except ValueError:
        return None
    return record.job if record.state == State.OK else None
