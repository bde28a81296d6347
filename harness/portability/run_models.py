"""The model files of a run, each copied to a folder of its own and inspected."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossframe.backends import discover
from crossframe.harness.files import (
    COPY_BYTES,
    below,
    copy_file,
    make_empty_folder,
    open_file,
    read_archive,
)
from crossframe.harness.launch.launch import launch
from crossframe.harness.launch.leavings import read_arrays, require_shape
from crossframe.harness.plan.inputs import inputs_path
from crossframe.harness.portability.jobs import InspectJob
from crossframe.harness.portability.model_file import ModelFile
from crossframe.harness.portability.test_vectors import vectors_from_task
from crossframe.harness.records import store
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.records.portability import ExternalData, ModelStructure
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays, from_json

INSPECT_TIMEOUT_S = 120


class UnreadableError(Exception):
    """A file that cannot be tested at all; the message names the stage and the reason."""


def inspect(path: Path, folder: Path) -> ModelStructure:
    """Return the structure of the file `path`, read by a process in `folder`; UnreadableError if it is no model."""
    try:
        with open_file(path, COPY_BYTES, follow=True):
            pass
    except (OSError, ValueError) as error:
        raise UnreadableError(f"load: {error}") from None
    job = InspectJob(cpus=sorted(os.sched_getaffinity(0)), model=str(path.resolve()))
    outcome = launch(Path(sys.executable), discover()["reference"], job, folder.resolve(), INSPECT_TIMEOUT_S)
    structure = outcome.measurements.structure
    if outcome.state != State.OK or structure is None:
        raise UnreadableError(f"load: {outcome.reason}")
    return structure


def copy_model(path: Path, external: ExternalData, folder: Path) -> Path:
    """Copy a model with its external weights to the empty folder `folder`; return the path of the copy.

    External weights outside the folder of the model are not copied.
    """
    make_empty_folder(folder)
    copy_file(path, folder / "model.onnx")
    for name in set(external.files) - {*external.outside, *external.missing}:
        copy_file(path.parent / name, folder / name)
    return folder / "model.onnx"


def inspect_file(file: ModelFile, folder: Path) -> ModelFile:
    """Return the file with its structure, copied below `folder`; UnreadableError if it is no model."""
    structure = inspect(file.path, folder / "structure" / file.key)
    path = copy_model(file.path, structure.external, folder / "files" / file.key)
    return replace(file, structure=structure, path=path)


def load_inputs(run: Path, cell: Cell) -> Arrays:
    """Return the held-out data of a cell in a run, `x_test` and `y_test`; UnreadableError if they can't be read."""
    try:
        return read_archive(inputs_path(run, cell), names=("x_test", "y_test"))
    except (OSError, ValueError) as error:
        raise UnreadableError(f"the inputs can't be read: {error}") from None


def load_outputs(job: Path) -> Arrays:
    """Return the outputs and weights that a job left; UnreadableError if they are missing or damaged."""
    try:
        return read_arrays(job, "outputs.npz", most_bytes=COPY_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"its outputs can't be read: {error}") from None


def load_weights(job: Path) -> Arrays:
    """Return the trained weights in the folder of a job; UnreadableError if there are none."""
    prefix, arrays = "weights/", load_outputs(job)
    weights = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    if not weights:
        raise UnreadableError(f"{job}: there are no weights in outputs.npz of this older Crossframe; run again")
    return weights


def select_records(run: Path, tasks: Iterable[str]) -> list[Record]:
    """Return the record of the first successful float32 job of each task and backend that trained to the end."""
    records: dict[tuple[str, str], Record] = {}
    for record in sorted(store.read_with_warnings(run), key=lambda record: record.job):
        cell = record.cell
        usable = record.complete and record.state == State.OK
        if usable and cell.precision == "float32" and cell.task in tasks:
            records.setdefault((cell.task, cell.backend), record)
    return [records[key] for key in sorted(records)]


def job_folder(run: Path, record: Record) -> Path:
    """Return the folder of a job of a run."""
    return below(run, "jobs", record.job)


def load_file(run: Path, record: Record, folder: Path) -> ModelFile:
    """Return the file that a job exported, with the reference model's outputs for its trained weights.

    Raise UnreadableError if the job left no weights.
    """
    cell, job = record.cell, job_folder(run, record)
    specs = store.read_run(run).specs
    if cell.task not in specs:
        raise UnreadableError(f"run.json has no specification of {cell.task}")
    task, inputs, stored = from_json(specs[cell.task]), load_inputs(run, cell), load_outputs(job)
    try:
        x, targets = inputs["x_test"], inputs["y_test"]
        outputs = require_shape(stored, "outputs", (len(x), *task.output_shape()))
        vectors = vectors_from_task(task, load_weights(job), x)
    except (KeyError, ValueError) as error:
        raise UnreadableError(f"what the job left does not fit its task: {error}") from None
    feeds = vectors.save(folder / "feeds" / f"{cell.task}-{cell.backend}.npz")
    file = ModelFile(cell.backend, cell.task, job / "model.onnx", feeds, vectors, task, targets, outputs)
    distance = float(np.abs(outputs - file.held_out_outputs()[: len(outputs)]).max())
    return replace(file, framework_error=distance)
