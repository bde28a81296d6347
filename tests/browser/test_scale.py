"""The page of 10,000 records in a browser: soon painted, and its compressed parts are complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossframe.harness.report.page.page import write_page
from tests.browser.conftest import Browser, Tab, visit
from tests.support.synthetic import make_many_workloads, save_run

pytestmark = pytest.mark.browser
FIRST_PAINT_MS = 1000


@pytest.fixture(scope="module")
def wide_tab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder: Path = save_run(tmp_path_factory.mktemp("wide") / "run", make_many_workloads())
    write_page(folder)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    visit(page, folder)
    yield page
    context.close()
    assert errors == []


def test_the_first_paint_is_soon(wide_tab: Tab) -> None:
    assert wide_tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < FIRST_PAINT_MS


def test_all_rows_are_there_and_can_be_filtered(wide_tab: Tab) -> None:
    assert wide_tab.inner_text("#count") == "2000 of 2000 cells"
    assert wide_tab.locator("#cells tbody tr:visible").count() == 300
    wide_tab.select_option("[name=task]", "lstm")
    assert wide_tab.inner_text("#count") == "500 of 2000 cells"
    wide_tab.click("text=Show all of these rows")
    assert wide_tab.locator("#cells tbody tr:visible").count() == 500
    assert not wide_tab.locator("#all-rows").is_visible()
    wide_tab.select_option("[name=task]", "")


def test_the_slowest_of_all_rows_is_shown_first(wide_tab: Tab) -> None:
    read = "[...document.querySelectorAll('#cells tbody tr')].map(row => row.cells[4].dataset.value)"
    values = wide_tab.evaluate(read)
    wide_tab.click("th[data-sort=train_samples_per_s] button")
    assert wide_tab.evaluate(read) == sorted(values, key=float)
    assert wide_tab.locator("#cells tbody tr >> nth=0").is_visible()


def test_panels_are_shown_on_request(wide_tab: Tab) -> None:
    assert wide_tab.locator("#ratio figure").count() == 0
    wide_tab.click("#ratio details.packed summary")
    wide_tab.wait_for_selector("#ratio .plot .main-svg")
    assert wide_tab.locator("#ratio figure").count() == 500
    assert 0 < wide_tab.locator("#ratio .main-svg").count() < 100  # only those near the screen
