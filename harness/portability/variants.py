"""A subject made anew: at another opset by its own exporter, or in fewer bits by onnxruntime's tools."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from crossframe.backends import discover
from crossframe.harness.errors import Missing
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make
from crossframe.harness.portability import run_models, spec_onnx
from crossframe.harness.portability.matrix import TIME_S, TIMED, Bench
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.worker.export_onnx import place
from crossframe.tasks.spec import to_json

TIMEOUT_S = 900

Recipe = tuple[int, str | None]  # the opset, and which of its ways the exporter shall go; None: its first


@dataclass(frozen=True)
class Made:
    """A file made anew, or why there is none; `subject` is the one it comes from where there is none."""

    subject: Subject
    reason: str | None


def exports(
    bench: Bench, subject: Subject, job: Path, mode: str, python: Path | None, wanted: dict[str, Recipe]
) -> tuple[dict[str, Made], dict[str, list[float]]]:
    """(variant -> file, the framework's own inference: set -> seconds), all of it in one process of its backend."""
    if subject.exporter == spec_onnx.NAME:
        return {name: by_spec(bench, subject, job, opset, name) for name, (opset, _) in wanted.items()}, {}
    backend = discover()[subject.exporter]
    folder = bench.folder / "exports" / subject.key
    asked = {
        "module": backend.module,
        "task": to_json(subject.task),
        "outputs": str((job / "outputs.npz").resolve()),
        "feeds": str(subject.feeds.resolve()),
        "mode": mode,
        "precision": "float32",
        "timed": TIMED,
        "time_s": TIME_S,
        "exports": wanted,
    }
    try:
        interpreter = python or make(backend, "cpu").python
        with bench.processor() as cpu:
            program = "crossframe.harness.worker.export_onnx"
            outcome = launch(interpreter, backend, {**asked, "cpus": [cpu]}, folder, TIMEOUT_S, program)
        told = outcome.measures["exports"] if outcome.state == "ok" else dict.fromkeys(wanted, failed(outcome.reason))
    except Missing as error:
        return {name: Made(replace(subject, variant=name), str(error)) for name in wanted}, {}
    found = {name: made(bench, subject, place(folder, name), name, told[name]) for name in wanted}
    return found, outcome.measures.get("infer_samples_s", {})


def failed(reason: str | None) -> dict[str, Any]:
    return {"state": "failed", "reason": reason}


def by_spec(bench: Bench, subject: Subject, job: Path, opset: int, variant: str) -> Made:
    """The same weights in the neutral writer's file."""
    assert subject.task is not None
    path = bench.folder / "spec" / f"{subject.name}-{opset}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(spec_onnx.write(subject.task, run_models.weights_of(job), opset), path)
    return made(bench, replace(subject, exporter=spec_onnx.NAME), path, variant, {"state": "ok"})


def reduced(bench: Bench, subject: Subject, kind: str) -> Made:
    """The file in float16 or int8."""
    folder = bench.folder / "reduced" / f"{subject.key}-{kind}"
    asked = {"model": str(subject.path.resolve()), "kind": kind, "cpus": sorted(os.sched_getaffinity(0))}
    program = "crossframe.harness.portability.quantize"
    outcome = launch(Path(sys.executable), discover()["reference"], asked, folder, TIMEOUT_S, program)
    return made(bench, subject, folder / "model.onnx", kind, {"state": outcome.state, "reason": outcome.reason})


def made(bench: Bench, subject: Subject, path: Path, variant: str, told: dict[str, Any]) -> Made:
    """The new file, examined; it must be of the opset that was asked for."""
    anew = replace(subject, path=path, variant=variant)
    if told["state"] != "ok":
        return Made(anew, told["reason"])
    try:
        anew = run_models.examined(anew, bench.folder)
    except run_models.Unreadable as error:
        return Made(anew, str(error))
    written = anew.told["provenance"]["opset"].get("ai.onnx")
    if variant.startswith("opset") and variant != f"opset {written}":
        return Made(anew, f"its exporter wrote opset {written} where another was asked for")
    return Made(anew, None)
