"""The published schemas: equal to the types that they are generated from, and valid."""

from typing import Any

import jsonschema
import pytest

from crossframe.harness.records import schemas
from crossframe.harness.records.codec import to_plain
from crossframe.harness.records.model import Record
from tests.support.synthetic import make_record

SCHEMA = schemas.build_schema(Record)


def test_the_committed_schema_is_that_of_the_type() -> None:
    committed = (schemas.FOLDER / "record.json").read_text()
    assert committed == schemas.to_text(SCHEMA), "run `python -m crossframe.harness.report.schema`"


def test_a_record_fits_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(to_plain(make_record("a", 1, 0.01)), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 1),
        (("job",), ""),
        (("repeat",), 0),
        (("wall_s",), -1),
        (("state",), "fine"),
        (("cell", "batch_size"), 0),
        (("measurements", "host_peak_bytes"), -1),
        (("measurements", "step_samples_s"), []),
        (("measurements", "step_samples_s"), [-0.1]),
        (("environment", "bytes"), -1),
        (("gpu",), {"device": "cuda:0", "other_processes": 0, "samples": {"at_s": []}}),
    ],
)
def test_values_outside_of_their_range_do_not_fit_the_schema(path: tuple[str, ...], value: object) -> None:
    plain = to_plain(make_record("a", 1, 0.01))
    part: dict[str, Any] = plain
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain, SCHEMA)
