"""Discovery of the runtimes, their manifests, and the adapter for GPUs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from crossframe.backends.manifest import ManifestError
from crossframe.harness import runtimes
from crossframe.harness.portability import spec_onnx
from crossframe.harness.runtimes import read_runtime
from tests.support.models import IMAGES, draw_weights

VALID = """title = "Example"
packages = ["example"]

[install.cpu]
python = "3.11"
requirements = "requirements-cpu.txt"
"""


def read_text(folder: Path, text: str) -> runtimes.Runtime:
    (folder / "runtime.toml").write_text(text)
    (folder / "requirements-cpu.txt").write_text("example==1\n")
    return read_runtime("example", "example", folder)


def test_valid_manifests_are_read(tmp_path: Path) -> None:
    runtime = read_text(tmp_path, VALID)
    assert runtime.manifest.title == "Example"
    assert runtime.requirements("cpu") == tmp_path / "requirements-cpu.txt"
    assert runtime.device_for("cuda:1") == "cpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VALID.replace("packages", "package"), r"runtime\.toml.*`package`"),
        (VALID.replace("python =", "pyhton ="), r"runtime\.toml.*`install\.cpu\.pyhton`"),
        (VALID.replace("requirements-cpu.txt", "gone.txt"), r"runtime\.toml.*`install\.cpu\.requirements`"),
        (VALID.partition("[install")[0], r"runtime\.toml.*`install\.cpu`"),
    ],
)
def test_invalid_manifests_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_text(tmp_path, text)


def test_runtimes_for_gpus_are_found_for_gpus_only() -> None:
    on_cpu, on_gpu = runtimes.find_runtimes("cpu"), runtimes.find_runtimes("cuda:1")
    assert "onnxruntime" in on_cpu
    assert on_gpu.keys() - on_cpu.keys() == {"onnxruntime_cuda"}
    assert on_gpu["onnxruntime_cuda"].device_for("cuda:1") == "cuda:1"


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")  # not available here, not needed
@pytest.mark.parametrize(
    ("on_cpu", "cost"),
    [
        (["Shape", "Gather"], None),  # shape arithmetic is meant to run on the CPU
        (["Shape", "LSTM", "Cos"], "operators on the CPU: Cos, LSTM"),
    ],
)
def test_operators_that_the_gpu_provider_lacks_are_a_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: list[str], cost: str | None
) -> None:
    from crossframe.harness.runtimes import onnxruntime_cuda as adapter

    def make_partition(provider: str, *operators: str) -> SimpleNamespace:
        nodes = [SimpleNamespace(op_type=operator) for operator in operators]
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)

    partitions = [make_partition("CUDAExecutionProvider", "Gemm"), make_partition("CPUExecutionProvider", *on_cpu)]
    monkeypatch.setattr(adapter.Session, "partitions", lambda self: partitions)
    path = tmp_path / "model.onnx"
    onnx.save(spec_onnx.write_model(IMAGES, draw_weights(IMAGES)), path)
    session = adapter.Session(str(path), 1, "cuda:0")
    expected = {"engine": "CUDAExecutionProvider", "device": "cuda:0"}
    assert session.facts == expected | ({"cost": cost} if cost else {})
