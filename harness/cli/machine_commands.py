"""The commands about this machine: env, selftest, doctor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossframe.harness.cli.interpreters import check_interpreters
from crossframe.harness.cli.options import add_format, add_list, add_pairs, pack
from crossframe.harness.cli.parameters import NAMES
from crossframe.harness.console import TableLayout, fit_terminal, say, terminal_table
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, MISSING

if TYPE_CHECKING:
    from crossframe.harness.machine.environments import EnvironmentRow


@click.command()
@click.argument("action", type=click.Choice(["sync", "list", "remove"]))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--device", default="auto", metavar="DEVICE", help="auto, cpu or cuda: the build to make (default: auto)")
@add_format("table", "json")
def env(action: str, names: tuple[str, ...], device: str, output_format: str) -> int:
    """Make, list or remove the environments of the named backends and runtimes (default: all)."""
    from crossframe.backends import Plugin, discover
    from crossframe.harness import runtimes
    from crossframe.harness.machine import environments
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import select_names
    from crossframe.harness.records.codec import to_json

    available: dict[str, Plugin] = {**discover(), **runtimes.discover()}
    selected = select_names("backend or runtime", names or list(available), list(available))
    plugins = {name: available[name] for name in selected}
    if action == "list":
        rows = environments.list_environments(plugins)
        titles = {name: plugin.manifest.title for name, plugin in plugins.items()}
        print(to_json(rows, indent=1) + "\n" if output_format == "json" else format_environments(rows, titles), end="")
        return DONE
    if action == "remove":
        for plugin in plugins.values():
            say(f"{plugin.manifest.title}: {environments.remove_environments(plugin)} removed")
        return DONE
    kind = resolve_device(device).partition(":")[0]
    with_build = [plugin for plugin in plugins.values() if plugin.requirements(kind)]
    _, failures = environments.make_environments(with_build, kind, {})
    return MISSING if failures else DONE


def format_environments(rows: Sequence[EnvironmentRow], titles: Mapping[str, str]) -> str:
    """Return a table of environments, and the folder that holds them; `titles` are those of their plugins."""
    if not rows:
        return ""
    cells = [
        [titles[row.backend], row.backend, row.device, row.state, f"{row.bytes / 1e6:,.0f} MB" if row.bytes else ""]
        for row in rows
    ]
    notes = [
        f"in {Path(rows[0].folder).parent}; with --format json the folder of each",
        "make those that are absent: crossframe env sync [NAME]",
    ]
    layout = TableLayout(right=(4,), styles={"absent": "dim", "broken": "red"})
    return terminal_table(["title", "name", "device", "state", "size"], cells, layout, notes)


@dataclass(frozen=True)
class SelftestArguments:
    """What the selftest measures."""

    backend: list[str]  # whose clocks; empty: all
    candidate: str
    pairs: int
    tries: int
    device: str
    interpreters: dict[str, str]  # backend -> interpreter


@click.command()
@add_list("--backend", "backend", NAMES, "backends whose clock is tested (default: all)")
@click.option("--candidate", default="reference", metavar="NAME", help="backend of the pairs (default: reference)")
@click.option(
    "--pairs", type=click.IntRange(0), default=5, metavar="N", help="equal pairs, which must tie (default: 5)"
)
@click.option(
    "--tries", type=click.IntRange(0), default=5, metavar="N", help="pairs with a slowdown of 5 % (default: 5)"
)
@click.option(
    "--device",
    default="auto",
    metavar="DEVICE",
    help="where clocks are tested, and the candidate if it supports the device (default: auto)",
)
@add_pairs("--python", "interpreters", "interpreter to use for a backend, as it is", "NAME=PATH")
@add_format("table", "json")
@pack("arguments", SelftestArguments)
def selftest(arguments: SelftestArguments, output_format: str) -> int:
    """Measure known costs, to see what this machine can resolve."""
    from crossframe.backends import discover
    from crossframe.harness.machine.gpus import resolve_device
    from crossframe.harness.plan.plan import select_backends, select_names
    from crossframe.harness.records.codec import to_json
    from crossframe.harness.selftest.formats import as_text, list_failures
    from crossframe.harness.selftest.selftest import SelftestOptions, run_selftest
    from crossframe.harness.selftest.step_timer import MeasurementError

    names = list(select_backends(arguments.backend))
    (candidate,) = select_names("backend", [arguments.candidate], list(discover()))
    select_names("backend", arguments.interpreters, list(discover()))
    check_interpreters(arguments.interpreters)
    options = SelftestOptions(
        backends=names,
        candidate=candidate,
        pairs=arguments.pairs,
        tries=arguments.tries,
        cpus=sorted(os.sched_getaffinity(0)),
        device=resolve_device(arguments.device),
        interpreters={name: Path(python) for name, python in arguments.interpreters.items()},
    )
    try:
        report = run_selftest(options)
    except MeasurementError as error:
        say(f"crossframe: {error}")
        return CELL_FAILED
    print(to_json(report, indent=1) + "\n" if output_format == "json" else fit_terminal(as_text(report)), end="")
    return GATE_TRIPPED if list_failures(report) else DONE


@click.command()
@add_format("table", "json")
def doctor(output_format: str) -> int:
    """Show what this machine has, what it lacks, and the remedies."""
    from crossframe.harness.cli import doctor as diagnosis
    from crossframe.harness.records.codec import to_json

    result = diagnosis.inspect_machine()
    text = to_json(result, indent=1) + "\n" if output_format == "json" else fit_terminal(diagnosis.as_table(result))
    print(text, end="")
    return DONE
