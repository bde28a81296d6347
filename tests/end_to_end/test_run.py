"""The main job on real frameworks: every task in every backend, small, from one command to records, table and page."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest

from crossframe.backends import discover
from crossframe.harness.analysis import fairness
from crossframe.harness.records import store
from crossframe.tasks import discover as discover_tasks
from tests.conftest import Command

CANDIDATES = [name for name, backend in discover().items() if backend.has_builds]
CELLS = [(task, backend) for task in discover_tasks() for backend in CANDIDATES]
ENOUGH = {"circle": 0.85, "cnn": 0.85, "lstm": 0.7, "autoencoder": 0.03}  # of quick presets, whose training is short


@pytest.fixture(scope="session")
def real_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`crossframe run --preset quick`: sixteen cells, with the environments made if they are not there."""
    folder = tmp_path_factory.mktemp("real") / "run"
    done = crossframe("run", "--preset", "quick", "--out", folder, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert all(task in done.stdout for task in discover_tasks())
    return folder


def record_of(run: Path, task: str, backend: str) -> dict:
    return next(r for r in store.read(run)[0] if (r["cell"]["task"], r["cell"]["backend"]) == (task, backend))


def test_there_are_sixteen_cells() -> None:
    assert len(CELLS) == 16


@pytest.mark.parametrize("task, backend", CELLS)
def test_a_cell_trains_saves_exports_and_is_proven(real_run: Path, task: str, backend: str) -> None:
    record = record_of(real_run, task, backend)
    assert record["state"] == "ok", record["reason"]
    assert record["parity"]["state"] == "ok", record["parity"]
    measures, verdict = record["measures"], record["verdict"]
    quality = verdict["quality"].get("accuracy", -verdict["quality"].get("mse", 0))
    assert quality >= (ENOUGH[task] if quality > 0 else -ENOUGH[task])
    assert measures["checkpoint_exact"]
    assert verdict["onnx"]["state"] == "ok", verdict["onnx"]["reason"]
    # The very run that was measured, and not only the probes, ends its first epoch where the oracle does.
    # Measured in preset standard: at most 6e-4 (cnn in JAX), 3e-5 but for the cnn.
    assert verdict["first_epoch_gap"] <= 1e-3
    assert measures["curve"][-1]["loss"] < measures["curve"][0]["loss"] or len(measures["curve"]) == 1
    assert measures["host_peak_bytes"] >= measures["host_baseline_bytes"] > 0


def test_the_report_keeps_to_its_schema_and_explains_what_is_missing(real_run: Path, crossframe: Command) -> None:
    told = json.loads(crossframe("report", real_run, "--format", "json").stdout)
    schema = json.loads((Path(store.__file__).parent / "schemas" / "report.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    assert {(cell["task"], cell["backend"]) for cell in told["cells"]} == set(CELLS)
    for cell in told["cells"]:
        for name, metric in cell["metrics"].items():
            assert (metric["value"] is None) == (metric["n"] == 0) == ("reason" in metric), name
        assert cell["metrics"]["step_s"]["value"] > 0
    assert "pca_32_mse" in told["tasks"]["autoencoder"]["baseline"]


def test_every_framework_had_the_same_budget_and_says_so(real_run: Path) -> None:
    rows = fairness.receipts(store.read(real_run)[0])
    assert {row["backend"] for row in rows} == set(CANDIDATES)
    assert fairness.differences(rows) == []
    assert all(row["settings"]["float32_products"] == "float32" for row in rows)


def test_csv_markdown_and_page_show_the_same_cells(real_run: Path, crossframe: Command) -> None:
    told = json.loads(crossframe("report", real_run, "--format", "json").stdout)
    rows = list(csv.DictReader(io.StringIO(crossframe("report", real_run, "--format", "csv").stdout)))
    figures = {(row["task"], row["backend"], row["metric"]): row["value"] for row in rows}
    for cell in told["cells"]:
        for name, metric in cell["metrics"].items():
            shown = figures[cell["task"], cell["backend"], name]
            assert shown == ("" if metric["value"] is None else str(metric["value"]))
    table, *others = crossframe("report", real_run, "--format", "md").stdout.split("\n## ")
    assert table.count("\n| ") == len(CELLS) + 2  # with the headings and the line below them
    assert [other.partition("\n")[0] for other in others] == ["Frameworks"]
    page = (real_run / "report.html").read_text()
    assert page.count("<tr data-task") == len(CELLS) and "plotly.js" in page and len(page) <= 2e6


def test_a_finished_run_resumes_to_nothing(real_run: Path, crossframe: Command) -> None:
    before = (real_run / "records.jsonl").read_text()
    done = crossframe("run", "--resume", real_run)
    assert done.returncode == 0 and "16 of 16 jobs are done" in done.stderr
    assert (real_run / "records.jsonl").read_text() == before
