"""The campaign of faults: `python -m tests.faults` tries all of them and writes a table.

It takes about 20 minutes on two idle processors, or `--kills 200` for an hour more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults import hostile_files, mutations, signals, workers
from tests.faults.model import Fault, format_table

GROUPS = (workers.GROUP, hostile_files.GROUP, mutations.GROUP, signals.GROUP)


def try_group(group: str, folder: Path, arguments: argparse.Namespace) -> Iterator[Fault]:
    """Try the faults of a group in an empty folder."""
    if group == workers.GROUP:
        yield from workers.try_workers(arguments.mode or workers.list_modes(), folder)
    elif group == hostile_files.GROUP:
        yield from hostile_files.try_plants(folder / "runs")
        yield from hostile_files.try_fields(folder / "runs", arguments.fields)
    elif group == mutations.GROUP:
        yield from mutations.try_mutations(folder, arguments.mutations)
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
    parser.add_argument("--kills", type=int, default=20, help="signals at random moments (default: 20)")
    parser.add_argument("--out", type=Path, help="file of the table")
    return int(any(fault.problem for fault in run_campaign(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
