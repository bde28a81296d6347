"""What each command does: from parsed words to an exit code. What a command needs is imported by it alone."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.exits import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, MISSING, Usage
from harness.messages import say

if TYPE_CHECKING:
    from harness.portability.matrix import Where

RESULTS = Path("results")
# What to run, and how often: the words of the command line before anybody says any.
SELECTION: dict[str, Any] = {
    "task": [],
    "scale": [],
    "backend": [],
    "mode": [],
    "device": "auto",
    "precision": [],
    "batch_size": [],
    "preset": "standard",
    "threads": None,
    "timeout": 900,
    "data": None,
    "data_dir": None,
    "python": [],
    "repeats": 1,
    "budget_s": None,
    "seeds": 1,
    "parity": True,
    "profile": False,
}


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The selection as plain data, as `run.json` keeps it."""
    affinity = sorted(os.sched_getaffinity(0))
    threads = arguments.threads or len(affinity)
    if threads > len(affinity):
        raise argparse.ArgumentTypeError(f"--threads {threads}: this process may use {len(affinity)} processors")
    options = {name: getattr(arguments, name) for name in SELECTION if name != "threads"}
    return options | {"cpus": affinity[:threads], "python": dict(arguments.python)}


def plan(arguments: argparse.Namespace) -> int:
    from harness import estimate
    from harness.plan import make_plan

    made = make_plan(options_of(arguments))
    told = estimate.estimate(made, RESULTS)
    print(json.dumps(told, indent=1) if arguments.json else estimate.as_text(told))
    return DONE


def run(arguments: argparse.Namespace) -> int:
    from harness import folder as folders
    from harness import page, records, report
    from harness.plan import make_plan
    from harness.run import interruptible

    if arguments.resume:
        folder = Path(arguments.resume)
        told = records.read_run(folder)
        made = folders.resumed(told)
        done = {record["job"] for record in records.read_with_warnings(folder)}
        say(f"{len(done & {job.name for job in made.jobs})} of {len(made.jobs)} jobs are done already")
    else:
        made = make_plan(options_of(arguments))
        folder, done = new_folder(arguments.out, arguments.preset), set()
        try:
            folders.start(made, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
    say(f"{len(made.jobs)} jobs on {made.device} into {folder}")
    code = interruptible(made, folder, done)
    if code != INTERRUPTED:
        print(report.as_table(report.document(folder)), end="")
    say(f"report: {page.write(folder)}\nas table, json, csv or md: crossframe report {folder} --format json")
    return code


def parity(arguments: argparse.Namespace) -> int:
    from harness.parity import verdicts
    from harness.plan import make_plan

    found = verdicts.examine(make_plan(options_of(arguments)), arguments.seed, arguments.effects)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else verdicts.as_text(found), end="")
    states = {verdict["state"] for verdict in found}
    if "not_installed" in states:
        return MISSING
    return GATE_TRIPPED if states - {"ok", "unsupported"} else DONE


def infer(arguments: argparse.Namespace) -> int:
    from harness.measurement import inference
    from harness.plan import make_plan

    sizes = arguments.batch_size or [1, 8, 64, 512]
    found = inference.examine(make_plan(options_of(arguments) | {"batch_size": []}), sizes)
    print(json.dumps(found, indent=1) + "\n" if arguments.json else inference.as_text(found), end="")
    return CELL_FAILED if any(one["state"] not in ("ok", "unsupported") for one in found) else DONE


def conformance(arguments: argparse.Namespace) -> int:
    from harness import conformance as examiner
    from harness.plan import make_plan

    told = options_of(arguments) | {"backend": [arguments.name], "mode": arguments.mode or ["all"]}
    counts = {"passed": 0, "failed": 0, "unsupported": 0}
    for result in examiner.examine(make_plan(told)):
        counts[result.state] += 1
        print(f"{result.name} {result.state.upper()}" + (f": {result.reason}" if result.reason else ""), flush=True)
    if not counts["passed"]:
        counts["failed"] += 1  # nothing that passed is nothing that was shown
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return GATE_TRIPPED if counts["failed"] else DONE


def new_folder(asked: str | None, preset: str) -> Path:
    """The folder of a new run, empty. Usage where the one asked for holds something."""
    folder = Path(asked) if asked else RESULTS / f"{datetime.now():%Y%m%d-%H%M%S}-{preset}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Usage(f"{folder} is there and not empty; to go on with that run: crossframe run --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def report_run(arguments: argparse.Namespace) -> int:
    from harness import page, records, report

    folder = Path(arguments.run)
    if arguments.format == "parquet":
        from harness import samples

        sys.stdout.buffer.write(samples.parquet(records.read_with_warnings(folder)))
        return DONE
    told = report.document(folder)
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    if arguments.format == "html":
        print(page.write(folder))
    else:
        print(report.FORMATS[arguments.format](told), end="")
    return DONE


def decide(arguments: argparse.Namespace) -> int:
    from backends import discover
    from harness.decision import criteria, decision_record

    weights = Path(arguments.weights) if arguments.weights else None
    profile = criteria.read_weights(weights) if weights else criteria.PROFILES[arguments.profile]
    facts = {name: backend.facts.get("facts", {}) for name, backend in discover().items()}
    told = decision_record.document(Path(arguments.run), facts, profile, arguments.require, date.today())
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(decision_record.FORMATS[arguments.format](told), end="")
    return DONE


def compare(arguments: argparse.Namespace) -> int:
    from harness.decision import compare as comparing

    told = comparing.document(Path(arguments.a), Path(arguments.b), arguments.across_hosts)
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(comparing.FORMATS[arguments.format](told), end="")
    if arguments.fail_if_regress is None:
        return DONE
    regressed = comparing.regressions(told, arguments.fail_if_regress)
    for line in regressed:
        say(f"regressed: {line}")
    return GATE_TRIPPED if regressed else DONE


def history(arguments: argparse.Namespace) -> int:
    from harness.decision import history as past

    told = past.document(Path(arguments.folder))
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    print(json.dumps(told, indent=1) + "\n" if arguments.json else past.as_text(told), end="")
    return DONE


def env(arguments: argparse.Namespace) -> int:
    from backends import Backend, discover
    from harness import environments
    from harness.host import resolve_device
    from harness.plan import chosen
    from harness.portability import runtimes

    found: dict[str, Backend] = {**discover(), **runtimes.discover()}
    names = chosen("backend or runtime", arguments.backend or list(found), list(found))
    if arguments.action == "list":
        rows = environments.listing({name: found[name] for name in names})
        for row in rows:
            size = f"{row['bytes'] / 1e6:8,.0f} MB" if row["bytes"] else " " * 11
            print(f"{row['backend']:<12} {row['device']:<5} {row['state']:<7} {size}  {row['folder']}")
        return DONE
    if arguments.action == "remove":
        for name in names:
            say(f"{name}: {environments.remove(found[name])} removed")
        return DONE
    kind = resolve_device(arguments.device).partition(":")[0]
    wanted = [found[name] for name in names if found[name].requirements(kind)]
    _, failed = environments.make_all(wanted, kind, {})
    return MISSING if failed else DONE


def selftest(arguments: argparse.Namespace) -> int:
    from backends import discover
    from harness.host import resolve_device
    from harness.measurement import selftest as examiner
    from harness.plan import chosen

    known = discover()
    candidates = [name for name, backend in known.items() if "install" in backend.facts]
    names = chosen("backend", arguments.backend or candidates, list(known))
    (candidate,) = chosen("backend", [arguments.candidate], list(known))
    cpus = sorted(os.sched_getaffinity(0))
    device = resolve_device(arguments.device)
    try:
        told = examiner.examine(names, candidate, arguments.pairs, arguments.tries, cpus, device)
    except examiner.NotMeasured as error:
        say(f"crossframe: {error}")
        return CELL_FAILED
    print(json.dumps(told, indent=1) + "\n" if arguments.json else examiner.as_text(told), end="")
    return GATE_TRIPPED if examiner.failed(told) else DONE


def trained(arguments: argparse.Namespace) -> Path:
    """The run to look at: the one named, or a quick one made now of what was asked for."""
    from harness.folder import start
    from harness.plan import make_plan
    from harness.run import interruptible

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


def where_of(arguments: argparse.Namespace) -> tuple[list[str], Where]:
    """(the runtimes asked for, what their cells may use)."""
    from harness.host import resolve_device
    from harness.plan import chosen
    from harness.portability import runtimes
    from harness.portability.matrix import Where

    device, own = resolve_device(arguments.device), {name: Path(python) for name, python in arguments.python}
    there = list(runtimes.on(device))
    for name in chosen("runtime", [*arguments.runtime, *own], list(runtimes.discover())):
        if name not in there:
            raise Usage(f"{name} runs on a card alone: take --device cuda")
    names = chosen("runtime", arguments.runtime or there, there)
    return names, Where(arguments.timeout, sorted(os.sched_getaffinity(0)), device, own)


def portability(arguments: argparse.Namespace) -> int:
    from backends import discover as discover_backends
    from harness import records
    from harness.plan import chosen
    from harness.portability import command, show, spec_onnx
    from tasks import discover as discover_tasks

    exporting = [name for name, backend in discover_backends().items() if "install" in backend.facts]
    known = records.read_run(Path(arguments.run))["specs"] if arguments.run else discover_tasks()
    asked_or_all = (
        ("task", arguments.task, list(known)),
        ("exporter", arguments.backend, [*exporting, spec_onnx.NAME]),
    )
    tasks, exporters = (chosen(kind, asked or there, there) for kind, asked, there in asked_or_all)
    names, where = where_of(arguments)
    folder = trained(arguments)
    depth = arguments.opset, arguments.routes, arguments.ladder, arguments.reduced
    asked = command.Asked(tasks, exporters, names, *depth, where)
    document = command.examine(folder, asked)
    print(show.FORMATS[arguments.format](document), end="")
    say(f"left in {folder / 'portability.json'}, cells in portability.jsonl")
    return command.exit_code(document["cells"])


def check(arguments: argparse.Namespace) -> int:
    from harness.portability import check as examiner
    from harness.portability import command, files, show

    path = Path(arguments.model)
    if not path.is_file():
        raise Usage(f"{path} is not a file")
    names, where = where_of(arguments)
    folder = new_folder(None, f"check-{path.stem}")
    archive = Path(arguments.reference) if arguments.reference else None
    blames: list[Any] = []
    try:
        document = examiner.examine(path, archive, folder, names, where)
        blames = [cell["blame"] for cell in document["cells"] if cell["blame"]]
    except files.Unreadable as error:
        say(f"crossframe: {path}: {error}")
        return CELL_FAILED
    finally:
        if not blames:  # a reproducer is all that is worth keeping
            shutil.rmtree(folder)
    print(show.FORMATS[arguments.format](document), end="")
    return command.exit_code(document["cells"])


def doctor(arguments: argparse.Namespace) -> int:
    from harness import doctor as examiner

    told = examiner.examine()
    print(json.dumps(told, indent=1) if arguments.json else examiner.as_text(told), end="")
    return DONE
