"""From what a cell left to one state with stage and reason: `pass`, `degraded`, `wrong`, or a way of not running."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.launch.launch import Outcome
from crossframe.harness.portability import distances
from crossframe.harness.portability.model_file import REDUCED, Subject, costs
from crossframe.harness.portability.test_vectors import HELD_OUT, NAN_ROW, PARTS
from crossframe.harness.worker import quality

STATES = ("pass", "degraded", "wrong", "refused", "crash", "timeout", "not_installed")
RUNS = ("pass", "degraded", "wrong")
TOLERANCE = 1e-4  # largest difference by the largest output; measured: at most 5e-6 where file and runtime are right
LARGE_TOLERANCE = 1e-3
METRIC_TOLERANCE = 1e-3
REASON = 300  # characters of a log that a reason quotes
OWN_ERRORS = 10  # times the framework's own float32 error

Outputs = Mapping[str, np.ndarray]  # `set/number` -> output


class Wrong(Exception):
    """It runs, and says something else than the oracle."""


def whole(outcome: Outcome) -> bool:
    """Whether it ran, at every batch size."""
    if outcome.state != "ok":
        return False
    return not any(outcome.measures["sets"].get(name) for name in (*HELD_OUT, "whole"))


def failure(outcome: Outcome, folder: Path) -> tuple[str, str, str]:
    """(state, stage, reason) of a cell that left no outputs."""
    left = folder / "stage"
    stage, reason = left.read_text() if left.exists() else "import", str(outcome.reason)
    if outcome.state in ("timeout", "not_installed"):
        return outcome.state, stage, reason
    if stage == "import":
        return "not_installed", stage, reason
    if outcome.state == "out_of_memory":
        return "crash", stage, f"over the cell's memory: {reason}"
    if outcome.measures:
        return "refused", stage, reason
    return "crash", stage, f"{reason.partition('; log:')[0]}: {first_words(folder / 'log.txt')}"


def first_words(log: Path) -> str:
    """How the log begins, after the command: a panic tells its cause first, and much that nobody needs after it."""
    return " ".join(log.read_text(errors="replace").split("\n", 1)[-1].split())[:REASON]


def numbers_of(subject: Subject, outputs: Outputs) -> dict[str, Any]:
    """Distances from the oracle over all sets that ran, the worst of each; Wrong where they are too large."""
    found: list[dict[str, Any]] = []
    for name in (*HELD_OUT, "whole", "zeros"):
        for number, want in enumerate(subject.reference.wanted.get(name, [])):
            if f"{name}/{number}" in outputs:
                try:
                    found.append(distances.distances(outputs[f"{name}/{number}"], want))
                except ValueError as error:
                    raise Wrong(f"{name.replace('_', ' of ')}: {error}") from None
    if not found:
        return {}
    largest = {key: max(each[key] for each in found) for key in ("max_abs", "scaled", "max_ulp")}
    worst = largest | {"cosine": min(d["cosine"] for d in found), "onnx_suite": all(d["onnx_suite"] for d in found)}
    own = subject.own_error
    return worst | {"own_error": own, "own_errors": worst["max_abs"] / own if own else None}


def held_out(subject: Subject, outputs: Outputs) -> tuple[np.ndarray, np.ndarray] | None:
    """(outputs, the oracle's) for every held-out sample, put together from batches of many sizes; None if any lacks."""
    names = [name for name in HELD_OUT if name in subject.reference.rows]
    if subject.targets is None or any(f"{name}/0" not in outputs for name in names):
        return None
    count = len(subject.targets)
    return np.concatenate([outputs[f"{name}/0"] for name in names])[:count], subject.oracle()[:count]


def decisions_of(subject: Subject, outputs: Outputs) -> dict[str, Any]:
    """Labels, ties and flips, the task's measure and its change, and the distance from the framework's own outputs."""
    both = held_out(subject, outputs)
    if both is None or subject.task is None or subject.targets is None:
        return {}
    (got, want), loss = both, subject.task.loss
    name = subject.task.quality
    figures = [quality.measure(loss, each, subject.targets)[name] for each in (got, want)]
    told: dict[str, Any] = {"metric": name, "value": figures[0], "change": figures[0] - figures[1]}
    told["decisions"] = distances.decisions(loss, got, want, subject.own_error or 0.0)
    if subject.own is not None:
        told["from_framework"] = float(np.abs(got - subject.own[: len(got)]).max())
    return told


def parts_gap(subject: Subject, outputs: Outputs) -> float | None:
    """The largest difference between samples run together and the same in parts, by the largest output."""
    names = [f"batch_{size}" for size in PARTS]
    if any(f"{name}/0" not in outputs for name in (*names, "whole")):
        return None
    whole = outputs["whole/0"]
    together = np.concatenate([outputs[f"{name}/0"] for name in names])
    if together.shape != whole.shape:  # an output without a batch axis
        return None
    return float(np.abs(together - whole).max() / (np.abs(whole).max() or 1.0))


def of_inputs(subject: Subject, outputs: Outputs) -> dict[str, Any]:
    """What comes of zeros, of large numbers and of NaN."""
    told: dict[str, Any] = {}
    for name in ("zeros", "large"):
        want = subject.reference.wanted.get(name)
        if want and f"{name}/0" in outputs:
            try:
                told[name] = distances.distances(outputs[f"{name}/0"], want[0])["scaled"]
            except ValueError as error:
                told[name] = str(error)
    if "nan/0" in outputs and "whole/0" in outputs:
        told["nan"] = distances.nan_behaviour(outputs["nan/0"], outputs["whole/0"][:3], NAN_ROW)
    return told


def examine(subject: Subject, measures: dict[str, Any], outputs: Outputs, fixed: str | None) -> dict[str, Any]:
    """{state, stage, reason, costs, checks} of a cell that ran. `fixed`: why it had to be made anew for each shape."""
    checks: dict[str, Any] = {}
    paid = costs(subject) + ([f"wants a fixed batch: {fixed}"] if fixed else [])
    paid += [measures["facts"]["cost"]] if "cost" in measures["facts"] else []
    paid += [] if subject.reference.wanted else ["compared with nothing: there is no oracle for it"]
    state, reason = "pass", None
    try:
        checks["numbers"] = numbers_of(subject, outputs)
        checks |= decisions_of(subject, outputs) | {"parts": parts_gap(subject, outputs)}
        checks["inputs"] = of_inputs(subject, outputs)
        if subject.variant in REDUCED:  # the task's measure decides, and a change of it is a cost
            paid += changed(checks)
        else:
            judge(checks)
            paid += shortcomings(checks, measures)
        if paid:
            state, reason = "degraded", "; ".join(paid)
    except Wrong as error:
        state, reason = "wrong", "; ".join([str(error), *paid])
    return {"state": state, "stage": "compare", "reason": reason, "costs": paid, "checks": checks}


def changed(checks: dict[str, Any]) -> list[str]:
    """Whether fewer bits changed the task's measure by more than the tolerance."""
    change = checks.get("change", 0.0)
    return [f"{checks['metric']} changes by {change:+.4f}"] if abs(change) > METRIC_TOLERANCE else []


def judge(checks: dict[str, Any]) -> None:
    """Wrong where a check says so."""
    found = checks["numbers"]
    if found.get("scaled", 0.0) > TOLERANCE:
        raise Wrong(f"outputs differ from the oracle's by {found['scaled']:.2g} of the largest")
    if abs(checks.get("change", 0.0)) > METRIC_TOLERANCE:
        raise Wrong(f"{checks['metric']} changes by {checks['change']:+.4f}")
    if (checks.get("decisions") or {}).get("flips"):
        raise Wrong(f"{checks['decisions']['flips']} labels differ, ties left out")
    if (checks["parts"] or 0.0) > TOLERANCE:
        raise Wrong(f"samples run together differ from the same in parts by {checks['parts']:.2g}")
    if checks["inputs"].get("nan") == "spread":
        raise Wrong("a sample of NaN changes the other samples of its batch")


def shortcomings(checks: dict[str, Any], measures: dict[str, Any]) -> list[str]:
    """What is right and yet not as it should be."""
    found = []
    failed = [name for name, reason in measures["sets"].items() if reason and name in (*HELD_OUT, "whole")]
    if failed:
        ran = [name.replace("_", " ") for name, reason in measures["sets"].items() if not reason]
        found.append(f"runs at {', '.join(ran)} alone: {measures['sets'][failed[0]][:160]}")
    ratio = checks["numbers"].get("own_errors")
    if ratio is not None and ratio > OWN_ERRORS:
        found.append(f"its error is {ratio:.0f} times the framework's own")
    large = checks["inputs"].get("large", 0.0)
    if isinstance(large, str) or large > LARGE_TOLERANCE:
        found.append(f"large inputs: {large}")
    return found
