"""A subject made anew: at another opset by its own exporter, or in fewer bits by onnxruntime's tools."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from backends import discover
from harness.environments import make
from harness.launch import launch
from harness.portability import files, spec_onnx
from harness.portability.matrix import TIME_S, TIMED, Bench
from harness.portability.subject import Subject
from tasks.spec import to_json

TIMEOUT_S = 900


@dataclass(frozen=True)
class Made:
    """A file made anew, or why there is none; `subject` is the one it comes from where there is none."""

    subject: Subject
    reason: str | None


def exports(
    bench: Bench, subject: Subject, job: Path, mode: str, python: Path | None, opsets: Iterable[int]
) -> tuple[dict[int, Made], dict[str, list[float]]]:
    """(opset -> file, the framework's own inference: set -> seconds), all of it in one process of its backend."""
    if subject.exporter == spec_onnx.NAME:
        return {opset: by_spec(bench, subject, job, opset, f"opset {opset}") for opset in opsets}, {}
    backend, opsets = discover()[subject.exporter], list(opsets)
    folder = bench.folder / "exports" / subject.key
    with bench.processor() as cpu:
        asked = {
            "module": backend.module,
            "task": to_json(subject.task),
            "outputs": str((job / "outputs.npz").resolve()),
            "feeds": str(subject.feeds.resolve()),
            "mode": mode,
            "precision": "float32",
            "timed": TIMED,
            "time_s": TIME_S,
            "opsets": opsets,
            "cpus": [cpu],
        }
        interpreter = python or make(backend, "cpu").python
        outcome = launch(interpreter, backend, asked, folder, TIMEOUT_S, "harness.portability.exporter")
    if outcome.state != "ok":
        return {opset: Made(subject, outcome.reason) for opset in opsets}, {}
    told = outcome.measures["exports"]
    return {
        opset: made(bench, subject, folder / f"opset-{opset}" / "model.onnx", f"opset {opset}", told[str(opset)])
        for opset in opsets
    }, outcome.measures["infer_samples_s"]


def by_spec(bench: Bench, subject: Subject, job: Path, opset: int, variant: str) -> Made:
    """The same weights in the neutral writer's file."""
    assert subject.task is not None
    path = bench.folder / "spec" / f"{subject.name}-{opset}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(spec_onnx.write(subject.task, files.weights_of(job), opset), path)
    return made(bench, replace(subject, exporter=spec_onnx.NAME), path, variant, {"state": "ok"})


def reduced(bench: Bench, subject: Subject, kind: str) -> Made:
    """The file in float16 or int8."""
    folder = bench.folder / "reduced" / f"{subject.key}-{kind}"
    with bench.processor() as cpu:
        asked = {"model": str(subject.path.resolve()), "kind": kind, "cpus": [cpu]}
        plain = discover()["reference"]
        outcome = launch(Path(sys.executable), plain, asked, folder, TIMEOUT_S, "harness.portability.reduce")
    return made(bench, subject, folder / "model.onnx", kind, {"state": outcome.state, "reason": outcome.reason})


def made(bench: Bench, subject: Subject, path: Path, variant: str, told: dict[str, Any]) -> Made:
    """The new file, examined; it must be of the opset that was asked for."""
    anew = replace(subject, path=path, variant=variant)
    if told["state"] != "ok":
        return Made(anew, told["reason"])
    try:
        with bench.processor() as cpu:
            anew = files.examined(anew, bench.folder, cpu)
    except files.Unreadable as error:
        return Made(anew, str(error))
    written = anew.told["provenance"]["opset"].get("ai.onnx")
    if variant.startswith("opset") and variant != f"opset {written}":
        return Made(anew, f"its exporter wrote opset {written} where another was asked for")
    return Made(anew, None)
