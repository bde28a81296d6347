"""The backends' environments: one each, pinned, made by uv on first use and kept in the user's cache."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossframe.backends import Backend
from crossframe.harness.console import say
from crossframe.harness.errors import Missing
from crossframe.harness.machine.cache import cache

# What pip calls it -> what uv calls it. A setting may hold several values.
PIP_TO_UV = {
    "find-links": "--find-links",
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "trusted-host": "--allow-insecure-host",
}
# What of an `[install.*]` table decides what is installed; the rest says where that can run.
INSTALLED_BY = ("python", "requirements", "uv")


@dataclass(frozen=True)
class Environment:
    """An interpreter that can run a backend, and what it cost to make; None where we did not make it."""

    python: Path
    install_s: float | None = None
    bytes: int | None = None


def pip_settings() -> dict[str, list[str]]:
    """Pip's own settings, from its files and its environment variables, as pip itself reads them."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings: dict[str, dict[str, list[str]]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if value:
            settings.setdefault(section, {})[name] = str(ast.literal_eval(value)).split()
    # pip's own order: the command's section over the global one, the environment over both.
    return settings.get("global", {}) | settings.get("install", {}) | settings.get(":env:", {})


def uv_options(backend: Backend, device_kind: str) -> list[str]:
    """What uv must be told to find the packages that pip would find.

    Where pip was told of packages of its own, that site decides where a build comes from; else the backend's own
    advice holds.
    """
    settings = pip_settings()
    options = [
        part for name, option in PIP_TO_UV.items() for value in settings.get(name, []) for part in (option, value)
    ]
    if settings.get("no-index") == ["true"]:
        options.append("--no-index")
    # pip takes the best version of all indexes, uv by default the first index that knows the name.
    options += ["--index-strategy", "unsafe-best-match"]
    if not settings.keys() & PIP_TO_UV.keys():
        options += backend.facts["install"][device_kind].get("uv", [])
    return options


def location(backend: Backend, device_kind: str) -> Path:
    """The folder of an environment: one for each set of pins, so that a changed pin makes a new one."""
    requirements = backend.requirements(device_kind)
    assert requirements is not None
    install = {name: value for name, value in backend.facts["install"][device_kind].items() if name in INSTALLED_BY}
    recipe = json.dumps([install, requirements.read_text(), platform.machine()])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return cache() / "environments" / f"{backend.name}-{device_kind}-{digest}"


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on disk, links not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())


def made(folder: Path) -> Environment | None:
    """The environment in `folder`, if it is there and whole."""
    receipt = folder / "crossframe.json"
    if not receipt.exists():
        return None
    told = json.loads(receipt.read_text())
    return Environment(folder / "bin" / "python", told["install_s"], told["bytes"])


def uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--no-progress", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Missing(" ".join(done.stderr.split())[-600:])


def make(backend: Backend, device_kind: str) -> Environment:
    """The backend's environment, made if it is not there. Missing where that does not work."""
    if not backend.has_builds:
        return Environment(Path(sys.executable))
    requirements = backend.requirements(device_kind)
    if requirements is None:
        raise Missing(f"{backend.name} names no requirements for {device_kind}")
    folder = location(backend, device_kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may want the same one
        there = made(folder)
        if there:
            return there
        shutil.rmtree(folder, ignore_errors=True)
        say(f"making the environment of {backend.name} ({device_kind})")
        begin = time.perf_counter()
        uv("venv", "--python", backend.facts["install"][device_kind]["python"], str(folder))
        python = folder / "bin" / "python"
        options = uv_options(backend, device_kind)
        uv("pip", "install", "--python", str(python), "--requirements", str(requirements), "--no-deps", *options)
        receipt = {"install_s": time.perf_counter() - begin, "bytes": folder_bytes(folder)}
        (folder / "crossframe.json").write_text(json.dumps(receipt))
    say(f"  {backend.name}: {receipt['bytes'] / 1e6:,.0f} MB in {receipt['install_s']:.0f} s")
    return Environment(python, receipt["install_s"], int(receipt["bytes"]))


def make_all(
    wanted: Sequence[Backend], device_kind: str, own: dict[str, Path]
) -> tuple[dict[str, Environment], dict[str, str]]:
    """(backend name -> environment, backend name -> why it has none); downloads overlap."""
    ready = {name: Environment(python) for name, python in own.items()}
    failed: dict[str, str] = {}

    def attempt(backend: Backend) -> None:
        try:
            ready[backend.name] = make(backend, device_kind)
        except (Missing, OSError) as error:
            failed[backend.name] = f"its environment could not be made: {error}"
            say(f"  {backend.name}: {failed[backend.name]}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(attempt, [backend for backend in wanted if backend.name not in own]))
    return ready, failed


def listing(found: dict[str, Backend]) -> list[dict[str, Any]]:
    """Every environment that a backend can have: where it lies, whether it is made, its size."""
    rows = []
    for backend in found.values():
        for device_kind in backend.facts.get("install", {}):
            folder = location(backend, device_kind)
            there = made(folder)
            rows.append(
                {
                    "backend": backend.name,
                    "device": device_kind,
                    "state": "ready" if there else "absent",
                    "install_s": there.install_s if there else None,
                    "bytes": there.bytes if there else None,
                    "folder": str(folder),
                }
            )
    return rows


def remove(backend: Backend) -> int:
    """Delete every environment of a backend, of older pins too; returns how many."""
    folders = [path for path in (cache() / "environments").glob(f"{backend.name}-*") if path.is_dir()]
    for folder in folders:
        shutil.rmtree(folder)
    return len(folders)
