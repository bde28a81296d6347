"""A kept verdict is found again only while nothing that it depends on has changed, and a damaged file is a miss."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from crossframe.backends import GROUP, Backend, discover
from crossframe.harness.parity import verdict_key, verify_cells
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.result import ParityResult
from crossframe.harness.records.codec import to_json
from crossframe.harness.worker.outside_code import list_outside_files
from crossframe.harness.worker.states import State

CHECK = Check("forward", "outputs", 0, None, 1e-7, None, 1e-5, passed=True)


def test_the_code_of_a_backend_is_all_of_its_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = discover()["reference"]
    for name in ("top/backend/__init__.py", "top/elsewhere/rules.py", "beside.py", "top-1.dist-info/METADATA"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("Name: top\nVersion: 1\n")
    (tmp_path / "top-1.dist-info/RECORD").write_text("beside.py,,\ntop/backend/__init__.py,,\n")
    dist = Distribution.at(tmp_path / "top-1.dist-info")
    point: Any = SimpleNamespace(name="top", dist=dist)
    monkeypatch.setattr(verdict_key, "entry_points", lambda group: [point] if group == GROUP else [])
    backend = Backend("top", "top.backend", tmp_path / "top" / "backend", reference.manifest)
    covered = {
        file for path in verdict_key.list_code(backend) for file in ([path] if path.is_file() else path.rglob("*"))
    }
    assert {tmp_path / "top/elsewhere/rules.py", tmp_path / "beside.py"} <= covered


def test_code_from_elsewhere_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("vendor")
    module.__file__ = str(tmp_path / "vendor.py")
    monkeypatch.setitem(sys.modules, "vendor", module)
    files = list_outside_files()
    assert module.__file__ in files
    assert not any("numpy" in file or file.endswith(("json/__init__.py", "pytest/__init__.py")) for file in files)
    reference = discover()["reference"]
    own = [file for file in files if "/tests/" not in file and file != module.__file__]
    assert [file for file in own if file.endswith("harness/worker/outside_code.py")]
    assert not verdict_key.has_other_code(reference, [file for file in own if "/harness/worker/" in file])
    assert verdict_key.has_other_code(reference, [module.__file__])
    assert not verdict_key.has_other_code(replace(reference, folder=tmp_path), [module.__file__])


def test_the_packages_of_an_interpreter_are_part_of_the_key() -> None:
    listed = verdict_key.list_packages(Path(sys.executable))
    assert "numpy" in listed
    assert sys.version.split()[0] in listed
    assert verdict_key.list_packages(Path("/no/such/python")) == "FileNotFoundError"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "ok"}', b"\xff\xfe", None])
def test_a_damaged_result_is_a_miss(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "kept.json"
    if content is not None:
        path.write_bytes(content)
    assert verify_cells.read_result(path) is None


def test_only_a_result_with_checks_that_passed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text(to_json(ParityResult(State.OK, None, checks=[CHECK])))
    kept = verify_cells.read_result(path)
    assert kept is not None
    assert kept.checks == [CHECK]
    for result in (ParityResult(State.OK, None), ParityResult(State.FAILED, "no", checks=[CHECK])):
        path.write_text(to_json(result))
        assert verify_cells.read_result(path) is None
