"""`crossframe portability`: the files of a run in every runtime, as they are, at other opsets and in fewer bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends import discover
from crossframe.harness import runtimes
from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, MISSING, Usage
from crossframe.harness.machine.runtime_environments import made
from crossframe.harness.portability import run_models, spec_onnx, variants
from crossframe.harness.portability.localize import blame
from crossframe.harness.portability.matrix import Bench, Record, Resources, ended
from crossframe.harness.portability.model_file import AS_EXPORTED, REDUCED, Subject
from crossframe.harness.portability.opset_range import OPSETS, ladder
from crossframe.harness.portability.variants import Made, Recipe
from crossframe.harness.records import store

SCHEMA_VERSION = 1

Document = dict[str, Any]
Job = dict[str, Any]  # a record of the run


@dataclass(frozen=True)
class Asked:
    """What to look at: names that exist, and how deep."""

    tasks: list[str]
    exporters: list[str]
    runtimes: list[str]
    opsets: list[int]
    routes: bool
    ladder: bool
    reduced: bool
    resources: Resources


@dataclass(frozen=True)
class Source:
    """One exporter's network: the job that trained it, and the file as the run left it."""

    job: Job
    made: Made


@contextmanager
def open_bench(folder: Path, names: list[str], resources: Resources) -> Iterator[Bench]:
    """The runtimes' environments, made where they are not there, each having passed its positive control."""
    known = runtimes.on(resources.device)
    ready, failed = made([known[name] for name in names], resources.device, resources.python)
    with Bench(folder, known, ready, failed, resources) as bench:
        bench.control()
        for name, reason in bench.failed.items():
            say(f"{name}: {reason}")
        yield bench


def sources(bench: Bench, run: Path, asked: Asked) -> list[Source]:
    """The files of the run, and the neutral writer's of each task, with the weights of its first job."""
    jobs = run_models.jobs_of(run, asked.tasks)
    if not jobs:
        raise Usage(f"{run} has no float32 job of {', '.join(asked.tasks)} that ended well")
    exported = [job for job in jobs if job["cell"]["backend"] in asked.exporters]
    found = bench.map(lambda job: Source(job, file_of(bench, run, job)), exported)
    if spec_onnx.NAME in asked.exporters:
        first = {job["cell"]["task"]: job for job in reversed(jobs)}.values()
        found += bench.map(lambda job: Source(job, neutral(bench, run, job)), first)
    order = {name: place for place, name in enumerate(asked.tasks)}
    return sorted(found, key=lambda source: order[source.made.subject.name])


def file_of(bench: Bench, run: Path, job: Job) -> Made:
    subject = run_models.of_job(run, job, bench.folder)
    exported = job["verdict"]["onnx"]  # whose state also tells whether onnxruntime agreed, which is asked anew here
    told = exported if exported["export_s"] is None else {"state": "ok"}
    return variants.made(bench, subject, subject.path, AS_EXPORTED, told)


def neutral(bench: Bench, run: Path, job: Job) -> Made:
    subject = run_models.of_job(run, job, bench.folder)
    return variants.by_spec(bench, subject, run / "jobs" / job["job"], spec_onnx.OPSET, AS_EXPORTED)


def recipes(subject: Subject, asked: Asked) -> dict[str, Recipe]:
    """Variant -> opset and route, of what is to be exported anew."""
    opsets = sorted({*asked.opsets, *(OPSETS if asked.ladder else ())})
    found: dict[str, Recipe] = {f"opset {opset}": (opset, None) for opset in opsets}
    if asked.routes and subject.exporter != spec_onnx.NAME:
        facts = discover()[subject.exporter].facts
        found |= {f"route {route}": (facts["onnx_opset"], route) for route in facts.get("onnx_routes", [])[1:]}
    return found


def again(bench: Bench, run: Path, source: Source, asked: Asked) -> tuple[dict[str, Made], dict[str, Any]]:
    """The source's network exported anew: (variant -> file, the framework's own inference: set -> seconds)."""
    subject = source.made.subject
    wanted = recipes(subject, asked)
    if not wanted:
        return {}, {}
    python = store.read_run(run)["options"]["python"].get(subject.exporter)
    job, mode = run / "jobs" / source.job["job"], source.job["cell"]["mode"]
    return variants.exports(bench, subject, job, mode, python and Path(python), wanted)


def cells(bench: Bench, found: list[Made], names: list[str]) -> list[Record]:
    """A record for each file and runtime; what is wrong says where."""
    pairs = [(made, name) for made in found for name in names]
    done = count(1)

    def cell(pair: tuple[Made, str]) -> Record:
        made, runtime = pair
        if made.reason is not None:
            return bench.header(made.subject, runtime) | ended("refused", "export", made.reason)
        record = bench.cell(made.subject, runtime)
        if record["state"] == "wrong":
            record["blame"] = blame(bench, made.subject, runtime)
        what = f"{made.subject.name} {made.subject.exporter} {made.subject.variant} in {runtime}"
        say(f"[{next(done)}/{len(pairs)}] {what}: {record['state']}")
        return record

    return bench.map(cell, pairs)


def examine(run: Path, asked: Asked) -> Document:
    """Everything that was asked, also left in the run's folder: `portability.json`, and its cells line by line."""
    folder = run / "portability"
    shutil.rmtree(folder, ignore_errors=True)
    rungs: list[dict[str, Any]] = []
    with open_bench(folder, asked.runtimes, asked.resources) as bench:
        found = sources(bench, run, asked)
        exported = bench.map(lambda source: again(bench, run, source, asked), found)
        variant_names = [f"opset {opset}" for opset in asked.opsets]
        made = [anew[name] for anew, _ in exported for name in variant_names] or [source.made for source in found]
        made += [each for anew, _ in exported for name, each in anew.items() if name.startswith("route")]
        if asked.reduced:
            whole = [source.made.subject for source in found if source.made.reason is None]
            kinds = [(subject, kind) for subject in whole for kind in REDUCED]
            made += bench.map(lambda pair: variants.reduced(bench, *pair), kinds)
        told = cells(bench, made, asked.runtimes)
        if asked.ladder:
            steps = [{opset: anew[f"opset {opset}"] for opset in OPSETS} for anew, _ in exported]
            rungs = bench.map(lambda made: ladder(bench, made, asked.runtimes), steps)
    document = {
        "schema": SCHEMA_VERSION,
        "name": run.name,
        "at_a_time": len(asked.resources.cpus),
        "device": asked.resources.device,
        "files": [file_told(run, source, own) for source, (_, own) in zip(found, exported)],
        "cells": told,
        "ladder": rungs,
    }
    (run / "portability.json").write_text(json.dumps(document, indent=1) + "\n")
    (run / "portability.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in told))
    return document


def file_told(run: Path, source: Source, own: dict[str, list[float]]) -> dict[str, Any]:
    """Provenance and structure of a file, and the framework's own inference beside it; null where not measured."""
    subject, log = source.made.subject, run / "jobs" / source.job["job"] / "log.txt"
    framework = subject.exporter != spec_onnx.NAME
    # A report is sent around: whose machine it was made on is nobody's business.
    text = log.read_text(errors="replace").replace(str(Path.home()), "~") if framework and log.exists() else ""
    lines = text.splitlines()
    return {
        "exporter": subject.exporter,
        "task": subject.name,
        "state": "ok" if source.made.reason is None else "failed",
        "reason": source.made.reason,
        "versions": source.job["measures"]["versions"] if framework else {},
        "warnings": [line.strip()[:200] for line in lines if "warn" in line.lower()][:5],
        "export_s": source.job["verdict"]["onnx"]["export_s"] if framework else None,
        "own_inference": {f"{name}_p50_s": float(np.median(taken)) for name, taken in own.items()} or None,
        **{key: subject.told.get(key) for key in ("provenance", "problem", "external", "census", "inputs", "outputs")},
    }


def exit_code(told: list[Record]) -> int:
    """By the rules of the command line: 4 where something is wrong, 1 where something does not run."""
    states = {cell["state"] for cell in told}
    if states == {"not_installed"}:
        return MISSING
    if "wrong" in states:
        return GATE_TRIPPED
    return CELL_FAILED if states - {"pass", "degraded"} else DONE
