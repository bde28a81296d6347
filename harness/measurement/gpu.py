"""What a job did to its GPU, as the driver sees it: NVML, asked ten times a second by a thread of the parent.

On a CPU there is nothing to ask and no thread. What a card does not tell is None.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from harness.host import handles
from harness.launch import RUNNING

PERIOD_S = 0.1
ENOUGH = 3  # samples from which on a mean over the training says something

# Column -> how NVML is asked for it, given the module and the card's handle.
QUERIES: dict[str, Callable[[Any, Any], float]] = {
    "memory_bytes": lambda nvml, card: nvml.nvmlDeviceGetMemoryInfo(card).used,
    "utilisation": lambda nvml, card: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100,
    "power_w": lambda nvml, card: nvml.nvmlDeviceGetPowerUsage(card) / 1e3,
    "clock_hz": lambda nvml, card: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM) * 1e6,
    "energy_j": lambda nvml, card: nvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3,
    "throttle": lambda nvml, card: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card),
}
# Bit of "throttle" -> what holds the clock down. Bits that are not here are no fault: an idle card, a setting.
THROTTLES = {
    0x04: "its power limit",
    0x08: "a slowdown of the hardware",
    0x20: "its heat (the driver)",
    0x40: "its heat (the hardware)",
    0x80: "the power supply's brake",
}


class Sampler:
    """`with Sampler("cuda:0") as seen: ...`, and then `seen.told()`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.columns: dict[str, list[float | None]] = {name: [] for name in ("at_s", *QUERIES)}
        self.others = 0
        self.done = threading.Event()

    def __enter__(self) -> Self:
        if self.device != "cpu":
            import pynvml

            self.nvml = pynvml
            pynvml.nvmlInit()
            self.card = handles()[int(self.device.partition(":")[2] or 0)]
            self.others = len(self.processes())  # none of ours runs yet
            self.look()
            self.thread = threading.Thread(target=self.sample, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device != "cpu":
            self.done.set()
            self.thread.join()
            self.look()
            self.nvml.nvmlShutdown()

    def sample(self) -> None:
        while not self.done.wait(PERIOD_S):
            self.look()

    def look(self) -> None:
        """One row more."""
        self.columns["at_s"].append(time.monotonic())
        for name, query in QUERIES.items():
            try:
                self.columns[name].append(query(self.nvml, self.card))
            except self.nvml.NVMLError:
                self.columns[name].append(None)
        self.others = max(self.others, sum(map(is_strange, self.processes())))

    def processes(self) -> list[int]:
        """The process ids that compute on the card; a container may hide some, or give them other numbers."""
        try:
            return [process.pid for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.card)]
        except self.nvml.NVMLError:
            return []

    def told(self) -> dict[str, Any] | None:
        """{device, others, samples: column -> values}; None for the CPU."""
        if self.device == "cpu":
            return None
        return {"device": self.device, "others": self.others, "samples": self.columns}


def is_strange(pid: int) -> bool:
    """Whether a process is surely not one of our workers, each of which leads a process group of its own."""
    try:
        return os.getpgid(pid) not in RUNNING
    except ProcessLookupError:  # it has ended, or its number is that of another container
        return False


def rise_bytes(gpu: dict[str, Any] | None) -> int | None:
    """By how much the card's used memory rose while the job ran: its largest value less its least."""
    seen = [value for value in (gpu or {"samples": {}})["samples"].get("memory_bytes", []) if value is not None]
    return int(max(seen) - min(seen)) if seen else None


def in_training(record: dict[str, Any], column: str) -> np.ndarray:
    """What was sampled of a column while the model trained; empty where that is too little to say anything."""
    gpu, receipt = record.get("gpu"), record["measures"].get("receipt", {})
    if not gpu or "began_s" not in receipt:
        return np.empty(0)
    rows = zip(gpu["samples"]["at_s"], gpu["samples"][column])
    found = [value for at_s, value in rows if value is not None and receipt["began_s"] <= at_s <= receipt["ended_s"]]
    return np.asarray(found if len(found) >= ENOUGH else [], float)


def mean(column: str) -> Callable[[dict[str, Any]], float | None]:
    """Reads the mean of a column while the model trained from a record."""

    def read(record: dict[str, Any]) -> float | None:
        values = in_training(record, column)
        return float(values.mean()) if len(values) else None

    return read


def energy_j(record: dict[str, Any]) -> float | None:
    """What the card took while the model trained: its counter at both ends, straight lines between the samples."""
    gpu, receipt = record.get("gpu"), record["measures"].get("receipt", {})
    if not gpu or not len(in_training(record, "energy_j")):
        return None
    known = [(at, value) for at, value in zip(gpu["samples"]["at_s"], gpu["samples"]["energy_j"]) if value is not None]
    at_s, joules = np.asarray(known, float).T
    begin, end = np.interp([receipt["began_s"], receipt["ended_s"]], at_s, joules)
    return float(end - begin)


def explained(gpu: dict[str, Any], allocator_bytes: int | None) -> str | None:
    """The two peaks of the device's memory side by side, and what lies between them; None where NVML told none."""
    rise = rise_bytes(gpu)
    if rise is None:
        return None
    seen = f"the card's used memory rose by {rise / 1e6:,.0f} MB (NVML)"
    if allocator_bytes is None:
        return f"{seen}; the framework's allocator does not tell its peak"
    between = f"{seen}, the framework's allocator gave out {allocator_bytes / 1e6:,.0f} MB at most"
    if rise < allocator_bytes:
        return f"{between}: the peak was shorter than the {PERIOD_S:g} s between two samples, or others freed memory"
    rest = f"the other {(rise - allocator_bytes) / 1e6:,.0f} MB are"
    return f"{between}; {rest} the CUDA context, the libraries' code and workspaces, and what is reserved beforehand"


def untouched(gpu: dict[str, Any] | None, measures: dict[str, Any]) -> str | None:
    """Why a job was not on its card after all, where its allocator does not tell; None if it was, or nothing can."""
    if gpu is None or measures.get("device_peak_bytes") is not None or rise_bytes(gpu) != 0:
        return None
    return f"asked for {gpu['device']}, but the card's used memory did not rise while the job ran"


def warnings(records: Iterable[dict[str, Any]]) -> list[str]:
    """`ID: text` of what makes figures of a GPU doubtful."""
    seen = [record["gpu"] for record in records if record.get("gpu")]
    found = []
    shared = [gpu["others"] for gpu in seen if gpu["others"]]
    if shared:
        text = f"up to {max(shared)} processes of others computed on the card"
        found.append(f"W-GPU-OTHERS: during {len(shared)} of {len(seen)} jobs {text}")
    for bit, what in THROTTLES.items():
        held = [gpu for gpu in seen if any(int(bits or 0) & bit for bits in gpu["samples"]["throttle"])]
        if held:
            found.append(f"W-GPU-THROTTLED: during {len(held)} of {len(seen)} jobs {what} held the card's clock down")
    return found
