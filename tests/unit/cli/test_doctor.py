"""`crossframe doctor`: its findings, and which builds can run on a GPU."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.cli import doctor, program
from tests.support.fake_nvml import AMPERE, HOPPER, KEPLER, FakeGpu, install_driver


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let every test find no environment."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))


def test_doctor_prints_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("processor ")
    assert "\x1b" not in text
    assert program.main(["doctor", "--format", "json"]) == 0
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["host"]["cpu"]
    assert diagnosis["host"]["memory_bytes"] > 0
    assert {row["backend"] for row in diagnosis["environments"]} >= {"torch", "tensorflow", "mxnet", "jax"}
    assert diagnosis["findings"]
    assert all(finding["remedy"] for finding in diagnosis["findings"])


def find(diagnosis: doctor.Diagnosis, name: str) -> list[str]:
    return [finding.text for finding in doctor.find_problems(diagnosis) if finding.id == name]


def test_findings_are_about_the_default_device(monkeypatch: pytest.MonkeyPatch) -> None:
    install_driver(monkeypatch, "580.82.07")
    assert find(doctor.inspect_machine(), "no-gpu")
    install_driver(monkeypatch, "580.82.07", HOPPER)
    diagnosis = doctor.inspect_machine()
    assert not find(diagnosis, "no-gpu")
    assert find(diagnosis, "no-environment") == ["environments that are not made yet: JAX, TensorFlow, PyTorch (cuda)"]
    assert find(replace(diagnosis, free_bytes=int(10e9)), "little-disk")
    assert not find(replace(diagnosis, free_bytes=int(30e9)), "little-disk")


def test_findings_name_missing_tools_variables_and_the_governor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    diagnosis = doctor.inspect_machine()
    assert "OMP_PROC_BIND" in find(diagnosis, "variables")[0]
    assert find(replace(diagnosis, tools=diagnosis.tools | {"gcc": None}), "no-compiler")
    assert not find(replace(diagnosis, tools=diagnosis.tools | {"gcc": "/usr/bin/gcc"}), "no-compiler")
    powersave, performance = (
        replace(diagnosis, host=replace(diagnosis.host, governor=name)) for name in ("powersave", "performance")
    )
    assert find(powersave, "governor")
    assert not find(performance, "governor")


@pytest.mark.parametrize(
    ("driver", "gpu", "refused"),
    [
        ("580.82.07", HOPPER, {"mxnet"}),
        ("580.82.07", AMPERE, set()),
        ("580.82.07", KEPLER, {"jax", "mxnet", "onnxruntime_cuda", "tensorflow", "torch"}),
    ],
)
def test_builds_are_checked_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch, driver: str, gpu: FakeGpu, refused: set[str]
) -> None:
    install_driver(monkeypatch, driver, gpu)
    rows = doctor.list_cuda_support()
    builds = {name for name, backend in discover().items() if backend.has_builds} | {"onnxruntime_cuda"}
    assert {row.backend for row in rows} == builds
    assert {(row.device, row.gpu) for row in rows} == {("cuda:0", gpu.name)}
    assert {row.backend for row in rows if row.reason} == refused
    diagnosis = doctor.inspect_machine()
    text, titles = doctor.as_table(diagnosis), diagnosis.titles
    if gpu is AMPERE:
        assert "MXNet: yes; CUDA 11.2, cuDNN 8 and NCCL 2 must be on the machine" in text
        assert "PyTorch: yes\n" in text
    for row in rows:
        assert f"{titles[row.backend]}: {'no' if row.reason else 'yes'}" in text
