"""The first screen, the layout at 1280 and 390 pixels, themes, and accessibility."""

from pathlib import Path

import pytest

from tests.browser.conftest import Browser, Tab, visit

pytestmark = pytest.mark.browser


def test_the_first_screen_answers_without_scrolling(tab: Tab) -> None:
    """Who, where, how sure, and on what machine: all within 1280 x 800 pixels."""
    for selector in (".headline", "table.heat", "#findings", "#facts"):
        box = tab.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= 800, selector
        assert box["x"] + box["width"] <= 1280, selector
    facts = tab.inner_text("#facts")
    for name in ("Machine", "Versions", "Modes", "How sure"):
        assert name in facts


def test_the_table_fits_into_1280_pixels(tab: Tab) -> None:
    assert tab.evaluate("document.querySelector('#cells').getBoundingClientRect().right") <= 1280


def test_columns_are_chosen_and_kept_in_the_address(tab: Tab, run: Path) -> None:
    assert not tab.locator("th[data-sort=step_s]").is_visible()
    tab.click("text=Columns >> nth=0")
    tab.check("[name=column][value=step_s]")
    tab.uncheck("[name=column][value=host_peak_bytes]")
    for _ in range(2):  # second time, from the address
        assert tab.locator("th[data-sort=step_s]").is_visible()
        assert not tab.locator("th[data-sort=host_peak_bytes]").is_visible()
        assert not tab.locator("#cells tbody tr td:last-child >> nth=0").is_visible()
        visit(tab, run, tab.evaluate("location.hash"))


def test_intervals_are_shown_in_full_on_request(tab: Tab) -> None:
    read = "getComputedStyle(document.querySelector('#cells tbody td:nth-child(5)'), '::after').content"
    assert tab.evaluate(read) == "none"
    tab.check("[name=full]")
    assert " to " in tab.evaluate("document.querySelector('#cells tbody td:nth-child(5)').title")
    assert tab.evaluate(read) != "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_has_cards_and_does_not_scroll_sideways(browser: Browser, run: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    visit(page, run)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("table.heat", "#cells tbody tr >> nth=0"):
        box = page.locator(selector).bounding_box()
        assert box["x"] + box["width"] <= 390, selector
    assert not page.locator("#cells thead").is_visible()
    label = "getComputedStyle(document.querySelector('#cells tbody td:nth-child(5)'), '::before').content"
    assert page.evaluate(label) == '"training samples/s"'
    context.close()


def test_the_theme_is_switched_and_kept(tab: Tab, run: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.select_option("[name=theme]", "dark")
    dark = tab.evaluate(ground)
    assert dark != light
    visit(tab, run)
    assert tab.evaluate(ground) == dark
    tab.select_option("[name=theme]", "")
    assert tab.evaluate(ground) == light


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_violation(browser: Browser, run: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'crossframe[browser]'")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    visit(page, run)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    context.close()
