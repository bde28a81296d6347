"""The measurements that a worker writes to `measures.json`: one class for each kind of job.

A measurement is None until it is measured, so that a job that fails keeps those taken before. Seconds end in `_s`,
bytes in `_bytes`, joules in `_j`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class Prepared:
    """A GPU just after the model was prepared, before it trains."""

    at_s: float  # of the monotonic clock, which the GPU samples share
    reserved_bytes: int | None  # by the allocator of the framework


@dataclass(frozen=True)
class Epoch:
    """Pipelined steps, timed together."""

    epoch: int | None  # None where the steps came after training
    train_s: float
    steps: int
    began_s: float | None = None  # of the monotonic clock
    processor_s: float | None = None  # of all threads of the process, and of its children that ended


@dataclass(frozen=True)
class ReplayTimes:
    """Seconds of a step when it was measured, and again when its weights were compared with the reference model's."""

    measured_s: float
    replayed_s: float
    measured_processor_s: float
    replayed_processor_s: float


@dataclass(frozen=True)
class EvaluationPoint:
    """Loss and quality on held-out data after an epoch, and the training time until then."""

    epoch: int
    loss: float
    train_loss: float | None
    quality: dict[str, float]  # the metric of the task: `accuracy` or `mse`
    train_s: float
    evaluate_s: float | None = None


@dataclass(frozen=True)
class Receipt:
    """The resources of a process, their use while it trained, and the settings that its framework reports."""

    process: str  # number and start time
    cpus: list[int]
    thread_pools: dict[str, str | None]  # environment variable -> size
    settings: FrameworkSettings
    cpu_per_wall: float
    busy_threads: int | None
    energy_j: float | None
    libraries: dict[str, str] = field(default_factory=dict)  # environment variable -> folders outside the environment
    began_s: float | None = None
    ended_s: float | None = None
    cpu_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True)
class OperatorTime:
    """An operator of the framework in a profile: calls and seconds in all profiled steps, without nested operators."""

    name: str
    calls: int
    self_s: float


@dataclass(frozen=True)
class OperatorProfile:
    """Where the time of some training steps went, by the profiler of the framework; longest operator first."""

    state: State
    reason: str | None
    steps: int | None = None
    rows: list[OperatorTime] = field(default_factory=list)


@dataclass(frozen=True)
class ExportResult:
    """The result of writing one ONNX file."""

    state: State
    reason: str | None
    export_s: float | None = None
    onnx_bytes: int | None = None


@dataclass
class PeakMeasurements:
    """The peak memory of a job until a time of the monotonic clock.

    The worker measures its own process; its parent adds what it saw of all processes until then.
    """

    host_peak_bytes: int | None = None
    host_peak_at_s: float | None = None


@dataclass
class ResourceMeasurements(PeakMeasurements):
    """The peak memory of a job and its receipt."""

    receipt: Receipt | None = None


@dataclass
class TrainMeasurements(ResourceMeasurements):
    """Measurements of one training job."""

    import_s: float | None = None
    prepare_s: float | None = None
    first_step_s: float | None = None
    second_step_s: float | None = None
    time_to_target_s: float | None = None
    host_baseline_bytes: int | None = None
    device_peak_bytes: int | None = None
    device_reserved_bytes: int | None = None
    checkpoint_bytes: int | None = None
    checkpoint_exact: bool | None = None
    placement: str | None = None
    prepared: Prepared | None = None
    dialect: dict[str, str | float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)  # package -> version
    epochs: list[Epoch] = field(default_factory=list)
    curve: list[EvaluationPoint] = field(default_factory=list)
    step_samples_s: list[float] | None = None
    put_processor_s: list[float] = field(default_factory=list)  # to copy the batches of an epoch to the device
    changed_by_put: list[str] | None = None  # parameters that differ after batches were copied to the device
    changed_by_evaluation: list[str] = field(default_factory=list)  # parameters that differ after an evaluation
    unfinished_shares: list[float] = field(default_factory=list)  # of an epoch's time, left after `sync`
    step_processor_s: float | None = None  # the mean over `step_samples_s`
    replayed_step: ReplayTimes | None = None
    replayed_samples: ReplayTimes | None = None  # of a step on new samples
    replayed_epoch: ReplayTimes | None = None  # of a step in a whole epoch
    infer_samples_s: list[float] | None = None  # one sample a call
    infer_batch_samples_s: list[float] | None = None  # `infer_batch_size` samples a call
    infer_batch_size: int | None = None
    export: ExportResult | None = None
    operators: OperatorProfile | None = None


@dataclass(frozen=True)
class ProbeResult:
    """How one probe ended in the worker."""

    state: State
    reason: str | None


@dataclass
class ProbeMeasurements:
    """Measurements of one parity job; the traces lie in `outputs.npz`."""

    dialect: dict[str, str | float] = field(default_factory=dict)
    modes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    unfinished: float | None = None  # share of an epoch's time that is left after `sync`
    outside_files: list[str] = field(default_factory=list)  # code from neither the interpreter nor its packages


@dataclass
class InferMeasurements(ResourceMeasurements):
    """Measurements of inference alone; the keys of both dicts are batch sizes."""

    import_s: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    first_s: dict[str, float] = field(default_factory=dict)
    infer_samples_s: dict[str, list[float]] = field(default_factory=dict)
    export: ExportResult | None = None


@dataclass
class StepMeasurements(ResourceMeasurements):
    """Measurements of training steps alone, as the self-test takes them."""

    epochs: list[Epoch] = field(default_factory=list)
    processor_samples_s: list[float] = field(default_factory=list)
    read_samples_s: list[float] = field(default_factory=list)
    step_samples_s: list[float] | None = None
    first_step_s: float | None = None
    ceiling_flops: float | None = None  # per second


@dataclass
class CeilingMeasurements:
    """The most that the device does: a large matrix product and a large copy."""

    flops_per_s: float | None = None
    bytes_per_s: float | None = None


@dataclass
class ExportMeasurements:
    """Files exported again, and the inference of the framework itself."""

    infer_samples_s: dict[str, list[float]] = field(default_factory=dict)  # set of inputs -> seconds of each call
    exports: dict[str, ExportResult] = field(default_factory=dict)  # variant -> result


@dataclass
class OnnxMeasurements(PeakMeasurements):
    """One ONNX file in one runtime."""

    stage: str | None = None  # the last that was begun: import, load, compile, run
    import_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    first_run_s: float | None = None
    host_baseline_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str | None] = field(default_factory=dict)  # set of inputs -> error, None where it ran
    infer_samples_s: dict[str, list[float]] = field(default_factory=dict)
