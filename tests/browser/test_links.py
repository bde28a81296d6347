"""Links, views and files: the state survives navigation, is copied and saved; charts are saved as images."""

from pathlib import Path

import pytest

from tests.browser.conftest import Tab, visit
from tests.browser.test_page import read_column, scroll_to, set_weight

pytestmark = pytest.mark.browser


def test_filters_and_weights_survive_links_within_the_page(tab: Tab, run: Path) -> None:
    tab.select_option("[name=task]", "lstm")
    set_weight(tab, "host_peak_bytes", 7)
    tab.click("nav a >> text=Decision")
    assert tab.evaluate("document.querySelector('#decision').getBoundingClientRect().top") < 400
    address = tab.evaluate("location.hash")
    assert "task=lstm" in address
    assert "at=decision" in address
    visit(tab, run, address)
    assert len(read_column(tab)) == 3
    assert tab.input_value("[name='w.host_peak_bytes']") == "7"
    assert tab.evaluate("document.querySelector('#decision').getBoundingClientRect().top") < 400


def test_an_anchor_alone_is_an_address(tab: Tab, run: Path) -> None:
    visit(tab, run, "#raw")
    assert tab.evaluate("document.activeElement.id") == "raw"
    assert len(read_column(tab)) == 7


def test_the_way_back_restores_the_state(tab: Tab) -> None:
    tab.click("nav a >> text=Raw data")
    tab.select_option("[name=task]", "lstm")
    tab.go_back()
    tab.wait_for_function("!location.hash.includes('task')")
    assert len(read_column(tab)) == 7


def test_findings_lead_to_their_evidence(tab: Tab) -> None:
    for index in range(tab.locator("#findings a").count()):
        link = tab.locator("#findings a").nth(index)
        target = link.get_attribute("href").removeprefix("#")
        link.click()
        assert tab.evaluate("document.activeElement.id") == target


def test_the_link_is_copied(tab: Tab) -> None:
    tab.select_option("[name=task]", "lstm")
    tab.click("[name=copy]")
    tab.wait_for_selector("text=Copied")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.evaluate("location.href")


def test_views_are_saved_opened_and_deleted(tab: Tab, run: Path) -> None:
    tab.select_option("[name=task]", "lstm")
    tab.click("text=Saved views")
    tab.fill("[name=view]", "only lstm <b>")
    tab.click("[name=save]")
    visit(tab, run)
    assert len(read_column(tab)) == 7
    tab.click("text=Saved views")
    tab.click("#views button >> text=only lstm <b>")
    tab.wait_for_function("document.querySelector('[name=task]').value === 'lstm'")
    assert len(read_column(tab)) == 3
    tab.click("[aria-label='Delete the view only lstm <b>']")
    assert tab.locator("#views li").count() == 0


@pytest.mark.parametrize(("label", "start"), [("SVG", b"<svg"), ("PNG", b"\x89PNG")])
@pytest.mark.parametrize("holder", ["#heat", "#trade figure >> nth=0", "#decision"])
def test_charts_are_saved_as_images(tab: Tab, tmp_path: Path, holder: str, label: str, start: bytes) -> None:
    if holder == "#decision":
        tab.evaluate("document.querySelector('#flips').scrollIntoView()")
        tab.wait_for_selector("#flips .main-svg")
    elif holder != "#heat":
        scroll_to(tab, "trade")
    with tab.expect_download() as download:
        tab.locator(holder).locator(f".save button >> text={label}").first.click()
    download.value.save_as(tmp_path / "image")
    content = (tmp_path / "image").read_bytes()
    assert content.startswith(start)
    assert len(content) > 1000
    assert download.value.suggested_filename.endswith(f".{label.lower()}")


def test_the_image_of_the_heat_map_has_its_texts(tab: Tab, tmp_path: Path) -> None:
    with tab.expect_download() as download:
        tab.click("#heat .save button >> text=SVG")
    download.value.save_as(tmp_path / "heat.svg")
    svg = (tmp_path / "heat.svg").read_text()
    for text in ("Alpha eager", "circle", "geometric mean", "tie"):
        assert text in svg
