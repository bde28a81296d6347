"""Files that are changed at random, of every kind: each is read, or named, in time, and nothing is executed or written.

Most are read in this process, by their reader or by commands; models by the child process that runs all models.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random

import numpy as np

from crossframe.harness.decision.criteria import CRITERIA
from crossframe.harness.files import read_archive
from crossframe.harness.plan.inputs import inputs_path, write_inputs
from crossframe.harness.portability import spec_onnx
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import CeilingResult, PlannedJob
from crossframe.harness.run.folder import start_run
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import initial_weights
from tests.faults import hostile_files
from tests.faults.model import Fault
from tests.support.mutate import CANARY, mutate, mutate_bytes
from tests.support.readers import CIRCLE, PLAN, READERS, VERSION1, Reader, write_reference
from tests.support.synthetic import make_record, make_run_info

GROUP = "mutations"
COUNT = 2000
READ, COMMANDS, MODELS = 0.55, 0.28, 0.15  # shares of the changed files; the rest is read by processes
LIMIT_S = 30.0  # of a command
PROCESS_LIMIT_S = 300.0  # of one that starts processes, on a busy machine
MODEL_LIMIT_S = 20.0
WITH_CRITERIA = ("decide", "RUN", "--criteria", "CRITERIA")
PROCESS_COMMANDS = {
    "io.npz": ("check", "MODEL", "--reference", "REFERENCE", "--runtime", "onnxruntime"),
    "model.onnx": ("check", "MODEL", "--runtime", "onnxruntime"),
    "outputs.npz": ("portability", "RUN", "--backend", spec_onnx.NAME, "--runtime", "onnxruntime"),
    "inputs.npz": ("portability", "RUN", "--backend", spec_onnx.NAME, "--runtime", "onnxruntime"),
    "digests.json": ("run", "--resume", "RUN"),
}


class HangError(BaseException):
    """The limit of time is over; not an Exception, which a reader might take for an error of the file."""


@contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Raise HangError in the main thread when the time is over."""

    def expire(*_: object) -> None:
        raise HangError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def try_mutations(folder: Path, count: int = COUNT, seed: int = 0) -> Iterator[Fault]:
    """Try so many changed files, drawn with a seed."""
    folder.mkdir(exist_ok=True)
    shares = {try_reader: READ, try_commands: COMMANDS, try_model: MODELS, try_process: 1 - READ - COMMANDS - MODELS}
    with closing(OnnxChecker(MODEL_LIMIT_S)) as checker:
        for try_file, share in shares.items():
            for number in range(round(share * count)):
                shutil.rmtree(folder / "test", ignore_errors=True)
                random = Random(f"{seed} {try_file.__name__} {number}")
                name, problems = try_file(folder / "test" / "run", number, random, checker)
                if (folder / "test" / CANARY).exists():
                    problems.append("it was executed")
                yield Fault(GROUP, f"{name} {number}", "; ".join(problems)[:500] or None)


def try_reader(run: Path, number: int, random: Random, _: OnnxChecker) -> tuple[str, list[str]]:
    """Read a changed file by its reader."""
    name = list(READERS)[number % len(READERS)]
    reader: Reader = READERS[name]
    run.mkdir(parents=True)
    reader.write(run)
    path = run / reader.file
    path.write_bytes(mutate(path.name, path.read_bytes(), random, run.parent))
    before = hostile_files.list_files(run.parent)
    problems = list_problems(lambda: reader.read(run), reader.errors, LIMIT_S)
    if written := hostile_files.list_files(run.parent) - before:
        problems.append(f"{written} was written")
    return name, problems


def list_problems(act: Callable[[], object], errors: tuple[type[Exception], ...], limit_s: float) -> list[str]:
    """Return the problem of an act that may raise some errors: another error, or that it hangs."""
    try:
        with limit_time(limit_s), redirect_stdout(StringIO()), redirect_stderr(StringIO()), suppress(*errors):
            act()
    except HangError as error:
        return [str(error)]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def make_run(run: Path) -> None:
    """Make a run with all its files, whose `run.json` names an interpreter that leaves a trace, and another run."""
    hostile_files.make_runs(run.parent)
    script = run.parent / "interpreter"
    script.write_text(f"#!/bin/sh\nmkdir {run.parent / CANARY}\n")
    script.chmod(0o700)
    record = make_record("a", 1, 0.01)
    info = make_run_info("run", [record])
    info = replace(info, options=replace(info.options, python={"a": str(script), "reference": str(script)}))
    store.write_run(run, replace(info, jobs=[PlannedJob(record.cell, 1)]))
    store.write_ceilings(run, [CeilingResult("torch", "eager", "cpu", "float32", State.OK, None, 1e12, 1e10)])
    (run.parent / "criteria.json").write_text(to_json(dict.fromkeys(CRITERIA, 1)))


def try_commands(run: Path, number: int, random: Random, _: OnnxChecker) -> tuple[str, list[str]]:
    """Run some commands on a changed file of a run, of version 1 in each second turn, or on changed criteria."""
    run.mkdir(parents=True)
    make_run(run)
    name = (*hostile_files.FILES, "criteria.json")[number // 2 % 5]
    path = run / name if name != "criteria.json" else run.parent / name
    if number % 2 and (VERSION1 / name).exists():
        for each in hostile_files.FILES:
            (run / each).write_bytes((VERSION1 / each).read_bytes())
        lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
        (run / "records.jsonl").write_bytes(b"".join(lines[:3]))
    path.write_bytes(mutate(path.name, path.read_bytes(), random, run.parent))
    commands = [WITH_CRITERIA] if name == "criteria.json" else random.sample(hostile_files.COMMANDS, 3)
    problems: list[str] = []

    def run_all() -> None:
        problems.extend(hostile_files.run_commands(run, commands))

    problems += list_problems(run_all, (), LIMIT_S * len(commands))
    return f"{name} {' '.join(command[0] for command in commands)}", problems


def try_model(run: Path, _: int, random: Random, checker: OnnxChecker) -> tuple[str, list[str]]:
    """Run a changed model; no answer in time is named, which is contained."""
    run.mkdir(parents=True)
    path = run / "model.onnx"
    weights = initial_weights(CIRCLE, 0)
    path.write_bytes(mutate_bytes(spec_onnx.write_model(CIRCLE, weights, opset=17).SerializeToString(), random))
    x = np.ones((64, *CIRCLE.input_shape), np.float32)
    answer: list[object] = []

    def request() -> None:
        answer.append(checker.request(path, x, CIRCLE.output_shape()))

    problems = list_problems(request, (), 3 * MODEL_LIMIT_S)
    if answer and isinstance(answer[0], str) and not answer[0]:
        problems.append("refused without a reason")
    return path.name, problems


def write_job(run: Path) -> dict[str, Path]:
    """Write the files of the job of a run, and a model with reference arrays beside the run; return them by name."""
    write_reference(run.parent)
    record = make_record("a", 1, 0.01)
    job, inputs = run / "jobs" / record.job, inputs_path(run, record.cell)
    job.mkdir(parents=True)
    write_inputs(inputs, CIRCLE, None, None)
    weights = {f"weights/{key}": value for key, value in initial_weights(CIRCLE, 0).items()}
    outputs = np.ones((len(read_archive(inputs)["x_test"]), 1), np.float32)
    np.savez(job / "outputs.npz", outputs=outputs, **weights)  # type: ignore[arg-type]
    beside = {name: run.parent / name for name in ("model.onnx", "io.npz")}
    return {"outputs.npz": job / "outputs.npz", "inputs.npz": inputs, **beside}


def try_process(run: Path, number: int, random: Random, _: OnnxChecker) -> tuple[str, list[str]]:
    """Run a command that starts processes on a changed file."""
    name, command = list(PROCESS_COMMANDS.items())[number % len(PROCESS_COMMANDS)]
    run.mkdir(parents=True)
    if command[0] == "run":
        start_run(PLAN, run)
        path = run / "inputs" / name
    else:
        make_run(run)
        path = write_job(run)[name]
    path.write_bytes(mutate(path.name, path.read_bytes(), random, run.parent))
    problems: list[str] = []

    def run_command() -> None:
        with chdir(run):  # `check` writes below `results`
            problems.extend(hostile_files.run_commands(run, [command]))

    problems += list_problems(run_command, (), PROCESS_LIMIT_S)
    return f"{name} {command[0]}", problems
