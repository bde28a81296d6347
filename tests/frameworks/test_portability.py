"""Exported files in real runtimes: correct files pass, and every corruption and fault is found and named."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from crossframe.backends.manifest import InstallRecipe
from crossframe.harness import runtimes
from crossframe.harness.machine import gpus
from crossframe.harness.machine.environments import Environment
from crossframe.harness.portability import checks, formats, session, variants
from crossframe.harness.portability.jobs import LowPrecision
from crossframe.harness.portability.model_file import PreparedFile
from crossframe.harness.portability.opset_range import find_opset_range
from crossframe.harness.portability.runtime_matrix import Resources, RuntimeMatrix
from crossframe.harness.records.codec import from_json, to_plain
from crossframe.harness.records.portability import (
    OpsetSpan,
    PortabilityReport,
    PortabilityState,
    RuntimeResult,
    Stage,
)
from crossframe.harness.runtimes import Runtime, RuntimeManifest
from crossframe.tasks.spec import Task
from tests.conftest import THIRD_PARTY, Command
from tests.support.corruptions import MODEL_CORRUPTIONS
from tests.support.models import IMAGES, RECURRENT, draw_weights, make_model_file, write_one_node

RUNTIMES = list(runtimes.find_runtimes("cpu"))
CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeMatrix]:
    """All runtimes for the CPU."""
    with session.open_matrix(tmp_path_factory.mktemp("matrix"), RUNTIMES, Resources(120, CPUS)) as matrix:
        yield matrix


def add_faulty_runtime(
    matrix: RuntimeMatrix, folder: Path, fault: str, kind: str, resources: Resources
) -> RuntimeMatrix:
    """Return a matrix with one more runtime, `faulty`, that has a build for one kind of device."""
    manifest = RuntimeManifest(
        title="Faulty",
        packages=("onnx",),
        env_vars={"FAULT": fault},
        install={kind: InstallRecipe(python="3.11", requirements="requirements.txt")},
    )
    faulty = Runtime("faulty", "faulty_runtime", THIRD_PARTY / "faulty_runtime", manifest)
    environments = {**matrix.environments, "faulty": Environment(Path(sys.executable))}
    return RuntimeMatrix(folder, {**matrix.runtimes, "faulty": faulty}, environments, {}, resources)


def test_every_runtime_passes_its_control(matrix: RuntimeMatrix) -> None:
    assert len(RUNTIMES) >= 5
    assert matrix.missing == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("task", [RECURRENT, IMAGES], ids=lambda task: task.name)
def test_correct_files_are_correct_everywhere(matrix: RuntimeMatrix, task: Task, runtime: str) -> None:
    result = matrix.measure(make_model_file(matrix.folder / runtime, task), runtime)
    # tract needs the batch size to compile an LSTM, and otherwise ends its process.
    degraded = (task, runtime) == (RECURRENT, "tract")
    assert result.state == (PortabilityState.DEGRADED if degraded else PortabilityState.PASS), result.reason
    assert result.checks.distances is not None
    assert result.checks.distances.relative_error < 1e-5
    assert result.checks.decisions is not None
    assert result.checks.decisions.flips == 0
    assert result.metrics.batch_1_p50_s is not None
    assert result.metrics.batch_1_p50_s > 0
    assert result.metrics.host_peak_bytes is not None
    assert result.metrics.host_peak_bytes > 0
    assert result.versions
    assert result.facts["engine"]


@pytest.mark.parametrize("corruption", MODEL_CORRUPTIONS)
def test_corrupt_models_are_found_and_named(matrix: RuntimeMatrix, corruption: str) -> None:
    file = make_model_file(matrix.folder, RECURRENT, corruption)
    assert file.structure is not None
    results = session.measure_files(matrix, [PreparedFile(file, None)], ["onnxruntime", "reference_evaluator"])
    text = " ".join(str((result.state, result.reason, result.fault)) for result in results)
    assert not any(result.state == PortabilityState.PASS for result in results), text
    assert MODEL_CORRUPTIONS[corruption].expected in f"{text} {file.structure.problem} {file.structure.external}"
    for result in results:
        if result.state == PortabilityState.WRONG:
            assert result.fault is not None
            assert len(onnx.load(result.fault.reproducer).graph.node) == 1


# Fault of a runtime -> state, stage and a word of the reason.
FAULTS = {
    "crash": (PortabilityState.CRASH, Stage.COMPILE, "SIGSEGV"),
    "hang": (PortabilityState.TIMEOUT, Stage.RUN, "4 s"),
    "greedy": (PortabilityState.CRASH, Stage.RUN, "memory"),
    "refuse": (PortabilityState.REFUSED, Stage.RUN, "no such operator"),
    "wrong": (PortabilityState.WRONG, Stage.COMPARE, "differ from the reference"),
    "mixing": (PortabilityState.WRONG, Stage.COMPARE, "differ"),
    "broken": (PortabilityState.NOT_INSTALLED, Stage.IMPORT, "a model of one node"),
    "costly": (PortabilityState.DEGRADED, Stage.COMPARE, "operators on the CPU: Relu"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_runtime_are_not_attributed_to_the_file(matrix: RuntimeMatrix, tmp_path: Path, fault: str) -> None:
    with add_faulty_runtime(matrix, tmp_path, fault, "cpu", Resources(4, CPUS)) as faulty:
        if fault == "broken":
            faulty.check_controls()
        (result,) = session.measure_files(faulty, [PreparedFile(make_model_file(tmp_path, IMAGES), None)], ["faulty"])
    state, stage, word = FAULTS[fault]
    assert (result.state, result.stage) == (state, stage), result.reason
    assert word in str(result.reason)
    if fault == "wrong":
        assert result.fault is not None
        assert result.fault.operator == "Relu"
        assert "faulty differs there" in result.fault.reason


def test_runtimes_for_gpus_get_the_device_and_no_memory_limit(matrix: RuntimeMatrix, tmp_path: Path) -> None:
    resources = Resources(60, CPUS, "cuda:3")
    with add_faulty_runtime(matrix, tmp_path, "report", "cuda", resources) as mixed:
        files = [PreparedFile(make_model_file(tmp_path, IMAGES), None)]
        on_gpu, on_cpu = session.measure_files(mixed, files, ["faulty", "onnxruntime"])
    assert on_gpu.state == PortabilityState.PASS
    assert on_gpu.facts == {"engine": "faulty", "device": "cuda:3", "limited": "False"}
    assert on_cpu.state == PortabilityState.PASS
    assert on_cpu.facts == {"engine": "CPUExecutionProvider"}
    report = PortabilityReport(2, "run", 2, "cuda:3", [], [on_gpu, on_cpu], [])
    assert formats.list_notes(report)[-1] == "times of faulty are those of cuda:3, including copies to and from it"


@pytest.mark.skipif(bool(gpus.list_gpus()), reason="this machine has a GPU")
def test_onnxruntime_without_its_gpu_is_not_installed(matrix: RuntimeMatrix, tmp_path: Path) -> None:
    """Run the real package, which silently uses the CPU if CUDA is missing."""
    environments = {"onnxruntime_cuda": matrix.environments["onnxruntime"]}
    resources = Resources(60, CPUS[:1], "cuda:0")
    with RuntimeMatrix(tmp_path, runtimes.find_runtimes("cuda:0"), environments, {}, resources) as fallen_back:
        fallen_back.check_controls()
        result = fallen_back.measure(make_model_file(tmp_path, IMAGES), "onnxruntime_cuda")
    assert result.state == PortabilityState.NOT_INSTALLED
    assert "no operator of the file runs on cuda:0" in str(result.reason)


def test_a_missing_environment_is_a_result(matrix: RuntimeMatrix, tmp_path: Path) -> None:
    missing = {"opencv": "its environment could not be made: no such package"}
    with RuntimeMatrix(tmp_path, matrix.runtimes, {}, missing, Resources(60, CPUS[:1])) as empty:
        result = empty.measure(make_model_file(tmp_path, IMAGES), "opencv")
    assert (result.state, result.stage) == (PortabilityState.NOT_INSTALLED, Stage.IMPORT)
    assert session.select_exit_code([result]) == 3


def test_opset_ranges_end_where_a_runtime_ends(matrix: RuntimeMatrix) -> None:
    file, job = make_model_file(matrix.folder, IMAGES), matrix.folder / "job"
    job.mkdir(exist_ok=True)
    weights = {f"weights/{name}": array for name, array in draw_weights(IMAGES).items()}
    np.savez(job / "outputs.npz", **weights)  # type: ignore[arg-type]  # NumPy's stub, as in test_vectors
    newest = onnx.defs.onnx_opset_version()
    files = {opset: variants.write_from_spec(matrix, file, job, opset, f"opset {opset}") for opset in (7, 17, newest)}
    files[18] = PreparedFile(replace(file, variant="opset 18"), "not written")
    opset_range = find_opset_range(matrix, files, ["onnxruntime", "reference_evaluator"])
    assert opset_range.written == [7, 17, newest]
    assert opset_range.not_written == {"18": "not written"}
    assert opset_range.runtimes["reference_evaluator"] == OpsetSpan(7, newest, {})
    span = opset_range.runtimes["onnxruntime"]
    assert span.lowest == 7
    assert span.highest in (17, newest)
    assert len(span.refused) == (span.highest == 17)


@pytest.mark.parametrize("low_precision", LowPrecision)
def test_low_precision_is_judged_by_the_quality_metric(matrix: RuntimeMatrix, low_precision: LowPrecision) -> None:
    prepared = variants.quantize_file(matrix, make_model_file(matrix.folder, RECURRENT), low_precision)
    assert prepared.reason is None
    result = matrix.measure(prepared.file, "onnxruntime")
    assert result.state.runs, result.reason
    assert result.checks.distances is not None
    assert result.checks.distances.relative_error > checks.TOLERANCE  # or the precision was not lower
    assert result.checks.quality is not None
    changed = abs(result.checks.quality.change) > checks.QUALITY_TOLERANCE
    assert changed == ("accuracy" in str(result.reason))


def test_results_without_a_reference_do_not_pass(matrix: RuntimeMatrix) -> None:
    file = make_model_file(matrix.folder, IMAGES)
    file = replace(file, vectors=replace(file.vectors, expected={}), targets=None)
    result = matrix.measure(file, "tract")
    assert result.state == PortabilityState.DEGRADED
    assert "not compared" in str(result.reason)


@pytest.fixture(scope="module")
def small_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick run of one task in one backend."""
    folder = tmp_path_factory.mktemp("portable") / "run"
    options = ("--no-parity", "--task", "circle", "--backend", "torch", "--preset", "quick", "--out", folder)
    done = crossframe("run", *options)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_command_prints_and_stores_the_report(small_run: Path, crossframe: Command) -> None:
    options = ("--runtime", "onnxruntime,tract", "--low-precision", "--routes", "--format", "json")
    done = crossframe("portability", small_run, *options)
    assert done.returncode in (0, 1), done.stderr
    report = from_json(done.stdout, PortabilityReport)
    results = {(result.exporter, result.variant, result.runtime): result for result in report.results}
    assert len(results) == len(report.results) == (2 * 3 + 1) * 2
    for exporter in ("torch", "spec"):
        for runtime in ("onnxruntime", "tract"):
            result = results[exporter, "as exported", runtime]
            assert result.state == PortabilityState.PASS, result.reason
            assert result.checks.distances is not None
            assert result.checks.distances.framework_error_ratio is not None
            assert result.checks.distances.framework_error_ratio <= checks.FRAMEWORK_ERRORS
    assert results["torch", "route torchscript", "onnxruntime"].state == PortabilityState.PASS
    (torch,) = [file for file in report.files if file.exporter == "torch"]
    assert torch.framework_inference is not None
    assert torch.framework_inference["batch_64_p50_s"] > 0
    assert torch.structure is not None
    assert torch.structure.provenance.opset["ai.onnx"] == 18
    lines = (small_run / "portability.jsonl").read_text().splitlines()
    assert [from_json(line, RuntimeResult) for line in lines] == report.results
    page = json.loads(crossframe("report", small_run, "--format", "json").stdout)
    assert page["portability"] == to_plain(report.results)


def test_the_command_finds_opset_ranges(small_run: Path, crossframe: Command) -> None:
    options = ("--backend", "spec", "--runtime", "onnxruntime", "--opset-range", "--format", "json")
    report = from_json(crossframe("portability", small_run, *options).stdout, PortabilityReport)
    (opset_range,) = report.opset_ranges
    assert opset_range.written == [*range(7, onnx.defs.onnx_opset_version() + 1)]
    assert opset_range.runtimes["onnxruntime"].lowest == 7


def test_every_format_contains_every_result(small_run: Path, crossframe: Command) -> None:
    names = ("onnxruntime", "reference_evaluator")
    options = ("portability", small_run, "--backend", "spec", "--runtime", ",".join(names), "--opset")
    rows = list(csv.DictReader(io.StringIO(crossframe(*options, "13,17", "--format", "csv").stdout)))
    assert [(row["variant"], row["runtime"], row["state"]) for row in rows] == [
        (f"opset {opset}", runtime, "pass") for opset in (13, 17) for runtime in names
    ]
    markdown = crossframe(*options, "13", "--format", "md").stdout
    assert "| circle | spec | opset 13 | pass | pass |" in markdown
    assert "2 results: 2 pass" in markdown
    table = crossframe(*options, "13").stdout
    assert table.count("pass") == 3
    assert "\x1b" not in table


def test_check_uses_reference_arrays_or_the_evaluator(crossframe: Command, tmp_path: Path) -> None:
    path, x = write_one_node(tmp_path, shape=["n", 4]), np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    done = crossframe("check", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    report = from_json(done.stdout, PortabilityReport)
    assert {result.runtime: result.state for result in report.results} == dict.fromkeys(RUNTIMES, PortabilityState.PASS)
    assert report.files[0].reference == "reference_evaluator"
    for name, output, code in (("right", np.maximum(x, 0), 0), ("wrong", np.maximum(x, 0) + 1, 4)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=output)
        options = ("--reference", tmp_path / f"{name}.npz", "--runtime", "onnxruntime")
        assert crossframe("check", path, *options).returncode == code


def test_check_uses_the_evaluator_for_any_runtime(crossframe: Command, tmp_path: Path) -> None:
    path = write_one_node(tmp_path, shape=["n", 4])
    done = crossframe("check", path, "--runtime", "tract", "--format", "json")
    report = from_json(done.stdout, PortabilityReport)
    assert report.files[0].reference == "reference_evaluator"
    assert [(result.runtime, result.state) for result in report.results] == [("tract", PortabilityState.PASS)]


def test_check_names_custom_operators(crossframe: Command, tmp_path: Path) -> None:
    path = write_one_node(tmp_path, "Fancy", ["n", 4], "my.own")
    done = crossframe("check", path, "--runtime", "onnxruntime")
    assert done.returncode == 1, done.stderr
    assert "my.own" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
