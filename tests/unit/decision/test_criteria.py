"""The criteria, the use cases, the facts of the backends, and criteria files."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.decision import criteria
from crossframe.harness.decision.candidates import check_requirements
from crossframe.harness.decision.criteria import CRITERIA, USE_CASES
from crossframe.harness.errors import UsageError


@pytest.mark.parametrize("use_case", USE_CASES.values(), ids=list(USE_CASES))
def test_use_cases_weigh_criteria_and_require_facts(use_case: criteria.UseCase) -> None:
    assert use_case.weights.keys() <= CRITERIA.keys()
    assert sum(use_case.normalize_weights().values()) == pytest.approx(1)
    check_requirements(use_case.requirements, {})


def test_facts_of_our_backends_have_value_date_and_source() -> None:
    count = 0
    for backend in discover().values():
        for name, fact in backend.manifest.facts.items():
            assert date.fromisoformat(fact.date)
            assert fact.source
            assert isinstance(fact.value, bool if name in criteria.LOOKED_UP else str), f"{backend.name} {name}"
            count += 1
    assert count > 20


def test_a_factor_of_two_is_one_point() -> None:
    assert criteria.to_points("train_samples_per_s", 200) - criteria.to_points("train_samples_per_s", 100) == 1
    assert criteria.to_points("host_peak_bytes", 100) - criteria.to_points("host_peak_bytes", 200) == 1
    assert criteria.to_points("import_s", 0.01) - criteria.to_points("import_s", 0.02) < 0.03  # not noticed


def test_a_criteria_file_is_read(tmp_path: Path) -> None:
    weights = {**dict.fromkeys(CRITERIA, 0), "edge": 3, "import_s": 1}
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(weights))
    use_case = criteria.read_criteria(path)
    assert (use_case.name, use_case.requirements) == ("ours", ())
    assert use_case.normalize_weights() == {"import_s": 0.25, "edge": 0.75}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "can't be read"),
        ("{", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[1]", "is not one object"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"speed": 1}), "unknown criteria speed; available: "),
        (json.dumps({"maintained": 1}), "has no weight for distributed, edge"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": -1}), "the weight of edge is -1"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": True}), "the weight of edge is true"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": float("nan")}), "the weight of edge is NaN"),
        (json.dumps(dict.fromkeys(CRITERIA, 0)), "all weights are 0"),
    ],
)
def test_a_wrong_criteria_file_is_an_error(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "weights.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        criteria.read_criteria(path)


def test_a_pipe_is_no_criteria_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.json")
    with pytest.raises(UsageError, match="not a regular file"):
        criteria.read_criteria(tmp_path / "weights.json")
