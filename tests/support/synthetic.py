"""Synthetic runs: records with chosen values, for tests of everything that is computed from records."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.plan.plan import Plan, make_plan
from crossframe.harness.records.checks import check_record
from crossframe.harness.records.codec import from_plain, to_json, to_plain
from crossframe.harness.records.model import (
    SCHEMA_VERSION,
    BackendInfo,
    Cell,
    EnvironmentCost,
    Evaluation,
    Host,
    OnnxAgreement,
    ParitySummary,
    Record,
    RunInfo,
    RunOptions,
    TaskInfo,
)
from crossframe.harness.records.store import write_run
from crossframe.harness.worker.measurements import Epoch, Receipt, TrainMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks import discover
from crossframe.tasks.spec import to_json as task_to_json

VERIFIED = ParitySummary(State.OK, None, None)
CELL = Cell("circle", "torch", "eager", "cpu", "float32", 64)
HOST = Host(None, None, [], None, None, "", None, "3.11")


def make_receipt(process: str = "1-1", **changes: Any) -> Receipt:
    """Return the receipt of a process on two processors; `changes` replaces fields of it."""
    return replace(
        Receipt(
            process=process,
            cpus=[0, 1],
            thread_pools={"OMP_NUM_THREADS": "2"},
            settings=FrameworkSettings(threads=2, float32_products="float32"),
            cpu_per_wall=1.5,
            busy_threads=2,
            energy_j=None,
        ),
        **changes,
    )


def make_record(
    backend: str,
    repeat: int,
    step_s: float,
    *,
    cell: Mapping[str, Any] | None = None,
    measurements: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    valid: bool = False,
    **changes: Any,
) -> Record:
    """Return a record of `circle` whose times all follow from `step_s`.

    `cell`, `measurements` and `evaluation` replace fields of those parts, `changes` fields of the record. With `valid`,
    the record is not validated: one like it was.
    """
    whole_cell = replace(CELL, backend=backend, **cell or {})
    record = Record(
        schema=SCHEMA_VERSION,
        job=f"{whole_cell.name}-{repeat}",
        repeat=repeat,
        cell=whole_cell,
        state=State.OK,
        reason=None,
        started="2026-11-21T00:00:00+00:00",
        ended="2026-11-21T00:00:10+00:00",
        wall_s=10.0,
        measurements=replace(_measure(backend, step_s), **measurements or {}),
        evaluation=replace(_evaluate(), **evaluation or {}),
        parity=VERIFIED,
        environment=EnvironmentCost(bytes=10**9, install_s=5.0),
    )
    record = replace(record, **changes)
    if not valid:
        check_record(from_plain(to_plain(record), Record))
    return record


def _measure(backend: str, step_s: float) -> TrainMeasurements:
    return TrainMeasurements(
        import_s=1.0,
        prepare_s=0.1,
        first_step_s=10 * step_s,
        step_samples_s=[step_s] * 3,
        infer_samples_s=[step_s / 2] * 3,
        infer_batch_samples_s=[step_s] * 3,
        infer_batch_size=64,
        time_to_target_s=100 * step_s,
        host_baseline_bytes=10**7,
        host_peak_bytes=10**8,
        versions={backend: "1.0"},
        epochs=[Epoch(epoch, 10 * step_s, 10) for epoch in range(1, 6)],
    )


def _evaluate() -> Evaluation:
    onnx = OnnxAgreement(State.OK, None, export_s=0.5, onnx_bytes=5000, max_error=1e-7)
    return Evaluation(quality={"accuracy": 0.95}, first_epoch_gap=1e-6, onnx=onnx)


def make_repeats(backend: str, steps_s: Sequence[float], **changes: Any) -> list[Record]:
    """Return the records of one cell, one for each step time, in rounds from 1."""
    return [
        make_record(backend, repeat, step_s, valid=repeat > 1, **changes)
        for repeat, step_s in enumerate(steps_s, start=1)
    ]


def make_many_workloads() -> list[Record]:
    """Return 10,000 records: 4 tasks, 125 batch sizes, 4 variants, 5 repeats, all of different times."""
    noise = random.Random(0)
    return [
        record
        for task in ("circle", "cnn", "lstm", "autoencoder")
        for size in range(1, 126)
        for number in range(4)
        for record in make_repeats(
            f"b{number}",
            [1e-3 * (1 + number / 10) * noise.lognormvariate(0, 0.05) for _ in range(5)],
            cell={"task": task, "batch_size": size},
        )
    ]


def make_run_info(name: str, records: Sequence[Record], titles: Mapping[str, str] | None = None) -> RunInfo:
    """Return the `run.json` of a run of `circle` with these records."""
    backends = dict.fromkeys(record.cell.backend for record in records)
    repeats = max((record.repeat for record in records), default=1)
    return RunInfo(
        schema=SCHEMA_VERSION,
        name=name,
        created="2026-11-21T00:00:00+00:00",
        crossframe="0.1.0",
        commit=None,
        options=RunOptions(preset="quick", repeats=repeats, cpus=[0, 1]),
        device="cpu",
        host=HOST,
        selftest=None,
        tasks={"circle": TaskInfo(parameters=65, baseline=None)},
        backends={backend: BackendInfo((titles or {}).get(backend, backend), None) for backend in backends},
        jobs=[],
        specs={"circle": task_to_json(discover()["circle"]["quick"])},
    )


def save_run(
    folder: Path,
    records: Sequence[Record],
    titles: Mapping[str, str] | None = None,
    info: RunInfo | None = None,
) -> Path:
    """Write the folder of a run with these records; `titles` are those of backends that differ from their names."""
    write_run(folder, info or make_run_info(folder.name, records, titles))
    (folder / "records.jsonl").write_text("".join(to_json(record) + "\n" for record in records))
    return folder


def plan_for(device: str, **options: Any) -> Plan:
    """Return the plan of a quick run of `circle` on a device; `options` are further fields of `RunOptions`."""
    chosen: dict[str, Any] = {"preset": "quick", "task": ["circle"], "cpus": sorted(os.sched_getaffinity(0)), **options}
    return make_plan(RunOptions(device=device, **chosen))
