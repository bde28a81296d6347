"""Samples of a GPU during a job: a thread of the parent reads NVML ten times a second.

On a CPU there is no thread. A value that the GPU does not report is None. `crossframe.harness.analysis.gpu` interprets
the samples.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from crossframe.harness.launch.processes import RUNNING
from crossframe.harness.machine.gpus import open_handles
from crossframe.harness.records.model import GpuSamples

PERIOD_S = 0.1
# The longest time over which a GPU averages its utilisation. By NVML's reference (nvmlUtilization_t) that is between a
# sixth of a second and one second, depending on the product.
AVERAGED_S = 1.0
BUSY = 0.05  # a GPU is not idle from this utilisation on

# Column -> function that reads it, given the NVML module and the handle of the GPU.
QUERIES: dict[str, Callable[[Any, Any], float]] = {
    "memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "utilisation": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    "clock_hz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,
    "energy_j": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
    "throttle": lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
}


class GpuSampler:
    """A context in which a device is sampled: `with GpuSampler("cuda:0") as sampler: ...`, then `sampler.samples()`.

    The first sample is taken before the context is entered, so before the job starts.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.columns: dict[str, list[float | None]] = {name: [] for name in ("at_s", *QUERIES)}
        self.others = 0
        self.done = threading.Event()

    def __enter__(self) -> Self:
        """Take the first sample and start the thread."""
        if self.device != "cpu":
            import pynvml

            self.nvml = pynvml
            pynvml.nvmlInit()
            self.gpu = open_handles()[int(self.device.partition(":")[2] or 0)]
            self.take_sample()
            if (self.columns["utilisation"][0] or 0) > BUSY:  # this average may still include our previous job
                time.sleep(AVERAGED_S)
                self.columns = {name: [] for name in self.columns}
                self.take_sample()
            self.others = self.count_others()
            self.thread = threading.Thread(target=self.take_samples, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread and take the last sample."""
        if self.device != "cpu":
            self.done.set()
            self.thread.join()
            self.take_sample()
            self.nvml.nvmlShutdown()

    def take_samples(self) -> None:
        """Take samples until the context ends."""
        while not self.done.wait(PERIOD_S):
            self.take_sample()
            self.others = max(self.others, self.count_others())

    def take_sample(self) -> None:
        """Append one value to each column."""
        self.columns["at_s"].append(time.monotonic())
        for name, query in QUERIES.items():
            try:
                self.columns[name].append(query(self.nvml, self.gpu))
            except self.nvml.NVMLError:
                self.columns[name].append(None)

    def count_others(self) -> int:
        """Return the number of processes of other programs on the GPU.

        While a worker runs, at least one listed process is assumed to be the worker: in a container, the driver lists
        the process ids of the host, so our worker may not be recognized.
        """
        pids = self.list_processes()
        return max(0, len(pids) - max(sum(map(is_worker, pids)), bool(RUNNING)))

    def list_processes(self) -> list[int]:
        """Return the ids of the processes that compute on the GPU; a container may hide some or all of them."""
        try:
            pids = [process.pid for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.gpu)]
        except self.nvml.NVMLError:
            return []
        return [pid for pid in pids if pid]  # 0 stands for a hidden process

    def samples(self) -> GpuSamples | None:
        """Return what was sampled; None for the CPU."""
        return None if self.device == "cpu" else GpuSamples(self.device, self.others, self.columns)


def is_worker(pid: int) -> bool:
    """Return whether a process belongs to a running worker, each of which leads a process group."""
    try:
        return os.getpgid(pid) in RUNNING
    except ProcessLookupError:  # the process has ended, or the id is one of another container
        return False
