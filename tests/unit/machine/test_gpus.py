"""The GPUs of a machine, their numbers, and the builds that can run on them."""

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from crossframe.backends import discover
from crossframe.harness import runtimes
from crossframe.harness.errors import MissingError, UsageError
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.machine import environments, gpus, runtime_environments
from crossframe.harness.machine.environments import Environment
from tests.support.fake_nvml import AMPERE, CLOSED, HOPPER, KEPLER, FakeGpu, install_driver


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["Hopper GPU", "Ampere GPU", "Kepler GPU"]),
        ("1", ["Ampere GPU"]),
        ("2,0", ["Kepler GPU", "Hopper GPU"]),
        ("GPU-bb", ["Ampere GPU"]),
        ("0,9,1", ["Hopper GPU"]),  # CUDA ignores everything after the first invalid entry
        ("", []),
        ("-1", []),
    ],
)
def test_the_driver_and_cuda_number_the_gpus_alike(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    # CLOSED is counted but cannot be opened: it must not end every command. CUDA omits it as well.
    fake = install_driver(monkeypatch, "580.82.07", HOPPER, CLOSED, AMPERE, KEPLER)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in gpus.list_gpus()] == names
    assert fake.initialized == 0
    # By default CUDA would number the fastest GPU first.
    assert worker_env_vars(discover()["reference"], 1, "")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_devices_are_resolved_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, "580.82.07", HOPPER, AMPERE)
    names = ("auto", "cpu", "cuda", "cuda:1")
    assert [gpus.resolve_device(name) for name in names] == ["cuda:0", "cpu", "cuda:0", "cuda:1"]
    with pytest.raises(MissingError, match=r"cuda:2 does not exist: the driver shows 2 NVIDIA GPUs"):
        gpus.resolve_device("cuda:2")
    with pytest.raises(UsageError, match="unknown device 'tpu'; available: auto, cpu, cuda, cuda:N"):
        gpus.resolve_device("tpu")
    install_driver(monkeypatch, "580.82.07")
    assert gpus.resolve_device("auto") == "cpu"


def test_a_refusal_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_driver(monkeypatch, "550.54.15", AMPERE)
    reason = gpus.refusal(discover()["torch"], "cuda:0") or ""
    assert "for CUDA 12, needs 525.60.13" in reason
    assert reason.endswith("can use an interpreter with another build: --python torch=PATH")


def test_a_cpu_build_does_not_satisfy_the_requirements_for_cuda() -> None:
    lines = (discover()["torch"].folder / "requirements-cuda.txt").read_text().splitlines()
    (pin,) = [Requirement(line.partition("#")[0]) for line in lines if line.startswith("torch==")]
    assert pin.specifier.contains("2.13.0+cu130")
    assert not pin.specifier.contains("2.13.0+cpu")


@pytest.mark.parametrize(
    ("driver", "gpu", "reason"),
    [("550.54.14", HOPPER, "needs driver 580.65.06"), ("580.82.07", KEPLER, "7.5 and newer")],
)
def test_a_runtime_for_gpus_is_refused_in_advance(
    monkeypatch: pytest.MonkeyPatch, driver: str, gpu: FakeGpu, reason: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(environments, "make_environment", lambda plugin, kind: Environment(Path(kind)))
    selected = [runtimes.discover()[name] for name in ("onnxruntime", "onnxruntime_cuda")]
    install_driver(monkeypatch, driver, gpu)
    ready, failures = runtime_environments.make_runtime_environments(selected, "cuda:0", {})
    assert list(ready) == ["onnxruntime"]
    assert reason in failures["onnxruntime_cuda"]
    # Interpreters of the user are not checked in advance.
    interpreters = {"onnxruntime_cuda": Path("python")}
    ready, failures = runtime_environments.make_runtime_environments(selected, "cuda:0", interpreters)
    assert ready["onnxruntime_cuda"].python == Path("python")
    assert not failures
    install_driver(monkeypatch, "580.82.07", HOPPER)
    ready, failures = runtime_environments.make_runtime_environments(selected, "cuda:0", {})
    assert {name: str(each.python) for name, each in ready.items()} == {
        "onnxruntime": "cpu",
        "onnxruntime_cuda": "cuda",
    }


def test_a_backend_without_a_build_for_gpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install_driver(monkeypatch, "580.82.07", HOPPER)
    torch = discover()["torch"]
    cpu_only = replace(torch, manifest=replace(torch.manifest, install={"cpu": torch.manifest.install["cpu"]}))
    assert gpus.refusal(cpu_only, "cuda:0") == "torch has no requirements for cuda"
    assert gpus.refusal(cpu_only, "cpu") is None
    assert gpus.refusal(discover()["reference"], "cuda:0") is None
