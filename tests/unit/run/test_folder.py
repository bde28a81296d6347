"""A run is resumed only on the GPUs on which it was started."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.errors import MissingError, UsageError
from crossframe.harness.machine.gpus import list_gpus
from crossframe.harness.plan.plan import make_plan
from crossframe.harness.records import store
from crossframe.harness.records.model import GpuInfo, RunInfo, RunOptions
from crossframe.harness.run.folder import resume_plan, start_run
from tests.support.fake_nvml import AMPERE, HOPPER, FakeGpu, install_driver

OPTIONS = RunOptions(task=["circle"], backend=["reference"], device="cpu", preset="quick", cpus=[0])
DRIVER = "580.82.07"


def start(folder: Path, options: RunOptions = OPTIONS) -> RunInfo:
    folder.mkdir()
    start_run(make_plan(options), folder)
    return store.read_run(folder)


def test_a_run_is_resumed_with_the_plan_that_it_was_started_with(tmp_path: Path) -> None:
    options = replace(OPTIONS, repeats=3, seeds=2, batch_size=[8, 64])
    info = start(tmp_path / "run", options)
    plan = resume_plan(info)
    assert plan == make_plan(options)
    assert info.commit
    assert info.tasks["circle"].parameters == 65
    inputs = {path.name for path in (tmp_path / "run" / "inputs").iterdir()}
    assert inputs == {"circle-8.npz", "circle-8-seed1.npz", "circle-64.npz", "circle-64-seed1.npz", "digests.json"}


def test_a_run_whose_backend_is_gone_is_not_resumed(tmp_path: Path) -> None:
    info = start(tmp_path / "run")
    with pytest.raises(UsageError, match="'gone'"):
        resume_plan(replace(info, backends={"gone": info.backends["reference"]}))


@pytest.mark.skipif(bool(list_gpus()), reason="this machine has a GPU")
def test_a_run_is_not_resumed_without_its_gpu(tmp_path: Path) -> None:
    info = start(tmp_path / "run")
    gpu = GpuInfo("Hopper GPU", DRIVER, 80 * 10**9, "9.0")
    with pytest.raises(MissingError, match="cuda:0"):
        resume_plan(replace(info, device="cuda:0", host=replace(info.host, gpus=[gpu])))


@pytest.mark.parametrize(
    ("driver", "gpus", "named"),
    [
        (DRIVER, [AMPERE], rf"Ampere GPU of 80.0 GB \(driver {DRIVER}\)"),
        ("595.10.01", [HOPPER], r"Hopper GPU of 80.0 GB \(driver 595.10.01\)"),
        (DRIVER, [HOPPER, replace(HOPPER, uuid="GPU-dd")], rf"Hopper GPU of 80.0 GB \(driver {DRIVER}\); Hopper GPU"),
    ],
)
def test_a_run_is_not_resumed_on_other_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: str, gpus: list[FakeGpu], named: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, DRIVER, HOPPER)
    info = start(tmp_path / "run")
    info = replace(info, device="cuda:0", host=replace(info.host, gpus=list_gpus()))
    assert len(resume_plan(info).jobs) == 1
    install_driver(monkeypatch, driver, *gpus)
    with pytest.raises(UsageError, match=rf"started on Hopper GPU of 80.0 GB \(driver {DRIVER}\), .* has {named}"):
        resume_plan(info)
