"""Every raw sample of a run as one Parquet table: one row per sample, for tools that read tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossframe.harness.errors import MissingError
from crossframe.harness.records.codec import to_plain
from crossframe.harness.records.model import CELL_KEYS, Record

COLUMNS = (*CELL_KEYS, "repeat", "state", "metric", "index", "value")

Row = tuple[str | int | float, ...]


def make_rows(record: Record) -> list[Row]:
    """Return (cell…, repeat, state, metric, index, value) of every number that the worker measured.

    Lists give one row per item. The metrics of epochs and evaluation points are `epochs.train_s`, `curve.loss` and so
    on; the index is their position.
    """
    head = (*to_plain(record.cell).values(), record.repeat, str(record.state))
    rows: list[Row] = []
    for name, measurement in to_plain(record.measurements).items():
        for index, item in enumerate(measurement if isinstance(measurement, list) else [measurement]):
            for metric, value in _flatten(name, item).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    rows.append((*head, metric, index, float(value)))
    return rows


def _flatten(name: str, item: object) -> Mapping[str, object]:
    if not isinstance(item, dict):
        return {name: item}
    parts = {**item, **item.get("quality", {})}  # the metric of an evaluation point
    return {f"{name}.{key}": part for key, part in parts.items()}


def to_parquet(records: Sequence[Record]) -> bytes:
    """Return the table as the content of a Parquet file. MissingError if pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingError("Parquet needs pyarrow; pip install 'crossframe[parquet]'") from None
    columns = list(zip(*(row for record in records for row in make_rows(record)))) or [()] * len(COLUMNS)
    types = {
        "batch_size": pyarrow.int64(),
        "repeat": pyarrow.int64(),
        "index": pyarrow.int64(),
        "value": pyarrow.float64(),
    }
    arrays = [pyarrow.array(column, types.get(name, pyarrow.string())) for name, column in zip(COLUMNS, columns)]
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(COLUMNS)), out, compression="zstd")
    return bytes(out.getvalue())
