"""Charts: one axis for all ratios, missing variants with reasons, colours of frameworks, criteria without weight."""

import json

import pytest

from crossframe.harness.report.page.plotly_panels import COLOURS
from tests.browser.conftest import Tab
from tests.browser.test_page import scroll_to, set_weight

pytestmark = pytest.mark.browser


def read_ratio_charts(tab: Tab) -> list[dict[str, object]]:
    charts: list[dict[str, object]] = tab.evaluate(
        """[...document.querySelectorAll('#ratio .plot')].map(plot => ({
            range: plot.layout.xaxis.range, names: plot.data[0].y, colors: plot.data[0].marker.color,
            values: plot.data[0].x, title: plot.layout.xaxis.title.text}))"""
    )
    return charts


def test_all_panels_of_ratios_share_their_axis(tab: Tab) -> None:
    scroll_to(tab, "ratio")
    for metric in ("train_samples_per_s", "step_s"):
        tab.select_option("[name=metric]", metric)
        first, second = read_ratio_charts(tab)
        assert first["range"] == second["range"]
        assert first["values"] != second["values"]
        better = "right is better" if metric == "train_samples_per_s" else "left is better"
        assert better in str(first["title"])


def test_the_ratios_of_a_metric_survive_another_and_back(tab: Tab) -> None:
    scroll_to(tab, "ratio")
    before = read_ratio_charts(tab)
    tab.select_option("[name=metric]", "host_peak_bytes")
    assert read_ratio_charts(tab) != before
    assert "host peak MB" in tab.text_content("#ratio table.beside thead")
    tab.select_option("[name=metric]", "train_samples_per_s")
    for chart, original in zip(read_ratio_charts(tab), before, strict=True):
        assert dict(zip(chart["names"], chart["values"])) == pytest.approx(  # type: ignore[call-overload]
            dict(zip(original["names"], original["values"])),  # type: ignore[call-overload]
            rel=1e-4,
        )


def test_what_is_not_drawn_is_named_with_its_reason(tab: Tab) -> None:
    scroll_to(tab, "ratio")
    assert tab.locator("#ratio .missing").first.inner_text() == "d eager is not drawn: the cell is failed"
    tab.select_option("[name=metric]", "step_s")
    assert "d eager is not drawn" in tab.locator("#ratio .missing").first.inner_text()


def test_colours_of_frameworks_are_used_for_nothing_else(tab: Tab) -> None:
    for section in ("ratio", "trade", "start"):
        scroll_to(tab, section)
    colors = tab.evaluate("JSON.parse(document.querySelector('#page-data').textContent).colors")
    assert list(colors.values()) == list(COLOURS[: len(colors)])
    assert all(chart["colors"] for chart in read_ratio_charts(tab))
    for content in tab.eval_on_selector_all("#start figure script", "scripts => scripts.map(s => s.textContent)"):
        for trace in json.loads(content)["data"]:
            assert trace["marker"]["color"] not in COLOURS
    legend = tab.eval_on_selector_all("#ratio .legend path", "paths => paths.map(path => path.getAttribute('fill'))")
    assert legend == list(COLOURS[: len(colors)])


def test_criteria_without_weight_are_hidden(tab: Tab) -> None:
    assert tab.locator("[data-criterion=host_peak_bytes]").is_visible()
    assert not tab.locator("[data-criterion=onnx_bytes]").is_visible()
    criteria = json.loads(tab.text_content("#weighing"))["criteria"]
    tab.eval_on_selector("#changes", "table => { table.closest('details').open = true; }")
    assert criteria["onnx_bytes"]["about"] not in tab.inner_text("#changes")
    tab.check("[name=zeros]")
    assert tab.locator("[data-criterion=onnx_bytes]").is_visible()
    assert criteria["onnx_bytes"]["about"] in tab.inner_text("#changes")


def test_two_candidates_have_a_verdict(tab: Tab) -> None:
    tab.click("nav a >> text=Two candidates")
    tab.select_option("[name=a]", "Alpha eager")
    tab.select_option("[name=b]", "Beta eager")
    verdict = tab.inner_text("#pair-verdict")
    assert verdict.startswith("Training speed: Alpha eager is better on 2 of 2 workloads.")
    assert "At the weights above for research, Alpha scores" in verdict
    rows = tab.locator("#pair-table tbody tr")
    assert rows.count() == 2
    assert "Alpha eager 1.50x" in rows.nth(0).inner_text()
    assert "Beta eager 2.00x" in rows.nth(0).inner_text()  # half the memory
    set_weight(tab, "host_peak_bytes", 10)
    assert tab.inner_text("#pair-verdict") != verdict
    tab.select_option("[name=b]", "Gamma eager")
    assert "equal on 2 of 2 workloads" in tab.inner_text("#pair-verdict")
    tab.select_option("[name=b]", "Alpha eager")
    assert tab.inner_text("#pair-verdict") == "Choose two different candidates."
