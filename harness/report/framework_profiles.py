"""A card for each framework of a run: what was measured of it, and what was looked up, with the day and the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from crossframe.backends import Backend
from crossframe.harness.console import escaped

Cell = dict[str, Any]
Card = dict[str, Any]

UNKNOWN = "unknown"
# What guides to frameworks usually compare -> the fact of backend.toml that tells it.
ROWS = {
    "originator": "originator",
    "ecosystem": "ecosystem",
    "languages": "languages",
    "compiled execution": "compilation",
    "distributed training": "distributed",
    "release rhythm": "release_rhythm",
    "last release": "last_release",
    "API breadth": "api_breadth",
    "community": "community",
    "licence": "licence",
    "maintained": "maintained",
    "mobile and edge": "edge",
    "debugging": "debugging",
}


def titles(backends: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Backend -> what readers know it by, from `run.json`; with its name where two of them have one title."""
    found = {name: str((backends.get(name) or {}).get("title") or name) for name in dict.fromkeys(names)}
    met = Counter(found.values())
    return {name: title if met[title] == 1 else f"{title} ({name})" for name, title in found.items()}


def cards(
    cells: list[Cell], portability: list[dict[str, Any]], named: Mapping[str, str], known: Mapping[str, Backend]
) -> list[Card]:
    """A card for each backend of `named`; of one that is not `known` here any more, what the run tells."""
    made = []
    for name, title in named.items():
        own = [cell for cell in cells if cell["backend"] == name]
        backend = known.get(name)
        facts = backend.facts.get("facts", {}) if backend else {}
        files = [one for one in portability if one.get("exporter") == name]
        made.append(
            {
                "backend": name,
                "title": title,
                "installed": backend is not None,
                "measured": measured(own, files, backend),
                "looked_up": {row: fact(facts.get(key)) for row, key in ROWS.items()},
            }
        )
    return made


def measured(cells: list[Cell], files: list[dict[str, Any]], backend: Backend | None) -> dict[str, Any]:
    """What the run and the backend's folder tell; None where they don't. `import_s` is (median, least, most)."""
    imports = [cell["metrics"]["import_s"]["value"] for cell in cells if cell["metrics"]["import_s"]["value"]]
    exports = [cell["onnx"]["state"] for cell in cells if cell["onnx"]]
    checked = [cell for cell in cells if cell["parity"]]
    return {
        "environment_bytes": largest(cells, "environment_bytes"),
        "environment_install_s": largest(cells, "environment_install_s"),
        "packages": packages(backend, cells) if largest(cells, "environment_bytes") else None,
        "import_s": [median(imports), min(imports), max(imports)] if imports else None,
        "backend_lines": lines(backend) if backend else None,
        "modes": sorted({cell["mode"] for cell in cells}),
        "exports": passing(exports, "ok"),
        "runtimes": passing([one["state"] for one in files if one["state"] != "not_installed"], "pass"),
        "dialect": {word: value for cell in cells for word, value in cell["dialect"].items()},
        "proven": passing([cell["parity"]["state"] for cell in checked], "ok"),
        "defects": [
            f"{cell['task']} {cell['mode']}: {cell['parity']['reason']}"
            for cell in checked
            if cell["parity"]["state"] == "failed"
        ],
    }


def largest(cells: list[Cell], metric: str) -> float | None:
    """A figure of the environment; of the largest, where a run has one for each device."""
    return max((value for cell in cells if (value := cell["metrics"][metric]["value"]) is not None), default=None)


def passing(states: list[str], good: str) -> list[int] | None:
    """[how many are good, of how many]; None where nothing was tried."""
    return [states.count(good), len(states)] if states else None


def packages(backend: Backend | None, cells: list[Cell]) -> int | None:
    """How many packages the environment holds: its pins, unless they are not those of the run any more."""
    pins = backend.requirements(cells[0]["device"].partition(":")[0]) if backend else None
    if pins is None or not pins.exists():
        return None
    pairs = (line.split(";")[0].split("#")[0].partition("==") for line in pins.read_text().splitlines())
    pinned = {name.strip(): version.strip() for name, equals, version in pairs if equals}
    met = [(name, version) for name, version in cells[0]["versions"].items() if name in pinned]
    # A build's own mark, as in 2.1+cpu, does not stand in every pin.
    same = all(version.partition("+")[0] == pinned[name].partition("+")[0] for name, version in met)
    return len(pinned) if met and same else None


def lines(backend: Backend) -> int:
    """Lines of code of a backend's folder: neither empty nor comments alone."""
    read = (line.strip() for file in sorted(backend.folder.glob("*.py")) for line in file.read_text().splitlines())
    return sum(bool(line) and not line.startswith("#") for line in read)


def fact(found: Any) -> dict[str, str] | None:
    """{value, note, date, source} as text, a part of which may be empty; None for what is unknown."""
    told = found if isinstance(found, Mapping) else {"value": found}
    value = told.get("value")
    if value is None:
        return None
    said = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return {"value": said, **{part: str(told.get(part) or "") for part in ("note", "date", "source")}}


def shown(card: Card) -> list[tuple[str, str]]:
    """(what, its text) of all that was measured."""
    own = card["measured"]
    parts = own["import_s"]
    dialect = ", ".join(f"{word} = {value}" for word, value in own["dialect"].items())
    return [
        ("environment on disk", said(own["environment_bytes"], 1e6, "MB")),
        ("time to install it", said(own["environment_install_s"], 1, "s")),
        ("packages in it", UNKNOWN if own["packages"] is None else f"{own['packages']} pinned"),
        ("import", f"{parts[0]:.2f} s ({parts[1]:.2f} to {parts[2]:.2f} by cell)" if parts else UNKNOWN),
        ("code of its backend", UNKNOWN if own["backend_lines"] is None else f"{own['backend_lines']} lines"),
        ("modes in this run", ", ".join(own["modes"]) or "none"),
        ("ONNX exports that pass", counted(own["exports"], "none was tried")),
        ("its files in runtimes", counted(own["runtimes"], "not asked: crossframe portability")),
        ("dialect", dialect or ("none" if own["modes"] and own["import_s"] else UNKNOWN)),
        ("proven equal", counted(own["proven"], "not checked")),
        ("defects found by parity", "; ".join(own["defects"]) or ("none" if own["proven"] else "not checked")),
    ]


def said(value: float | None, divisor: float, unit: str) -> str:
    return UNKNOWN if value is None else f"{value / divisor:,.0f} {unit}"


def counted(found: list[int] | None, nothing: str) -> str:
    return f"{found[0]} of {found[1]}" if found else nothing


def texts(told: Mapping[str, str] | None) -> str:
    """A looked-up fact and its note, as one text."""
    if told is None:
        return UNKNOWN
    return f"{told['value']}: {told['note']}" if told["note"] else told["value"]


def of_cards(found: list[Card]) -> list[str]:
    """A column a framework: what was measured, then what was looked up, each with its day and source."""
    if not found:
        return []
    titles = " | ".join(escaped(card["title"]) for card in found)
    head = ["", "## Frameworks", "", f"| | {titles} |", "|" + " --- |" * (1 + len(found))]
    body = [
        [what, *(text for _, text in alike)]
        for what, alike in zip((what for what, _ in shown(found[0])), zip(*map(shown, found)))
    ]
    for row in ROWS:
        facts = [card["looked_up"][row] for card in found]
        ends = [f" (looked up {fact['date']}, {fact['source']})" if fact else "" for fact in facts]
        body.append([row, *(texts(fact) + end for fact, end in zip(facts, ends))])
    return [*head, *("| " + " | ".join(map(escaped, row)) + " |" for row in body)]
