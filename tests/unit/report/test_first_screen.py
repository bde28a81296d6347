"""The first screen: heat map, findings, facts, flags and dialects."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import Backend
from crossframe.backends.manifest import Fact, KnownIssue
from crossframe.harness.analysis.ranking import group_by_family
from crossframe.harness.analysis.statistics import interval
from crossframe.harness.records.model import DialectEffect, GpuInfo, ParitySummary, Record
from crossframe.harness.records.portability import PortabilityState, RuntimeResult, Stage
from crossframe.harness.report.answer import label_families
from crossframe.harness.report.document import build_report
from crossframe.harness.report.model import Report
from crossframe.harness.report.page import run_facts
from crossframe.harness.report.page.dialect_table import list_dialects
from crossframe.harness.report.page.findings import list_findings
from crossframe.harness.report.page.flags import list_flags, summarize_flags
from crossframe.harness.report.page.geometric_means import mean_over_workloads, read_speeds
from crossframe.harness.report.page.heat_map import HeatMap, Place, build_heat_map
from crossframe.harness.report.page.page import write_page
from crossframe.harness.report.ratios import Ratios
from crossframe.harness.selftest.formats import summarize
from crossframe.harness.selftest.model import EqualPairs, SelftestReport, SlowedPairs
from crossframe.harness.worker.states import State
from tests.support.pages import (
    STEPS_S,
    TITLES,
    install_backends,
    make_backend,
    make_failure,
    make_three,
    read_answer,
    write_html,
)
from tests.support.synthetic import HOST, make_record, make_repeats, make_run_info, save_run

SELFTEST = summarize(
    SelftestReport([], [], EqualPairs(1, 0), SlowedPairs(0.05, 1, 1), 0.011, "2026-11-21", 12, "torch", "cpu")
)
OLDER_SELFTEST = (
    "selftest, 12 processes a side: of 1 equal pairs 0 were called different; of 1 slowed down by 5%, 1 were found; "
    "the least slowdown that the noise lets be seen is about 2.5% (2026-11-21T04:45:02+00:00)"
)


def map_heat(tmp_path: Path, records: Sequence[Record]) -> HeatMap:
    report = build_report(save_run(tmp_path / "run", records))
    families = group_by_family(report.cells)
    return build_heat_map(families, label_families(families), Ratios(report.comparisons), read_speeds(records))


def test_the_heat_map_is_relative_to_the_fastest_and_ordered(tmp_path: Path) -> None:
    heat_map = map_heat(tmp_path, make_three((3.0, 1.0, 1.5)))
    assert heat_map.columns == ["circle"]
    assert [row.variant for row in heat_map.rows] == ["b eager", "c eager", "a eager"]
    cells = [row.cells[0] for row in heat_map.rows]
    assert [cell.ratio for cell in cells] == pytest.approx([1, 1 / 1.5, 1 / 3])
    assert [cell.place for cell in cells] == [Place.FIRST, Place.BEHIND, Place.BEHIND]
    assert [cell.text for cell in cells] == ["1", "0.67", "0.33"]
    assert cells[0].heat == 10 > cells[1].heat > cells[2].heat > 0


def test_ties_are_visible(tmp_path: Path) -> None:
    heat_map = map_heat(tmp_path, make_three((1.0, 1.0, 3.0)))
    assert [row.cells[0].place for row in heat_map.rows] == [Place.TIE, Place.TIE, Place.BEHIND]
    assert [row.mean.reason for row in heat_map.rows] == ["first in 1 of 1"] * 2 + ["first in 0 of 1"]


def test_the_mean_is_geometric_and_needs_all_workloads(tmp_path: Path) -> None:
    second = make_three((4.0, 1.0, 1.0), cell={"task": "cnn"})
    heat_map = map_heat(tmp_path, [*make_three((1.0, 1.0, 4.0)), *second, *make_repeats("d", STEPS_S)])
    means = {row.variant: row.mean for row in heat_map.rows}
    assert means["b eager"].ratio == pytest.approx(1.0)
    assert means["a eager"].ratio == pytest.approx(0.5)
    assert means["d eager"].ratio is None
    assert means["d eager"].note == "1 of 2"
    assert heat_map.rows[-1].variant == "d eager"
    assert heat_map.rows[-1].cells[1].reason == "not in this run"


def test_the_mean_has_an_interval_over_shared_rounds() -> None:
    noise = (1.0, 1.2, 0.9, 1.1, 0.95)
    speeds = read_speeds(
        [
            *make_repeats("a", [0.01] * 5),
            *make_repeats("b", [0.02 * factor for factor in noise]),
            *make_repeats("a", [0.01] * 6, cell={"task": "cnn"}),
            *make_repeats("b", [0.08 * factor for factor in noise], cell={"task": "cnn"}),
        ]
    )
    a, b, a_cnn, b_cnn = speeds
    mean = mean_over_workloads([(b, a), (b_cnn, a_cnn)], speeds)
    assert mean is not None
    expected = interval([0.25 / factor for factor in noise])
    assert (mean.value, mean.low, mean.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert mean_over_workloads([(b, a), (b_cnn, replace(a_cnn, batch_size=1))], speeds) is None


def test_failures_and_unranked_cells_are_shown_with_their_reason(tmp_path: Path) -> None:
    unverified = make_repeats("d", STEPS_S, parity=ParitySummary(State.FAILED, "gradient differs", None))
    heat_map = map_heat(tmp_path, [*make_three(), *unverified, make_failure("e", reason="no memory")])
    cells = {row.variant: row.cells[0] for row in heat_map.rows}
    assert (cells["e eager"].place, cells["e eager"].reason) == (Place.MISSING, "no memory")
    assert cells["d eager"].place == Place.OPEN
    assert "parity is failed" in cells["d eager"].reason
    html = write_html(tmp_path / "page", [*make_three(), make_failure("e", reason="no memory")])
    assert "no memory" in html.partition('class="heat"')[2].partition("</table>")[0]


def test_too_few_repeats_are_not_called_fastest(tmp_path: Path) -> None:
    heat_map = map_heat(tmp_path, [make_record(name, 1, step_s) for name, step_s in (("a", 0.01), ("b", 0.02))])
    assert [row.cells[0].place for row in heat_map.rows] == [Place.OPEN, Place.OPEN]
    assert "not enough evidence" in heat_map.rows[0].cells[0].reason


def test_many_workloads_are_a_column_per_task(tmp_path: Path) -> None:
    records = [
        record
        for size in range(1, 10)
        for name, factor in (("a", 1.0), ("b", 2.0))
        for record in make_repeats(name, [factor * step_s for step_s in STEPS_S], cell={"batch_size": size})
    ]
    heat_map = map_heat(tmp_path, records)
    assert (heat_map.columns, heat_map.is_mean) == (["circle"], True)
    assert heat_map.rows[1].cells[0].ratio == pytest.approx(0.5)
    assert heat_map.rows[0].cells[0].reason == "first in 9 of 9"


def list_texts(tmp_path: Path, records: Sequence[Record]) -> list[str]:
    report = build_report(save_run(tmp_path / "run", records))
    labels = label_families(group_by_family(report.cells))
    return [finding.text for finding in list_findings(report, labels, Ratios(report.comparisons), ["ratio"])]


def test_findings_name_the_leader_of_each_metric(tmp_path: Path) -> None:
    texts = list_texts(tmp_path, make_three())
    assert "Shortest first step: a eager on circle (1.50x better than the next)." in texts
    assert not any(text.startswith("Least memory") for text in texts)  # all took the same


def test_the_interval_of_an_advantage_is_in_its_finding(tmp_path: Path) -> None:
    noise = (1.0, 1.04, 0.97, 1.02, 0.95, 1.01, 0.99)
    slow = make_repeats("b", [2 * factor * step_s for factor, step_s in zip(noise, STEPS_S)])
    (text, *_) = list_texts(tmp_path, [*make_repeats("a", STEPS_S), *slow])
    assert re.fullmatch(
        r"a eager trains circle 2\.0\d*x as fast as b eager \(95 % interval 1\.9\d* to 2\.\d+\)\.", text
    )


def test_many_workloads_are_counted(tmp_path: Path) -> None:
    factors = {1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0, 5: 2.0, 6: 1.0}
    records = [
        record
        for size, factor in factors.items()
        for name, slowdown in (("a", 1.0), ("b", factor))
        for record in make_repeats(name, [slowdown * step_s for step_s in STEPS_S], cell={"batch_size": size})
    ]
    assert list_texts(tmp_path, records)[:2] == [
        "Fastest training: a eager on 5 of 6 workloads (2.00x better than the next).",
        "The first place is shared on 1 of 6 workloads.",
    ]


def test_a_tie_in_a_metric_is_no_finding(tmp_path: Path) -> None:
    assert not any(text.startswith("Shortest") for text in list_texts(tmp_path, make_three((1.0, 1.0, 3.0))))


def test_findings_are_linked_to_sections_that_exist(tmp_path: Path) -> None:
    html = write_html(tmp_path, [*make_three(), make_failure("d")])
    targets = re.findall(r'<li id="finding-\d+">.*?<a href="#([\w-]+)"', html)
    assert len(targets) >= 3
    assert "problems" in targets
    for target in targets:
        assert f'id="{target}"' in html


def make_facts(tmp_path: Path, selftest: str | None = None) -> dict[str, str]:
    records = make_three()
    gpu = GpuInfo("H100", "550", 80 * 10**9, "9.0")
    host = replace(
        HOST, cpu="EPYC", processors=4, affinity=[0, 1], memory_bytes=25 * 10**9, gpus=[gpu], system="Debian"
    )
    info = replace(make_run_info("run", records, TITLES), host=host, selftest=selftest)
    report = build_report(save_run(tmp_path / "run", records, info=info))
    return {fact.name: fact.text for fact in run_facts.list_facts(report, {}, 2)}


def test_machine_versions_and_certainty_are_facts(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)
    assert facts["Machine"] == "EPYC, 2 of 4 processors, 25 GB, H100, Debian"
    assert facts["Versions"] == "Alpha 1.0, Beta 1.0, Gamma 1.0"
    assert facts["How sure"].startswith("7 processes per cell, 95 % intervals over processes; resolution")
    assert facts["Warnings"] == "2 warnings about this run"


@pytest.mark.parametrize(("selftest", "percent"), [(SELFTEST, "1.1%"), (OLDER_SELFTEST, "2.5%")])
def test_a_good_selftest_is_a_fact_and_no_notice(tmp_path: Path, selftest: str, percent: str) -> None:
    assert f"differences from about {percent} on are found" in make_facts(tmp_path, selftest)["How sure"]
    html = write_page_of(tmp_path / "page", selftest)
    assert "Self-test of this machine" not in html


def write_page_of(folder: Path, selftest: str | None) -> str:
    records = make_three()
    info = replace(make_run_info("run", records), selftest=selftest)
    save_run(folder / "run", records, info=info)
    return write_page(folder / "run").read_text()


@pytest.mark.parametrize(
    ("before", "after"), [("pairs 0 were", "pairs 1 were"), ("5%, 1 were", "5%, 0 were")], ids=["false alarm", "missed"]
)
def test_a_failed_selftest_is_a_notice(tmp_path: Path, before: str, after: str) -> None:
    html = write_page_of(tmp_path, SELFTEST.replace(before, after))
    assert "Self-test of this machine" in html
    assert "self-test passed" not in html


def test_measured_modes_and_others_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make_backend(tmp_path / "a", "a", {})
    backend = replace(backend, manifest=replace(backend.manifest, modes=("eager", "compiled")))
    install_backends(monkeypatch, backend)
    answer = read_answer(write_html(tmp_path, make_three(), TITLES))
    assert "Alpha eager (not measured: compiled); Beta eager; Gamma eager" in answer


def flag_texts(report: Report, backends: Mapping[str, Backend]) -> list[str]:
    return [f"{flag.title}: {flag.short}: {flag.text}" for flag in list_flags(report, backends)]


def test_issues_of_a_framework_are_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retired = Fact(value=False, date="2026-11-21", source="https://example.org", note="retired")
    backend = make_backend(tmp_path / "a", "a", {"maintained": retired})
    issue = KnownIssue(text="adds one", date="2026-11-21", source="a script")
    backend = replace(backend, manifest=replace(backend.manifest, known_issues=(issue,) * 2))
    install_backends(monkeypatch, backend)
    failed = ParitySummary(State.FAILED, "gates are swapped", None)
    records = [*make_three(), *make_repeats("b", STEPS_S, cell={"task": "lstm"}, parity=failed), make_failure("c")]
    result = RuntimeResult("circle", "c", "int8", "tract", 18, None, PortabilityState.WRONG, Stage.COMPARE, "far off")
    report = replace(build_report(save_run(tmp_path / "run", records)), portability=[result])
    assert flag_texts(report, {"a": backend}) == [
        "a: not maintained: retired",
        "a: known issue: adds one",
        "a: known issue: adds one",
        "b: fails parity: lstm eager: gates are swapped",
        "c: 1 failed cells: circle eager: failed",
        "c: 1 ONNX files wrong: circle in tract",
    ]
    assert summarize_flags(list_flags(report, {"a": backend}))["a"] == "not maintained, 2 x known issue"
    heat_map = write_page(tmp_path / "run").read_text().partition('class="heat"')[2].partition("</table>")[0]
    assert 'aria-label="Flags of a: not maintained, 2 x known issue"' in heat_map


def test_a_maintained_framework_has_no_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maintained = Fact(value=True, date="2026-11-21", source="https://example.org")
    backend = make_backend(tmp_path / "a", "a", {"maintained": maintained})
    install_backends(monkeypatch, backend)
    assert list_flags(build_report(save_run(tmp_path / "run", make_three())), {"a": backend}) == []
    assert 'id="flags"' not in write_page(tmp_path / "run").read_text()


def test_dialects_are_one_table_with_their_effect(tmp_path: Path) -> None:
    def verify(effect: DialectEffect) -> ParitySummary:
        return ParitySummary(State.OK, None, None, effect)

    known = verify(DialectEffect({"adam_epsilon": "inside_root"}, "accuracy", 0.95, 0.94))
    unknown = verify(DialectEffect({"adam_epsilon": "before_correction"}, "accuracy", None, None))
    records = [*make_repeats("a", STEPS_S, parity=known), *make_repeats("b", STEPS_S, parity=unknown)]
    rows = list_dialects(build_report(save_run(tmp_path / "run", records)).cells)
    assert [(row.backend, row.settings) for row in rows] == [
        ("a", "adam epsilon: inside root"),
        ("b", "adam epsilon: before correction"),
    ]
    assert rows[0].effect == "accuracy 0.94 instead of 0.95, a change of -1.0e-02"
    assert rows[1].effect == ""
    html = write_html(tmp_path / "page", records)
    assert html.count("crossframe parity --dialect-effects") == 1
    assert html.count("not computed") == 1
    without = write_html(tmp_path / "unknown", make_repeats("b", STEPS_S, parity=unknown))
    assert "not computed" not in without
    assert "adam epsilon: before correction" in without
