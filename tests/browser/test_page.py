"""The page in a real browser: it sorts, filters, weighs again, keeps its state in the address and complains of nothing.

Needs the extra `browser` and a Chromium; where either is missing, and in CI, it is skipped with the reason.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.analysis import labels
from crossframe.harness.report import document, formats, framework_profiles
from crossframe.harness.report.page import page as pages
from crossframe.harness.report.page.ratios import text
from tests.support.synthetic import repeats, write_run
from tests.unit.report.test_page import STEPS, TITLES, failed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
driver = pytest.importorskip("playwright.sync_api", reason="no browser tests: pip install 'crossframe[browser]'")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no browser tests: no Chromium on the path; apt install chromium"),
    pytest.mark.skipif("CI" in os.environ, reason="no browser tests in CI"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three backends in two tasks, of which the slowest takes the least memory, and a cell that failed."""
    found = [
        one
        for task in ("circle", "lstm")
        for name, factor, peak in (("a", 1.0, 10**8), ("b", 1.5, 5 * 10**7), ("c", 1.005, 10**8))
        for one in repeats(
            name, [factor * step for step in STEPS], cell={"task": task}, measures={"host_peak_bytes": peak}
        )
    ]
    folder = write_run(tmp_path_factory.mktemp("browser") / "run", [*found, failed("d")], TITLES)
    pages.write(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with driver.sync_playwright() as started:
        own = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield own
        own.close()


@pytest.fixture
def opened(browser: Any, run: Path) -> Iterator[Any]:
    """The page; afterwards it must have complained of nothing, and have asked nobody."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    visit(tab, run)
    yield tab
    context.close()
    assert said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked


def visit(tab: Any, run: Path, state: str = "") -> None:
    tab.goto("about:blank")
    tab.goto((run / "report.html").resolve().as_uri() + state)
    tab.wait_for_selector("body[data-ready=yes]")


def shown(tab: Any, column: int = 1) -> list[str]:
    return tab.eval_on_selector_all(
        "#cells tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{column}].dataset.value)"
    )


def test_sorts_either_way_and_by_the_address(opened: Any, run: Path) -> None:
    opened.click("th[data-sort=step_s] button")
    values = [value for value in shown(opened, 5) if value]
    assert values == sorted(values, key=float) and shown(opened, 5)[-1] == ""
    opened.click("th[data-sort=step_s] button")
    assert opened.get_attribute("th[data-sort=step_s]", "aria-sort") == "descending"
    assert [value for value in shown(opened, 5) if value] == values[::-1]
    visit(opened, run, opened.evaluate("location.hash"))
    assert [value for value in shown(opened, 5) if value] == values[::-1]


def test_filters_and_keeps_them_in_the_address(opened: Any, run: Path) -> None:
    opened.select_option("[name=task]", "lstm")
    opened.fill("[name=text]", "Beta eager")
    assert shown(opened) == ["Beta eager"] and opened.inner_text("#count") == "1 of 7 cells"
    visit(opened, run, opened.evaluate("location.hash"))
    assert shown(opened) == ["Beta eager"]
    opened.click("#filters button[type=reset]")
    assert opened.inner_text("#count") == "7 of 7 cells"
    opened.select_option("[name=mark]", "state")
    assert shown(opened) == ["d eager"]


def test_ratios_to_any_baseline_are_those_of_the_json(opened: Any, run: Path) -> None:
    opened.select_option("[name=base]", "Beta eager")
    told = document.document(run)
    titled = {f"{name} eager": f"{title} eager" for name, title in TITLES.items()}
    pairs = {
        (one["task"], one["metric"], titled[one["a"]], titled[one["b"]]): one["ratio"] for one in told["comparisons"]
    }
    for row in opened.query_selector_all("#cells tbody tr"):
        task, candidate = row.get_attribute("data-task"), row.get_attribute("data-candidate")
        for cell in row.query_selector_all("td[data-metric]"):
            metric, place = cell.get_attribute("data-metric"), cell.query_selector(".ratio")
            there, back = ((task, metric, *pair) for pair in ((candidate, "Beta eager"), ("Beta eager", candidate)))
            ratio = pairs.get(there) or (1 / pairs[back] if back in pairs else None)
            said = place.text_content() if place else ""
            assert (said == "") == (ratio is None), (candidate, metric)
            if ratio:
                assert float(said.partition("x")[0]) == pytest.approx(ratio, abs=0.006)
    assert "ratio to Beta eager" in opened.text_content("#ratio .plot")
    assert "base=Beta+eager" in opened.evaluate("location.hash")


def test_numbers_are_those_of_the_json(opened: Any, run: Path) -> None:
    told = document.document(run)
    for row, cell in zip(opened.query_selector_all("#cells tbody tr"), told["cells"], strict=True):
        for one in row.query_selector_all("td[data-metric]"):
            value = one.get_attribute("data-value")
            metric = one.get_attribute("data-metric")
            if metric:
                figure = cell["metrics"][metric]
                assert (float(value) if value else None) == figure["value"]
                divisor = labels.COLUMNS[metric][1] if metric in labels.COLUMNS else 1
                assert one.evaluate("cell => cell.firstChild.textContent.trim()") == text(figure, divisor)
    drawn = opened.evaluate("document.querySelector('#ratio .plot').data[0].x.length")
    assert drawn == 3
    for card in told["cards"]:
        rows = opened.eval_on_selector_all(
            f".card[data-backend={card['backend']}] dl > div",
            "rows => rows.map(row => [...row.children].map(e => e.textContent))",
        )
        assert dict(rows).items() >= dict(framework_profiles.shown(card)).items()


def test_charts_hold_the_numbers_of_the_json(opened: Any, run: Path) -> None:
    told = document.document(run)
    metrics = {(cell["task"], TITLES.get(cell["backend"]), cell["mode"]): cell["metrics"] for cell in told["cells"]}
    seen = 0
    for section, across in (("trade", ("step_s", 1e3)), ("start", ("import_s", 1))):
        opened.evaluate(f"document.querySelector('#{section}').scrollIntoView()")
        opened.wait_for_selector(f"#{section} .plot .main-svg")
        for figure in opened.query_selector_all(f"#{section} figure"):
            task, drawn = (figure.query_selector(part).text_content() for part in ("figcaption", "script"))
            for line in json.loads(drawn)["data"]:
                if line.get("name") in (None, "prepare", "first step"):
                    continue
                names = [line["name"]] if section == "trade" else line["y"]
                for name, value in zip(names, line["x"], strict=True):
                    title, mode = name.rsplit(" ", 1)
                    assert value == pytest.approx(metrics[task, title, mode][across[0]]["value"] * across[1])
                    seen += 1
    assert seen == 12


def test_words_open_what_they_mean(opened: Any) -> None:
    assert not opened.locator("#word-tier").is_visible()
    opened.click("a.word >> text=tier")
    assert opened.locator("#word-tier").is_visible()


def test_weights_are_weighed_again(opened: Any, run: Path) -> None:
    def weigh(name: str, weight: float) -> None:
        opened.eval_on_selector(
            f"[name='w.{name}']",
            "(one, weight) => { one.value = weight; one.dispatchEvent(new Event('input', {bubbles: true})); }",
            weight,
        )

    before = opened.inner_text("#verdict")
    assert before.startswith("Not enough evidence") or "a" in before
    for name in opened.evaluate("JSON.parse(document.querySelector('#weighed').textContent).criteria"):
        weigh(name, 0)
    assert opened.inner_text("#verdict") == "All weights are 0, so that nothing counts."
    weigh("onnx_bytes", 5)
    visit(opened, run, opened.evaluate("location.hash"))
    assert opened.input_value("[name='w.onnx_bytes']") == "5"
    own = opened.evaluate("decodeURIComponent(document.querySelector('#own').href.split(',')[1])")
    assert json.loads(own)["onnx_bytes"] == 5
    opened.select_option("[name=profile]", "teaching")
    assert opened.input_value("[name='w.import_s']") == "3" and "maintained" in opened.inner_text("#limits")


def test_points_and_flips_of_the_page_are_those_of_decide(opened: Any) -> None:
    weighed = json.loads(opened.text_content("#weighed"))
    seen = 0
    for name, profile in weighed["profiles"].items():
        opened.select_option("[name=profile]", name)
        turns = opened.eval_on_selector_all(
            "#turns tbody tr", "rows => rows.map(row => [row.cells[0].textContent, row.cells[2].textContent])"
        )
        for flip in (one for one in profile["flips"] if one["at"] < 1):
            seen += 1
            line = dict(turns)[weighed["criteria"][flip["criterion"]]["about"]]
            assert f"{round(100 * flip['at'])} %" in line and flip["to"] in line, (name, flip, line)
    assert seen


def test_downloads_are_whole(opened: Any, run: Path, tmp_path: Path) -> None:
    told = document.document(run)
    for name, content in (("report.json", json.dumps(told)), ("figures.csv", formats.as_csv(told))):
        with opened.expect_download() as started:
            opened.click(f"a.raw >> text={name}")
        assert started.value.suggested_filename == name
        started.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_text() == content


def test_readable_without_javascript(browser: Any, run: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((run / "report.html").resolve().as_uri())
    assert tab.locator("#answer p").count() == 3 and tab.locator("#cells tbody tr:visible").count() == 7
    assert not tab.locator("#filters").is_visible() and tab.locator("details >> text=As a table").count() >= 4
    context.close()
