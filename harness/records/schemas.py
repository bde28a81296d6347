"""Generation of the published JSON Schemas from the types.

`python -m crossframe.harness.report.schema` writes all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from crossframe.harness.files import write_atomically
from crossframe.harness.records.checks import COUNTS, GPU_COLUMNS, SAMPLES

FOLDER = Path(__file__).parent / "schemas"
STANDARD = "https://json-schema.org/draft/2020-12/schema"


def build_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of a dataclass, with the requirements of `crossframe.harness.records.checks`."""
    schema = msgspec.json.schema(kind)
    definitions = schema["$defs"]
    if "TrainMeasurements" in definitions:
        properties = definitions["TrainMeasurements"]["properties"]
        for name in COUNTS:
            properties[name]["anyOf"][0]["minimum"] = 0
        for name in SAMPLES:
            properties[name]["anyOf"][0] |= {"items": {"type": "number", "minimum": 0}, "minItems": 1}
    if "OperatorTime" in definitions:
        for part in definitions["OperatorTime"]["properties"].values():
            if part["type"] != "string":
                part["minimum"] = 0
    if "GpuSamples" in definitions:
        definitions["GpuSamples"]["properties"]["samples"]["required"] = list(GPU_COLUMNS)
    return {"$schema": STANDARD, **schema}


def to_text(schema: dict[str, Any]) -> str:
    """Return a schema as the text of its file."""
    return json.dumps(schema, indent=1) + "\n"


def write_schema(name: str, kind: type) -> None:
    """Write the schema of a dataclass to `schemas/NAME.json`."""
    write_atomically(FOLDER / f"{name}.json", to_text(build_schema(kind)))
