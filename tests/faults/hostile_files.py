"""Files of a run that are torn, or from elsewhere: every command names them, and executes and writes nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.cli.program import main
from crossframe.harness.records.codec import to_json
from tests.faults.model import Fault
from tests.faults.workers import CONTROLS
from tests.support.synthetic import make_record, save_run

GROUP = "files"
FILES = ("run.json", "records.jsonl", "ceilings.json", "portability.json")
COMMANDS = (
    *(("report", "RUN", "--format", name) for name in ("table", "json", "csv", "md", "html")),
    ("report", "RUN", "--wide"),
    *(("decide", "RUN", "--format", name) for name in ("md", "json")),
    *(("compare", "RUN", "OTHER", "--across-hosts", "--format", name) for name in ("table", "json", "md")),
    ("compare", "OTHER", "RUN", "--across-hosts", "--fail-if-regress", "5%"),
    *(("history", "PARENT", "--format", name) for name in ("table", "json")),
    ("portability", "RUN", "--task", "nothing"),
    ("run", "--resume", "RUN", "--python", "nothing=/bin/true"),
)
VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1.5, 1e308, 10**30, "", "text", "../../elsewhere", "/bin/sh", "=1+1", "x" * 5000,
    "\x1b[2J\x07\u202e<script>alert(1)</script>|![a](http://host)", [], [1], {}, {"a": 1},
)  # fmt: skip


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def write(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


PLANTS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: None,
    "empty": write(b""),
    "torn": lambda path: None,
    "noise": write(np.random.default_rng(0).bytes(3000)),
    "deep": write(b'{"schema": 2, "jobs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "nan": write(b'{"schema": 2, "measured": [NaN]}'),
    "later": write(b'{"schema": 3}'),
    "earlier": write(b'{"schema": 1}'),
    "list": write(b"[]"),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
    "sparse": make_sparse,
}


def make_runs(folder: Path) -> Path:
    """Make the runs `run`, with all files, and `other` below a folder; return the first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("run", "other"):
        run = folder / name
        save_run(run, [make_record(backend, repeat, 0.01) for backend in "ab" for repeat in (1, 2)])
        (run / "ceilings.json").write_text('{"schema": 2, "measured": []}')
        report = {"schema": 2, "name": "run", "concurrency": 1, "device": "cpu", "files": [], "results": []}
        (run / "portability.json").write_text(json.dumps({**report, "opset_ranges": []}))
    return folder / "run"


def run_commands(run: Path, commands: Sequence[tuple[str, ...]] = COMMANDS) -> Iterator[str]:
    """Run commands on a run, by default all; yield the problems. Further files lie beside the run."""
    beside = {"OTHER": "other", "PARENT": "", "CRITERIA": "criteria.json", "MODEL": "model.onnx", "REFERENCE": "io.npz"}
    places = {"RUN": str(run), **{word: str(run.parent / name) for word, name in beside.items()}}
    before = list_files(run.parent.parent)
    for command in commands:
        output, messages = StringIO(), StringIO()
        arguments = [places.get(word, word) for word in command]
        try:
            with redirect_stdout(output), redirect_stderr(messages):
                code = main(arguments)
        except Exception as error:
            yield f"{' '.join(command)}: {type(error).__name__}: {error}"[:300]
            continue
        if CONTROLS.search(output.getvalue() + messages.getvalue()):
            yield f"{' '.join(command)}: control characters in the output"
        if code in (2, 3) and not messages.getvalue().strip():
            yield f"{' '.join(command)}: code {code} without a message"
        if command[-1] == "json" and output.getvalue():
            with suppress(ValueError):
                json.loads(output.getvalue(), parse_constant=fail_on_constant)
                continue
            yield f"{' '.join(command)}: the output is not JSON"
    if outside := {path for path in list_files(run.parent.parent) - before if not path.is_relative_to(run)}:
        yield f"{outside} was written"


def fail_on_constant(name: str) -> None:
    raise ValueError(name)


def list_files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def find_paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in a document; of a list, those of its first two items."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:2]))
    for key, item in items:
        yield (*path, key)
        yield from find_paths(item, (*path, key))


def set_value(document: Any, path: tuple[Any, ...], value: object) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def try_plants(folder: Path) -> Iterator[Fault]:
    """Try each plant in the place of each file."""
    for name in FILES:
        for kind, plant in PLANTS.items():
            run = make_runs(folder)
            content = (run / name).read_bytes()
            (run / name).unlink()
            plant(run / name)
            if kind == "torn":
                (run / name).write_bytes(content[: len(content) // 2])
            yield Fault(GROUP, f"{name} {kind}", "; ".join(run_commands(run)) or None)


def try_fields(folder: Path, count: int, seed: int = 0) -> Iterator[Fault]:
    """Try values in the fields of `run.json` and of a record: so many, drawn at random."""
    run = make_runs(folder)
    documents = {"run.json": json.loads((run / "run.json").read_text())}
    documents["records.jsonl"] = json.loads(to_json(make_record("a", 1, 0.01)))
    cases = [(name, path) for name, document in documents.items() for path in find_paths(document)]
    generator = random.Random(seed)
    for number in range(count):
        name, path = generator.choice(cases)
        value = VALUES[number % len(VALUES)]
        run = make_runs(folder)
        document = json.loads(json.dumps(documents[name]))
        set_value(document, path, value)
        line = json.dumps(document) + "\n"
        (run / name).write_text(line if name == "run.json" else line + (run / name).read_text())
        title = f"{name} {'/'.join(map(str, path))} = {str(value)[:20]!r}"
        yield Fault(GROUP, title, "; ".join(run_commands(run)) or None)
