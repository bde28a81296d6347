"""`python -m crossframe.harness.report.schema` writes both published schemas: of records and of reports."""

from __future__ import annotations

from crossframe.harness.records.model import Record
from crossframe.harness.records.schemas import write_schema
from crossframe.harness.report.model import Report

KINDS = {"record": Record, "report": Report}


def write_schemas() -> None:
    """Write every schema to `harness/records/schemas`."""
    for name, kind in KINDS.items():
        write_schema(name, kind)


if __name__ == "__main__":
    write_schemas()
