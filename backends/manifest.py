"""The manifest of a backend, `backend.toml`: its types and its validation.

Standard library only, since workers import this package too.
"""

from __future__ import annotations

import difflib
import string
import tomllib
import types
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

CONTRACT_VERSION = 1  # of crossframe.backends.contract; a manifest states the version that its backend implements

# The names that a value of `env_vars` may hold in braces: the number of threads, and a folder deleted after the job.
PLACEHOLDERS = {"threads", "scratch"}

# The facts that reports show. Facts are looked up, not measured.
FACTS = (
    "originator",
    "licence",
    "languages",
    "last_release",
    "release_rhythm",
    "maintained",
    "distributed",
    "compilation",
    "debugging",
    "edge",
    "ecosystem",
    "api_breadth",
    "community",
)

DATE_RULE = "must be a date, as 2026-11-21"

M = TypeVar("M", bound="EnvironmentManifest")


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A looked-up value with its source and the day on which it was looked up."""

    value: str | bool
    date: str  # ISO 8601
    source: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstallRecipe:
    """The installation of a build for one kind of device, and where that build can run."""

    python: str  # version of the interpreter
    requirements: str  # name of a file in the folder of the manifest
    uv: tuple[str, ...] = ()  # further options of `uv pip install`, unless pip is configured with an index
    least_driver: str | None = None  # NVIDIA driver
    older_drivers: str | None = None  # advice for a machine with an older driver
    least_capability: str | None = None  # compute capability
    greatest_capability: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnvironmentManifest:
    """The part of a manifest that describes an environment and the processes in it."""

    title: str
    packages: tuple[str, ...]  # records contain their versions; the main one first
    install: dict[str, InstallRecipe] = field(default_factory=dict)  # `cpu` or `cuda` -> recipe
    env_vars: dict[str, str] = field(default_factory=dict)  # of a worker; may use the placeholders {threads}, {scratch}
    not_inherited: tuple[str, ...] = ()  # patterns of variables that workers do not inherit from the user


@dataclass(frozen=True, kw_only=True)
class UnsupportedMode:
    """A mode that a kind of device can't run, known in advance: `--mode all` leaves it out there."""

    mode: str
    device: str  # cpu or cuda
    reason: str  # the backend raises Unsupported with it
    layer: str | None = None  # only tasks with this layer, a class of crossframe.tasks.spec; None: all tasks


@dataclass(frozen=True, kw_only=True)
class KnownIssue:
    """An error of the framework that its users should know about; reports show it as a flag."""

    text: str
    date: str  # ISO 8601, on which it was seen
    source: str  # what reproduces or describes it


@dataclass(frozen=True, kw_only=True)
class Manifest(EnvironmentManifest):
    """The content of a `backend.toml`."""

    modes: tuple[str, ...]  # the `MODES` of the module; the default first
    contract_version: int
    uncompiled_mode: str | None = None
    onnx_opset: int = 0  # the opset of a run's export; 0 where the backend has no exporter
    onnx_routes: tuple[str, ...] = ()  # names of exporters, if there are several; the default first
    unsupported: tuple[UnsupportedMode, ...] = ()
    known_issues: tuple[KnownIssue, ...] = ()
    facts: dict[str, Fact] = field(default_factory=dict)


def read_manifest(path: Path, kind: type[M]) -> M:
    """Return the validated manifest of class `kind` in the file `path`; ManifestError if it is not valid."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:  # also bytes that are no text
        raise ManifestError(f"{path}: {error}") from error
    version = table.get("contract_version")
    if kind is Manifest and isinstance(version, int) and version != CONTRACT_VERSION:
        raise ManifestError(
            f"{path}: the backend implements version {version} of the contract; this Crossframe needs version "
            f"{CONTRACT_VERSION}, see crossframe.backends.contract"
        )
    try:
        manifest: M = _convert(table, kind, "")
        _check_environment(manifest, path.parent)
        if isinstance(manifest, Manifest):
            _check_backend(manifest)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from None
    return manifest


def _convert(value: Any, kind: Any, key: str) -> Any:
    """Return `value` as an instance of the type `kind`; ManifestError if it does not fit."""
    if is_dataclass(kind):
        return _convert_table(value, kind, key)  # type: ignore[arg-type]  # `kind` is a class, not an instance
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict and isinstance(value, dict):
        return {name: _convert(part, arguments[1], _join(key, name)) for name, part in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(part, arguments[0], f"{key}[{number}]") for number, part in enumerate(value))
    allowed = arguments if origin in (Union, types.UnionType) else (kind,)
    if type(value) not in allowed:  # not isinstance: a bool is an int
        expected = " or ".join(_describe(part) for part in allowed if part is not types.NoneType)
        raise ManifestError(f"`{key}` must be {expected}, not {value!r}")
    return value


def _convert_table(table: Any, kind: type, key: str) -> Any:
    if not isinstance(table, dict):
        raise ManifestError(f"`{key}` must be a table, not {table!r}")
    parts = {part.name: part for part in fields(kind)}
    for name in table:
        if name not in parts:
            raise ManifestError(f"unknown key `{_join(key, name)}`{_suggest(name, parts)}")
    for name, part in parts.items():
        if name not in table and part.default is MISSING and part.default_factory is MISSING:
            raise ManifestError(f"the key `{_join(key, name)}` is missing")
    hints = get_type_hints(kind)
    return kind(**{name: _convert(value, hints[name], _join(key, name)) for name, value in table.items()})


def _describe(kind: Any) -> str:
    words = {str: "a string", int: "an integer", bool: "true or false", dict: "a table", tuple: "a list"}
    return words[get_origin(kind) or kind]


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _suggest(name: str, keys: Collection[str]) -> str:
    close = difflib.get_close_matches(name, keys, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; the keys here are {', '.join(keys)}"


def _check_environment(manifest: EnvironmentManifest, folder: Path) -> None:
    for device_kind, recipe in manifest.install.items():
        if device_kind not in ("cpu", "cuda"):
            raise ManifestError(f"unknown key `install.{device_kind}`; the keys here are cpu, cuda")
        if not (folder / recipe.requirements).is_file():
            raise ManifestError(f"`install.{device_kind}.requirements`: there is no file {recipe.requirements!r}")
    for name, value in manifest.env_vars.items():
        _check(f"env_vars.{name}", value, _placeholders, "may use the placeholders {threads} and {scratch}")


def _placeholders(value: str) -> None:
    if not {name for _, name, _, _ in string.Formatter().parse(value) if name is not None} <= PLACEHOLDERS:
        raise ValueError


def _check_backend(manifest: Manifest) -> None:
    if not manifest.modes or len(set(manifest.modes)) < len(manifest.modes):
        raise ManifestError("`modes` must be a list of distinct names, at least one")
    if manifest.uncompiled_mode not in (None, *manifest.modes):
        raise ManifestError(f"`uncompiled_mode` must be one of {', '.join(manifest.modes)}")
    for number, entry in enumerate(manifest.unsupported):
        if entry.mode not in manifest.modes:
            raise ManifestError(f"`unsupported[{number}].mode` must be one of {', '.join(manifest.modes)}")
    for number, issue in enumerate(manifest.known_issues):
        _check(f"known_issues[{number}].date", issue.date, date.fromisoformat, DATE_RULE)
    for name, fact in manifest.facts.items():
        if name not in FACTS:
            raise ManifestError(f"unknown key `facts.{name}`{_suggest(name, FACTS)}")
        _check(f"facts.{name}.date", fact.date, date.fromisoformat, DATE_RULE)


def _check(key: str, value: str, parse: Callable[[str], object], rule: str) -> None:
    try:
        parse(value)
    except ValueError:
        raise ManifestError(f"`{key}` {rule}; it is {value!r}") from None
