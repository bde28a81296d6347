"""`crossframe infer`: every mode's inference at several batch sizes, beside onnxruntime on the file that was exported.

Nothing is trained: a network's speed does not depend on its weights. Each row is one process a round; the rounds are
interleaved in random order, and onnxruntime has the same processors, or the same card, as everyone. Nothing here is
proven equal first, so these figures rank nobody: `crossframe run` does.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.analysis.metrics import steady
from crossframe.harness.analysis.statistics import interval
from crossframe.harness.console import say
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.machine.runtime_environments import made
from crossframe.harness.plan.inputs import draw
from crossframe.harness.plan.plan import Cell, Plan, task_of
from crossframe.harness.plan.readiness import prepared
from crossframe.harness.runtimes import MEMORY_BYTES, Runtime, discover
from crossframe.tasks.spec import to_json

BASELINE = "onnxruntime"
Samples = dict[str, list[float]]  # batch size -> seconds of each call


class Bench:
    """Where the processes of `crossframe infer` run, and what they left: (cell, who ran it) -> a Samples a round."""

    def __init__(self, plan: Plan, sizes: list[int], folder: Path):
        self.plan, self.sizes, self.folder = plan, sizes, folder
        self.ready, self.missing = prepared(plan, plan.backends)
        self.runtime: Runtime = discover()[BASELINE if plan.device == "cpu" else f"{BASELINE}_cuda"]
        own = {name: Path(python) for name, python in plan.options["python"].items()}
        ready, failed = made([self.runtime], plan.device, own)
        self.environment: Environment | None = ready.get(self.runtime.name)
        self.reason = failed.get(self.runtime.name)
        self.taken: dict[tuple[Cell, str], list[Samples]] = {}
        self.ended: dict[tuple[Cell, str], tuple[str, str | None]] = {}

    def keep(self, cell: Cell, who: str, outcome: Outcome) -> None:
        if outcome.state == "ok":
            self.taken.setdefault((cell, who), []).append(outcome.measures["infer_samples_s"])
        # A round that ended well does not make up for one that did not.
        if outcome.state != "ok" or (cell, who) not in self.ended:
            self.ended[cell, who] = (outcome.state, outcome.reason)

    def own(self, cell: Cell) -> None:
        """The framework itself, which leaves its file for the baseline."""
        backend = self.plan.backends[cell.backend]
        if cell.backend not in self.ready:
            self.ended[cell, cell.mode] = self.missing[cell.backend]
            return
        document = {
            **asdict(cell),
            "task": to_json(task_of(self.plan, cell)),
            "module": backend.module,
            "packages": backend.facts["packages"],
            "onnx_opset": backend.facts.get("onnx_opset", 0),
            "inputs": str(draw(self.plan, self.folder, cell).resolve()),
            "batch_sizes": self.sizes,
            "cpus": self.plan.options["cpus"],
        }
        python, where = self.ready[cell.backend].python, (self.folder / cell.name).resolve()
        timeout_s, program = self.plan.options["timeout"], "crossframe.harness.worker.infer"
        outcome = launch(python, backend, document, where, timeout_s, program)
        self.keep(cell, cell.mode, outcome)
        if outcome.state == "ok" and outcome.measures["export"]["state"] != "ok":
            self.ended[cell, BASELINE] = ("unsupported", f"no file: {outcome.measures['export']['reason']}")

    def baseline(self, cell: Cell) -> None:
        """onnxruntime on the file that the cell's backend left."""
        model = self.folder / cell.name / "model.onnx"
        if self.environment is None:
            self.ended[cell, BASELINE] = ("not_installed", self.reason)
            return
        if not model.exists():
            self.ended.setdefault((cell, BASELINE), ("skipped", "the framework left no file"))
            return
        feeds = self.folder / f"{cell.task}-feeds.npz"
        if not feeds.exists():
            with np.load(draw(self.plan, self.folder, cell), allow_pickle=False) as stored:
                x = stored["x_test"]
            sets: dict[str, Any] = {f"{n}/x": np.resize(x, (n, *x.shape[1:])).astype(np.float32) for n in self.sizes}
            np.savez(feeds, **sets)
        document = {
            "model": str(model.resolve()),
            "feeds": str(feeds.resolve()),
            "module": self.runtime.module,
            "packages": self.runtime.facts["packages"],
            "device": self.plan.device,
            "cpus": self.plan.options["cpus"],
            "memory_bytes": MEMORY_BYTES,
            "fixed": False,
            "timed": [str(size) for size in self.sizes],
            "time_s": 0.3,
        }
        where, timeout_s = (self.folder / f"{cell.name}-{BASELINE}").resolve(), self.plan.options["timeout"]
        program = "crossframe.harness.worker.run_onnx"
        self.keep(cell, BASELINE, launch(self.environment.python, self.runtime, document, where, timeout_s, program))


def examine(plan: Plan, sizes: list[int]) -> list[dict[str, Any]]:
    """A row for each cell, who ran it and batch size: {runs, state, reason, p50_s, p95_s, samples_per_s, …}."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    # A file is the backend's, whatever its mode; its first one stands for it.
    files = {(cell.task, cell.backend, cell.precision): cell for cell in reversed(cells)}
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        bench = Bench(plan, sizes, Path(name))
        for number in range(1, plan.options["repeats"] + 1):
            for cell in random.Random(number).sample(cells, len(cells)):
                bench.own(cell)
                if cell in files.values() and cell.precision != "float64":  # fewer bits export the float32 network
                    bench.baseline(cell)
                say(f"round {number}: {cell.task} {cell.backend} {cell.mode} {bench.ended[cell, cell.mode][0]}")
    return [row(bench, cell, who, size) for cell, who in sorted(bench.ended, key=str) for size in sizes]


def row(bench: Bench, cell: Cell, who: str, size: int) -> dict[str, Any]:
    state, reason = bench.ended[cell, who]
    rounds = [steady(one[str(size)]) for one in bench.taken.get((cell, who), []) if one.get(str(size))]
    keys = {key: value for key, value in asdict(cell).items() if key not in ("mode", "batch_size")}
    told = {**keys, "runs": who, "batch_size": size, "state": state, "reason": reason}
    for name, share in (("p50_s", 50), ("p95_s", 95)):
        told[name] = interval([float(np.percentile(one, share)) for one in rounds]) if rounds else None
    told["samples_per_s"] = interval([size / float(np.median(one)) for one in rounds]) if rounds else None
    return told


def as_text(rows: list[dict[str, Any]]) -> str:
    """A line a row; `x ort` is the throughput beside onnxruntime's on the same backend's file."""
    width = 20 if len({row["precision"] for row in rows}) > 1 else 12
    first = f"{'task':<12} {'backend':<11} {'runs':<{width}} {'batch':>5}"
    lines = [f"{first} {'p50 ms':>9} {'p95 ms':>9} {'samples/s':>11} x ort"]
    place = {(r["task"], r["backend"], r["runs"], r["batch_size"]): r for r in rows if r["precision"] == "float32"}
    for one in sorted(rows, key=lambda r: (r["task"], r["batch_size"], r["backend"], r["runs"], r["precision"])):
        runs = f"{one['runs']} {one['precision']}" if width > 12 else one["runs"]
        head = f"{one['task']:<12} {one['backend']:<11} {runs:<{width}} {one['batch_size']:>5}"
        if one["p50_s"] is None:
            lines.append(f"{head} {one['state']}: {one['reason']}")
            continue
        other = place.get((one["task"], one["backend"], BASELINE, one["batch_size"]))
        beside = ""
        if other and other["samples_per_s"]:
            beside = f"{one['samples_per_s']['value'] / other['samples_per_s']['value']:.2f}"
        p50, p95 = (one[name]["value"] * 1e3 for name in ("p50_s", "p95_s"))
        lines.append(f"{head} {p50:>9.3f} {p95:>9.3f} {one['samples_per_s']['value']:>11,.0f} {beside}")
    return "\n".join(lines) + "\n"
