"""The page without a browser: small, offline, harmless, and with the same values as the JSON."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plotly import graph_objects
from plotly.offline import get_plotlyjs_version

from crossframe.harness.analysis import labels
from crossframe.harness.analysis.statistics import fewest_rounds
from crossframe.harness.records import store
from crossframe.harness.records.codec import from_json
from crossframe.harness.records.model import Family, GpuSamples, ParitySummary, Record, Roofline
from crossframe.harness.records.portability import PortabilityState, RuntimeResult, Stage
from crossframe.harness.report import formats
from crossframe.harness.report.document import build_report
from crossframe.harness.report.model import Report
from crossframe.harness.report.page import page
from crossframe.harness.report.page.plotly_panels import Panel
from crossframe.harness.report.ratios import Ratios, format_interval, format_value
from crossframe.harness.worker.measurements import Epoch, OperatorProfile, OperatorTime
from crossframe.harness.worker.states import State
from tests.support.pages import (
    HOSTILE,
    STEPS_S,
    TITLES,
    Elements,
    make_failure,
    make_three,
    read_answer,
    read_downloads,
    remove_scripts,
    write_html,
)
from tests.support.synthetic import (
    make_receipt,
    make_record,
    make_repeats,
    make_run_info,
    save_run,
)

FAMILY = Family("circle", "cpu", "float32", 64)


def test_the_vendored_bundle_has_the_version_of_plotly() -> None:
    bundle = (page.HERE / "plotly-cartesian.min.js").read_text()
    assert f"v{get_plotlyjs_version()}" in bundle[:200]
    assert "MIT" in (page.HERE / "plotly-LICENSE.txt").read_text()


def test_the_page_is_small_and_requests_nothing(tmp_path: Path) -> None:
    html = write_html(tmp_path, make_three())
    assert len(html.encode()) <= 2e6
    for tag, attributes in Elements(html).elements:
        assert tag not in ("iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert "url(" not in (page.HERE / "style.css").read_text()


def test_hostile_strings_are_text(tmp_path: Path) -> None:
    bad = make_failure("d", reason=HOSTILE)
    parity = ParitySummary(State.FAILED, HOSTILE, HOSTILE)
    unverified = make_record("e", 1, 0.01, measurements={"versions": {HOSTILE: HOSTILE}}, parity=parity)
    records = [*make_three(), bad, unverified]
    info = make_run_info("run", records, {"a": HOSTILE})
    info = replace(info, name=HOSTILE, host=replace(info.host, cpu=HOSTILE, governor=HOSTILE, system=HOSTILE))
    html = page.write_page(save_run(tmp_path / "run", records, info=info)).read_text()
    assert "img" not in Elements(html).tags
    assert Elements(html).handlers == []
    plain = write_html(tmp_path / "plain", make_three())
    assert Elements(html).script_count == Elements(plain).script_count
    assert "alert(1)</script>" not in html
    assert html.count("alert(1)") >= 4  # shown, as text


def test_values_of_the_page_are_those_of_the_json(tmp_path: Path) -> None:
    html = write_html(tmp_path, make_three())
    report = build_report(tmp_path / "run")
    assert from_json(read_downloads(html)["report.json"], Report) == report
    assert read_downloads(html)["metrics.csv"] == formats.as_csv(report)
    rows = re.findall(r'<tr data-task.*?data-variant="([^"]+)".*?>(.*?)</tr>', html, re.DOTALL)
    assert len(rows) == len(report.cells) == 3
    for cell, (variant, row) in zip(report.cells, rows, strict=True):
        assert variant == f"{cell.backend} {cell.mode}"
        entries = re.findall(r'<td data-value="([^"]*)"[^>]* title="([^"]*)">([^<]*)', row)
        for name, (value, title, text) in zip(("accuracy", *labels.COLUMNS), entries, strict=True):
            metric = cell.metrics[name]
            assert value == ("" if metric.value is None else str(metric.value)), name
            divisor = labels.COLUMNS[name][1] if name in labels.COLUMNS else 1
            assert text.strip() == format_value(metric, divisor)
            assert title.startswith(format_interval(metric, divisor))


def test_the_page_contains_a_line_per_process(tmp_path: Path) -> None:
    text = read_downloads(write_html(tmp_path, make_three()))["processes.csv"]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 21
    assert float(rows[0]["first_step_s"]) == pytest.approx(0.1)


def test_ratios_are_to_a_named_baseline(tmp_path: Path) -> None:
    report = build_report(save_run(tmp_path / "run", make_three()))
    ratios = Ratios(report.comparisons)
    assert ratios.baseline == "a eager"
    for name, factor in (("b eager", 1.5), ("c eager", 3.0)):
        ratio = ratios.to_baseline(FAMILY, "step_s", name)
        assert ratio is not None
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.low <= ratio.value <= ratio.high
        assert ratio.value == pytest.approx(factor)
    assert str(ratios.to_baseline(FAMILY, "step_s", "c eager")) == "3.00x"
    assert ratios.to_baseline(FAMILY, "step_s", "a eager") is None


def test_a_clear_winner_is_named_in_the_first_sentences(tmp_path: Path) -> None:
    answer = read_answer(write_html(tmp_path, make_three()))
    assert "For research, choose a:" in answer
    assert "a eager trains circle 1.50x as fast as b eager" in answer
    assert "All 3 cells succeeded and were verified" in answer


def test_a_tie_names_no_winner(tmp_path: Path) -> None:
    answer = read_answer(write_html(tmp_path, make_three((1.0, 1.0, 1.0))))
    assert "a, b and c tie:" in answer
    assert "a eager, b eager and c eager tie on circle" in answer
    assert "choose" not in answer


def test_too_few_repeats_name_no_winner(tmp_path: Path) -> None:
    answer = read_answer(write_html(tmp_path, [make_record(name, 1, 0.01) for name in "ab"]))
    assert "Not enough evidence to choose for research" in answer
    needed = fewest_rounds(1)
    assert f"To measure them: crossframe run --resume results/run --repeats {needed}" in answer
    assert "No training speed is ranked: not enough evidence" in answer


def test_failures_have_state_and_reason(tmp_path: Path) -> None:
    failure = make_failure("d", state=State.TIMEOUT, reason="over 6 s")
    html = remove_scripts(write_html(tmp_path, [*make_three(), failure]))
    assert "d is excluded for the reasons below" in read_answer(html)
    assert "d is excluded: circle cpu float32 64: timeout" in html
    assert "timeout: over 6 s" in html
    assert "✗ timeout" in html
    assert "3 of 4 cells succeeded" in read_answer(html)


def test_a_run_with_failures_only_has_a_page(tmp_path: Path) -> None:
    answer = read_answer(write_html(tmp_path, [make_failure(name) for name in "ab"]))
    assert "no candidate fits" in answer
    assert "0 of 2 cells succeeded" in answer


def test_a_single_record_has_a_page(tmp_path: Path) -> None:
    answer = read_answer(write_html(tmp_path, [make_record("a", 1, 0.01)]))
    assert "choose a: the only candidate" in answer
    assert "No training speed is ranked" in answer


def test_a_run_without_records_has_a_page(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", [make_record("a", 1, 0.01)])
    (run / "records.jsonl").unlink()
    html = page.write_page(run).read_text()
    assert "Nothing was measured yet" in read_answer(html)
    assert "There is no record yet" in html


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", [make_record("a", 1, 0.01)])
    (run / "run.json").write_text(json.dumps({"schema": 0}))
    with pytest.raises(store.NoRunError, match="another version"):
        page.write_page(run)


def test_a_damaged_line_is_a_notice(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", make_three())
    with (run / "records.jsonl").open("a") as file:
        file.write('{"schema": 1, "job": ')
    assert "line 22 is damaged" in page.write_page(run).read_text()


def test_many_damaged_lines_are_shortened(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", make_three())
    with (run / "records.jsonl").open("a") as file:
        file.write("{\n" * 100)
    assert "and 88 more, in report.json below" in page.write_page(run).read_text()


def test_cells_without_parity_are_not_ranked(tmp_path: Path) -> None:
    html = write_html(tmp_path, make_three(parity=None))
    assert "Some cells were not verified (--no-parity), so they are not ranked." in html
    assert 'class="tier"' not in html


def test_results_of_other_commands_are_drawn(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", make_three())
    reason = "no such operator"
    result = RuntimeResult(
        "circle", "a", "as exported", "somewhere", 18, None, PortabilityState.REFUSED, Stage.LOAD, reason
    )
    report = replace(build_report(run), portability=[result])
    html = page.read_template().render(page.build_view(run, report, store.read(run)[0], {}))
    assert reason in html
    assert 'id="onnx"' in html


def test_readers_see_titles_and_files_contain_names(tmp_path: Path) -> None:
    html = write_html(tmp_path, [*make_three(), make_failure("d")], TITLES | {"d": "Alpha"})
    report = build_report(tmp_path / "run")
    assert "For research, choose Alpha (a):" in read_answer(html)  # two are called Alpha
    assert "Alpha (a) eager trains circle 1.50x as fast as" in read_answer(html)
    text = re.sub(r"<.*?>", " ", remove_scripts(html))
    assert "Gamma eager" in text
    assert not re.search(r"\b[abcd] eager\b", text)
    assert from_json(read_downloads(html)["report.json"], Report) == report
    assert {cell.backend for cell in report.cells} == set("abcd")
    assert {row["backend"] for row in csv.DictReader(io.StringIO(read_downloads(html)["processes.csv"]))} == set("abcd")


def test_the_page_explains_its_words(tmp_path: Path) -> None:
    html = remove_scripts(write_html(tmp_path, make_three()))
    links = re.findall(r'<a class="word" href="#(word-\w+)"', html)
    assert {f"word-{name}" for name in ("tier", "parity", "dialect", "interval", "mode")} <= set(links)
    for link in links:
        assert f'<dt id="{link}">' in html
    assert "<dt>circle</dt><dd>" in html


def test_charts_follow_the_schema_of_plotly(tmp_path: Path) -> None:
    sizes = [record for size in (8, 16) for record in make_repeats("a", STEPS_S, cell={"batch_size": size})]
    html = write_html(tmp_path, [*make_three(), *sizes])
    figures = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert figures
    for figure in map(json.loads, figures):
        graph_objects.Figure(figure)  # raises ValueError for unknown properties


def make_bounded(backend: str, task: str, step_s: float, **changes: Any) -> Record:
    """Return a record with a roofline; tasks with x2 in their name have four times the operations."""
    scale = 4 if "x2" in task else 1
    roofline = Roofline(scale * 5_000_000, scale * 1_000_000, 1e9, 1e9)
    cell = {"task": task, "batch_size": 128 if scale > 1 else 64}
    return make_record(backend, 1, step_s, cell=cell, roofline=roofline, **changes)


def test_utilization_and_operators_are_shown(tmp_path: Path) -> None:
    operators = [OperatorTime("<b>product", 20, 0.03), OperatorTime("sum", 20, 0.01)]
    profile = OperatorProfile(State.OK, None, 10, operators)
    records = [
        make_bounded("torch", "circle", 0.01, measurements={"operators": profile}),
        make_bounded("torch", "circle-x2", 0.04),  # four times the operations in four times the time
        make_bounded("jax", "circle", 0.01),
        make_bounded("jax", "circle-x2", 0.01),  # in the same time; 2e9 per second is above the ceiling
    ]
    html = write_html(tmp_path, records)
    cells = build_report(tmp_path / "run").cells
    share = {(cell.task, cell.backend): cell.metrics["compute_utilization"].value for cell in cells}
    assert share["circle", "torch"] == pytest.approx(0.5)
    assert share["circle-x2", "jax"] is None
    notes = html.partition('<section id="roofline">')[2].partition("</section>")[0]
    assert "jax eager is hatched: in some of its processes more than the ceiling" in notes
    assert "torch eager is hatched: one process has no interval" in notes
    (above,) = [f for f in map(json.loads, re.findall(r'json">(.*?)</script>', notes)) if f["data"][0]["x"][-1] > 100]
    assert above["data"][0]["x"][-1] == pytest.approx(200, rel=0.1)
    assert "compute-bound (1.00)" in html
    assert "launch-bound (0.00)" in html
    assert "&lt;b&gt;product" in html
    assert "<b>product" not in html
    assert "75.0%" in html


def test_variants_with_the_same_reason_share_a_note() -> None:
    panel = Panel("circle", "{}", {"a": "no memory", "b": "over 6 s", "c": "no memory"}, {"d": "no interval"})
    assert panel.notes == [
        "a and c are not drawn: no memory",
        "b is not drawn: over 6 s",
        "d is hatched: no interval",
    ]


def test_gpu_samples_are_shown(tmp_path: Path) -> None:
    samples: dict[str, list[float | None]] = {
        "at_s": [1.0, 2.0, 3.0],
        "memory_bytes": [1e9, 3e9, 3e9],
        "utilisation": [0.5] * 3,
        "power_w": [300.0] * 3,
        "clock_hz": [1.5e9] * 3,
        "energy_j": [10.0, 20.0, 30.0],
        "throttle": [0] * 3,
    }
    receipt = make_receipt(began_s=0.5, ended_s=3.5)
    measurements = {"receipt": receipt, "epochs": [Epoch(1, 2.4, 10, began_s=0.8)], "device_peak_bytes": 10**9}
    gpu = GpuSamples("cuda:0", 0, samples)
    html = write_html(
        tmp_path, [make_record("torch", 1, 0.01, cell={"device": "cuda:0"}, gpu=gpu, measurements=measurements)]
    )
    assert 'id="gpu"' in html
    assert ">1,500<" in html.replace(" ", "")
    assert "rose by 2,000 MB (NVML)" in html
