"""The samples of a GPU, from a driver that does not exist."""

import inspect
import re
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from crossframe.harness.analysis import gpu_warnings
from crossframe.harness.launch import gpu_sampler
from crossframe.harness.launch.gpu_sampler import GpuSampler
from crossframe.harness.machine import gpus
from tests.support.fake_nvml import HOPPER, MB, FakeNvml, install_driver


def test_the_fake_driver_has_the_names_of_the_real_one() -> None:
    names = {name for name in dir(FakeNvml) if name.lower().startswith("nvml")}
    for module in (gpus, gpu_sampler):
        names |= set(re.findall(r"nvml\.(\w+)", Path(str(module.__file__)).read_text()))
    assert len(names) >= 15
    for name in names:
        assert hasattr(pynvml, name), name
        assert hasattr(FakeNvml, name), name
        if name.startswith("nvml"):
            parameters = [name for name in inspect.signature(getattr(FakeNvml, name)).parameters if name != "self"]
            inspect.signature(getattr(pynvml, name)).bind(*parameters)


def test_a_gpu_is_sampled_while_a_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install_driver(monkeypatch, "580.82.07", HOPPER)
    driver.processes, driver.reports_power = [1], False  # no worker runs yet
    monkeypatch.setattr(gpu_sampler, "PERIOD_S", 0.02)
    with GpuSampler("cuda:0") as sampler:
        monkeypatch.setattr(gpu_sampler, "RUNNING", {4_100_000})  # a worker that does not use the GPU yet
        driver.memory = lambda: 1700 * MB
        driver.throttle = 0x20 | 0x01
        time.sleep(0.3)
    sampled = sampler.samples()
    assert sampled is not None
    assert driver.initialized == 0
    assert not sampler.thread.is_alive()
    columns = sampled.samples
    rows = len(columns["at_s"])
    assert rows > 5
    assert all(len(column) == rows for column in columns.values())
    assert (sampled.device, sampled.other_processes) == ("cuda:0", 1)
    assert (columns["memory_bytes"][0], columns["memory_bytes"][-1]) == (500 * MB, 1700 * MB)
    assert set(columns["power_w"]) == {None}
    assert columns["throttle"][-1] == 0x21


def test_a_cpu_is_not_sampled() -> None:
    with GpuSampler("cpu") as sampler:
        pass
    assert sampler.samples() is None


@pytest.mark.parametrize(
    ("listed", "worker_runs", "others"),
    [
        ([], False, 0),
        ([4_000_001], False, 1),
        ([0], False, 0),
        ([4_000_001], True, 0),  # a worker, with the process id that it has outside of this container
        ([4_000_001, 4_000_002], True, 1),
        ([0, 4_000_001], True, 0),
    ],
)
def test_other_programs_are_counted_where_process_ids_are_those_of_the_host(
    monkeypatch: pytest.MonkeyPatch, listed: list[int], worker_runs: bool, others: int
) -> None:
    driver = install_driver(monkeypatch, "580.82.07", HOPPER)
    monkeypatch.setattr(gpu_sampler, "PERIOD_S", 0.02)
    with GpuSampler("cuda:0") as sampler:
        monkeypatch.setattr(gpu_sampler, "RUNNING", {4_100_000} if worker_runs else set())
        driver.processes = listed
        time.sleep(0.1)
    assert sampler.others == others


def test_the_processes_of_a_worker_are_not_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[int] = set()
    monkeypatch.setattr(gpu_sampler, "RUNNING", running)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as worker:
        assert not gpu_sampler.is_worker(worker.pid)
        running.add(worker.pid)
        assert gpu_sampler.is_worker(worker.pid)
        assert not gpu_sampler.is_worker(1)
        driver = install_driver(monkeypatch, "580.82.07", HOPPER)
        sampler = GpuSampler("cuda:0")
        sampler.nvml, sampler.gpu = driver, HOPPER
        driver.processes = [worker.pid, worker.pid]
        assert sampler.count_others() == 0
        driver.processes = [worker.pid, worker.pid, 1]
        assert sampler.count_others() == 1
        worker.communicate(b"\n")


def test_a_gpu_that_others_use_is_detected_before_the_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers list no process at all in a container."""
    driver = install_driver(monkeypatch, "580.82.07", HOPPER)
    driver.memory, driver.busy = lambda: 30_000 * MB, lambda: 80
    monkeypatch.setattr(gpu_sampler, "AVERAGED_S", 0.05)
    with GpuSampler("cuda:0") as sampler:
        driver.memory = lambda: 30_900 * MB
    caveats = gpu_warnings.find_caveats(sampler.samples())
    assert len(caveats) == 2
    assert "30,000 MB" in caveats[0]
    assert "80%" in caveats[1]


def test_the_average_over_our_previous_job_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install_driver(monkeypatch, "580.82.07", HOPPER)
    end_s = time.monotonic() + 0.05
    driver.busy = lambda: 80 if time.monotonic() < end_s else 0
    monkeypatch.setattr(gpu_sampler, "AVERAGED_S", 0.1)
    with GpuSampler("cuda:0") as sampler:
        pass
    assert sampler.columns["utilisation"][0] == 0
    assert gpu_warnings.find_caveats(sampler.samples()) == []
