"""The types of everything that a run stores. The published schemas are generated from them.

Raw samples are stored; statistics are computed when they are read. Names contain the units: `_s` seconds, `_bytes`
bytes, `_j` joules. Values that were not measured are None, never 0.
"""

from __future__ import annotations

from crossframe.harness.records.model.cells import (
    CELL_KEYS,
    Cell,
    Family,
    PlannedJob,
)
from crossframe.harness.records.model.numbers import (
    SCHEMA_VERSION,
)
from crossframe.harness.records.model.record import (
    CeilingResult,
    DialectEffect,
    EnvironmentCost,
    Evaluation,
    GpuSamples,
    Interference,
    JobCheck,
    OnnxAgreement,
    ParitySummary,
    ProcessSamples,
    Record,
    Roofline,
)
from crossframe.harness.records.model.run_info import (
    BackendInfo,
    GpuInfo,
    Host,
    ModeTrial,
    RunInfo,
    RunOptions,
    TaskInfo,
)

__all__ = [
    "CELL_KEYS",
    "SCHEMA_VERSION",
    "BackendInfo",
    "CeilingResult",
    "Cell",
    "DialectEffect",
    "EnvironmentCost",
    "Evaluation",
    "Family",
    "GpuInfo",
    "GpuSamples",
    "Host",
    "Interference",
    "JobCheck",
    "ModeTrial",
    "OnnxAgreement",
    "ParitySummary",
    "PlannedJob",
    "ProcessSamples",
    "Record",
    "Roofline",
    "RunInfo",
    "RunOptions",
    "TaskInfo",
]
