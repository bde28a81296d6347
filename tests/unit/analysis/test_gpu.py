"""The metrics and warnings of a GPU, from samples with known values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from crossframe.harness.analysis import metrics, warnings
from crossframe.harness.analysis.gpu import gpu_not_used_reason
from crossframe.harness.analysis.gpu_warnings import describe_memory, find_caveats
from crossframe.harness.records.checks import GPU_COLUMNS
from crossframe.harness.records.model import GpuSamples, Record, Roofline
from crossframe.harness.worker.measurements import Epoch, Prepared, TrainMeasurements
from tests.support.synthetic import HOST, make_receipt, make_record

MB = 10**6
Column = Callable[[float], float | None]

# (begin, seconds) of each epoch. The first contains a compilation, which is cut as warm-up; between 5 and 6 s the model
# is evaluated.
EPOCHS = [(1.3, 2.7), (4.0, 0.5), (4.5, 0.5), (6.0, 0.5), (6.5, 0.5)]


def record_on_gpu(
    columns: Mapping[str, Column] | None = None,
    epochs: Sequence[tuple[float, float]] = EPOCHS,
    measurements: Mapping[str, Any] | None = None,
    backend: str = "a",
    repeat: int = 1,
) -> Record:
    """Return the record of a job from 0 to 10 s that was prepared at 1 s and trained from 1.25 to 8 s.

    Samples are 0.1 s apart, epochs have 10 steps of 64 samples. `columns`: name -> value at a time; others are None.
    """
    at_s = [index / 10 for index in range(101)]
    samples: dict[str, list[float | None]] = {name: [None] * len(at_s) for name in GPU_COLUMNS}
    samples |= {name: [read(at) for at in at_s] for name, read in (columns or {}).items()}
    samples["at_s"] = [*at_s]
    return make_record(
        backend,
        repeat,
        0.1,
        cell={"device": "cuda:0"},
        gpu=GpuSamples("cuda:0", 0, samples),
        measurements={
            "receipt": make_receipt(cpus=[0], settings=NO_SETTINGS, began_s=1.25, ended_s=8.0),
            "prepared": Prepared(at_s=1.0, reserved_bytes=20 * MB),
            "device_peak_bytes": 900 * MB,
            "device_reserved_bytes": 1200 * MB,
            "epochs": [
                Epoch(number, train_s, 10, began_s) for number, (began_s, train_s) in enumerate(epochs, start=1)
            ],
            **(measurements or {}),
        },
    )


NO_SETTINGS = replace(make_receipt().settings, threads=None)


def read(record: Record, *names: str) -> dict[str, float | None]:
    return {name: metrics.METRICS[name].read(record) for name in names}


def is_timed(at_s: float) -> bool:
    return 4 <= at_s <= 5 or 6 <= at_s <= 7


def energy_j(at_s: float) -> float:
    """Return the counter of a GPU that takes 100 W, and 400 W more in the timed epochs."""
    return 100 * at_s + 400 * (min(max(at_s - 4, 0), 1) + min(max(at_s - 6, 0), 1))


def test_a_cpu_has_no_gpu_metrics() -> None:
    record = make_record("a", 1, 0.1, measurements={"receipt": make_receipt(energy_j=7.0)})
    assert metrics.METRICS["energy_j"].read(record) == 7.0
    names = [name for name in metrics.METRICS if name.startswith("gpu_")] + ["energy_per_sample_j"]
    assert set(read(record, *names).values()) == {None}
    assert metrics.build_cell_report([record]).gpu_memory is None
    assert find_caveats(None) == []


def test_power_and_clock_are_those_of_the_timed_epochs() -> None:
    columns: dict[str, Column] = {"energy_j": energy_j, "clock_hz": lambda at_s: 1.9e9 if is_timed(at_s) else 0.3e9}
    record = record_on_gpu(columns)
    assert read(record, "gpu_power_w", "gpu_clock_hz") == pytest.approx({"gpu_power_w": 500, "gpu_clock_hz": 1.9e9})
    assert read(record, "energy_j")["energy_j"] == pytest.approx(675 + 800)  # everything between 1.25 and 8 s
    # Two seconds at 500 W for four epochs of ten steps of 64 samples.
    assert read(record, "energy_per_sample_j")["energy_per_sample_j"] == pytest.approx(1000 / (4 * 10 * 64))


def test_the_power_of_a_gpu_without_a_counter_is_integrated() -> None:
    record = record_on_gpu({"power_w": lambda at_s: 500.0 if is_timed(at_s) else 100.0})
    assert read(record, "gpu_power_w")["gpu_power_w"] == pytest.approx(500, rel=0.02)


def test_epochs_that_are_too_short_or_without_a_time_have_no_power() -> None:
    brief = record_on_gpu({"energy_j": energy_j}, epochs=[(1.35, 0.02), (1.4, 0.02)])
    assert set(read(brief, "gpu_power_w", "energy_per_sample_j").values()) == {None}
    record = record_on_gpu({"energy_j": energy_j, "clock_hz": lambda _: 1e9})
    epochs = [replace(epoch, began_s=None) for epoch in record.measurements.epochs]
    older = replace(record, measurements=replace(record.measurements, epochs=epochs))
    assert set(read(older, "gpu_power_w", "gpu_clock_hz", "gpu_utilisation").values()) == {None}


def test_utilisation_needs_a_training_as_long_as_the_driver_averages() -> None:
    lagging: dict[str, Column] = {"utilisation": lambda at_s: 0.9 if at_s >= 5 else 0.1}  # of the second before
    assert read(record_on_gpu(lagging), "gpu_utilisation")["gpu_utilisation"] == pytest.approx(0.9)  # from 5 to 8 s
    short = record_on_gpu(lagging, epochs=[(1.3, 4.8), (6.2, 0.5), (6.7, 0.5)])
    assert read(short, "gpu_utilisation")["gpu_utilisation"] is None


def test_throttling_is_that_of_the_timed_epochs_and_names_the_worst_cell() -> None:
    compiling = record_on_gpu({"throttle": lambda at_s: 0x20 if at_s < 3.9 else 0x01})
    assert warnings.warnings([compiling], HOST) == []
    some = record_on_gpu({"throttle": lambda at_s: 0x20 if 4 < at_s <= 4.5 else 0}, backend="b")
    most = record_on_gpu({"throttle": lambda at_s: 0x20 if 4 < at_s <= 5 else 0}, backend="c")
    (line,) = warnings.warnings([compiling, some, most], HOST)
    assert line.startswith("W-GPU-THROTTLED: in 2 of 3 jobs the clock of the GPU was lowered by its heat (the driver)")
    assert line.endswith("for 45% of the samples, at worst in circle c eager")  # 10 of the 22 samples


def use_memory(peak_mb: int) -> Column:
    """Return 500 MB before the job, 920 MB once prepared, `peak_mb` in training, and far more in inference."""
    return lambda at_s: MB * (500 if at_s < 0.5 else 920 if at_s < 1.3 else peak_mb if at_s <= 8 else 9000)


def test_the_two_peaks_of_memory_are_compared() -> None:
    records = [record_on_gpu({"memory_bytes": use_memory(2100 + repeat)}, repeat=repeat) for repeat in (1, 2)]
    expected = {
        "gpu_memory_peak_bytes": 1601 * MB,
        "gpu_context_bytes": 400 * MB,  # 420 less 20 that the allocator had reserved by then
        "device_reserved_bytes": 1200 * MB,
        "gpu_unexplained_bytes": 1 * MB,
    }
    assert read(records[0], *expected) == expected
    (report,) = metrics.build_cell_reports(records, {})
    assert report.gpu_memory == (
        "the used memory of the GPU rose by 1,602 MB (NVML) in the process (of 2) with the most unexplained memory: "
        "400 MB context, 1,200 MB reserved by the allocator, which had 900 MB allocated at most, and 2 MB unexplained"
    )
    assert warnings.warnings(records, HOST) == []


@pytest.mark.parametrize(("peak_mb", "warned"), [(2500, False), (2700, True), (1500, True)])
def test_unexplained_memory_is_warned_of(peak_mb: int, warned: bool) -> None:
    record = record_on_gpu({"memory_bytes": use_memory(peak_mb)})
    lines = warnings.warnings([record], HOST)
    assert [line.split(":")[0] for line in lines] == ["W-GPU-MEMORY"] * warned
    if warned:
        assert "600 MB" in lines[0]
        assert "at worst in circle a eager" in lines[0]


def test_a_peak_that_no_sample_shows_is_described() -> None:
    text = describe_memory([record_on_gpu({"memory_bytes": use_memory(1500)})])
    assert text is not None
    assert text.endswith("less 600 MB, since a sample missed the peak or other programs freed memory")


@pytest.mark.parametrize(
    ("measurements", "text"),
    [
        (
            {"device_reserved_bytes": None},
            "by 400 MB before training; the allocator had 900 MB allocated at most; it does not report",
        ),
        (
            {"device_reserved_bytes": None, "device_peak_bytes": None},
            "the allocator does not report its peak; it does not",
        ),
        ({"prepared": Prepared(1.21, 0)}, "there is no sample from just before training"),
    ],
)
def test_memory_with_unknown_parts_is_not_compared(measurements: dict[str, Any], text: str) -> None:
    record = record_on_gpu({"memory_bytes": use_memory(9000)}, measurements=measurements)
    assert text in (describe_memory([record]) or "")
    assert warnings.warnings([record], HOST) == []
    assert read(record, "gpu_unexplained_bytes")["gpu_unexplained_bytes"] is None


@pytest.mark.parametrize(
    ("used", "peak", "unused"),
    [
        ([5, 5, None, 5], None, True),
        ([5, 9, 5], None, False),
        ([None], None, False),
        ([5, 5], 100, False),  # the worker checks the peak of the allocator
    ],
)
def test_a_gpu_whose_memory_did_not_rise_was_not_used(used: list[float | None], peak: int | None, unused: bool) -> None:
    at_s: list[float | None] = [float(index) for index in range(len(used))]
    gpu = GpuSamples("cuda:0", 0, {"at_s": at_s, "memory_bytes": used})
    reason = gpu_not_used_reason(gpu, TrainMeasurements(device_peak_bytes=peak))
    assert (reason is not None) == unused
    assert gpu_not_used_reason(None, TrainMeasurements()) is None


def test_caveats_of_a_ceiling_are_warned_of_once() -> None:
    caveat = "the clock of the GPU was lowered by its heat (the hardware)"
    roofline = Roofline(10, 10, 1e12, 1e12, caveats=[caveat])
    records = [replace(record_on_gpu(repeat=repeat), roofline=roofline) for repeat in (1, 2)]
    assert warnings.warnings(records, HOST) == [f"W-GPU-CEILING: while the ceiling was measured, {caveat}"]
    hot = record_on_gpu({"throttle": lambda at_s: 0x40 if at_s > 9 else 0})
    assert find_caveats(hot.gpu) == [caveat]


def test_other_programs_on_the_gpu_are_warned_of() -> None:
    record = record_on_gpu({"memory_bytes": lambda _: 30_000.0 * MB, "utilisation": lambda _: 0.8})
    assert record.gpu is not None
    shared = replace(record, gpu=replace(record.gpu, other_processes=2))
    lines = warnings.warnings([shared], HOST)
    shared_lines = [line for line in lines if line.startswith("W-GPU-OTHERS")]
    assert len(shared_lines) == 3
    assert "up to 2 processes of other programs" in shared_lines[0]
    assert "30,000 MB of the GPU were in use beforehand" in shared_lines[1]
    assert "80% of the time beforehand" in shared_lines[2]
    assert find_caveats(shared.gpu) == [
        "up to 2 processes of other programs computed on the GPU",
        "up to 30,000 MB of the GPU were in use beforehand",
        "the GPU was busy up to 80% of the time beforehand",
    ]
