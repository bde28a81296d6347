"""What a process reads back about itself."""

import time

import pytest

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.worker.process import ResourceUsage, preloaded_libraries

SETTINGS = FrameworkSettings(threads=1, float32_products="float32")


def test_libraries_from_outside_of_the_environment_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib64")
    assert preloaded_libraries() == {"LD_LIBRARY_PATH": "/opt/cuda/lib64"}
    assert ResourceUsage().receipt(SETTINGS).libraries == {"LD_LIBRARY_PATH": "/opt/cuda/lib64"}


def test_a_receipt_covers_the_time_since_the_construction_of_the_meter() -> None:
    usage = ResourceUsage()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    receipt = usage.receipt(SETTINGS)
    assert receipt.cpu_s is not None
    assert receipt.wall_s is not None
    assert 0.2 <= receipt.cpu_s <= receipt.wall_s * 1.1
    assert receipt.cpu_per_wall == pytest.approx(receipt.cpu_s / receipt.wall_s)
    assert receipt.busy_threads == 1
    assert receipt.settings == SETTINGS


def test_two_receipts_of_a_process_name_the_same_process() -> None:
    assert ResourceUsage().receipt(SETTINGS).process == ResourceUsage().receipt(SETTINGS).process
