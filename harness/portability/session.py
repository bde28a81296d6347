"""`crossframe portability`: the model files of a run in every runtime, in several variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossframe.backends import discover
from crossframe.harness import runtimes
from crossframe.harness.console import Progress, say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, MISSING, DamagedFileError, UsageError
from crossframe.harness.files import below, make_empty_folder, write_atomically
from crossframe.harness.launch.leavings import read_log
from crossframe.harness.machine.runtime_environments import make_runtime_environments
from crossframe.harness.portability import run_models, spec_onnx, variants
from crossframe.harness.portability.checks import Conclusion
from crossframe.harness.portability.jobs import LowPrecision
from crossframe.harness.portability.localize import locate_fault
from crossframe.harness.portability.model_file import AS_EXPORTED, ModelFile, PreparedFile
from crossframe.harness.portability.opset_range import OPSETS, find_opset_range
from crossframe.harness.portability.runtime_matrix import Resources, RuntimeMatrix, make_result
from crossframe.harness.portability.variants import ExportSource, Recipe
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import SCHEMA_VERSION, Record
from crossframe.harness.records.portability import (
    REFERENCE_MODEL,
    FileReport,
    OpsetRange,
    PortabilityReport,
    PortabilityState,
    RuntimeResult,
    Stage,
)
from crossframe.harness.worker.states import State

WARNINGS = 5  # most lines of a log that a report quotes
WARNING_LENGTH = 200  # characters


@dataclass(frozen=True)
class PortabilityOptions:
    """The options of a portability test. All names are valid."""

    tasks: list[str]
    exporters: list[str]
    runtimes: list[str]
    opsets: list[int]  # export again at these opsets, and leave out the files of the run; empty: the files of the run
    routes: bool  # also export by the further routes of the exporters
    opset_range: bool
    low_precision: bool
    resources: Resources


@dataclass(frozen=True)
class TrainedModel:
    """The network of one exporter: the job that trained it, and the file of the run."""

    record: Record
    prepared: PreparedFile


@dataclass(frozen=True)
class Reexport:
    """The variants that a network was exported to again, and the inference of its framework."""

    files: Mapping[str, PreparedFile]  # variant -> file
    framework_samples_s: Mapping[str, Sequence[float]]  # timed set -> seconds of each call


@contextmanager
def open_matrix(folder: Path, names: Sequence[str], resources: Resources) -> Iterator[RuntimeMatrix]:
    """Make the environments of the runtimes `names`, where necessary, and check each with a positive control."""
    available = runtimes.find_runtimes(resources.device)
    selected = [available[name] for name in names]
    environments, missing = make_runtime_environments(selected, resources.device, dict(resources.python))
    with RuntimeMatrix(folder, available, environments, missing, resources) as matrix:
        matrix.check_controls()
        for name, reason in matrix.missing.items():
            say(f"{name}: {reason}")
        yield matrix


def select_jobs(run: Path, options: PortabilityOptions) -> list[Record]:
    """Return the records of the jobs whose files are tested; UsageError if the run holds none of their files."""
    records = run_models.select_records(run, options.tasks)
    if not records:
        raise UsageError(f"{run} has no successful float32 job of {', '.join(options.tasks)}")
    if not any(run_models.job_folder(run, record).is_dir() for record in records):
        remedy = "name a run of this machine, or none: `crossframe portability` then makes a quick one"
        raise UsageError(f"{run} has the records of its jobs, but not the files that they exported; {remedy}")
    return records


def collect_models(
    matrix: RuntimeMatrix, run: Path, records: Sequence[Record], options: PortabilityOptions
) -> list[TrainedModel]:
    """Return the files of jobs, and for each task a file from the specification with the weights of one job."""
    exported = [record for record in records if record.cell.backend in options.exporters]
    models = matrix.map(lambda record: try_model(take_exported_file, matrix, run, record), exported)
    if spec_onnx.NAME in options.exporters:
        first = {record.cell.task: record for record in reversed(records)}.values()
        models += matrix.map(lambda record: try_model(write_spec_file, matrix, run, record), first)
    order = {name: number for number, name in enumerate(options.tasks)}
    readable = [model for model in models if model is not None]
    return sorted(readable, key=lambda model: order[model.prepared.file.name])


def try_model(
    prepare: Callable[[RuntimeMatrix, Path, Record], PreparedFile], matrix: RuntimeMatrix, run: Path, record: Record
) -> TrainedModel | None:
    """Return the network of a job; None, with a message, if what the job left can't be read."""
    try:
        return TrainedModel(record, prepare(matrix, run, record))
    except (run_models.UnreadableError, DamagedFileError) as error:
        say(f"{record.job} is left out: {error}")
        return None


def take_exported_file(matrix: RuntimeMatrix, run: Path, record: Record) -> PreparedFile:
    """Return the file that a job of the run exported."""
    file = matrix.child.call(run_models.load_file, run, record, matrix.folder)
    agreement = record.evaluation.onnx if record.evaluation else None
    reason = str(agreement.reason if agreement else record.reason)
    # The state of the agreement also depends on onnxruntime, whose outputs are checked again here.
    exported = agreement is not None and agreement.export_s is not None
    return variants.prepare_file(matrix, file, file.path, AS_EXPORTED, None if exported else reason)


def write_spec_file(matrix: RuntimeMatrix, run: Path, record: Record) -> PreparedFile:
    """Return a file from the specification of the task, with the weights of a job."""
    file = matrix.child.call(run_models.load_file, run, record, matrix.folder)
    return variants.write_from_spec(matrix, file, run_models.job_folder(run, record), spec_onnx.OPSET, AS_EXPORTED)


def list_recipes(file: ModelFile, options: PortabilityOptions) -> dict[str, Recipe]:
    """Return the further exports of a network: variant -> opset and route."""
    opsets = sorted({*options.opsets, *(OPSETS if options.opset_range else ())})
    recipes: dict[str, Recipe] = {f"opset {opset}": (opset, None) for opset in opsets}
    if options.routes and file.exporter != spec_onnx.NAME:
        manifest = discover()[file.exporter].manifest
        recipes |= {f"route {route}": (manifest.onnx_opset, route) for route in manifest.onnx_routes[1:]}
    return recipes


def export_again(matrix: RuntimeMatrix, run: Path, model: TrainedModel, options: PortabilityOptions) -> Reexport:
    """Export a network to all requested variants."""
    file, record = model.prepared.file, model.record
    recipes = list_recipes(file, options)
    if not recipes:
        return Reexport({}, {})
    python = options.resources.python.get(file.exporter)
    source = ExportSource(run_models.job_folder(run, record), record.cell.mode, python)
    return Reexport(*variants.export_variants(matrix, file, source, recipes))


def require_interpreters(run: Path, options: PortabilityOptions) -> None:
    """Raise UsageError if an exporter that exports again used an interpreter that the user does not name here.

    The folder of a run is no source of programs.
    """
    if not (options.opsets or options.routes or options.opset_range):
        return
    for name, python in store.read_run(run).options.python.items():
        if name in options.exporters and name not in options.resources.python:
            raise UsageError(
                f"{name} was run with the interpreter {python}, which is never taken from the folder of a run; if you "
                f"trust it, add --python {name}={python}"
            )


def measure_files(matrix: RuntimeMatrix, files: Sequence[PreparedFile], names: Sequence[str]) -> list[RuntimeResult]:
    """Return the result of each file in each runtime; wrong outputs are traced to a node."""
    pairs = [(prepared, name) for prepared in files for name in names]

    def measure(pair: tuple[PreparedFile, str]) -> RuntimeResult:
        prepared, runtime = pair
        file = prepared.file
        if prepared.reason is not None:
            conclusion = Conclusion(PortabilityState.REFUSED, Stage.EXPORT, prepared.reason)
            progress.end_item(1.0, f"{file.label} in {runtime}: {conclusion.state}")
            return make_result(file, runtime, conclusion)
        result = matrix.measure(file, runtime)
        if result.state == PortabilityState.WRONG:
            result = replace(result, fault=locate_fault(matrix, file, runtime))
        progress.end_item(1.0, f"{file.label} in {runtime}: {result.state}", notable=not result.state.runs)
        return result

    with Progress("running files", [1.0] * len(pairs), unit="pairs of file and runtime") as progress:
        return matrix.map(measure, pairs)


def select_variants(
    matrix: RuntimeMatrix,
    models: Sequence[TrainedModel],
    reexports: Sequence[Reexport],
    options: PortabilityOptions,
) -> list[PreparedFile]:
    """Return the files to measure, in all requested variants."""
    requested = [f"opset {opset}" for opset in options.opsets]
    files = [reexport.files[name] for reexport in reexports for name in requested]
    files = files or [model.prepared for model in models]
    files += [file for reexport in reexports for name, file in reexport.files.items() if name.startswith("route")]
    if options.low_precision:
        intact = [model.prepared.file for model in models if model.prepared.reason is None]
        pairs = [(file, low_precision) for file in intact for low_precision in LowPrecision]
        files += matrix.map(lambda pair: variants.quantize_file(matrix, *pair), pairs)
    return files


def run_portability(run: Path, options: PortabilityOptions) -> PortabilityReport:
    """Test the files of a run, and write `portability.json` and the results as `portability.jsonl` to its folder."""
    require_interpreters(run, options)
    records = select_jobs(run, options)
    folder = below(run, "portability")
    make_empty_folder(folder)
    ranges: list[OpsetRange] = []
    with open_matrix(folder, options.runtimes, options.resources) as matrix:
        models = collect_models(matrix, run, records, options)
        reexports = matrix.map(lambda model: export_again(matrix, run, model, options), models)
        files = select_variants(matrix, models, reexports, options)
        results = measure_files(matrix, files, options.runtimes)
        if options.opset_range:
            by_opset = [{opset: reexport.files[f"opset {opset}"] for opset in OPSETS} for reexport in reexports]
            ranges = matrix.map(lambda files: find_opset_range(matrix, files, options.runtimes), by_opset)
    report = PortabilityReport(
        schema=SCHEMA_VERSION,
        name=run.name,
        concurrency=len(options.resources.cpus),
        device=options.resources.device,
        files=[report_file(run, model, reexport) for model, reexport in zip(models, reexports)],
        results=results,
        opset_ranges=ranges,
    )
    write_atomically(below(run, "portability.json"), to_json(report, indent=1) + "\n")
    write_atomically(below(run, "portability.jsonl"), "".join(to_json(result) + "\n" for result in results))
    return report


def report_file(run: Path, model: TrainedModel, reexport: Reexport) -> FileReport:
    """Return the report of a file apart from any runtime."""
    file, record = model.prepared.file, model.record
    by_framework = file.exporter != spec_onnx.NAME
    agreement = record.evaluation.onnx if record.evaluation and by_framework else None
    samples = reexport.framework_samples_s
    medians = {f"{name}_p50_s": float(np.median(seconds)) for name, seconds in samples.items()}
    return FileReport(
        exporter=file.exporter,
        task=file.name,
        state=State.OK if model.prepared.reason is None else State.FAILED,
        reason=model.prepared.reason,
        structure=file.structure,
        reference=REFERENCE_MODEL,
        versions=record.measurements.versions if by_framework else {},
        warnings=read_warnings(run_models.job_folder(run, record)) if by_framework else [],
        export_s=agreement.export_s if agreement else None,
        framework_inference=medians or None,
    )


def read_warnings(folder: Path) -> list[str]:
    """Return the first warnings of the log of a job, without the home folder of the user."""
    lines = read_log(folder).replace(str(Path.home()), "~").splitlines()
    return [line.strip()[:WARNING_LENGTH] for line in lines if "warn" in line.lower()][:WARNINGS]


def select_exit_code(results: Sequence[RuntimeResult]) -> int:
    """Return the exit code of a command: 4 if an output is wrong, 1 if a file does not run, 3 if no runtime does."""
    states = {result.state for result in results}
    if states == {PortabilityState.NOT_INSTALLED}:
        return MISSING
    if PortabilityState.WRONG in states:
        return GATE_TRIPPED
    return DONE if all(state.runs for state in states) else CELL_FAILED
