"""The main job on real frameworks: every task in every backend, small, from one command to records, table and page."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from crossframe.backends import discover
from crossframe.harness.analysis import fairness
from crossframe.harness.records import store
from crossframe.harness.records.model import Record
from crossframe.tasks import CORE
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import QUALITY
from tests.conftest import Command

BACKENDS = [name for name, backend in discover().items() if backend.has_builds]
TASKS = {name: discover_tasks()[name]["quick"] for name in CORE}
CELLS = [(task, backend) for task in TASKS for backend in BACKENDS]
# The quality that the short training of the preset quick reaches at least; at most for a metric that should be small.
REQUIRED_QUALITY = {"circle": 0.85, "cnn": 0.85, "lstm": 0.7, "autoencoder": 0.03}
# Of a weight, between the measured run and the reference model. Measured in the preset standard: at most 6e-4 (cnn in
# JAX), 3e-5 in the other tasks.
FIRST_EPOCH_GAP = 1e-3


def meets_requirement(task: str, quality: dict[str, float]) -> bool:
    """Return whether the quality metric of a task, and no other, is good enough."""
    metric, higher_is_better = QUALITY[TASKS[task].loss]
    if higher_is_better:
        return quality[metric] >= REQUIRED_QUALITY[task]
    return 0 < quality[metric] <= REQUIRED_QUALITY[task]


@pytest.fixture(scope="session")
def real_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`crossframe run --preset quick`: sixteen cells; environments are made if they are missing."""
    folder = tmp_path_factory.mktemp("real") / "run"
    done = crossframe("run", "--preset", "quick", "--out", folder, timeout_s=1500)
    assert done.returncode == 0, done.stderr
    assert all(task in done.stdout for task in TASKS)
    return folder


def find_record(run: Path, task: str, backend: str) -> Record:
    (record,) = (each for each in store.read(run)[0] if (each.cell.task, each.cell.backend) == (task, backend))
    return record


def read_report(crossframe: Command, run: Path) -> Any:
    return json.loads(crossframe("report", run, "--format", "json").stdout)


def test_there_are_sixteen_cells() -> None:
    assert len(CELLS) == 16
    assert REQUIRED_QUALITY.keys() == TASKS.keys()


@pytest.mark.parametrize(
    ("task", "quality"),
    [("circle", {"accuracy": 0.0}), ("cnn", {"accuracy": 0.1}), ("autoencoder", {"mse": 0.1})],
)
def test_an_untrained_network_does_not_meet_the_requirement(task: str, quality: dict[str, float]) -> None:
    assert not meets_requirement(task, quality)


@pytest.mark.parametrize(("task", "backend"), CELLS)
def test_a_cell_trains_saves_exports_and_is_verified(real_run: Path, task: str, backend: str) -> None:
    record = find_record(real_run, task, backend)
    assert record.state == "ok", record.reason
    assert record.parity is not None
    assert record.parity.state == "ok", record.parity
    measurements, evaluation = record.measurements, record.evaluation
    assert evaluation is not None
    assert evaluation.onnx is not None
    assert meets_requirement(task, evaluation.quality), evaluation.quality
    assert measurements.checkpoint_exact
    assert evaluation.onnx.state == "ok", evaluation.onnx.reason
    # Not the probes only: the measured run itself ends its first epoch where the reference model does.
    assert evaluation.first_epoch_gap <= FIRST_EPOCH_GAP
    curve = [point.loss for point in measurements.curve]
    assert curve
    assert curve[-1] < curve[0] or len(curve) == 1
    assert measurements.host_peak_bytes is not None
    assert measurements.host_baseline_bytes is not None
    assert measurements.host_peak_bytes >= measurements.host_baseline_bytes > 0
    assert record.started is not None
    assert record.started <= record.ended


def test_the_report_fits_its_schema_and_explains_missing_values(real_run: Path, crossframe: Command) -> None:
    report = read_report(crossframe, real_run)
    schema = json.loads((Path(store.__file__).parent / "schemas" / "report.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)
    assert {(cell["task"], cell["backend"]) for cell in report["cells"]} == set(CELLS)
    for cell in report["cells"]:
        for name, metric in cell["metrics"].items():
            assert (metric["value"] is None) == (metric["n"] == 0) == bool(metric.get("reason")), name
        assert cell["metrics"]["step_s"]["value"] > 0
    assert "pca_32_mse" in report["tasks"]["autoencoder"]["baseline"]


def test_every_framework_had_the_same_resources(real_run: Path) -> None:
    rows = fairness.fairness_rows(store.read(real_run)[0])
    assert {row.backend for row in rows} == set(BACKENDS)
    assert fairness.differences(rows) == []
    assert all(row.settings.float32_products == "float32" for row in rows)


def test_csv_markdown_and_page_show_the_same_cells(real_run: Path, crossframe: Command) -> None:
    report = read_report(crossframe, real_run)
    rows = list(csv.DictReader(io.StringIO(crossframe("report", real_run, "--format", "csv").stdout)))
    values = {(row["task"], row["backend"], row["metric"]): row["value"] for row in rows}
    for cell in report["cells"]:
        for name, metric in cell["metrics"].items():
            expected = "" if metric["value"] is None else str(metric["value"])
            assert values[cell["task"], cell["backend"], name] == expected
    table, *sections = crossframe("report", real_run, "--format", "md").stdout.split("\n## ")
    assert table.count("\n| ") == len(CELLS) + 2  # with the heading and the line below it
    assert [section.partition("\n")[0] for section in sections] == ["Frameworks"]
    page = (real_run / "report.html").read_text()
    assert page.count("<tr data-task") == len(CELLS)
    assert "plotly.js" in page
    assert len(page) <= 2e6


def test_resuming_a_finished_run_does_nothing(real_run: Path, crossframe: Command) -> None:
    before = (real_run / "records.jsonl").read_text()
    done = crossframe("run", "--resume", real_run)
    assert done.returncode == 0, done.stderr
    assert "16 of 16 jobs" in done.stderr
    assert (real_run / "records.jsonl").read_text() == before
