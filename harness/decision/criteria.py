"""What a decision weighs: the criteria, how each becomes a value, the profiles, and the weight file of a user."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossframe.harness.analysis.metrics import FIGURES
from crossframe.harness.errors import Usage

# Figure -> what it is called. Its value is -log2 of a cost, or log2 of a rate: a factor of two is worth one point
# wherever it occurs. That is the weighted product of ratios (Bridgman 1922): no value depends on another candidate, so
# none is reordered by adding or removing one, which anchors at "the best present" would do.
MEASURED = {
    "train_samples_per_s": "training throughput",
    "time_to_target_s": "training time to the target",
    "first_step_s": "first step, with compilation",
    "import_s": "import",
    "infer_latency_s": "inference of one sample",
    "infer_samples_per_s": "inference throughput",
    "host_peak_bytes": "peak memory",
    "onnx_bytes": "size of the ONNX file",
}
# Fact of backend.toml -> what it says. Yes is worth one point against no, as much as a factor of two: a judgement.
LOOKED_UP = {
    "maintained": "maintained",
    "distributed": "trains on several devices",
    "edge": "a path to phones and small devices",
}
CRITERIA = MEASURED | LOOKED_UP
# Seconds added before a factor counts, since nobody waits for less: 10 ms against 20 ms is no factor of two.
UNNOTICED_S = {"first_step_s": 0.5, "import_s": 0.5}


@dataclass(frozen=True)
class Profile:
    """Weights by criterion (0 where none is named), and the limits that the purpose sets."""

    name: str
    weights: dict[str, float]
    require: tuple[str, ...] = ()


def profile(name: str, require: tuple[str, ...] = (), **weights: float) -> Profile:
    return Profile(name, weights, require)


PROFILES = {
    one.name: one
    for one in (
        profile(
            "research", train_samples_per_s=4, time_to_target_s=2, first_step_s=2, host_peak_bytes=1, distributed=1
        ),
        profile(
            "production",
            ("maintained", "exports"),
            infer_latency_s=3,
            infer_samples_per_s=2,
            train_samples_per_s=2,
            host_peak_bytes=2,
            distributed=1,
        ),
        profile("edge", ("maintained", "exports"), infer_latency_s=4, onnx_bytes=2, host_peak_bytes=2, edge=2),
        profile(
            "teaching", ("maintained",), import_s=3, first_step_s=3, train_samples_per_s=2, host_peak_bytes=1, edge=1
        ),
    )
}


def value(criterion: str, figure: float) -> float:
    """The worth of a figure, in points; more is better."""
    return math.log2(figure + UNNOTICED_S.get(criterion, 0)) * (1 if FIGURES[criterion].better == "more" else -1)


def read_weights(path: Path) -> Profile:
    """The profile of a JSON file {criterion: weight}; Usage where it is not that, for every criterion."""
    try:
        told: Any = json.loads(path.read_text())
    except OSError as error:
        raise Usage(f"the weight file {path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Usage(f"the weight file {path} is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise Usage(f"the weight file {path} is not one object {{criterion: weight}}")
    unknown, missing = sorted(told.keys() - CRITERIA), sorted(CRITERIA.keys() - told.keys())
    if unknown:
        raise Usage(f"{path} weighs {', '.join(unknown)}, which is no criterion; there are {', '.join(CRITERIA)}")
    if missing:
        raise Usage(f"{path} has no weight for {', '.join(missing)}; write 0 for what does not count")
    for name, weight in told.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise Usage(f"{path}: the weight of {name} is {json.dumps(weight)}, not a number of 0 or more")
    if not any(told.values()):
        raise Usage(f"{path}: all weights are 0, so that nothing counts")
    return Profile(path.stem, told)
