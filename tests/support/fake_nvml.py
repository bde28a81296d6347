"""A fake of `pynvml` with chosen GPUs and readings: the part of it that the harness calls."""

# ruff: noqa: N802 (the names of NVML)
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

MB = 10**6


class NVMLError(Exception):
    """The error of NVML."""


@dataclass(frozen=True)
class FakeGpu:
    """A GPU; one without a UUID is counted but cannot be opened."""

    name: str
    uuid: str | None = None
    capability: tuple[int, int] = (0, 0)


class FakeNvml:
    """A replacement of the module pynvml in `sys.modules`; tests assign its readings."""

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1

    def __init__(self, driver: str, *gpus: FakeGpu) -> None:
        self.driver, self.gpus = driver, gpus
        self.memory: Callable[[], int] = lambda: 500 * MB
        self.joules: Callable[[], float] = lambda: 0.0
        self.busy: Callable[[], int] = lambda: 0
        self.throttle = 0
        self.processes: list[int] = []
        self.reports_power = True
        self.initialized = 0  # calls of nvmlInit that no nvmlShutdown has followed

    def nvmlInit(self) -> None:
        self.initialized += 1

    def nvmlShutdown(self) -> None:
        self.initialized -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        if self.gpus[index].uuid is None:
            raise NVMLError("insufficient permissions")
        return self.gpus[index]

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.driver

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        assert gpu.uuid is not None
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return gpu.name

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> tuple[int, int]:
        return gpu.capability

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> SimpleNamespace:
        return SimpleNamespace(total=80_000 * MB, used=self.memory())

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> SimpleNamespace:
        return SimpleNamespace(gpu=self.busy())

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        if not self.reports_power:
            raise NVMLError("not supported")
        return 300_000

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, kind: int) -> int:
        return 1980

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> float:
        return self.joules() * 1000

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: FakeGpu) -> int:
        return self.throttle

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in self.processes]


HOPPER = FakeGpu("Hopper GPU", "GPU-aaaa", (9, 0))
AMPERE = FakeGpu("Ampere GPU", "GPU-bbbb", (8, 6))
KEPLER = FakeGpu("Kepler GPU", "GPU-cccc", (3, 7))
CLOSED = FakeGpu("a GPU without permission")


def install_driver(monkeypatch: pytest.MonkeyPatch, driver: str, *gpus: FakeGpu) -> FakeNvml:
    """Put a fake driver with these GPUs in the place of pynvml."""
    fake = FakeNvml(driver, *gpus)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake
