"""The lowest and the highest opset that an exporter writes and a runtime computes correctly, found by trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import onnx

from crossframe.harness.portability.checks import REASON_LENGTH
from crossframe.harness.portability.model_file import ModelFile, PreparedFile
from crossframe.harness.portability.runtime_matrix import RuntimeMatrix
from crossframe.harness.records.portability import OpsetRange, OpsetSpan

OPSETS = range(7, onnx.defs.onnx_opset_version() + 1)  # spec_onnx writes opset 7 and later


def find_span(matrix: RuntimeMatrix, files: Mapping[int, PreparedFile], runtime: str) -> OpsetSpan:
    """Return the opsets that a runtime accepts, tried from both ends; `files` is opset -> file."""
    written = sorted(opset for opset, prepared in files.items() if prepared.reason is None)
    lowest, refused = find_first_accepted(matrix, files, runtime, written)
    highest = None
    if lowest is not None:
        highest, refused_above = find_first_accepted(matrix, files, runtime, reversed(written))
        refused |= refused_above
    return OpsetSpan(lowest, highest, refused)


def find_first_accepted(
    matrix: RuntimeMatrix, files: Mapping[int, PreparedFile], runtime: str, opsets: Iterable[int]
) -> tuple[int | None, dict[str, str]]:
    """Return the first opset at which the runtime computes correctly, and opset -> reason of those before it."""
    refused: dict[str, str] = {}
    for opset in opsets:
        result = matrix.measure(select_small_batches(matrix, files[opset].file), runtime)
        if result.state.runs:
            return opset, refused
        refused[str(opset)] = f"{result.state} at {result.stage}: {result.reason}"[:REASON_LENGTH]
    return None, refused


def select_small_batches(matrix: RuntimeMatrix, file: ModelFile) -> ModelFile:
    """Return the file with the sets of the smallest batches only, since there are many opsets to try."""
    vectors = file.vectors.select_small()
    feeds = matrix.folder / "feeds" / f"{file.feeds.stem}-small.npz"
    feeds = feeds if feeds.exists() else vectors.save(feeds)
    return replace(file, vectors=vectors, feeds=feeds, targets=None)  # they have too few samples for the quality metric


def find_opset_range(matrix: RuntimeMatrix, files: Mapping[int, PreparedFile], runtimes: Sequence[str]) -> OpsetRange:
    """Return the opsets of one exporter and task; `files` is opset -> file."""
    file = next(iter(files.values())).file
    return OpsetRange(
        exporter=file.exporter,
        task=file.name,
        written=sorted(opset for opset, prepared in files.items() if prepared.reason is None),
        not_written={
            str(opset): prepared.reason[:REASON_LENGTH] for opset, prepared in files.items() if prepared.reason
        },
        runtimes={name: find_span(matrix, files, name) for name in runtimes if name not in matrix.missing},
    )
