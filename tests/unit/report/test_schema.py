"""The published schema of reports is the one generated from the types, and reports follow it."""

import json
from pathlib import Path

import jsonschema
import pytest

from crossframe.harness.records.schemas import FOLDER, build_schema, to_text
from crossframe.harness.report.document import build_report
from crossframe.harness.report.formats import as_json
from crossframe.harness.report.model import Report
from tests.support.pages import make_failure, make_three
from tests.support.synthetic import save_run


def test_the_committed_schema_is_generated_from_the_types() -> None:
    committed = (FOLDER / "report.json").read_text()
    assert committed == to_text(build_schema(Report)), "run `python -m crossframe.harness.report.schema`"


def test_a_report_follows_the_schema(tmp_path: Path) -> None:
    report = json.loads(as_json(build_report(save_run(tmp_path / "run", [*make_three(), make_failure("d")]))))
    schema = json.loads((FOLDER / "report.json").read_text())
    jsonschema.validate(report, schema)
    del report["cells"][0]["metrics"]
    with pytest.raises(jsonschema.ValidationError, match="metrics"):
        jsonschema.validate(report, schema)
