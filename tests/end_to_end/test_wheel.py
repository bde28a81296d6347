"""The wheel: it has every file of the packages, and works in an environment of its own, away from the source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT

# Folder of the source tree -> folder of the wheel.
PACKAGES = {"tasks": "crossframe/tasks", "backends": "crossframe/backends", "harness": "crossframe/harness"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def run_away(folder: Path, *command: object) -> str:
    """Run a command in `folder`, where nothing leads to the source tree; return its output."""
    env_vars = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.run(
        list(map(str, command)), cwd=folder, env=env_vars, capture_output=True, text=True, timeout=900, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel that pip built from a copy of the source tree: building leaves files in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    run_away(folder, sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ".", "./source")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the commands of a new environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    run_away(folder, sys.executable, "-m", "venv", "environment")
    commands = folder / "environment" / "bin"
    run_away(folder, commands / "python", "-m", "pip", "install", "--quiet", wheel)
    return commands


def wheel_name(file: Path) -> str:
    """Return the name of a file of the source tree in the wheel."""
    folder, *parts = file.relative_to(ROOT).parts
    if (folder, parts[0]) == ("harness", "api"):
        return "/".join(("crossframe", *parts[1:]))
    return "/".join((PACKAGES[folder], *parts))


def test_the_wheel_has_every_file_of_the_packages_and_no_other_package(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    sources = [file for name in PACKAGES for file in (ROOT / name).rglob("*") if file.is_file()]
    expected = {wheel_name(file) for file in sources if "__pycache__" not in file.parts}
    kinds = {"backend.toml", "runtime.toml", "requirements-cpu.txt", "page.js", "style.css", "record.json", "py.typed"}
    assert kinds <= {Path(name).name for name in names}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_installed_command_works_away_from_the_source_tree(installed: Path, tmp_path: Path) -> None:
    location = run_away(tmp_path, installed / "python", "-c", "import crossframe; print(crossframe.__file__)")
    assert Path(location).is_relative_to(installed.parent)
    assert run_away(tmp_path, installed / "crossframe", "--version").strip() == f"crossframe {VERSION}"
    environments = json.loads(run_away(tmp_path, installed / "crossframe", "env", "list", "--format", "json"))
    assert {row["backend"] for row in environments} >= {"torch", "tensorflow", "mxnet", "jax"}


def test_the_installed_command_measures_and_reports(installed: Path, tmp_path: Path) -> None:
    selection = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--repeats", "1")
    run_away(tmp_path, installed / "crossframe", "run", *selection, "--out", "run")
    (line,) = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["state"], record["parity"]["state"]) == ("ok", "ok")
    assert "<h1" in (tmp_path / "run" / "report.html").read_text()
