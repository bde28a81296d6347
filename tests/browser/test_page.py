"""The page in a real browser: sorting, filters, weights, state in the address, downloads.

The tests need the extra `browser` and Chromium; without them, and in CI, they are skipped with the reason.
"""

import json
from pathlib import Path

import pytest

from crossframe.harness.analysis import labels
from crossframe.harness.records.codec import to_json
from crossframe.harness.report import formats
from crossframe.harness.report.document import build_report
from crossframe.harness.report.framework_profiles import measured_rows
from crossframe.harness.report.ratios import format_value
from tests.browser.conftest import Browser, Tab, visit
from tests.support.pages import TITLES

pytestmark = pytest.mark.browser
VARIANT_COLUMN, FIRST_STEP_COLUMN = 1, 6
METRICS = ("accuracy", *labels.COLUMNS)  # of the columns from the fourth on


def read_column(tab: Tab, column: int = VARIANT_COLUMN) -> list[str]:
    """Return the values of a column of the visible rows."""
    values: list[str] = tab.eval_on_selector_all(
        "#cells tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{column}].dataset.value)"
    )
    return values


def scroll_to(tab: Tab, section: str) -> None:
    """Bring a section to the screen and wait until its first chart is drawn."""
    tab.evaluate(f"document.querySelector('#{section}').scrollIntoView()")
    tab.wait_for_selector(f"#{section} .plot .main-svg")


def test_columns_sort_in_both_directions_and_by_the_address(tab: Tab, run: Path) -> None:
    tab.click("th[data-sort=first_step_s] button")
    values = [value for value in read_column(tab, FIRST_STEP_COLUMN) if value]
    assert values == sorted(values, key=float)
    assert read_column(tab, FIRST_STEP_COLUMN)[-1] == ""
    tab.click("th[data-sort=first_step_s] button")
    assert tab.get_attribute("th[data-sort=first_step_s]", "aria-sort") == "descending"
    assert [value for value in read_column(tab, FIRST_STEP_COLUMN) if value] == values[::-1]
    visit(tab, run, tab.evaluate("location.hash"))
    assert [value for value in read_column(tab, FIRST_STEP_COLUMN) if value] == values[::-1]


def test_filters_are_kept_in_the_address(tab: Tab, run: Path) -> None:
    tab.select_option("[name=task]", "lstm")
    tab.fill("[name=text]", "Beta eager")
    assert read_column(tab) == ["Beta eager"]
    assert tab.inner_text("#count") == "1 of 7 cells"
    visit(tab, run, tab.evaluate("location.hash"))
    assert read_column(tab) == ["Beta eager"]
    tab.click("#filters button[type=reset]")
    assert tab.inner_text("#count") == "7 of 7 cells"
    tab.select_option("[name=mark]", "state")
    assert read_column(tab) == ["d eager"]


def test_ratios_to_any_baseline_are_those_of_the_json(tab: Tab, run: Path) -> None:
    tab.select_option("[name=baseline]", "Beta eager")
    titles = {f"{name} eager": f"{title} eager" for name, title in TITLES.items()}
    ratios = {
        (pair.task, pair.metric, titles[pair.a], titles[pair.b]): pair.ratio for pair in build_report(run).comparisons
    }
    count = 0
    for row in tab.query_selector_all("#cells tbody tr"):
        task, variant = row.get_attribute("data-task"), row.get_attribute("data-variant")
        for metric, cell in zip(METRICS, row.query_selector_all("td")[2:], strict=True):
            inverse = ratios.get((task, metric, "Beta eager", variant))
            ratio = ratios.get((task, metric, variant, "Beta eager")) or (inverse and 1 / inverse)
            text = cell.query_selector(".ratio").text_content()
            assert (text == "") == (ratio is None), (variant, metric)
            if ratio:
                assert float(text.partition("x")[0]) == pytest.approx(ratio, rel=0.006)
                count += 1
    assert count
    scroll_to(tab, "ratio")
    assert "ratio to Beta eager" in tab.text_content("#ratio .plot")
    assert "baseline=Beta+eager" in tab.evaluate("location.hash")


def test_values_are_those_of_the_json(tab: Tab, run: Path) -> None:
    report = build_report(run)
    for row, cell in zip(tab.query_selector_all("#cells tbody tr"), report.cells, strict=True):
        for name, element in zip(METRICS, row.query_selector_all("td")[2:], strict=True):
            value, metric = element.get_attribute("data-value"), cell.metrics[name]
            assert (float(value) if value else None) == metric.value
            if metric.value is not None:
                divisor = labels.COLUMNS[name][1] if name in labels.COLUMNS else 1
                assert element.evaluate("cell => cell.firstChild.textContent.trim()") == format_value(metric, divisor)
    scroll_to(tab, "ratio")
    assert tab.evaluate("document.querySelector('#ratio .plot').data[0].x.length") == 3
    for profile in report.profiles:
        rows = tab.eval_on_selector_all(
            f".profile[data-backend={profile.backend}] dl > div",
            "rows => rows.map(row => [...row.children].map(child => child.textContent))",
        )
        assert dict(rows).items() >= dict(measured_rows(profile)).items()


@pytest.mark.parametrize(
    ("section", "metric", "factor"), [("trade", "step_s", 1e3), ("start", "import_s", 1.0)], ids=["trade", "start"]
)
def test_charts_contain_the_values_of_the_json(tab: Tab, run: Path, section: str, metric: str, factor: float) -> None:
    metrics = {(cell.task, TITLES.get(cell.backend), cell.mode): cell.metrics for cell in build_report(run).cells}
    scroll_to(tab, section)
    count = 0
    for figure in tab.query_selector_all(f"#{section} figure"):
        task, content = (figure.query_selector(part).text_content() for part in ("figcaption", "script"))
        for trace in json.loads(content)["data"]:
            if trace.get("name") in (None, "prepare", "first step"):
                continue
            names = [trace["name"]] if section == "trade" else trace["y"]
            for name, value in zip(names, trace["x"], strict=True):
                title, mode = name.rsplit(" ", 1)
                expected = metrics[task, title, mode][metric].value
                assert expected is not None
                assert value == pytest.approx(expected * factor)
                count += 1
    assert count == 6


def test_words_open_the_glossary(tab: Tab) -> None:
    assert not tab.locator("#word-tier").is_visible()
    tab.click("a.word >> text=tier")
    assert tab.locator("#word-tier").is_visible()


def set_weight(tab: Tab, criterion: str, weight: float) -> None:
    tab.eval_on_selector(
        f"[name='w.{criterion}']",
        "(slider, weight) => { slider.value = weight; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        weight,
    )


def test_weights_change_the_verdict_and_are_kept_in_the_address(tab: Tab, run: Path) -> None:
    weighing = json.loads(tab.text_content("#weighing"))
    assert weighing["use_cases"]["research"]["decision"]["reason"] in tab.inner_text("#verdict")
    for name in weighing["criteria"]:
        set_weight(tab, name, 0)
    assert tab.inner_text("#verdict") == "All weights are 0, so no criterion counts."
    set_weight(tab, "host_peak_bytes", 5)
    assert tab.inner_text("#verdict").startswith("Beta leads beyond the noise")
    visit(tab, run, tab.evaluate("location.hash"))
    assert tab.input_value("[name='w.host_peak_bytes']") == "5"
    file = tab.evaluate("decodeURIComponent(document.querySelector('#criteria-file').href.split(',')[1])")
    assert json.loads(file)["host_peak_bytes"] == 5
    tab.select_option("[name=use-case]", "teaching")
    assert tab.input_value("[name='w.import_s']") == "3"
    assert "maintained" in tab.inner_text("#requirements")


def test_flips_of_decide_are_in_the_table_of_winners(tab: Tab) -> None:
    weighing = json.loads(tab.text_content("#weighing"))
    count = 0
    for name, use_case in weighing["use_cases"].items():
        tab.select_option("[name=use-case]", name)
        rows = tab.eval_on_selector_all(
            "#changes tbody tr", "rows => rows.map(row => [row.cells[0].textContent, row.cells[2].textContent])"
        )
        for flip in (flip for flip in use_case["decision"]["flips"] if flip["at"] < 1):
            text = dict(rows)[weighing["criteria"][flip["criterion"]]["about"]]
            assert f"{round(100 * flip['at'])} %" in text, (name, flip)
            assert flip["to"] in text, (name, flip)
            count += 1
    assert count


def test_downloads_are_complete(tab: Tab, run: Path, tmp_path: Path) -> None:
    report = build_report(run)
    for name, content in (("report.json", to_json(report)), ("metrics.csv", formats.as_csv(report))):
        with tab.expect_download() as download:
            tab.click(f"a.raw >> text={name}")
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_text() == content


def test_the_page_is_readable_without_javascript(browser: Browser, run: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run / "report.html").resolve().as_uri())
    assert page.locator("#answer .headline").count() == 1
    assert page.locator("table.heat tbody tr").count() == 4
    assert page.locator("#cells tbody tr:visible").count() == 7
    assert not page.locator("#filters").is_visible()
    assert page.locator("details >> text=As a table").count() >= 4
    context.close()
