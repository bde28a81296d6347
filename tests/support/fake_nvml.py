"""A driver that is not there: as much of `pynvml` as the harness asks, with chosen cards and readings."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

MB = 10**6


class NVMLError(Exception):
    pass


class FakeNvml:
    """Stands in `sys.modules` for pynvml; its readings change at will.

    Cards are dicts: {name, uuid, capability}; one without a uuid is counted, but can't be opened.
    """

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1

    def __init__(self, driver: str, *cards: dict[str, Any]):
        self.driver, self.cards = driver, cards
        self.memory: Callable[[], int] = lambda: 500 * MB
        self.joules: Callable[[], float] = lambda: 0.0
        self.busy: Callable[[], int] = lambda: 0
        self.throttle = 0
        self.processes: list[int] = []
        self.tells_power = True
        self.on = 0

    def nvmlInit(self) -> None:
        self.on += 1

    def nvmlShutdown(self) -> None:
        self.on -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, place: int) -> dict[str, Any]:
        if "uuid" not in self.cards[place]:
            raise NVMLError("insufficient permissions")
        return self.cards[place]

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.driver

    def nvmlDeviceGetUUID(self, card: dict[str, Any]) -> str:
        return card["uuid"]

    def nvmlDeviceGetName(self, card: dict[str, Any]) -> str:
        return card["name"]

    def nvmlDeviceGetCudaComputeCapability(self, card: dict[str, Any]) -> tuple[int, int]:
        return card["capability"]

    def nvmlDeviceGetMemoryInfo(self, card: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(total=80_000 * MB, used=self.memory())

    def nvmlDeviceGetUtilizationRates(self, card: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(gpu=self.busy())

    def nvmlDeviceGetPowerUsage(self, card: dict[str, Any]) -> int:
        if not self.tells_power:
            raise NVMLError("not supported")
        return 300_000

    def nvmlDeviceGetClockInfo(self, card: dict[str, Any], kind: int) -> int:
        return 1980

    def nvmlDeviceGetTotalEnergyConsumption(self, card: dict[str, Any]) -> float:
        return self.joules() * 1000

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: dict[str, Any]) -> int:
        return self.throttle

    def nvmlDeviceGetComputeRunningProcesses(self, card: dict[str, Any]) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in self.processes]


HOPPER = {"name": "Hopper card", "uuid": "GPU-aaaa", "capability": (9, 0)}
AMPERE = {"name": "Ampere card", "uuid": "GPU-bbbb", "capability": (8, 6)}
KEPLER = {"name": "Kepler card", "uuid": "GPU-cccc", "capability": (3, 7)}
CLOSED = {"name": "a card of others"}


def with_driver(monkeypatch: pytest.MonkeyPatch, driver: str, *cards: dict[str, Any]) -> FakeNvml:
    fake = FakeNvml(driver, *cards)
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    return fake
