"""Framework profiles: what was measured, what was looked up, and nothing that is unknown."""

from pathlib import Path

import pytest

from crossframe.backends.manifest import Fact
from crossframe.harness.records.model import EnvironmentCost, ParitySummary
from crossframe.harness.report import formats
from crossframe.harness.report.document import build_report
from crossframe.harness.report.framework_profiles import LOOKED_UP, measured_rows
from crossframe.harness.report.model import Share
from crossframe.harness.report.page.page import write_page
from crossframe.harness.worker.states import State
from tests.support.pages import (
    HOSTILE,
    STEPS_S,
    TITLES,
    Elements,
    install_backends,
    make_backend,
    make_three,
    read_profile,
    write_html,
)
from tests.support.synthetic import make_record, make_repeats, save_run

SOURCE = "https://example.org/licence, as of May"
FACTS = {
    "licence": Fact(value="MIT", date="2026-11-21", source=SOURCE),
    "maintained": Fact(value=False, date="2026-11-21", source=SOURCE, note="retired"),
}


@pytest.fixture
def profiled_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of three backends, of which `a` is installed and fails parity in one of three tasks."""
    install_backends(monkeypatch, make_backend(tmp_path / "a", "a", FACTS))
    failed = ParitySummary(State.FAILED, "gates are swapped", None)
    records = [*make_three(), *make_repeats("a", STEPS_S, cell={"task": "cnn"})]
    records += make_repeats("a", STEPS_S, cell={"task": "lstm"}, parity=failed)
    return save_run(tmp_path / "run", records, TITLES)


def test_a_profile_contains_what_was_measured(profiled_run: Path) -> None:
    profiles = build_report(profiled_run).profiles
    assert [profile.title for profile in profiles] == list(TITLES.values())
    measured = profiles[0].measured
    assert (measured.environment_bytes, measured.packages, measured.backend_lines) == (10**9, 2, 10)
    assert measured.exports == Share(3, 3)
    assert measured.verified == Share(2, 3)
    assert measured.import_s == (1.0, 1.0, 1.0)
    rows = dict(measured_rows(profiles[0]))
    assert rows["environment on disk"] == "1,000 MB"
    assert rows["time to install it"] == "5 s"
    assert rows["defects found by parity"] == "lstm eager: gates are swapped"


def test_the_page_shows_a_profile_with_dates_and_sources(profiled_run: Path) -> None:
    html = write_page(profiled_run).read_text()
    rows = read_profile(html, "a")
    assert rows.items() >= dict(measured_rows(build_report(profiled_run).profiles[0])).items()
    assert rows.keys() >= LOOKED_UP.keys()
    assert rows["licence"] == "MIT looked up 2026-11-21, example.org, as of May"
    assert rows["maintained"].startswith("no: retired")
    assert rows["community"] == "unknown"
    assert f'<a href="{SOURCE.partition(",")[0]}"' in html


def test_a_backend_that_is_no_longer_installed_has_unknown_facts(profiled_run: Path) -> None:
    html = write_page(profiled_run).read_text()
    rows = read_profile(html, "b")
    assert rows["packages in it"] == rows["code of its backend"] == rows["licence"] == "unknown"
    assert rows["environment on disk"] == "1,000 MB"
    assert "no longer installed here" in html


def test_markdown_has_a_column_per_framework(profiled_run: Path) -> None:
    text = formats.as_markdown(build_report(profiled_run))
    assert f"| licence | MIT (looked up 2026-11-21, {SOURCE}) | unknown | unknown |" in text
    assert "| packages in it | 2 pinned | unknown | unknown |" in text


def test_pins_that_changed_since_the_run_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_backends(monkeypatch, make_backend(tmp_path / "a", "a", {}))
    older = make_record("a", 1, 0.01, measurements={"versions": {"a": "0.9"}})
    assert build_report(save_run(tmp_path / "older", [older])).profiles[0].measured.packages is None
    current = make_record("a", 1, 0.01)
    assert build_report(save_run(tmp_path / "current", [current])).profiles[0].measured.packages == 2


def test_environments_of_the_user_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_backends(monkeypatch, make_backend(tmp_path / "a", "a", {}))
    run = save_run(tmp_path / "run", [make_record("a", 1, 0.01, environment=EnvironmentCost(None, None))])
    assert build_report(run).profiles[0].measured.packages is None
    assert read_profile(write_page(run).read_text(), "a")["environment on disk"] == "unknown"


def test_hostile_facts_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'javascript:alert(3) https://example.org/<img> data:text/html,x http://"onclick=alert(4)'
    fact = Fact(value=HOSTILE, note=HOSTILE, date=HOSTILE, source=source)
    install_backends(monkeypatch, make_backend(tmp_path / "a", "a", dict.fromkeys(LOOKED_UP.values(), fact)))
    elements = Elements(write_html(tmp_path, make_three(), dict.fromkeys("abc", HOSTILE)))
    assert "img" not in elements.tags
    assert elements.handlers == []
    links = {
        attributes["href"]
        for tag, attributes in elements.elements
        if tag == "a" and attributes.get("rel") == "noreferrer"
    }
    assert links == {"https://example.org/"}
    text = formats.as_markdown(build_report(tmp_path / "run"))
    assert "<script" not in text
    assert "<img" not in text
