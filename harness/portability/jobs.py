"""The jobs of the programs here that need onnx, and the measurements that they leave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crossframe.harness.records.portability import ModelStructure
from crossframe.harness.worker.jobs import WorkerJob


class LowPrecision(StrEnum):
    """The type of the weights in a converted file."""

    FLOAT16 = "float16"
    INT8 = "int8"


@dataclass
class InspectMeasurements:
    """The structure of one file."""

    structure: ModelStructure | None = None


@dataclass(frozen=True, kw_only=True)
class InspectJob(WorkerJob[InspectMeasurements]):
    """Read the structure of a file."""

    PROGRAM = ("crossframe.harness.portability.inspect_model",)
    MEASUREMENTS = InspectMeasurements

    model: str  # path


@dataclass
class QuantizeMeasurements:
    """No measurements: the result is the file `model.onnx`."""


@dataclass(frozen=True, kw_only=True)
class QuantizeJob(WorkerJob[QuantizeMeasurements]):
    """Convert a file to a lower precision."""

    PROGRAM = ("crossframe.harness.portability.quantize",)
    MEASUREMENTS = QuantizeMeasurements

    model: str  # path
    low_precision: LowPrecision
