"""The environments of backends and ONNX runtimes: pinned, made by uv on first use, stored in the cache folder."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crossframe.backends import Plugin
from crossframe.harness.console import say
from crossframe.harness.errors import MissingError
from crossframe.harness.files import lock_file, remove_file, remove_folder, write_atomically
from crossframe.harness.machine.cache import cache_folder, read_cached
from crossframe.harness.machine.pip_settings import build_uv_options

RECEIPT = "crossframe.json"  # written last: it marks a complete environment
INTERPRETER_TIMEOUT_S = 60  # of the check of an interpreter
# Prints which of its arguments, and NumPy, are installed or importable, as a JSON list.
FIND_PACKAGES = """
import importlib.metadata, importlib.util, json, sys

def exists(name):
    try:
        importlib.metadata.version(name)
        return True
    except importlib.metadata.PackageNotFoundError:
        return importlib.util.find_spec(name.replace("-", "_").partition(".")[0]) is not None

print(json.dumps([name for name in ["numpy", *sys.argv[1:]] if exists(name)]))
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter that can run a backend, and the cost of its installation; None if Crossframe did not make it."""

    python: Path
    install_s: float | None = None
    bytes: int | None = None


class EnvironmentState(StrEnum):
    """The state of an environment."""

    READY = "ready"
    BROKEN = "broken"  # torn, or something in it is missing: it is made again when it is needed
    ABSENT = "absent"


@dataclass(frozen=True)
class InstallReceipt:
    """The content of `crossframe.json`, which marks a complete environment."""

    install_s: float
    bytes: int


@dataclass(frozen=True)
class EnvironmentRow:
    """One line of `crossframe env list`; `install_s` and `bytes` are None unless the environment is made."""

    backend: str
    device: str  # cpu or cuda
    state: EnvironmentState
    install_s: float | None
    bytes: int | None
    folder: str


def environment_folder(plugin: Plugin, device_kind: str) -> Path:
    """Return the folder of an environment; its name includes a digest of everything that determines its packages.

    A changed pin therefore makes a new environment.
    """
    recipe, requirements = plugin.manifest.install[device_kind], plugin.requirements(device_kind)
    assert requirements is not None
    install: dict[str, str | list[str]] = {"python": recipe.python, "requirements": recipe.requirements}
    if recipe.uv:
        install["uv"] = list(recipe.uv)
    content = json.dumps([install, requirements.read_text(), platform.machine()])
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return cache_folder() / "environments" / f"{plugin.name}-{device_kind}-{digest}"


def folder_size(folder: Path) -> int:
    """Return the size of the files in a folder in bytes, without following links."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())


def read_environment(folder: Path, requirements: Path | None = None) -> Environment | None:
    """Return the environment in `folder`; None if it does not exist, is incomplete, or lacks its interpreter.

    With `requirements`, None also if a package is missing.
    """
    receipt, python = read_cached(folder / RECEIPT, InstallReceipt), folder / "bin" / "python"
    if receipt is None or not python.exists():
        return None
    if requirements is not None and list_missing(folder, requirements):
        return None
    return Environment(python, receipt.install_s, receipt.bytes)


def list_missing(folder: Path, requirements: Path) -> list[str]:
    """Return the pinned packages that an environment lacks."""
    pattern = "lib/python3*/site-packages/*.dist-info/METADATA"
    installed = {normalize(path.parent.name.partition("-")[0]) for path in folder.glob(pattern)}
    pins = (line.partition("==")[0].strip() for line in requirements.read_text().splitlines() if "==" in line)
    return [name for name in pins if not name.startswith("#") and normalize(name) not in installed]


def normalize(name: str) -> str:
    """Return the name of a package in the only spelling that can be compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()


def lock_environment(folder: Path) -> AbstractContextManager[None]:
    """Wait until no other process makes or removes an environment, and keep it from doing so."""
    return lock_file(folder.parent / f"{folder.name}.lock")


def delete_environment(folder: Path) -> None:
    """Delete an environment. Its receipt goes first: what is left after a crash is not taken for complete."""
    remove_file(folder / RECEIPT)
    if folder.exists():
        remove_folder(folder)


def run_uv(*arguments: str) -> None:
    """Run uv; raise MissingError with the end of its output if it fails."""
    command = [sys.executable, "-m", "uv", "--no-progress", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if process.returncode:
        raise MissingError(" ".join(process.stderr.split())[-600:])


def install_environment(plugin: Plugin, device_kind: str, requirements: Path, folder: Path) -> Environment:
    """Make an environment in `folder`, replacing its content; MissingError if uv fails."""
    delete_environment(folder)
    say(f"making the environment of {plugin.manifest.title} ({device_kind})")
    begin = time.perf_counter()
    python = folder / "bin" / "python"
    run_uv("venv", "--python", plugin.manifest.install[device_kind].python, str(folder))
    options = build_uv_options(plugin, device_kind)
    run_uv("pip", "install", "--python", str(python), "--requirements", str(requirements), "--no-deps", *options)
    environment = Environment(python, time.perf_counter() - begin, folder_size(folder))
    receipt = {"install_s": environment.install_s, "bytes": environment.bytes}
    write_atomically(folder / RECEIPT, json.dumps(receipt))
    return environment


def make_environment(plugin: Plugin, device_kind: str) -> Environment:
    """Return the environment of a backend or runtime; make it if it does not exist.

    Raises MissingError if the plugin has no build for the device or the installation fails.
    """
    if not plugin.has_builds:
        return Environment(Path(sys.executable))
    requirements = plugin.requirements(device_kind)
    if requirements is None:
        raise MissingError(f"{plugin.manifest.title} has no requirements for {device_kind}")
    folder = environment_folder(plugin, device_kind)
    with lock_environment(folder):
        existing = read_environment(folder, requirements)
        if existing:
            return existing
        if folder.exists():
            say(f"the environment of {plugin.manifest.title} ({device_kind}) is incomplete and made again")
        environment = install_environment(plugin, device_kind, requirements, folder)
    say(f"  {plugin.manifest.title}: {(environment.bytes or 0) / 1e6:,.0f} MB in {environment.install_s or 0:.0f} s")
    return environment


def check_interpreter(name: str, packages: Sequence[str], python: Path) -> None:
    """Raise MissingError, with a remedy, unless `python` is an interpreter that has NumPy and a plugin's packages.

    One of the packages that the manifest of the plugin `name` lists is enough, installed or importable: a build of
    one's own may have another name.
    """
    option = f"--python {name}={python}"
    names = [package for package in packages if package != "numpy"]
    try:
        process = subprocess.run(
            [str(python.absolute()), "-c", FIND_PACKAGES, *names],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=INTERPRETER_TIMEOUT_S,
            cwd="/",  # `-c` searches the working directory first
        )
        present = json.loads(process.stdout)
    except OSError as error:
        raise MissingError(f"{option} can't be executed ({error.strerror}); name a Python interpreter") from error
    except (ValueError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{option} is not a Python interpreter; name one, such as VENV/bin/python") from error
    if "numpy" not in present:
        raise MissingError(f"{option} has no NumPy; run `{python} -m pip install numpy`")
    if names and present == ["numpy"]:
        raise MissingError(
            f"{option} has no {names[0]}; run `{python} -m pip install {names[0]}`, or leave --python out"
        )


def make_environments(
    plugins: Sequence[Plugin], device_kind: str, interpreters: Mapping[str, Path]
) -> tuple[dict[str, Environment], dict[str, str]]:
    """Make the environments of several backends or runtimes at the same time.

    `interpreters` (name -> interpreter) are used as they are. Returns name -> environment, and name -> reason for the
    environments that could not be made.
    """
    environments = {name: Environment(python) for name, python in interpreters.items()}
    failures: dict[str, str] = {}

    def attempt(plugin: Plugin) -> None:
        try:
            environments[plugin.name] = make_environment(plugin, device_kind)
        except (MissingError, OSError) as error:
            failures[plugin.name] = f"its environment could not be made: {error}"
            say(f"  {plugin.manifest.title}: {failures[plugin.name]}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(attempt, [plugin for plugin in plugins if plugin.name not in interpreters]))
    return environments, failures


def list_environments(plugins: Mapping[str, Plugin]) -> list[EnvironmentRow]:
    """Return every environment that the backends or runtimes can have, made or not."""
    rows = []
    for plugin in plugins.values():
        for device_kind in plugin.manifest.install:
            folder = environment_folder(plugin, device_kind)
            environment = read_environment(folder, plugin.requirements(device_kind))
            state = EnvironmentState.READY if environment else EnvironmentState.BROKEN
            rows.append(
                EnvironmentRow(
                    backend=plugin.name,
                    device=device_kind,
                    state=state if folder.exists() else EnvironmentState.ABSENT,
                    install_s=environment.install_s if environment else None,
                    bytes=environment.bytes if environment else None,
                    folder=str(folder),
                )
            )
    return rows


def remove_environments(plugin: Plugin) -> int:
    """Delete every environment of a backend or runtime, including those of older pins; return how many."""
    folders = [path for path in (cache_folder() / "environments").glob(f"{plugin.name}-*") if path.is_dir()]
    for folder in folders:
        with lock_environment(folder):
            delete_environment(folder)
    return len(folders)
