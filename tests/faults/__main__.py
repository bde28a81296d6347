"""The campaign of faults: `python -m tests.faults` tries all of them and writes a table.

It takes about 50 minutes on two idle processors, 30 of them for the states after crashes and the calls that fail;
`--kills 200` takes an hour more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults import crash_states, failing_calls, hostile_files, mutations, signals, workers
from tests.faults.model import Fault, format_table

GROUPS = (
    workers.GROUP,
    hostile_files.GROUP,
    mutations.GROUP,
    crash_states.GROUP,
    failing_calls.GROUP,
    signals.GROUP,
)


def try_group(group: str, folder: Path, arguments: argparse.Namespace) -> Iterator[Fault]:
    """Try the faults of a group in an empty folder."""
    if group == workers.GROUP:
        yield from workers.try_workers(arguments.mode or workers.list_modes(), folder)
    elif group == hostile_files.GROUP:
        yield from hostile_files.try_plants(folder / "runs")
        yield from hostile_files.try_fields(folder / "runs", arguments.fields)
    elif group == mutations.GROUP:
        yield from mutations.try_mutations(folder, arguments.mutations)
    elif group == crash_states.GROUP:
        yield from crash_states.try_crashes(folder, arguments.states)
    elif group == failing_calls.GROUP:
        yield from failing_calls.try_calls(folder, most=arguments.calls)
    else:
        yield from signals.try_signals(folder, arguments.kills)


def run_campaign(arguments: argparse.Namespace) -> list[Fault]:
    """Try all faults and write the table; show each fault that was lost."""
    faults: list[Fault] = []
    seconds: dict[str, float] = {}
    for group in arguments.only or GROUPS:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="crossframe-faults-") as folder:
            for fault in try_group(group, Path(folder), arguments):
                faults.append(fault)
                if fault.problem:
                    print(f"{fault.group}, {fault.name}: {fault.problem}", file=sys.stderr, flush=True)
                seconds[group] = time.monotonic() - begin
                if arguments.out:  # an interrupted campaign has a table too
                    arguments.out.write_text(format_table(faults, seconds))
    print(format_table(faults, seconds), end="")
    return faults


def main() -> int:
    """Run the campaign of the command line; return 1 if a fault was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group of faults (default: all)")
    parser.add_argument("--mode", action="append", help="a mode of the misbehaving backend (default: all)")
    parser.add_argument("--fields", type=int, default=120, help="changed fields of stored files (default: 120)")
    parser.add_argument("--mutations", type=int, default=2000, help="files changed at random (default: 2000)")
    parser.add_argument("--states", type=int, default=600, help="states of the disk after crashes (default: 600)")
    parser.add_argument("--calls", type=int, help="calls of each kind and command that fail (default: all)")
    parser.add_argument("--kills", type=int, default=20, help="signals at random moments (default: 20)")
    parser.add_argument("--out", type=Path, help="file of the table")
    return int(any(fault.problem for fault in run_campaign(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
