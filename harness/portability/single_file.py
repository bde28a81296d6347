"""`crossframe check`: the checks of one ONNX file of any origin, as far as they apply without a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossframe.harness.errors import UsageError
from crossframe.harness.files import MEGABYTE, read_archive
from crossframe.harness.launch.leavings import NUMBERS
from crossframe.harness.portability import run_models, session
from crossframe.harness.portability.model_file import ModelFile, PreparedFile
from crossframe.harness.portability.run_models import UnreadableError
from crossframe.harness.portability.runtime_matrix import Resources, RuntimeMatrix
from crossframe.harness.portability.test_vectors import (
    Feeds,
    ReferenceVectors,
    vectors_from_batch,
    vectors_from_samples,
)
from crossframe.harness.records.model import SCHEMA_VERSION
from crossframe.harness.records.portability import FileReport, ModelStructure, PortabilityReport, TensorInfo
from crossframe.harness.worker.states import State

REFERENCE_RUNTIMES = ("reference_evaluator", "onnxruntime")  # their outputs replace those of --reference
SAMPLES = 80  # one more than all batches together, so that every batch size is used
MOST_DRAWN = 256 * MEGABYTE  # of all inputs
FREE_AXIS = 8  # size of a free axis other than the first


def draw_input(tensor: TensorInfo, samples: int | None, most_bytes: int = MOST_DRAWN) -> np.ndarray:
    """Return a random array as the file declares it, with `samples` on its first axis unless None.

    Raise UnreadableError if the rank or the type is unknown, or if it is too large.
    """
    if tensor.shape is None:
        raise UnreadableError(f"load: the rank of input {tensor.name} is not declared: give inputs with --reference")
    shape = [axis if isinstance(axis, int) else FREE_AXIS for axis in tensor.shape]
    if samples is not None:
        shape[0] = samples
    generator = np.random.default_rng(0)
    try:
        dtype = np.dtype(tensor.dtype)
    except TypeError:
        message = f"load: input {tensor.name} is {tensor.dtype}: give inputs with --reference"
        raise UnreadableError(message) from None
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > most_bytes:
        raise UnreadableError(f"load: input {tensor.name} has the shape {shape}: give inputs with --reference")
    if dtype.kind == "f":
        return generator.standard_normal(shape, np.float32).astype(dtype, copy=False)
    # Small integers, since they may be indices.
    return generator.integers(0, 2, shape, np.int8).astype(dtype, copy=False)


def draw_inputs(structure: ModelStructure, samples: int | None) -> Feeds:
    """Return random inputs of a file; see `draw_input`."""
    feeds: Feeds = {}
    for tensor in structure.inputs:
        feeds[tensor.name] = draw_input(tensor, samples, MOST_DRAWN - sum(array.nbytes for array in feeds.values()))
    return feeds


def has_free_batch(structure: ModelStructure) -> bool:
    """Return whether the first axis of every input and output is free."""
    tensors = structure.inputs + structure.outputs
    free = (tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors)
    return bool(structure.inputs) and all(free)


def read_reference(path: Path, structure: ModelStructure) -> tuple[Feeds, list[np.ndarray]]:
    """Return inputs and outputs from an archive whose keys are the names in the signature of the file.

    Raise UsageError if it is not an archive or lacks a name.
    """
    try:
        stored = read_archive(path, follow=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not an archive of arrays (numpy.savez): {error}") from None
    for name, array in stored.items():
        if array.dtype.kind not in NUMBERS:
            raise UsageError(f"{path}: {name} is an array of {array.dtype}, not of numbers")
    arrays = {name.removeprefix("input/").removeprefix("output/"): array for name, array in stored.items()}
    missing = [tensor.name for tensor in structure.inputs + structure.outputs if tensor.name not in arrays]
    if missing:
        raise UsageError(f"{path} contains {', '.join(stored) or 'nothing'}, but not {', '.join(missing)}")
    feeds = {tensor.name: arrays[tensor.name] for tensor in structure.inputs}
    return feeds, [arrays[tensor.name] for tensor in structure.outputs]


def make_vectors(structure: ModelStructure, archive: Path | None) -> ReferenceVectors:
    """Return inputs and outputs from the archive, or random inputs without outputs."""
    free = has_free_batch(structure)
    if archive is None:
        feeds = draw_inputs(structure, SAMPLES if free else None)
        return vectors_from_samples(feeds, None) if free else vectors_from_batch(feeds, None)
    feeds, outputs = read_reference(archive, structure)
    lengths = {len(array) for array in (*feeds.values(), *outputs) if array.ndim}
    make = vectors_from_samples if free and len(lengths) == 1 else vectors_from_batch
    return make(feeds, outputs)


def add_reference_outputs(matrix: RuntimeMatrix, file: ModelFile) -> tuple[ModelFile, str | None]:
    """Return the file with expected outputs from a reference runtime, and its name; None if every one fails."""
    for name in REFERENCE_RUNTIMES:
        if matrix.is_usable(name):
            run = matrix.run_file(file, name)
            if outputs := run.read_outputs():
                expected: dict[str, list[np.ndarray]] = {}
                for key, array in outputs.items():
                    if not key.startswith("nan/"):
                        expected.setdefault(key.partition("/")[0], []).append(array)
                return replace(file, vectors=replace(file.vectors, expected=expected)), name
    return file, None


def check_file(
    path: Path, archive: Path | None, folder: Path, names: Sequence[str], resources: Resources
) -> PortabilityReport:
    """Test the file `path` in the runtimes `names`.

    Raise UnreadableError if it is not a model, and UsageError if the archive of reference arrays does not fit.
    """
    structure = run_models.inspect(path, folder / "structure")
    vectors = make_vectors(structure, archive)
    feeds = vectors.save(folder / "feeds.npz")
    copy = run_models.copy_model(path, structure.external, folder / "file")
    producer = structure.provenance.producer or "unknown"
    file = ModelFile(producer, path.stem, copy, feeds, vectors, structure=structure)
    reference = "the reference arrays" if archive else None
    with session.open_matrix(folder, list(dict.fromkeys([*names, *REFERENCE_RUNTIMES])), resources) as matrix:
        if archive is None and not structure.external.outside:
            file, reference = add_reference_outputs(matrix, file)
        results = session.measure_files(matrix, [PreparedFile(file, None)], names)
    report = FileReport(file.exporter, file.name, State.OK, None, structure, reference)
    return PortabilityReport(
        schema=SCHEMA_VERSION,
        name=path.name,
        concurrency=len(resources.cpus),
        device=resources.device,
        files=[report],
        results=results,
        opset_ranges=[],
    )
