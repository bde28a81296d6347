"""The types of `portability.json`: where exported ONNX files run, how accurately and how fast.

Names contain the units, as in `crossframe.harness.records.model`. Values that were not measured or checked are None,
never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from crossframe.harness.worker.states import State

REFERENCE_MODEL = "reference model"  # the `reference` of a file whose task is known


class PortabilityState(StrEnum):
    """The result of one file in one runtime. All states except `pass` have a reason."""

    PASS = "pass"
    DEGRADED = "degraded"  # correct, but slower, larger or more restricted than it should be
    WRONG = "wrong"
    REFUSED = "refused"
    CRASH = "crash"
    TIMEOUT = "timeout"
    NOT_INSTALLED = "not_installed"

    @property
    def runs(self) -> bool:
        """Whether the outputs are correct."""
        return self in (PortabilityState.PASS, PortabilityState.DEGRADED)


class Stage(StrEnum):
    """The last stage that began."""

    EXPORT = "export"
    IMPORT = "import"
    LOAD = "load"
    COMPILE = "compile"
    RUN = "run"
    COMPARE = "compare"


class NanBehaviour(StrEnum):
    """The effect of one NaN sample on the outputs of its batch."""

    KEPT = "kept"  # its own output is NaN, the other outputs are unchanged
    SWALLOWED = "swallowed"  # its own output is a number
    SPREAD = "spread"  # the outputs of other samples change


@dataclass(frozen=True)
class Distances:
    """The largest distances of float32 outputs from reference outputs."""

    max_abs: float
    relative_error: float  # `max_abs` divided by the largest reference output
    max_ulp: float  # in units in the last place of float32
    cosine: float  # similarity; the smallest
    onnx_suite: bool  # within the tolerances of the ONNX project's backend tests
    framework_error: float | None = None  # `max_abs` of the exporting framework itself
    framework_error_ratio: float | None = None  # `max_abs` divided by `framework_error`


@dataclass(frozen=True)
class DecisionCounts:
    """Predicted labels compared with those of the reference outputs."""

    labels: int
    ties: int  # margins within the error of the framework, not counted as flips
    flips: int  # labels that differ, without ties


@dataclass(frozen=True)
class QualityCheck:
    """The quality metric of the task on held-out samples."""

    metric: str
    value: float
    change: float  # from the value of the reference outputs


@dataclass(frozen=True)
class InputChecks:
    """Unusual inputs. `zeros` and `large` are relative errors, or the error message."""

    zeros: float | str | None = None
    large: float | str | None = None
    nan: NanBehaviour | None = None


@dataclass(frozen=True)
class Checks:
    """The comparison of the outputs of one runtime with reference outputs."""

    distances: Distances | None = None
    quality: QualityCheck | None = None
    decisions: DecisionCounts | None = None
    framework_distance: float | None = None  # largest absolute difference from the outputs of the framework
    batching_error: float | None = None  # of samples run in one batch from the same samples in smaller batches
    inputs: InputChecks = field(default_factory=InputChecks)


@dataclass(frozen=True)
class Fault:
    """The first node whose output is wrong, and the path of a small model that shows it."""

    node: str
    operator: str
    reason: str
    reproducer: str


@dataclass(frozen=True)
class RuntimeMetrics:
    """Time on one thread of one processor, and memory of the process."""

    import_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    first_run_s: float | None = None
    host_baseline_bytes: int | None = None
    host_peak_bytes: int | None = None
    batch_1_p50_s: float | None = None
    batch_1_p95_s: float | None = None
    batch_64_p50_s: float | None = None
    batch_64_p95_s: float | None = None


@dataclass(frozen=True)
class RuntimeResult:
    """One ONNX file in one runtime: an entry of `results`, and one line of `portability.jsonl`."""

    task: str  # or the name of a file without a task
    exporter: str  # a backend, or `spec` for the exporter of Crossframe itself
    variant: str  # `as exported`, `opset N`, `route NAME`, `float16` or `int8`
    runtime: str
    opset: int | None
    sha256: str | None
    state: PortabilityState
    stage: Stage
    reason: str | None
    costs: list[str] = field(default_factory=list)
    checks: Checks = field(default_factory=Checks)
    fault: Fault | None = None
    versions: dict[str, str] = field(default_factory=dict)  # package -> version
    facts: dict[str, str] = field(default_factory=dict)  # reported by the runtime, such as its engine
    metrics: RuntimeMetrics = field(default_factory=RuntimeMetrics)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model as the file declares it."""

    name: str
    dtype: str
    shape: list[int | str | None] | None  # an axis is a size, a name, or None if undeclared; None: unknown rank


@dataclass(frozen=True)
class Provenance:
    """The origin of an ONNX file."""

    producer: str | None
    opset: dict[str, int]  # domain -> version; the standard domain is `ai.onnx`
    ir_version: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExternalData:
    """Paths of weights that are stored beside a model, relative to its folder."""

    files: list[str]
    outside: list[str]  # those that leave the folder
    missing: list[str]


@dataclass(frozen=True)
class Census:
    """The operators of a model, subgraphs included."""

    operators: dict[str, int]  # operator -> nodes
    foreign_domains: list[str]  # neither standard nor defined in the file
    training_operators: list[str]
    weights_not_constant: list[str]  # recurrent nodes whose weights are computed
    weights_as_inputs: list[str]


@dataclass(frozen=True)
class ModelStructure:
    """The declarations and the content of an ONNX file."""

    provenance: Provenance
    external: ExternalData
    census: Census
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    problem: str | None  # reported by onnx.checker or by shape inference


@dataclass(frozen=True)
class FileReport:
    """The properties of one exported file in any runtime, and the inference of its framework."""

    exporter: str
    task: str
    state: State
    reason: str | None
    structure: ModelStructure | None
    reference: str | None  # the source of the reference outputs; None if there is none
    versions: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)  # lines of the exporter's log
    export_s: float | None = None
    framework_inference: dict[str, float] | None = None  # `batch_1_p50_s`, … -> seconds; None if not measured


@dataclass(frozen=True)
class OpsetSpan:
    """The opsets at which one runtime computes the right outputs; None if there is none."""

    lowest: int | None
    highest: int | None
    refused: dict[str, str]  # opset -> state and reason


@dataclass(frozen=True)
class OpsetRange:
    """The opsets that one exporter writes for one task, and those that the runtimes accept."""

    exporter: str
    task: str
    written: list[int]
    not_written: dict[str, str]  # opset -> reason
    runtimes: dict[str, OpsetSpan]


@dataclass(frozen=True)
class PortabilityReport:
    """`portability.json`."""

    schema: int
    name: str
    concurrency: int  # results measured at the same time, one processor each
    device: str
    files: list[FileReport]
    results: list[RuntimeResult]
    opset_ranges: list[OpsetRange]
