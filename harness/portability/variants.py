"""Further variants of a model file: other opsets and routes of its exporter, and lower precision."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crossframe.backends import discover
from crossframe.backends.contract import Precision
from crossframe.harness.errors import MissingError
from crossframe.harness.files import write_atomically
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.portability import run_models, spec_onnx
from crossframe.harness.portability.jobs import LowPrecision, QuantizeJob
from crossframe.harness.portability.model_file import ModelFile, PreparedFile
from crossframe.harness.portability.runtime_matrix import TIME_S, TIMED_SETS, RuntimeMatrix
from crossframe.harness.worker.export_onnx import export_path
from crossframe.harness.worker.jobs import ExportOnnxJob
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Task

TIMEOUT_S = 900

Recipe = tuple[int, str | None]  # opset, and the route of the exporter; None for its first


@dataclass(frozen=True)
class ExportSource:
    """The trained network to export: the folder of its job, its mode and its interpreter."""

    folder: Path  # of the job that trained the network
    mode: str
    python: Path | None  # an interpreter to use instead of the backend's environment


def export_variants(
    matrix: RuntimeMatrix, file: ModelFile, source: ExportSource, recipes: Mapping[str, Recipe]
) -> tuple[dict[str, PreparedFile], dict[str, list[float]]]:
    """Export a trained network again, in one process of its backend, and time the inference of the backend.

    Return variant -> file, and timed set -> seconds of each call.
    """
    if file.exporter == spec_onnx.NAME:
        return {
            name: write_from_spec(matrix, file, source.folder, opset, name) for name, (opset, _) in recipes.items()
        }, {}
    assert file.task is not None
    backend = discover()[file.exporter]
    folder = matrix.folder / "exports" / file.key
    try:
        interpreter = source.python or make_environment(backend, "cpu").python
    except MissingError as error:
        return {name: PreparedFile(replace(file, variant=name), str(error)) for name in recipes}, {}
    with matrix.claim_processor() as cpu:
        job = ExportOnnxJob(
            cpus=[cpu],
            module=backend.module,
            packages=list(backend.manifest.packages),
            mode=source.mode,
            device="cpu",
            precision=Precision.FLOAT32,
            task=file.task,
            outputs=str((source.folder / "outputs.npz").resolve()),
            feeds=str(file.feeds.resolve()),
            timed=list(TIMED_SETS),
            time_s=TIME_S,
            exports=dict(recipes),
        )
        outcome = launch(interpreter, backend, job, folder, TIMEOUT_S)
    files = {}
    for name in recipes:
        result = outcome.measurements.exports[name] if outcome.state == State.OK else outcome
        reason = None if result.state == State.OK else str(result.reason)
        files[name] = prepare_file(matrix, file, export_path(folder, name), name, reason)
    return files, outcome.measurements.infer_samples_s


def write_spec_model(path: Path, task: Task, job: Path, opset: int) -> None:
    """Write the model of a task with the weights in the folder of a job."""
    write_atomically(path, spec_onnx.write_model(task, run_models.load_weights(job), opset).SerializeToString())


def write_from_spec(matrix: RuntimeMatrix, file: ModelFile, job: Path, opset: int, variant: str) -> PreparedFile:
    """Write the network with the weights in the folder `job`, without any framework."""
    assert file.task is not None
    path = matrix.folder / "spec" / f"{file.name}-{opset}.onnx"
    matrix.child.call(write_spec_model, path, file.task, job, opset)
    return prepare_file(matrix, replace(file, exporter=spec_onnx.NAME), path, variant, None)


def quantize_file(matrix: RuntimeMatrix, file: ModelFile, low_precision: LowPrecision) -> PreparedFile:
    """Convert the file to a lower precision."""
    folder = matrix.folder / "quantized" / f"{file.key}-{low_precision}"
    cpus = sorted(os.sched_getaffinity(0))
    job = QuantizeJob(cpus=cpus, model=str(file.path.resolve()), low_precision=low_precision)
    outcome = launch(Path(sys.executable), discover()["reference"], job, folder, TIMEOUT_S)
    reason = None if outcome.state == State.OK else str(outcome.reason)
    return prepare_file(matrix, file, folder / "model.onnx", str(low_precision), reason)


def prepare_file(matrix: RuntimeMatrix, file: ModelFile, path: Path, variant: str, reason: str | None) -> PreparedFile:
    """Inspect the file `path`, which must have the requested opset; `reason` says why it was not written."""
    new = replace(file, path=path, variant=variant)
    if reason is not None:
        return PreparedFile(new, reason)
    try:
        new = run_models.inspect_file(new, matrix.folder)
    except run_models.UnreadableError as error:
        return PreparedFile(new, str(error))
    written = new.structure.provenance.opset.get("ai.onnx") if new.structure else None
    if variant.startswith("opset") and variant != f"opset {written}":
        return PreparedFile(new, f"its exporter wrote opset {written} instead of the requested one")
    return PreparedFile(new, None)
