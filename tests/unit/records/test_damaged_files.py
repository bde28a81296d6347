"""Every file of a run may be torn, of another program, or planted: a reader names it, or leaves it out."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossframe.harness.records import codec, store
from crossframe.harness.records.checks import check_names
from crossframe.harness.records.model import CeilingResult, Record
from crossframe.harness.records.task_specs import check_spec
from crossframe.harness.worker.states import State
from crossframe.tasks import discover
from crossframe.tasks.spec import to_json
from tests.support.synthetic import make_record, save_run

CIRCLE = discover()["circle"]["quick"]


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


DEEP = b"[" * 200_000 + b"]" * 200_000
CONTENTS = {
    "empty": b"",
    "torn": b'{"schema": 2, "name": "ru',
    "noise": bytes(range(256)) * 20,
    "deep": b'{"schema": 2, "jobs": ' + DEEP + b"}",
    "nan": b'{"schema": 2, "measured": [NaN]}',
    "infinite": b'{"schema": 2, "measured": [1e999]}',
    "number": b"12",
    "list": b"[]",
    "utf16": '{"schema": 2}'.encode("utf-16"),
    "later": b'{"schema": 3}',
    "earlier": b'{"schema": 1}',
    "huge_number": b'{"schema": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"schema": "\\ud800"}',
}
PLANTS: Mapping[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "folder": lambda path: path.mkdir(),
    "sparse": make_sparse,
} | {name: partial(write, content) for name, content in CONTENTS.items()}
NAMES = list(PLANTS)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_run(tmp_path, [make_record("a", 1, 0.01)])
    return tmp_path


def plant(run: Path, name: str, kind: str) -> None:
    (run / name).unlink(missing_ok=True)
    PLANTS[kind](run / name)


@pytest.mark.parametrize("kind", NAMES)
def test_a_damaged_run_is_named(run: Path, kind: str) -> None:
    plant(run, "run.json", kind)
    with pytest.raises(store.NoRunError, match=r"run\.json") as caught:
        store.read_run(run)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", NAMES)
def test_damaged_records_are_left_out_or_named(run: Path, kind: str) -> None:
    plant(run, "records.jsonl", kind)
    if kind in CONTENTS:
        records, warnings = store.read(run)
        assert records == []
        assert all("is damaged and left out" in warning for warning in warnings)
        assert bool(warnings) == (kind != "empty")
    else:
        with pytest.raises(store.NoRunError, match=r"records\.jsonl"):
            store.read(run)


@pytest.mark.parametrize("kind", NAMES)
def test_damaged_ceilings_and_portability_are_left_out(
    run: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ceilings.json", "portability.json"):
        plant(run, name, kind)
    assert store.read_ceilings(run) == []
    assert "ceilings.json" in capsys.readouterr().err
    results, warnings = store.read_portability(run)
    assert results is None
    assert len(warnings) == 1


@pytest.mark.parametrize("kind", ["pipe", "device", "link", "folder"])
def test_nothing_is_written_through_a_link(run: Path, kind: str) -> None:
    victim = run / "victim"
    victim.write_text("mine")
    for name in ("records.jsonl", "run.json", "ceilings.json"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
    with pytest.raises(ValueError, match="is a link"):
        store.append(run, make_record("a", 2, 0.01))
    with pytest.raises(ValueError, match="is a link"):
        store.write_ceilings(run, [CeilingResult("torch", "eager", "cpu", "float32", State.OK, None, 1e12, None)])
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\0b", "a\nb", "-x", "=1+1", "@x", "\x1b[2J", "x" * 300, "a..b"]
)
def test_names_that_lead_elsewhere_are_refused(run: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        check_names([name])
    stored, line = (json.loads((run / file).read_text()) for file in ("run.json", "records.jsonl"))
    line["cell"]["task"] = name
    stored["jobs"] = [{"cell": line["cell"], "repeat": 1}]
    (run / "run.json").write_text(json.dumps(stored))
    with pytest.raises(store.NoRunError, match="damaged"):
        store.read_run(run)
    (run / "records.jsonl").write_text(json.dumps(line) + "\n")
    assert store.read(run)[0] == []


def test_control_characters_do_not_get_in(run: Path) -> None:
    line = json.loads((run / "records.jsonl").read_text())
    line["reason"] = "a\x1b[2J\x07\x9b\u202e\\u001b\tb\nc"
    (run / "records.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line, ensure_ascii=False) + "\n")
    (record,), warnings = store.read(run)
    assert warnings == []
    assert record.reason == "a\ufffd[2J\ufffd\ufffd\ufffd\\u001b\tb\nc"


def test_what_is_written_is_json() -> None:
    text = codec.to_json({"a": [float("nan"), float("inf"), 1.5], "b": 2})
    assert text == '{"a": [null, null, 1.5], "b": 2}'


SPEC = to_json(CIRCLE)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Dense"},
        {"type": "None"},
        {"loss": []},
        {"loss": 3},
        {"layers": []},
        {"layers": "many"},
        {"layers": [{"type": "Dense", "units": -1}]},
        {"layers": [{"type": "Dense", "units": 1e9}, {"type": "Dense", "units": 10**9}]},
        {"layers": [{"type": "Conv2D"}]},
        {"input_shape": []},
        {"input_shape": [0]},
        {"epochs": "12"},
        {"batch_size": 0},
        {"optimizer": None},
        {"optimizer": {"type": "SGD", "rate": {"a": 1}}},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_specification_that_is_not_valid_is_named(changes: dict[str, Any]) -> None:
    check_spec(SPEC)
    with pytest.raises(ValueError, match="the specification of a task is not valid"):
        check_spec(SPEC | changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.lists(st.integers(0, 30), max_size=4)


def replace_somewhere(document: Any, path: list[int], value: object) -> Any:
    """Return a document in which one value, found by the path, is another."""
    if not path or not isinstance(document, (dict, list)) or not document:
        return value
    first, rest = path[0], path[1:]
    if isinstance(document, dict):
        key = sorted(document)[first % len(document)]
        return {**document, key: replace_somewhere(document[key], rest, value)}
    index = first % len(document)
    return [*document[:index], replace_somewhere(document[index], rest, value), *document[index + 1 :]]


@settings(max_examples=300, deadline=None)
@given(PATHS, JSON)
def test_any_value_in_any_field_is_read_or_named(path: list[int], value: object) -> None:
    plain = json.loads(codec.to_json(make_record("a", 1, 0.01)))
    text = json.dumps(replace_somewhere(plain, path, value))
    with suppress(ValueError):
        assert isinstance(codec.from_json(text, Record), Record)
    with suppress(ValueError):
        check_spec(replace_somewhere(SPEC, path, value))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_named(content: bytes) -> None:
    for data in (content, b'{"schema": 2, "job": "' + content + b'"}'):
        with suppress(ValueError):
            codec.parse(data)
