"""`crossframe compare`: what became better or worse from one run to another, beyond the noise, and what else changed.

The repeats of two runs share no round, so that nothing is paired. The tests of one figure are one family (Holm).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.analysis.statistics import LEVEL, difference, holm, p_unpaired
from crossframe.harness.console import escaped
from crossframe.harness.errors import Usage
from crossframe.harness.records import store

MACHINE = ("cpu", "processors", "memory_bytes", "gpus")  # what makes a host another one; the rest may be updated
# Figure -> the words for less and for more of it.
WORDS = {
    "step_s": ("faster", "slower"),
    "train_samples_per_s": ("slower", "faster"),
    "infer_latency_s": ("faster", "slower"),
    "infer_samples_per_s": ("slower", "faster"),
    "host_peak_bytes": ("smaller", "larger"),
    "time_to_target_s": ("faster", "slower"),
    "first_step_s": ("faster", "slower"),
    "onnx_bytes": ("smaller", "larger"),
    "accuracy": ("less accurate", "more accurate"),
    "mse": ("more accurate", "less accurate"),
}
BEYOND_INDIFFERENCE = {name: math.log1p(band) for name, band in ranking.RANKED.items()}


def facts(value: Any, name: str = "") -> dict[str, str]:
    """Nested plain data as {dotted name: text}."""
    if isinstance(value, Mapping) and value:
        return {
            key: text
            for own, part in value.items()
            for key, text in facts(part, f"{name}.{own}" if name else own).items()
        }
    return {name: json.dumps(value)}


def setting(told: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, str]:
    """Everything around a run that may move its figures: Crossframe, host, options, versions."""
    versions: dict[str, set[str]] = {}
    for record in found:
        for name, version in record["measures"].get("versions", {}).items():
            versions.setdefault(f"{record['cell']['backend']} {name}", set()).add(version)
    said = {name: ", ".join(sorted(kinds)) for name, kinds in versions.items()}
    own = {"crossframe": told.get("crossframe"), "commit": told.get("commit")}
    options = {**store.LATER_OPTIONS, **told["options"]}
    return facts({**own, "host": told["host"], "options": options, "versions": said})


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, Any]]:
    """[{what, a, b}] where they differ; null for what one of them does not say."""
    names = sorted(before.keys() | after.keys())
    return [
        {"what": name, "a": before.get(name), "b": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    ]


def check_hosts(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Usage where two runs are of different machines."""
    differ = [name for name in MACHINE if before["host"].get(name) != after["host"].get(name)]
    if differ:
        said = ", ".join(f"{name}: {before['host'].get(name)} and {after['host'].get(name)}" for name in differ)
        raise Usage(f"the runs are of different hosts ({said}); --across-hosts compares them all the same")


def standing(cell: dict[str, Any]) -> str:
    """A cell's state, where `ok` says that it was proven too."""
    proven = (cell["parity"] or {}).get("state") == "ok"
    return str(cell["state"]) if cell["state"] != "ok" or proven else "not proven equal"


def incomparable(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """Why two cells are not compared; None where they are."""
    for side in (before, after):
        if side["state"] != "ok":
            return f"it is {side['state']}: {side['reason']}"
        if (side["parity"] or {}).get("state") != "ok":
            return "not proven equal"
        if side["withheld"]:
            return f"budgets were not equal: {side['withheld']}"
    return None


def values(found: list[dict[str, Any]], metric: str) -> np.ndarray:
    """The logarithms of a figure of a cell's processes."""
    read = [metrics.FIGURES[metric].read(record) for record in found]
    return np.log([value for value in read if value is not None and value > 0])


def of_figure(metric: str, pairs: list[tuple[dict[str, Any], Any, Any]]) -> list[dict[str, Any]]:
    """One figure of all cells that both runs have: b over a, with interval, p and a word."""
    known = [(cell, values(a, metric), values(b, metric)) for cell, a, b in pairs]
    known = [one for one in known if len(one[1]) and len(one[2])]
    adjusted = holm([p_unpaired(b, a) for _, a, b in known])
    made = []
    for (cell, a, b), p in zip(known, adjusted):
        several = min(len(a), len(b)) > 1
        gap, low, high = difference(b, a) if several else (float(b.mean() - a.mean()), -math.inf, math.inf)
        least = math.comb(len(a) + len(b), len(a)) / (2 if len(a) == len(b) else 1)  # 1 / p where a and b lie apart
        if len(known) / least > LEVEL:
            word = "not enough evidence"
        elif p < LEVEL and not low <= 0 <= high and abs(gap) > BEYOND_INDIFFERENCE[metric]:
            word = WORDS[metric][gap > 0]
        else:
            word = "same"
        ends = (math.exp(low), math.exp(high)) if several else (None, None)
        figure = {"metric": metric, "a": float(np.exp(np.median(a))), "b": float(np.exp(np.median(b)))}
        ratio = {"ratio": math.exp(gap), "low": ends[0], "high": ends[1], "p": p, "n_a": len(a), "n_b": len(b)}
        worse = word not in ("same", "not enough evidence") and (gap > 0) == (metrics.FIGURES[metric].better == "less")
        made.append({**cell, **figure, **ratio, "word": word, "worse": worse})
    return made


def document(run_a: Path, run_b: Path, across_hosts: bool) -> dict[str, Any]:
    """The comparison as one object. Usage where the hosts differ and nobody said that they may."""
    told = [store.read_run(run) for run in (run_a, run_b)]
    if not across_hosts:
        check_hosts(*told)
    (found_a, warned_a), (found_b, warned_b) = store.read(run_a), store.read(run_b)
    groups = [ranking.by_cell(found) for found in (found_a, found_b)]
    cells = [{ranking.key_of(cell): cell for cell in metrics.cells(found, {})} for found in (found_a, found_b)]
    pairs, left_out, states = [], [], []
    for key in sorted(cells[0].keys() | cells[1].keys()):
        name = dict(zip(store.CELL_KEYS, key))
        sides = [side.get(key) for side in cells]
        if sides[0] is None or sides[1] is None:
            left_out.append({**name, "reason": f"only in {told[sides[0] is None]['name']}"})
            continue
        before, after = sides[0], sides[1]
        why = incomparable(before, after)
        if standing(before) != standing(after):
            states.append({**name, "a": standing(before), "b": standing(after), "reason": why})
        if why:
            left_out.append({**name, "reason": why})
        else:
            pairs.append((name, groups[0][key], groups[1][key]))
    return {
        "schema": store.SCHEMA_VERSION,
        "a": {"name": told[0]["name"], "created": told[0]["created"]},
        "b": {"name": told[1]["name"], "created": told[1]["created"]},
        "changed": changes(setting(told[0], found_a), setting(told[1], found_b)),
        "states": states,
        "figures": [one for metric in ranking.RANKED for one in of_figure(metric, pairs)],
        "left_out": left_out,
        "warnings": warned_a + warned_b,
    }


def place(one: Mapping[str, Any]) -> str:
    return " ".join(str(one[name]) for name in store.CELL_KEYS)


def regressions(told: dict[str, Any], limit: float) -> list[str]:
    """A line for all that is worse by more than `limit`; cells that ended well before, and now do not, among it.

    Where nothing could be compared, that is one too: a gate that saw nothing must not open.
    """
    found = [
        f"{place(one)}: was {one['a']}, is {one['b']}: {one['reason']}" for one in told["states"] if one["a"] == "ok"
    ]
    for one in told["figures"]:
        loss = max(one["ratio"], 1 / one["ratio"]) - 1
        if one["worse"] and loss > limit:
            found.append(f"{place(one)}: {one['metric']} {one['word']}, {ratio_text(one)}")
    return found if told["figures"] else [*found, "nothing could be compared"]


def ratio_text(one: Mapping[str, Any]) -> str:
    ends = f" [{one['low']:.3f}, {one['high']:.3f}]" if one["low"] is not None else ""
    return f"x{one['ratio']:.3f}{ends}"


def rows(told: dict[str, Any]) -> list[list[str]]:
    """A row a figure that changed beyond the noise, the worse ones first, and the largest change first."""
    moved = [one for one in told["figures"] if one["word"] not in ("same", "not enough evidence")]
    moved.sort(key=lambda one: (not one["worse"], -abs(math.log(one["ratio"]))))
    return [
        [place(one), one["metric"], one["word"], f"{one['a']:.4g}", f"{one['b']:.4g}", ratio_text(one)] for one in moved
    ]


def summary(told: dict[str, Any]) -> list[str]:
    """What stands under the table: how much was the same, or unknown, or not compared; what else changed."""
    words = [one["word"] for one in told["figures"]]
    few = words.count("not enough evidence")
    lines = [f"{words.count('same')} of {len(words)} figures are the same within the noise"]
    if few:
        lines.append(f"not enough evidence on {few} figures: too few repeats in a run; take --repeats 6 or more")
    lines += [f"{place(one)}: was {one['a']}, is {one['b']}" for one in told["states"]]
    lines += [f"not compared: {place(one)}: {one['reason']}" for one in told["left_out"]]
    lines += [f"changed: {one['what']}: {one['a']} -> {one['b']}" for one in told["changed"]]
    return lines if told["changed"] else [*lines, "nothing else that was recorded changed"]


HEADINGS = ["cell", "figure", "became", "before", "after", "after / before"]


def as_table(told: dict[str, Any]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(pad_edge=False, header_style="bold")
    for place_of, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if place_of < 3 else "right")
    found = rows(told)
    for row in found:
        table.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=160)
    console.print(Text(f"{told['a']['name']} ({told['a']['created']}) -> {told['b']['name']} ({told['b']['created']})"))
    console.print(table if found else Text("nothing changed beyond the noise"))
    for line in summary(told):
        console.print(Text(line), soft_wrap=True)
    return console.file.getvalue()  # type: ignore[attr-defined]


def as_json(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1) + "\n"


def as_markdown(told: dict[str, Any]) -> str:
    found = rows(told)
    lines = [f"## {escaped(told['a']['name'])} to {escaped(told['b']['name'])}", ""]
    if found:
        lines += ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
        lines += ["| " + " | ".join(map(escaped, row)) + " |" for row in found]
    else:
        lines.append("Nothing changed beyond the noise.")
    return "\n".join([*lines, "", *(f"- {escaped(line)}" for line in summary(told)), ""])


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"table": as_table, "json": as_json, "md": as_markdown}
