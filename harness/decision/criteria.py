"""The criteria of a decision: their points, the weights of the use cases, and the criteria file of a user."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from crossframe.harness.analysis.metrics import METRICS
from crossframe.harness.errors import UsageError
from crossframe.harness.files import read_file

# Metric -> description. Its value is -log2 of a cost, or log2 of a rate: a factor of two is worth one point wherever it
# occurs. That is the weighted product of ratios (Bridgman 1922). No value depends on another candidate, so adding or
# removing a candidate does not reorder the others, unlike values relative to the best candidate.
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
# Fact of backend.toml -> description. By judgement, yes is worth one point more than no, the same as a factor of two.
LOOKED_UP = {
    "maintained": "maintained",
    "distributed": "trains on several devices",
    "edge": "a path to phones and small devices",
}
CRITERIA = MEASURED | LOOKED_UP
# Seconds added before a ratio is computed, since users do not notice less: 20 ms are not twice as bad as 10 ms.
UNNOTICED_S = {"first_step_s": 0.5, "import_s": 0.5}


@dataclass(frozen=True)
class UseCase:
    """Weights by criterion (0 if absent), and the requirements of a purpose."""

    name: str
    weights: dict[str, float]
    requirements: tuple[str, ...] = ()

    def normalize_weights(self) -> dict[str, float]:
        """Return the weights above 0, divided by their sum."""
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items() if weight}


USE_CASES = {
    use_case.name: use_case
    for use_case in (
        UseCase(
            "research",
            {
                "train_samples_per_s": 4,
                "time_to_target_s": 2,
                "first_step_s": 2,
                "host_peak_bytes": 1,
                "distributed": 1,
            },
        ),
        UseCase(
            "production",
            {
                "infer_latency_s": 3,
                "infer_samples_per_s": 2,
                "train_samples_per_s": 2,
                "host_peak_bytes": 2,
                "distributed": 1,
            },
            ("maintained", "exports"),
        ),
        UseCase(
            "edge",
            {"infer_latency_s": 4, "onnx_bytes": 2, "host_peak_bytes": 2, "edge": 2},
            ("maintained", "exports"),
        ),
        UseCase(
            "teaching",
            {"import_s": 3, "first_step_s": 3, "train_samples_per_s": 2, "host_peak_bytes": 1, "edge": 1},
            ("maintained",),
        ),
    )
}


def to_points(criterion: str, value: float) -> float:
    """Return the value of a metric in points; more is better."""
    return math.log2(value + UNNOTICED_S.get(criterion, 0)) * (1 if METRICS[criterion].better == "more" else -1)


def read_criteria(path: Path) -> UseCase:
    """Return the weights of a JSON file {criterion: weight}. UsageError unless it has a weight for every criterion."""
    try:
        weights = json.loads(read_file(path, follow=True))
    except OSError as error:
        raise UsageError(f"the criteria file {path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the criteria file {path} is not JSON: {error}") from None
    if not isinstance(weights, dict):
        raise UsageError(f"the criteria file {path} is not one object {{criterion: weight}}")
    unknown, missing = sorted(weights.keys() - CRITERIA), sorted(CRITERIA.keys() - weights.keys())
    if unknown:
        raise UsageError(f"{path}: unknown criteria {', '.join(unknown)}; available: {', '.join(CRITERIA)}")
    if missing:
        raise UsageError(f"{path} has no weight for {', '.join(missing)}; write 0 for a criterion that does not count")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UsageError(f"{path}: the weight of {name} is {json.dumps(weight)}, not a number of 0 or more")
    if not any(weights.values()):
        raise UsageError(f"{path}: all weights are 0, so no criterion counts")
    return UseCase(path.stem, weights)
