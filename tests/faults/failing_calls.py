"""Commands of which the n-th call of the operating system fails, for n = 1, 2, … until the command makes no more."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.commands import Ended, StubWorkers, call, stub_workers, work_in
from tests.faults.crash_states import RUN, SELECTION, check_records, read_lines
from tests.faults.disk import read_tree
from tests.faults.model import Fault
from tests.faults.system_calls import CALLS, intercept_calls

GROUP = "failing calls"
ERRORS = ("ENOSPC", "EIO", "EACCES", "EINTR", "MemoryError")
PERSISTENT = ("ENOSPC",)  # all calls after it fail, too
PAGE_END = b"</html>"
RUNTIME = ["--runtime", "reference_evaluator", "--python", f"reference_evaluator={sys.executable}"]
PORTABILITY = ["portability", RUN, "--backend", "spec", *RUNTIME]
MODEL = "model.onnx"


@dataclass(frozen=True)
class Scenario:
    """A command, and what was done before: nothing, half of a run, or a run."""

    name: str
    command: Sequence[str]
    start: str


SCENARIOS = (
    Scenario("run", ["run", *SELECTION, "--repeats", "2", "--out", RUN], "empty"),
    Scenario("resume", ["run", "--resume", RUN], "half"),
    Scenario("more repeats", ["run", "--resume", RUN, "--repeats", "3"], "whole"),
    *(Scenario(f"report {name}", ["report", RUN, "--format", name], "whole") for name in ("table", "json", "html")),
    Scenario("decide", ["decide", RUN, "--format", "md"], "whole"),
    Scenario("compare", ["compare", RUN, "../other", "--across-hosts"], "whole"),
    Scenario("history", ["history", "results"], "whole"),
    Scenario("portability", PORTABILITY, "whole"),
    Scenario("check", ["check", MODEL, *RUNTIME], "whole"),
    Scenario("env list", ["env", "list"], "whole"),
    Scenario("doctor", ["doctor"], "empty"),
)


def make_error(name: str, subject: object) -> Exception:
    """Return an error, as of a call with this first argument."""
    if name == "MemoryError":
        return MemoryError()
    number = getattr(errno, name)
    path = [str(subject)] if isinstance(subject, (str, Path)) else []
    return OSError(number, os.strerror(number), *path)


@dataclass
class FailingCall:
    """Let the n-th of the calls of a kind fail; of a write, the first half is written."""

    kind: str
    number: int
    error: str
    count: int = 0

    def __call__(self, call: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call, or fail."""
        self.count += call == self.kind
        due = self.count >= self.number if self.error in PERSISTENT else self.count == self.number
        if call != self.kind or not due:
            return action(*arguments)
        if call == "write" and self.count == self.number and self.error != "EINTR":  # which writes nothing
            action(arguments[0][: len(arguments[0]) // 2])
        raise make_error(self.error, arguments[0] if arguments else None)

    @property
    def reached(self) -> bool:
        """Whether the call was made."""
        return self.count >= self.number


def make_starts(folder: Path, workers: StubWorkers) -> None:
    """Make the folders `empty`, `half` and `whole`, in which commands may start, and the run `other`."""
    (folder / "empty").mkdir(parents=True)
    commands = [[*SCENARIOS[0].command], ["run", "--resume", RUN, "--repeats", "3"], PORTABILITY]
    whole = folder / "whole"
    whole.mkdir()
    with work_in(whole), stub_workers(workers):
        for command in commands:
            ended = call(command)
            assert ended.code == 0, ended
            if command == commands[0]:
                shutil.copytree(whole, folder / "half", symlinks=True)
                lines = read_lines(folder / "half" / RUN)
                (folder / "half" / RUN / "records.jsonl").write_bytes(lines[0] + b"\n")
                shutil.copytree(whole / RUN, folder / "other")
                shutil.copytree(whole, folder / "kept", symlinks=True)
    (folder / "kept" / MODEL).write_bytes(next((whole / RUN).rglob(MODEL)).read_bytes())
    shutil.rmtree(whole)
    (folder / "kept").rename(whole)


def try_calls(folder: Path, scenarios: Sequence[Scenario] = SCENARIOS, most: int | None = None) -> Iterator[Fault]:
    """Try each error in each call of each command, or in the first `most` calls of each kind."""
    workers = StubWorkers()
    make_starts(folder, workers)
    for scenario in scenarios:
        for kind in CALLS:
            for error in ERRORS:
                number = 0
                while most is None or number < most:
                    number += 1
                    fault = FailingCall(kind, number, error)
                    problems = list(try_call(folder, scenario, fault, workers))
                    if not fault.reached:
                        break
                    yield Fault(GROUP, f"{scenario.name}, {error} in {kind} {number}", "; ".join(problems) or None)


def try_call(folder: Path, scenario: Scenario, fault: FailingCall, workers: StubWorkers) -> Iterator[str]:
    """Run a command with a call that fails, and then as it should be; yield the problems."""
    here = folder / "state"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(folder / scenario.start, here, symlinks=True)
    before = read_tree(here)
    with work_in(here), stub_workers(workers):
        with intercept_calls(fault):
            ended = call(scenario.command)
        if not fault.reached:
            return
        yield from check_message(ended, fault)
        yield from compare_files(here, {path: node.content for path, node in before.items() if node.kind == "file"})
        if scenario.command[0] == "run" and (here / RUN / "run.json").exists():
            yield from check_resumption(here / RUN)


def check_message(ended: Ended, fault: FailingCall) -> Iterator[str]:
    """Yield what is wrong with the end of a command that met a failing call."""
    yield from ended.list_problems()
    errors = re.findall("^crossframe: .*", ended.messages, re.MULTILINE)
    if ended.code in (2, 3) and (len(errors) != 1 or not ended.messages.endswith(f"{errors[-1]}\n")):
        yield f"code {ended.code} with the messages {ended.messages[-300:]}"
    elif ended.code in (2, 3) and ";" not in errors[0]:
        yield f"no remedy: {errors[0]}"


def compare_files(folder: Path, before: dict[str, bytes]) -> Iterator[str]:
    """Yield the files that were harmed: they may be as before, have more lines, or be replaced by whole ones."""
    for name, content in before.items():
        path = folder / name
        if "/jobs/" in name or name.startswith("cache"):
            continue
        after = path.read_bytes() if path.exists() else b""
        if path.name == "report.html" and not after.endswith((PAGE_END, PAGE_END + b"\n")):
            yield f"{name} is torn"
        if path.suffix == ".jsonl" and not after.startswith(content):
            yield f"{name} has lost lines"
        if not after:
            yield f"{name} is gone"
    parts = [path.name for path in folder.rglob("*.part")]
    if parts:
        yield f"{parts} are left"


def check_resumption(run: Path) -> Iterator[str]:
    """Yield the problems of a run that goes on without faults."""
    lines = read_lines(run)
    resumed = call(["run", "--resume", RUN])
    yield from resumed.list_problems()
    if resumed.code != 0:
        yield f"resumed with code {resumed.code}: {resumed.messages[-300:]}"
    else:
        yield from check_records(run, lines)
