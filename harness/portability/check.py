"""`crossframe check`: anyone's own file by the same checks, as far as they apply to a file without a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.errors import Usage
from crossframe.harness.portability import run_models, test_vectors
from crossframe.harness.portability.matrix import Bench, Resources
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.session import Document, cells, open_bench
from crossframe.harness.portability.test_vectors import Feeds, Reference
from crossframe.harness.portability.variants import Made

ORACLES = ("reference_evaluator", "onnxruntime")  # whose word is taken where there is no reference
SAMPLES = 80  # one more than no set: enough for all batch sizes
OTHER_AXES = 8  # the length of an axis that is free and is not the first


def drawn(entry: dict[str, Any], count: int | None) -> np.ndarray:
    """An array for an input as the file declares it; `count` samples where it is not None. Unreadable for no rank."""
    if entry["shape"] is None:
        raise run_models.Unreadable(
            f"load: input {entry['name']} says nothing of its rank: give inputs with --reference"
        )
    shape = [axis if isinstance(axis, int) else OTHER_AXES for axis in entry["shape"]]
    if count is not None:
        shape[0] = count
    generator = np.random.default_rng(0)
    try:
        dtype = np.dtype(entry["dtype"])
    except TypeError:
        raise run_models.Unreadable(
            f"load: input {entry['name']} is {entry['dtype']}: give inputs with --reference"
        ) from None
    if dtype.kind == "f":
        return generator.normal(size=shape).astype(dtype)
    # Small whole numbers: they may be places in a table.
    return generator.integers(0, 2, size=shape).astype(dtype)


def free(told: dict[str, Any]) -> bool:
    """Whether every input and output has a first axis that the file leaves free."""
    entries = told["inputs"] + told["outputs"]
    return bool(told["inputs"]) and all(entry["shape"] and not isinstance(entry["shape"][0], int) for entry in entries)


def given(path: Path, told: dict[str, Any]) -> tuple[Feeds, list[np.ndarray]]:
    """(inputs, outputs) from an archive whose keys are the names of the file's signature. Usage where one lacks."""
    try:
        stored = run_models.arrays(path)
    except (OSError, ValueError) as error:
        raise Usage(f"{path} is no archive of arrays (numpy.savez): {error}") from None
    bare = {name.removeprefix("input/").removeprefix("output/"): array for name, array in stored.items()}
    lacking = [entry["name"] for side in ("inputs", "outputs") for entry in told[side] if entry["name"] not in bare]
    if lacking:
        raise Usage(f"{path} holds {', '.join(stored) or 'nothing'}, but no {', '.join(lacking)}")
    feeds = {entry["name"]: bare[entry["name"]] for entry in told["inputs"]}
    return feeds, [bare[entry["name"]] for entry in told["outputs"]]


def reference_of(told: dict[str, Any], archive: Path | None) -> Reference:
    if archive is None:
        feeds = {e["name"]: drawn(e, SAMPLES if free(told) else None) for e in told["inputs"]}
        return test_vectors.of_samples(feeds, None) if free(told) else test_vectors.of_one(feeds, None)
    feeds, outputs = given(archive, told)
    counts = {len(array) for array in (*feeds.values(), *outputs) if array.ndim}
    return (test_vectors.of_samples if free(told) and len(counts) == 1 else test_vectors.of_one)(feeds, outputs)


def with_oracle(bench: Bench, subject: Subject) -> tuple[Subject, str | None]:
    """The subject with what a runtime says in place of an oracle, and which; None where none of them runs it."""
    for name in ORACLES:
        if name in bench.ready and name not in bench.failed:
            outcome, _, outputs = bench.run(subject, name)
            if outcome.state == "ok":
                wanted: dict[str, list[np.ndarray]] = {}
                for key, array in outputs.items():
                    if not key.startswith("nan/"):
                        wanted.setdefault(key.partition("/")[0], []).append(array)
                return replace(subject, reference=replace(subject.reference, wanted=wanted)), name
    return subject, None


def examine(path: Path, archive: Path | None, folder: Path, names: list[str], resources: Resources) -> Document:
    """The document of one file; Unreadable where it is not even a model, Usage where the reference does not fit."""
    told = run_models.look(path, folder / "structure")
    found = reference_of(told, archive)
    feeds = found.save(folder / "feeds.npz")
    laid = run_models.lay(path, told, folder / "file")
    subject = Subject(told["provenance"]["producer"] or "unknown", path.stem, laid, feeds, found, told=told)
    oracle = "the reference" if archive else None
    with open_bench(folder, list(dict.fromkeys([*names, *ORACLES])), resources) as bench:
        if archive is None and not told["external"]["outside"]:
            subject, oracle = with_oracle(bench, subject)
        found_cells = cells(bench, [Made(subject, None)], names)
    provenance = {key: told[key] for key in ("provenance", "problem", "external", "census", "inputs", "outputs")}
    about = {"exporter": subject.exporter, "task": subject.name, "oracle": oracle, **provenance}
    return {
        "schema": 1,
        "name": path.name,
        "at_a_time": len(resources.cpus),
        "device": resources.device,
        "files": [about],
        "cells": found_cells,
        "ladder": [],
    }
