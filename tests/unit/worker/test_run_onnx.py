"""The timed calls of an ONNX runtime take the inputs of a batch size in turn."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from crossframe.harness.files import write_atomically
from crossframe.harness.worker.jobs import RunOnnxJob
from crossframe.harness.worker.measurements import OnnxMeasurements
from crossframe.harness.worker.run_onnx import run_onnx_job
from crossframe.tasks.spec import Arrays


def test_timed_calls_take_the_sets_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    class Session:
        """A runtime that keeps the inputs of its calls."""

        facts: dict[str, str] = {}  # noqa: RUF012

        def __init__(self, path: str, threads: int, device: str) -> None: ...

        def compile(self, example: Arrays | None) -> None: ...

        def run(self, feeds: Arrays) -> list[np.ndarray]:
            calls.append(float(feeds["x"][0]))
            return [feeds["x"]]

    module = ModuleType("recording_runtime")
    module.__dict__["Session"] = Session
    monkeypatch.setitem(sys.modules, "recording_runtime", module)
    write_atomically(tmp_path / "feeds.npz", {f"1.{number}/x": np.array([float(number)]) for number in range(3)})
    job = RunOnnxJob(
        cpus=[0],
        module="recording_runtime",
        packages=[],
        model="model.onnx",
        feeds=str(tmp_path / "feeds.npz"),
        device="cuda:0",  # where the memory of this process is not limited
        memory_bytes=2**40,
        fixed=False,
        timed={"1": ["1.0", "1.1", "1.2"], "2": ["2.0"]},
        time_s=0.001,
    )
    measurements = OnnxMeasurements()
    run_onnx_job(job, tmp_path, measurements)
    assert set(measurements.infer_samples_s) == {"1"}  # there is no set for the other
    timed = calls[3:]  # each set once for its outputs, then a warm-up and the timed calls
    assert len(timed) == len(measurements.infer_samples_s["1"]) + 1 >= 4
    assert timed == [float(number % 3) for number in range(len(timed))]
