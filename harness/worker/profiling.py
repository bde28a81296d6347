"""Where the time of a training step goes, by operator: asked of a framework's own profiler, and shown.

It gives the cause of what was measured, "a third is the convolution's gradient", and no figure of its own: profilers
disturb what they watch, each in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossframe.backends.contract import Batch, Operator, Unsupported

STEPS = 20  # of one batch, as `step_s` has it
KEPT = 20  # operators
OTHERS = "(others)"


def profiled(model: Any, batch: Batch) -> dict[str, Any]:
    """{state, reason, steps, rows} of some steps of a trained model, whose weights this moves."""
    if not hasattr(model, "profile"):
        raise Unsupported("this backend has no method `profile`")
    batches = [batch] * STEPS
    model.train(batches)  # so that what is compiled for so many is compiled
    model.sync()
    return {"state": "ok", "reason": None, "steps": STEPS, "rows": strongest(model.profile(batches))}


def absent(state: str, reason: str) -> dict[str, Any]:
    return {"state": state, "reason": reason, "steps": None, "rows": []}


def strongest(found: Sequence[Operator]) -> list[dict[str, Any]]:
    """A row for each operator that took the most time, the first the longest; the last one for all others."""
    if not found:
        raise ValueError("the profiler saw no operator")
    ordered = sorted(found, key=lambda operator: operator[2], reverse=True)
    if not all(calls >= 0 and self_s >= 0 for _, calls, self_s in found):
        raise ValueError(f"calls and seconds of 0 or more were expected, not {ordered[-1]}")
    kept, rest = ordered[:KEPT], ordered[KEPT:]
    if rest:
        kept.append((OTHERS, sum(calls for _, calls, _ in rest), sum(self_s for _, _, self_s in rest)))
    return [{"name": str(name), "calls": int(calls), "self_s": float(self_s)} for name, calls, self_s in kept]
