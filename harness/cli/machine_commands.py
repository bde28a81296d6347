"""The commands about this machine: what it has, what is installed, how far it is to be trusted."""

from __future__ import annotations

import argparse
import json
import os

from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, MISSING


def env(arguments: argparse.Namespace) -> int:
    from crossframe.backends import Backend, discover
    from crossframe.harness import runtimes
    from crossframe.harness.machine import environments
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import chosen

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
    from crossframe.backends import discover
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import chosen
    from crossframe.harness.selftest import selftest as examiner

    known = discover()
    candidates = [name for name, backend in known.items() if backend.has_builds]
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


def doctor(arguments: argparse.Namespace) -> int:
    from crossframe.harness.cli import doctor as examiner

    told = examiner.examine()
    print(json.dumps(told, indent=1) if arguments.json else examiner.as_text(told), end="")
    return DONE
