"""Runs that never ran: records with chosen figures, for what is computed from records alone."""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossframe.harness.plan.options import SELECTION, options_of
from crossframe.harness.plan.plan import Plan, make_plan
from crossframe.harness.records import store
from crossframe.tasks import discover
from crossframe.tasks.spec import to_json

PROVEN = {"state": "ok", "reason": None, "hint": None}


def record(backend: str, repeat: int, step_s: float, **changed: Any) -> dict[str, Any]:
    """A record of `circle` whose times all follow from `step_s`; `changed` replaces whole parts of it.

    `cell`, `measures` and `verdict` are merged into those parts instead.
    """
    cell = {"task": "circle", "backend": backend, "mode": "eager", "device": "cpu", "precision": "float32"}
    measures = {
        "import_s": 1.0,
        "prepare_s": 0.1,
        "first_step_s": 10 * step_s,
        "step_samples_s": [step_s] * 3,
        "infer_samples_s": [step_s / 2] * 3,
        "infer_many_samples_s": [step_s] * 3,
        "infer_many": 64,
        "time_to_target_s": 100 * step_s,
        "host_baseline_bytes": 10**7,
        "host_peak_bytes": 10**8,
        "versions": {backend: "1.0"},
        "epochs": [{"epoch": epoch, "steps": 10, "train_s": 10 * step_s} for epoch in range(1, 6)],
    }
    onnx = {"state": "ok", "reason": None, "export_s": 0.5, "onnx_bytes": 5000, "max_error": 1e-7}
    verdict = {"quality": {"accuracy": 0.95}, "first_epoch_gap": 1e-6, "onnx": onnx}
    made = {
        "schema": store.SCHEMA_VERSION,
        "job": f"{backend}-{repeat}",
        "repeat": repeat,
        "cell": cell | {"batch_size": 64} | changed.pop("cell", {}),
        "state": "ok",
        "reason": None,
        "started": "2026-11-21T00:00:00+00:00",
        "wall_s": 10.0,
        "measures": measures | changed.pop("measures", {}),
        "verdict": verdict | changed.pop("verdict", {}),
        "parity": PROVEN,
        "environment": {"bytes": 10**9, "install_s": 5.0},
    }
    made |= changed
    made["job"] = "-".join(str(part) for part in [*made["cell"].values(), repeat])
    store.validator("record")(made)
    return made


def repeats(backend: str, steps_s: Sequence[float], **changed: Any) -> list[dict[str, Any]]:
    """A cell: one record a step time, in rounds from 1."""
    return [record(backend, repeat, step_s, **changed) for repeat, step_s in enumerate(steps_s, start=1)]


def ten_thousand() -> list[dict[str, Any]]:
    """As many records: 4 tasks, 10 candidates, 5 batch sizes, 2 precisions, 25 repeats, each with its own luck."""
    luck = random.Random(0)
    return [
        one
        for task in ("circle", "cnn", "lstm", "autoencoder")
        for place in range(10)
        for size in (16, 32, 64, 128, 256)
        for precision in ("float32", "float64")
        for one in repeats(
            f"b{place}",
            [1e-3 * (1 + place / 10) * luck.lognormvariate(0, 0.05) for _ in range(25)],
            cell={"task": task, "batch_size": size, "precision": precision},
        )
    ]


def write_run(folder: Path, found: Sequence[Mapping[str, Any]], titles: Mapping[str, str] | None = None) -> Path:
    """The folder of a run with these records; `titles` of backends where they differ from their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(one["cell"]["backend"] for one in found)
    told = {
        "schema": store.SCHEMA_VERSION,
        "name": folder.name,
        "created": "2026-11-21T00:00:00+00:00",
        "options": {"preset": "quick", "data": None, "repeats": max(r["repeat"] for r in found), "cpus": [0, 1]},
        "device": "cpu",
        "host": {},
        "tasks": {"circle": {"parameters": 65, "baseline": None}},
        "specs": {"circle": to_json(discover()["circle"]["quick"])},
        "backends": {name: {"title": (titles or {}).get(name, name), "uncompiled_mode": None} for name in names},
        "jobs": [],
    }
    (folder / "run.json").write_text(json.dumps(told))
    (folder / "records.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found))
    return folder


def plan_for(device: str, **changed: Any) -> Plan:
    """The plan of a quick run of `circle` on a device; `changed`: other words of the command line."""
    words = {**SELECTION, "device": device, "preset": "quick", "task": ["circle"], **changed}
    return make_plan(options_of(argparse.Namespace(**words)))
