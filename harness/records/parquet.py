"""Every raw sample of a run as one Parquet table: a row a sample, for tools that read tables."""

from __future__ import annotations

from typing import Any

from crossframe.harness.errors import Missing
from crossframe.harness.records.store import CELL_KEYS

COLUMNS = (*CELL_KEYS, "repeat", "state", "figure", "index", "value")


def rows(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(cell…, repeat, state, figure, index, value) of every number that the worker measured, lists one by one.

    Of epochs and evaluations the figures are `epochs.train_s`, `curve.loss` and so on, the index is their place.
    """
    where = (*(record["cell"][key] for key in CELL_KEYS), record["repeat"], record["state"])
    found = []
    for name, measure in record["measures"].items():
        for index, item in enumerate(measure if isinstance(measure, list) else [measure]):
            parts = {f"{name}.{key}": part for key, part in item.items()} if isinstance(item, dict) else {name: item}
            for figure, value in parts.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found.append((*where, figure, index, float(value)))
    return found


def parquet(records: list[dict[str, Any]]) -> bytes:
    """The table as a file; Missing where the library is not there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Missing("Parquet needs pyarrow; pip install 'crossframe[parquet]'") from None
    columns = list(zip(*(row for record in records for row in rows(record)))) or [()] * len(COLUMNS)
    kinds = {
        "batch_size": pyarrow.int64(),
        "repeat": pyarrow.int64(),
        "index": pyarrow.int64(),
        "value": pyarrow.float64(),
    }
    arrays = [pyarrow.array(column, kinds.get(name, pyarrow.string())) for name, column in zip(COLUMNS, columns)]
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(COLUMNS)), out, compression="zstd")
    return bytes(out.getvalue())
