"""The report as Markdown and as JSON."""

from pathlib import Path

from crossframe.harness.records.codec import to_json
from crossframe.harness.report import formats
from crossframe.harness.report.document import build_report
from tests.support.pages import make_failure, make_three
from tests.support.synthetic import make_record, save_run


def test_markdown_fits_into_a_pull_request(tmp_path: Path) -> None:
    records = [make_record("a", 1, 0.01, cell={"batch_size": size}) for size in range(1, 500)]
    records += [make_failure("b", reason="long " * 50, cell={"batch_size": size}) for size in range(1, 500)]
    text = formats.as_markdown(build_report(save_run(tmp_path / "run", records)))
    assert 50_000 < len(text.encode()) < 64_000
    assert "more cells: crossframe report" in text
    assert "more notes" in text


def test_json_of_the_report_is_the_report(tmp_path: Path) -> None:
    report = build_report(save_run(tmp_path / "run", make_three()))
    assert formats.as_json(report) == to_json(report, indent=1) + "\n"
