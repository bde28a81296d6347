"""What is told of a GPU: sampled from a driver that is not there, and read from rows whose figures are known."""

import inspect
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest

from crossframe.harness.analysis import gpu, metrics, roofline, warnings
from crossframe.harness.launch import gpu_sampler, launch
from crossframe.harness.report import document, formats
from crossframe.harness.report.page import page
from crossframe.harness.run import ceilings
from crossframe.harness.worker import train
from tests.end_to_end.test_device import on_a_gpu, plan_for
from tests.support.fake_nvml import HOPPER, MB, FakeNvml, with_driver
from tests.support.synthetic import record, write_run

GIVEN = {"process": "1-1", "cpus": [0], "pools": {}, "cpu_per_wall": 1.0, "busy_threads": 1, "energy_j": None}
SETTINGS = {"threads": None, "float32_products": "float32"}
COLUMNS = ("memory_bytes", "utilisation", "power_w", "clock_hz", "energy_j", "throttle")


def on_card(
    *, epochs: list[tuple[float, float]], backend: str = "a", repeat: int = 1, others: int = 0, **columns: Any
) -> dict[str, Any]:
    """A record of a job that ran from 0 to 10 s, prepared at 1 s and trained from 1.25 to 8 s, with rows each 0.1 s.

    `epochs`: (began, seconds), each of 10 steps of 64 samples. A column is its value at a time, None if not told.
    """
    measures = columns.pop("measures", {})
    at_s = [place / 10 for place in range(101)]
    samples: dict[str, Any] = {name: [None] * len(at_s) for name in COLUMNS} | {"at_s": at_s}
    samples |= {name: [value(at) for at in at_s] for name, value in columns.items()}
    return record(
        backend,
        repeat,
        0.1,
        cell={"device": "cuda:0"},
        gpu={"device": "cuda:0", "others": others, "samples": samples},
        measures={
            "receipt": {**GIVEN, "settings": SETTINGS, "began_s": 1.25, "ended_s": 8.0},
            "prepared": {"at_s": 1.0, "reserved_bytes": 20 * MB},
            "device_peak_bytes": 900 * MB,
            "device_reserved_bytes": 1200 * MB,
            "epochs": [
                {"epoch": number, "steps": 10, "train_s": train_s, "began_s": began_s}
                for number, (began_s, train_s) in enumerate(epochs, start=1)
            ],
            **measures,
        },
    )


def values(found: dict[str, Any], *names: str) -> dict[str, float | None]:
    return {name: metrics.FIGURES[name].read(found) for name in names}


# The first holds a compilation, which is cut as warm-up; between 5 and 6 s there is an evaluation.
EPOCHS = [(1.3, 2.7), (4.0, 0.5), (4.5, 0.5), (6.0, 0.5), (6.5, 0.5)]


def works(at_s: float) -> bool:
    return 4 <= at_s <= 5 or 6 <= at_s <= 7


def joules(at_s: float) -> float:
    """100 W all the time, and 400 W more while steps are timed."""
    return 100 * at_s + 400 * (min(max(at_s - 4, 0), 1) + min(max(at_s - 6, 0), 1))


def test_the_fake_driver_has_the_names_of_the_real_one() -> None:
    asked = {name for name in dir(FakeNvml) if name.lower().startswith("nvml")}
    for file in ("host.py", "measurement/sampler.py"):
        asked |= set(re.findall(r"nvml\.(\w+)", (launch.ROOT / "harness" / file).read_text()))
    assert len(asked) >= 15
    for name in asked:
        assert hasattr(pynvml, name), name
        assert hasattr(FakeNvml, name), name
        if name.startswith("nvml"):
            ours = [place for place in inspect.signature(getattr(FakeNvml, name)).parameters if place != "self"]
            inspect.signature(getattr(pynvml, name)).bind(*ours)


def test_a_card_is_sampled_while_a_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_driver(monkeypatch, "580.82.07", HOPPER)
    fake.processes, fake.tells_power = [1], False  # none of ours runs yet
    monkeypatch.setattr(gpu_sampler, "PERIOD_S", 0.02)
    with gpu_sampler.Sampler("cuda:0") as card:
        monkeypatch.setattr(gpu_sampler, "RUNNING", {4_100_000})  # ours, which is not on the card yet
        fake.memory = lambda: 1700 * MB
        fake.throttle = 0x20 | 0x01
        time.sleep(0.3)
    told = card.told()
    assert told is not None and fake.on == 0 and not card.thread.is_alive()
    rows = len(told["samples"]["at_s"])
    assert rows > 5 and all(len(column) == rows for column in told["samples"].values())
    assert (told["device"], told["others"]) == ("cuda:0", 1)
    assert told["samples"]["memory_bytes"][0] == 500 * MB and told["samples"]["memory_bytes"][-1] == 1700 * MB
    assert set(told["samples"]["power_w"]) == {None} and told["samples"]["throttle"][-1] == 0x21


def test_a_processor_has_no_card_to_sample() -> None:
    with gpu_sampler.Sampler("cpu") as card:
        pass
    assert card.told() is None and gpu.doubts(None) == []
    on_cpu = record("a", 1, 0.1)
    on_cpu["measures"]["receipt"] = {"energy_j": 7.0}
    assert metrics.FIGURES["energy_j"].read(on_cpu) == 7.0
    names = [name for name in metrics.FIGURES if name.startswith("gpu_")] + ["energy_per_sample_j"]
    assert set(values(on_cpu, *names).values()) == {None}
    assert metrics.cell_of([on_cpu])["gpu_memory"] is None


@pytest.mark.parametrize(
    "listed, working, strangers",
    [
        ([], False, 0),
        ([4_000_001], False, 1),
        ([0], False, 0),
        ([4_000_001], True, 0),  # a worker, by the number that it has outside of this container
        ([4_000_001, 4_000_002], True, 1),
        ([0, 4_000_001], True, 0),
    ],
)
def test_strangers_are_counted_where_numbers_of_processes_are_those_of_the_host(
    monkeypatch: pytest.MonkeyPatch, listed: list[int], working: bool, strangers: int
) -> None:
    fake = with_driver(monkeypatch, "580.82.07", HOPPER)
    monkeypatch.setattr(gpu_sampler, "PERIOD_S", 0.02)
    with gpu_sampler.Sampler("cuda:0") as card:
        monkeypatch.setattr(gpu_sampler, "RUNNING", {4_100_000} if working else set())
        fake.processes = listed
        time.sleep(0.1)
    assert card.others == strangers


def test_our_own_worker_is_no_stranger_on_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are two of its processes, where their numbers are known."""
    monkeypatch.setattr(gpu_sampler, "RUNNING", set())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as ours:
        assert not gpu_sampler.is_ours(ours.pid)
        gpu_sampler.RUNNING.add(ours.pid)
        assert gpu_sampler.is_ours(ours.pid) and not gpu_sampler.is_ours(1)
        fake = with_driver(monkeypatch, "580.82.07", HOPPER)
        card = gpu_sampler.Sampler("cuda:0")
        card.nvml, card.card = fake, HOPPER
        fake.processes = [ours.pid, ours.pid]
        assert card.strangers() == 0
        fake.processes = [ours.pid, ours.pid, 1]
        assert card.strangers() == 1
        ours.communicate(b"\n")


def test_a_card_that_others_hold_is_seen_before_the_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers list no process at all in a container."""
    fake = with_driver(monkeypatch, "580.82.07", HOPPER)
    fake.memory, fake.busy = lambda: 30_000 * MB, lambda: 80
    monkeypatch.setattr(gpu_sampler, "AVERAGED_S", 0.05)
    with gpu_sampler.Sampler("cuda:0") as card:
        fake.memory = lambda: 30_900 * MB
    found = on_card(epochs=EPOCHS) | {"gpu": card.told()}
    said = warnings.warnings([found], {})
    assert [line.split(":")[0] for line in said] == ["W-GPU-OTHERS"] * 2
    assert "30,000 MB of the card were in use beforehand" in said[0] and "80% of the time beforehand" in said[1]


def test_the_end_of_our_own_last_job_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_driver(monkeypatch, "580.82.07", HOPPER)
    end_s = time.monotonic() + 0.05
    fake.busy = lambda: 80 if time.monotonic() < end_s else 0
    monkeypatch.setattr(gpu_sampler, "AVERAGED_S", 0.1)
    with gpu_sampler.Sampler("cuda:0") as card:
        pass
    assert card.columns["utilisation"][0] == 0 and gpu.doubts(card.told()) == []


def test_power_and_clock_are_those_of_the_timed_epochs() -> None:
    told = {"energy_j": joules, "clock_hz": lambda at_s: 1.9e9 if works(at_s) else 0.3e9}
    found = on_card(epochs=EPOCHS, **told)
    assert values(found, "gpu_power_w", "gpu_clock_hz") == pytest.approx({"gpu_power_w": 500, "gpu_clock_hz": 1.9e9})
    assert values(found, "energy_j")["energy_j"] == pytest.approx(675 + 800)  # of all between 1.25 and 8 s
    # Two seconds at 500 W for four epochs of ten steps of 64 samples.
    assert values(found, "energy_per_sample_j")["energy_per_sample_j"] == pytest.approx(1000 / (4 * 10 * 64))
    # A card without a counter: its power, summed.
    told = {"power_w": lambda at_s: 500.0 if works(at_s) else 100.0}
    assert values(on_card(epochs=EPOCHS, **told), "gpu_power_w")["gpu_power_w"] == pytest.approx(500, rel=0.02)
    # Too short for three samples, and a run that did not note when its epochs were.
    brief = on_card(epochs=[(1.35, 0.02), (1.4, 0.02)], energy_j=joules)
    assert set(values(brief, "gpu_power_w", "energy_per_sample_j").values()) == {None}
    for epoch in found["measures"]["epochs"]:
        del epoch["began_s"]
    assert set(values(found, "gpu_power_w", "gpu_clock_hz", "gpu_utilisation").values()) == {None}


def test_utilisation_needs_a_training_as_long_as_the_driver_averages() -> None:
    lagging = {"utilisation": lambda at_s: 0.9 if at_s >= 5 else 0.1}  # of the second before
    found = on_card(epochs=EPOCHS, **lagging)
    assert values(found, "gpu_utilisation")["gpu_utilisation"] == pytest.approx(0.9)  # from 5 to 8 s
    short = [(1.3, 4.8), (6.2, 0.5), (6.7, 0.5)]
    assert values(on_card(epochs=short, **lagging), "gpu_utilisation")["gpu_utilisation"] is None


def test_throttling_is_that_of_the_timed_epochs_and_names_the_worst_cell() -> None:
    while_compiling = {"throttle": lambda at_s: 0x20 if at_s < 3.9 else 0x01}
    some = {"throttle": lambda at_s: 0x20 if 4 < at_s <= 4.5 else 0}
    most = {"throttle": lambda at_s: 0x20 if 4 < at_s <= 5 else 0}
    found = [on_card(epochs=EPOCHS, backend="a", **while_compiling)]
    assert warnings.warnings(found, {}) == []
    found += [on_card(epochs=EPOCHS, backend=name, **told) for name, told in (("b", some), ("c", most))]
    (said,) = warnings.warnings(found, {})
    assert said.startswith("W-GPU-THROTTLED: in 2 of 3 jobs its heat (the driver)")
    assert said.endswith("at worst in circle c eager") and "for 45%" in said  # 10 of the 22 samples


def memory(peak_mb: int) -> Any:
    """500 MB before the job, 920 MB once prepared, `peak_mb` while it trains, and far more for inference."""
    return lambda at_s: MB * (500 if at_s < 0.5 else 920 if at_s < 1.3 else peak_mb if at_s <= 8 else 9000)


def test_what_lies_between_the_two_peaks_of_memory_is_told(tmp_path: Path) -> None:
    found = [on_card(epochs=EPOCHS, repeat=repeat, memory_bytes=memory(2100 + repeat)) for repeat in (1, 2)]
    expected = {
        "gpu_memory_peak_bytes": 1601 * MB,
        "gpu_context_bytes": 400 * MB,  # 420 less 20 that the allocator had reserved by then
        "device_reserved_bytes": 1200 * MB,
        "gpu_unexplained_bytes": 1 * MB,
    }
    assert values(found[0], *expected) == expected
    told = document.of_records(write_run(tmp_path / "run", found), found, [])
    (cell,) = told["cells"]
    assert (
        "rose by 1,602 MB (NVML) in the one of 2 processes that is explained worst: 400 MB context"
        in cell["gpu_memory"]
    )
    assert (
        "1,200 MB reserved by the allocator, which gave out 900 MB at most, and 2 MB of neither" in cell["gpu_memory"]
    )
    for text in (formats.as_table(told), formats.as_markdown(told)):
        assert f"memory of circle a eager: {cell['gpu_memory']}" in " ".join(text.split())
    assert json.loads(formats.as_json(told))["cells"][0]["gpu_memory"] == cell["gpu_memory"]
    assert cell["gpu_memory"] in page.write(tmp_path / "run").read_text().replace("&#39;", "'")
    assert not told["warnings"]


@pytest.mark.parametrize("peak_mb, warned", [(2500, False), (2700, True), (1500, True)])
def test_memory_that_nothing_explains_is_warned_of(peak_mb: int, warned: bool) -> None:
    found = on_card(epochs=EPOCHS, memory_bytes=memory(peak_mb))
    said = warnings.warnings([found], {})
    assert [line.split(":")[0] for line in said] == ["W-GPU-MEMORY"] * warned
    if peak_mb == 1500:
        assert (gpu.explained([found]) or "").endswith(
            "less 600 MB, since a sample missed the peak or others freed memory"
        )
    assert not warned or ("600 MB" in said[0] and "at worst in circle a eager" in said[0])


@pytest.mark.parametrize(
    "measures, words",
    [
        (
            {"device_reserved_bytes": None},
            "by 400 MB before it trained; the allocator gave out 900 MB at most; it does",
        ),
        (
            {"device_reserved_bytes": None, "device_peak_bytes": None},
            "the allocator does not tell its peak; it does not",
        ),
        ({"prepared": {"at_s": 1.21, "reserved_bytes": 0}}, "nothing was sampled just before it trained"),
    ],
)
def test_memory_that_is_not_told_explains_nothing(measures: dict[str, Any], words: str) -> None:
    found = on_card(epochs=EPOCHS, memory_bytes=memory(9000), measures=measures)
    assert words in (gpu.explained([found]) or "") and warnings.warnings([found], {}) == []
    assert values(found, "gpu_unexplained_bytes")["gpu_unexplained_bytes"] is None


def test_a_card_whose_memory_did_not_rise_did_not_do_the_work() -> None:
    """For a framework whose allocator does not tell its peak."""

    def card(*seen: int | None) -> dict[str, Any]:
        return {"device": "cuda:0", "others": 0, "samples": {"at_s": list(range(len(seen))), "memory_bytes": seen}}

    assert "did not rise" in (gpu.untouched(card(5, 5, None, 5), {"device_peak_bytes": None}) or "")
    assert gpu.untouched(card(5, 9, 5), {"device_peak_bytes": None}) is None
    assert gpu.untouched(card(None), {}) is None and gpu.untouched(None, {}) is None
    assert gpu.untouched(card(5, 5), {"device_peak_bytes": 100}) is None  # judged by the worker


def test_a_worker_notes_when_its_model_was_prepared_and_its_epochs_began(tmp_path: Path) -> None:
    outcome = on_a_gpu(tmp_path, "elsewhere")  # the parameters of which are said to lie where they do not
    measures, receipt = outcome.measures, outcome.measures["receipt"]
    assert measures["prepared"]["reserved_bytes"] is None and measures["device_reserved_bytes"] is None
    assert train.REST_S > 2 * gpu_sampler.PERIOD_S
    assert receipt["began_s"] - measures["prepared"]["at_s"] >= train.REST_S
    began_s = [epoch["began_s"] for epoch in measures["epochs"]]
    ended_s = [epoch["began_s"] + epoch["train_s"] for epoch in measures["epochs"]]
    assert all(end <= begin + 1e-5 for end, begin in zip(ended_s, began_s[1:]))
    own = [end for end, epoch in zip(ended_s, measures["epochs"]) if epoch["epoch"] is not None]
    assert receipt["began_s"] <= began_s[0] and own[-1] <= receipt["ended_s"]


def test_a_ceiling_measured_on_a_disturbed_card_is_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = with_driver(monkeypatch, "580.82.07", HOPPER)
    plan = plan_for("cuda", backend=["torch"], precision=["float32"])
    (environment,) = [ceilings.Environment(Path("python"))]

    def launched(*_: Any) -> launch.Outcome:
        fake.throttle = 0x40
        time.sleep(0.15)
        fake.throttle = 0
        return launch.Outcome("ok", None, 1.0, {"flops_per_s": 1e12, "bytes_per_s": 1e12})

    monkeypatch.setattr(ceilings, "launch", launched)
    measured = ceilings.measure(plan, tmp_path, {"torch": environment}, ["float32"])
    bounds = roofline.of_cell(plan, plan.jobs[0].cell, measured)
    assert bounds["doubts"] == ["its heat (the hardware) held the card's clock down"]
    (said,) = warnings.warnings([on_card(epochs=EPOCHS) | {"limits": bounds}] * 2, {})
    assert said == f"W-GPU-CEILING: while the ceiling was measured, {bounds['doubts'][0]}"
