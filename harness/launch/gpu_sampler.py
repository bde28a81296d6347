"""A job's card, as the driver sees it: NVML, asked ten times a second by a thread of the parent.

On a CPU there is nothing to ask and no thread. What a card does not tell is None. What the rows mean is read by
`crossframe.harness.analysis.gpu`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from crossframe.harness.launch.launch import RUNNING
from crossframe.harness.machine.gpus import handles

PERIOD_S = 0.1
# Over how long a card averages its utilisation at most: NVML's reference says from a sixth of a second to one, by card,
# under nvmlUtilization_t.
AVERAGED_S = 1.0
BUSY = 0.05  # utilisation from which on a card is not idle

# Column -> how NVML is asked for it, given the module and the card's handle.
QUERIES: dict[str, Callable[[Any, Any], float]] = {
    "memory_bytes": lambda nvml, card: nvml.nvmlDeviceGetMemoryInfo(card).used,
    "utilisation": lambda nvml, card: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100,
    "power_w": lambda nvml, card: nvml.nvmlDeviceGetPowerUsage(card) / 1e3,
    "clock_hz": lambda nvml, card: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM) * 1e6,
    "energy_j": lambda nvml, card: nvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3,
    "throttle": lambda nvml, card: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card),
}


class Sampler:
    """`with Sampler("cuda:0") as seen: ...`, and then `seen.told()`. Its first row is taken before anything of ours."""

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
            self.look()
            if (self.columns["utilisation"][0] or 0) > BUSY:  # perhaps still the average of our own last job
                time.sleep(AVERAGED_S)
                self.columns = {name: [] for name in self.columns}
                self.look()
            self.others = self.strangers()
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
            self.others = max(self.others, self.strangers())

    def look(self) -> None:
        """One row more."""
        self.columns["at_s"].append(time.monotonic())
        for name, query in QUERIES.items():
            try:
                self.columns[name].append(query(self.nvml, self.card))
            except self.nvml.NVMLError:
                self.columns[name].append(None)

    def strangers(self) -> int:
        """How many processes on the card are not ours: none of ours runs, or one, or as many as are seen to be.

        Within a container the driver gives the numbers that processes have outside of it, so ours may look strange.
        """
        listed = self.processes()
        return max(0, len(listed) - max(sum(map(is_ours, listed)), bool(RUNNING)))

    def processes(self) -> list[int]:
        """The process ids that compute on the card; 0 is that of no process. A container may hide some, or all."""
        try:
            listed = [process.pid for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.card)]
        except self.nvml.NVMLError:
            return []
        return [pid for pid in listed if pid]

    def told(self) -> dict[str, Any] | None:
        """{device, others, samples: column -> values}; None for the CPU."""
        if self.device == "cpu":
            return None
        return {"device": self.device, "others": self.others, "samples": self.columns}


def is_ours(pid: int) -> bool:
    """Whether a process is surely one of our workers, each of which leads a process group of its own."""
    try:
        return os.getpgid(pid) in RUNNING
    except ProcessLookupError:  # it has ended, or its number is that of another container
        return False
