"""From raw records to one figure a cell, with an interval over processes, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossframe.harness.analysis import fairness, gpu, scaling
from crossframe.harness.analysis.statistics import interval, steady
from crossframe.harness.records.store import CELL_KEYS
from crossframe.tasks.spec import QUALITY

Record = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands in a record, what says why it is missing, and which side is better."""

    read: Callable[[Record], float | None]
    absent: str  # the reason where `read` gives None for a job that is ok
    better: str = "less"


def measured(name: str) -> Callable[[Record], float | None]:
    return lambda record: record["measures"].get(name)


def judged(part: str, name: str) -> Callable[[Record], float | None]:
    return lambda record: (record["verdict"] or {}).get(part, {}).get(name)


def quantile(values: np.ndarray, share: float) -> float:
    """Linear between order statistics, as `numpy.percentile`, which takes ten times as long on so few values."""
    ordered, place = np.sort(values), share / 100 * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def percentile(name: str, share: float) -> Callable[[Record], float | None]:
    def read(record: Record) -> float | None:
        samples = record["measures"].get(name)
        return quantile(steady(samples), share) if samples else None

    return read


def train_samples_per_s(record: Record) -> float | None:
    """Samples a second of whole epochs, pipelined, after warm-up. The two first steps of all stand by themselves."""
    epochs = record["measures"].get("epochs")
    if not epochs:
        return None
    return record["cell"]["batch_size"] / float(np.mean(steady([e["train_s"] / e["steps"] for e in epochs])))


def jitter_s(record: Record) -> float | None:
    """The distance between the quartiles of a step's time."""
    samples = record["measures"].get("step_samples_s")
    return quantile(steady(samples), 75) - quantile(steady(samples), 25) if samples else None


def evaluate_s(record: Record) -> float | None:
    taken = [point["evaluate_s"] for point in record["measures"].get("curve", []) if "evaluate_s" in point]
    return quantile(np.asarray(taken), 50) if taken else None


def received(name: str) -> Callable[[Record], float | None]:
    return lambda record: record["measures"].get("receipt", {}).get(name)


def infer_samples_per_s(record: Record) -> float | None:
    taken = record["measures"].get("infer_many_samples_s")
    return record["measures"]["infer_many"] / quantile(steady(taken), 50) if taken else None


def energy_j(record: Record) -> float | None:
    """Joules of the device while the model trained: of the card, or of the processor packages."""
    on_cpu = record["cell"]["device"] == "cpu"
    return received("energy_j")(record) if on_cpu else gpu.energy_j(record)


def energy_per_sample_j(record: Record) -> float | None:
    """Joules of the card for each sample, over the epochs from which `train_samples_per_s` is."""
    power_w, rate = gpu.power_w(record), train_samples_per_s(record)
    return power_w / rate if power_w is not None and rate else None


def achieved(what: str) -> Callable[[Record], float | None]:
    """What a step has to do at least (`step_flops`, `step_bytes`), times the steps a second of whole epochs."""

    def read(record: Record) -> float | None:
        rate, has_to = train_samples_per_s(record), record.get("limits", {}).get(what)
        return rate / record["cell"]["batch_size"] * has_to if rate and has_to else None

    return read


def share(what: str, ceiling: str) -> Callable[[Record], float | None]:
    """What was achieved, by the most that this device did in this run."""

    def read(record: Record) -> float | None:
        reached, most = achieved(what)(record), record.get("limits", {}).get(ceiling)
        return reached / most if reached and most else None

    return read


NO_LIMITS = "an older run, which did not count"
NO_CEILING = "no ceiling was measured for this device and precision"
SHARES = ("ceiling_share", "bandwidth_share")
EXCEEDED = "more than the ceiling: others were busy while that was measured, or what is moved fits into a cache"
NO_ENERGY = "RAPL of a processor can't be read here; NVML of a GPU neither, or it trained for less than three samples"
NO_SAMPLES = "no GPU, or it does not tell, or its timed epochs were over in less than three samples"
NOT_PREPARED = "no GPU, or it does not tell, or an older run, which did not note it"
NOT_THIS_LOSS = "not a measure of this task's loss"
FIGURES: dict[str, Figure] = {
    "import_s": Figure(measured("import_s"), "not measured"),
    "prepare_s": Figure(measured("prepare_s"), "not measured"),
    "first_step_s": Figure(measured("first_step_s"), "not measured"),
    "second_step_s": Figure(measured("second_step_s"), "an epoch of one step"),
    "step_s": Figure(percentile("step_samples_s", 50), "not measured"),
    "step_p95_s": Figure(percentile("step_samples_s", 95), "not measured"),
    "step_p99_s": Figure(percentile("step_samples_s", 99), "not measured"),
    "step_jitter_s": Figure(jitter_s, "not measured"),
    "train_samples_per_s": Figure(train_samples_per_s, "not measured", "more"),
    "evaluate_s": Figure(evaluate_s, "not measured"),
    "time_to_target_s": Figure(measured("time_to_target_s"), "the target was not reached"),
    "accuracy": Figure(judged("quality", "accuracy"), NOT_THIS_LOSS, "more"),
    "precision": Figure(judged("quality", "precision"), NOT_THIS_LOSS, "more"),
    "recall": Figure(judged("quality", "recall"), NOT_THIS_LOSS, "more"),
    "f1": Figure(judged("quality", "f1"), NOT_THIS_LOSS, "more"),
    "mse": Figure(judged("quality", "mse"), NOT_THIS_LOSS),
    "first_epoch_gap": Figure(lambda r: (r["verdict"] or {}).get("first_epoch_gap"), "not judged"),
    "infer_latency_s": Figure(percentile("infer_samples_s", 50), "not measured"),
    "infer_p95_s": Figure(percentile("infer_samples_s", 95), "not measured"),
    "infer_samples_per_s": Figure(infer_samples_per_s, "not measured", "more"),
    "host_baseline_bytes": Figure(measured("host_baseline_bytes"), "this system has no /proc/self/status"),
    "host_peak_bytes": Figure(measured("host_peak_bytes"), "this system has no /proc/self/status"),
    "device_peak_bytes": Figure(measured("device_peak_bytes"), "no allocator to ask on this device"),
    "checkpoint_bytes": Figure(measured("checkpoint_bytes"), "not measured"),
    "onnx_bytes": Figure(judged("onnx", "onnx_bytes"), "not exported"),
    "export_s": Figure(judged("onnx", "export_s"), "not exported"),
    "environment_bytes": Figure(lambda r: r["environment"]["bytes"], "the environment was not made by Crossframe"),
    "environment_install_s": Figure(lambda r: r["environment"]["install_s"], "not made by Crossframe"),
    "energy_j": Figure(energy_j, NO_ENERGY),
    "energy_per_sample_j": Figure(energy_per_sample_j, NO_SAMPLES),
    "gpu_memory_peak_bytes": Figure(gpu.memory_peak_bytes, "no GPU, or it does not tell"),
    "gpu_context_bytes": Figure(gpu.context_bytes, NOT_PREPARED),
    "device_reserved_bytes": Figure(measured("device_reserved_bytes"), "no allocator to ask, or it does not tell"),
    "gpu_unexplained_bytes": Figure(gpu.unexplained_bytes, "its addends are not all known"),
    "gpu_utilisation": Figure(
        gpu.utilisation, "no GPU, or it does not tell, or it trained for less than two seconds", "more"
    ),
    "gpu_power_w": Figure(gpu.power_w, NO_SAMPLES),
    "gpu_clock_hz": Figure(gpu.clock_hz, NO_SAMPLES, "more"),
    "flops_per_s": Figure(achieved("step_flops"), NO_LIMITS, "more"),
    "bytes_per_s": Figure(achieved("step_bytes"), NO_LIMITS, "more"),
    "ceiling_share": Figure(share("step_flops", "ceiling_flops_per_s"), NO_CEILING, "more"),
    "bandwidth_share": Figure(share("step_bytes", "ceiling_bytes_per_s"), NO_CEILING, "more"),
}


def missing(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "n": 0, "reason": reason}


def cell_of(records: list[Record]) -> dict[str, Any]:
    """One cell from the records of its repeats. Its state is `ok` only if every repeat is."""
    records = sorted(records, key=lambda record: record["repeat"])
    bad = [record for record in records if record["state"] != "ok"]
    state, reason = (bad[0]["state"], bad[0]["reason"]) if bad else ("ok", None)
    if bad and len(records) > 1:
        reason = f"{len(bad)} of {len(records)} repeats: {reason}"
    good = [record for record in records if record["state"] == "ok"]
    metrics = {}
    for name, figure in FIGURES.items():
        values = [value for record in good if (value := figure.read(record)) is not None]
        why = figure.absent if good else f"the cell is {state}"
        metrics[name] = interval(values) if values else missing(why)
        if name in SHARES and any(value > 1 for value in values):
            metrics[name] = missing(EXCEEDED)
    first = good[0] if good else records[0]
    return {
        **records[0]["cell"],
        "state": state,
        "reason": reason,
        "parity": first["parity"],
        "onnx": {key: first["verdict"]["onnx"][key] for key in ("state", "reason")} if first["verdict"] else None,
        "versions": first["measures"].get("versions", {}),
        "dialect": first["measures"].get("dialect", {}),
        "operators": first["measures"].get("operators"),
        "gpu_memory": gpu.explained(good),
        "metrics": metrics,
    }


def break_even(cells: list[dict[str, Any]], baseline_modes: dict[str, str]) -> None:
    """Fill `break_even_steps`: after how many steps a compiled mode has paid back what it took to start.

    Against the backend's uncompiled mode, if this run has it: (start - start') / (step' - step), ' for uncompiled.
    """
    place = {tuple(cell[key] for key in CELL_KEYS): cell for cell in cells}
    for cell in cells:
        plain = baseline_modes.get(cell["backend"])
        other = place.get(tuple(plain if key == "mode" else cell[key] for key in CELL_KEYS))
        if plain is None or cell["mode"] == plain:
            cell["metrics"]["break_even_steps"] = missing("this mode compiles nothing")
        elif other is None or other["state"] != "ok" or cell["state"] != "ok":
            cell["metrics"]["break_even_steps"] = missing(f"this run has no {plain} cell to compare with")
        else:
            cell["metrics"]["break_even_steps"] = paid_back(cell["metrics"], other["metrics"])


def paid_back(compiled: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    start = [sum(side[name]["value"] for name in ("prepare_s", "first_step_s")) for side in (compiled, plain)]
    gain = plain["step_s"]["value"] - compiled["step_s"]["value"]
    if gain <= 0:
        return missing("its steps are no faster than uncompiled ones: never")
    return {"value": max(0.0, (start[0] - start[1]) / gain), "low": None, "high": None, "n": compiled["step_s"]["n"]}


def cells(records: list[Record], baseline_modes: dict[str, str]) -> list[dict[str, Any]]:
    """Every cell of a run, by task, then by backend and mode."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record["cell"][key] for key in CELL_KEYS), []).append(record)
    found = [cell_of(groups[key]) for key in sorted(groups)]
    unequal = fairness.differences(fairness.receipts(records))
    for cell in found:
        cell["withheld"] = "; ".join(unequal) or None
    break_even(found, baseline_modes)
    scaling.fill(found)
    return found


def quality_name(cell: dict[str, Any]) -> str | None:
    """`accuracy` or `mse`: which measure of quality a cell has."""
    names = dict.fromkeys(name for name, _ in QUALITY.values())
    return next((name for name in names if cell["metrics"][name]["value"] is not None), None)
