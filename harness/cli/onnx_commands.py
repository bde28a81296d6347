"""The commands that take exported files to runtimes."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, INTERRUPTED, Usage
from crossframe.harness.plan.options import SELECTION, new_folder, options_of

if TYPE_CHECKING:
    from crossframe.harness.portability.matrix import Resources


def trained(arguments: argparse.Namespace) -> Path:
    """The run to look at: the one named, or a quick one made now of what was asked for."""
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.run.folder import start
    from crossframe.harness.run.run import interruptible

    if arguments.run:
        return Path(arguments.run)
    backends = [name for name in arguments.backend if name != "spec"]
    quick = {
        "task": arguments.task,
        "backend": backends,
        "device": arguments.device,
        "preset": "quick",
        "parity": False,
    }
    made = make_plan(options_of(argparse.Namespace(**SELECTION | quick)))
    folder = new_folder(None, "quick")
    start(made, folder)
    if interruptible(made, folder, set()) == INTERRUPTED:
        raise SystemExit(INTERRUPTED)
    return folder


def resources_of(arguments: argparse.Namespace) -> tuple[list[str], Resources]:
    """(the runtimes asked for, what their cells may use)."""
    from crossframe.harness import runtimes
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import chosen
    from crossframe.harness.portability.matrix import Resources

    device, own = resolve_device(arguments.device), {name: Path(python) for name, python in arguments.python}
    there = list(runtimes.on(device))
    for name in chosen("runtime", [*arguments.runtime, *own], list(runtimes.discover())):
        if name not in there:
            raise Usage(f"{name} runs on a card alone: take --device cuda")
    names = chosen("runtime", arguments.runtime or there, there)
    return names, Resources(arguments.timeout, sorted(os.sched_getaffinity(0)), device, own)


def portability(arguments: argparse.Namespace) -> int:
    from crossframe.backends import discover as discover_backends
    from crossframe.harness.plan.plan import chosen
    from crossframe.harness.portability import formats, session, spec_onnx
    from crossframe.harness.records import store
    from crossframe.tasks import discover as discover_tasks

    exporting = [name for name, backend in discover_backends().items() if backend.has_builds]
    known = store.read_run(Path(arguments.run))["specs"] if arguments.run else discover_tasks()
    asked_or_all = (
        ("task", arguments.task, list(known)),
        ("exporter", arguments.backend, [*exporting, spec_onnx.NAME]),
    )
    tasks, exporters = (chosen(kind, asked or there, there) for kind, asked, there in asked_or_all)
    names, resources = resources_of(arguments)
    folder = trained(arguments)
    depth = arguments.opset, arguments.routes, arguments.ladder, arguments.reduced
    asked = session.Asked(tasks, exporters, names, *depth, resources)
    document = session.examine(folder, asked)
    print(formats.FORMATS[arguments.format](document), end="")
    say(f"left in {folder / 'portability.json'}, cells in portability.jsonl")
    return session.exit_code(document["cells"])


def check(arguments: argparse.Namespace) -> int:
    from crossframe.harness.portability import check as examiner
    from crossframe.harness.portability import formats, run_models, session

    path = Path(arguments.model)
    if not path.is_file():
        raise Usage(f"{path} is not a file")
    names, resources = resources_of(arguments)
    folder = new_folder(None, f"check-{path.stem}")
    archive = Path(arguments.reference) if arguments.reference else None
    blames: list[Any] = []
    try:
        document = examiner.examine(path, archive, folder, names, resources)
        blames = [cell["blame"] for cell in document["cells"] if cell["blame"]]
    except run_models.Unreadable as error:
        say(f"crossframe: {path}: {error}")
        return CELL_FAILED
    finally:
        if not blames:  # a reproducer is all that is worth keeping
            shutil.rmtree(folder)
    print(formats.FORMATS[arguments.format](document), end="")
    return session.exit_code(document["cells"])
