"""The resources and settings of each variant in a run, and their differences.

If processors, threads or the format of float32 products differ, nothing is ranked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crossframe.harness.analysis.model import FairnessRow
from crossframe.harness.records.model import Record
from crossframe.harness.worker.measurements import Receipt
from crossframe.harness.worker.states import State


def fairness_rows(records: Iterable[Record]) -> list[FairnessRow]:
    """Return a row for each backend, mode and precision: the resources given to its jobs, and the most they used."""
    groups: dict[tuple[str, str, str], list[Receipt]] = {}
    for record in records:
        receipt, cell = record.measurements.receipt, record.cell
        if record.state == State.OK and receipt is not None:
            groups.setdefault((cell.backend, cell.mode, cell.precision), []).append(receipt)
    return [_build_row(*key, groups[key]) for key in sorted(groups)]


def _build_row(backend: str, mode: str, precision: str, receipts: Sequence[Receipt]) -> FairnessRow:
    first = receipts[0]
    return FairnessRow(
        backend=backend,
        mode=mode,
        precision=precision,
        cpus=first.cpus,
        thread_pools=first.thread_pools,
        settings=first.settings,
        busy_threads=max(receipt.busy_threads or 0 for receipt in receipts),
        cpu_per_wall=max(receipt.cpu_per_wall for receipt in receipts),
        same_in_all_jobs=all(
            (receipt.cpus, receipt.thread_pools, receipt.settings) == (first.cpus, first.thread_pools, first.settings)
            for receipt in receipts
        ),
        jobs=len(receipts),
        processes=len({receipt.process for receipt in receipts}),
        libraries=first.libraries,
    )


def differences(rows: Sequence[FairnessRow]) -> list[str]:
    """Return one line for each inequality; [] if the comparison is fair."""
    lines = []
    for name, text in (("cpus", "processors"), ("thread_pools", "sizes of thread pools")):
        kinds: dict[str, str] = {}  # value -> the first variant that had it
        for row in rows:
            kinds.setdefault(str(getattr(row, name)), f"{row.backend} {row.mode}")
        if len(kinds) > 1:
            listing = ", ".join(f"{value} ({kinds[value]})" for value in sorted(kinds))
            lines.append(f"not all had the same {text}: {listing}")
    for row in rows:
        variant, threads, products = f"{row.backend} {row.mode}", row.settings.threads, row.settings.float32_products
        if not row.same_in_all_jobs:
            lines.append(f"{variant} did not have the same settings in all of its jobs")
        if row.processes < row.jobs:
            lines.append(f"{variant} ran {row.jobs} jobs in {row.processes} processes, so they are not independent")
        if threads not in (None, len(row.cpus)):
            lines.append(f"{variant} uses {threads} threads on {len(row.cpus)} processors")
        if row.precision == "float32" and products not in (None, "float32"):
            lines.append(f"{variant} multiplies float32 as {products}")
    return lines
