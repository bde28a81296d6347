"""Measurement that proves itself: each mistake that a suite of this kind makes, made on purpose, must show."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends import Backend, discover
from harness import doctor, launch, records
from harness.decision import ranking
from harness.environments import make
from harness.measurement import fairness, figures, machine, readback, selftest
from tests.conftest import STRANGER, Command
from tests.synthetic import repeats

QUEUEING = ("mxnet", "jax")  # on the CPU the other two return when they are done
RECEIPT: dict[str, Any] = {
    "cpus": [0, 1],
    "pools": {"OMP_NUM_THREADS": "2"},
    "cpu_per_wall": 1.0,
    "busy_threads": 2,
    "energy_j": None,
    "settings": {"threads": 2, "float32_products": "float32"},
}


def with_receipts(found: list[dict[str, Any]], **changed: Any) -> list[dict[str, Any]]:
    for number, record in enumerate(found):
        name = record["cell"]["backend"]
        record["measures"]["receipt"] = {**RECEIPT, "process": f"{name}{number}", **changed}
    return found


def test_compiling_is_not_counted_as_steady() -> None:
    (record,) = repeats("a", [0.01])
    slow = [{"epoch": 1, "steps": 10, "train_s": 9.0}, {"epoch": 2, "steps": 10, "train_s": 3.0}]
    even = [{"epoch": epoch, "steps": 10, "train_s": 0.1} for epoch in (3, 4)]
    record["measures"]["epochs"] = slow + even
    assert figures.train_samples_per_s(record) == pytest.approx(record["cell"]["batch_size"] / 0.01)


def test_steady_cuts_a_slow_start_and_nothing_else() -> None:
    even = 1 + 0.01 * np.random.default_rng(0).normal(size=200)
    slow = even.copy()
    slow[:20] += np.linspace(2, 0.1, 20)
    assert 180 >= len(figures.steady(slow)) >= 100
    assert abs(figures.steady(slow).mean() - even.mean()) < 0.005
    assert len(figures.steady(even)) >= 100
    assert list(figures.steady([5.0])) == [5.0]


def test_memory_of_the_parent_is_not_the_worker_s(tmp_path: Path) -> None:
    """`ru_maxrss` would carry this process's peak over into a worker that it starts."""
    large = np.ones(800 << 20, np.uint8)
    own, bench = discover()["reference"], selftest.Bench(tmp_path, [0], "cpu", 60)
    peak = bench.measure(selftest.small(), own, make(own, "cpu"))["host_peak_bytes"]
    assert len(large) == 800 << 20 and 0 < peak < 400 << 20


@pytest.mark.parametrize("name", QUEUEING)
def test_a_clock_without_a_barrier_is_caught(tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    backend = discover()[name]
    environment = make(backend, "cpu")
    bench = selftest.Bench(tmp_path, sorted(os.sched_getaffinity(0)), "cpu", 300)
    task = selftest.busiest()
    assert selftest.clock(bench, task, backend, environment)["state"] == "ok"
    facts = {**backend.facts, "environment": {**backend.facts["environment"], "FAULTS_WRAP": backend.module}}
    spoilt = Backend(name, "faults", STRANGER / "faults", facts)
    told = selftest.clock(bench, replace(task, name=f"{task.name}+no_op_barrier"), spoilt, environment)
    assert told["state"] == "failed" and "after sync" in told["reason"]


def test_a_shell_s_variables_do_not_change_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    changing = {
        "torch": "TORCHINDUCTOR_MAX_AUTOTUNE",
        "tensorflow": "TF_XLA_FLAGS",
        "jax": "JAX_DEFAULT_MATMUL_PRECISION",
        "mxnet": "MXNET_CUDNN_AUTOTUNE_DEFAULT",
    }
    for name in (*changing.values(), "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "9")
    known = discover()
    for name, variable in changing.items():
        given = launch.variables(known[name], 2)
        assert variable not in given and given["CUDA_VISIBLE_DEVICES"] == "9"
        # What a backend sets itself stands.
        assert given.get("NVIDIA_TF32_OVERRIDE") == ("0" if name == "mxnet" else None)
    assert launch.variables(known["tensorflow"], 2)["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "JAX_DEFAULT_MATMUL_PRECISION" in launch.variables(known["torch"], 2)  # which does not read it
    (finding,) = [one for one in doctor.examine()["findings"] if one["id"] == "variables"]
    assert all(name in finding["text"] for name in changing.values()) and "CUDA_VISIBLE" not in finding["text"]


def test_libraries_from_elsewhere_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib64")
    assert readback.given()["libraries"] == {"LD_LIBRARY_PATH": "/opt/cuda/lib64"}


def test_equal_budgets_are_ranked_and_unequal_ones_are_not() -> None:
    sound = with_receipts(repeats("a", [1.0, 1.1, 1.0, 1.1, 1.0]) + repeats("b", [2.0, 2.1, 2.0, 2.1, 2.0]))
    cells = figures.cells(sound, {})
    ranking.rank(cells, sound)
    assert [cell["metrics"]["train_samples_per_s"]["tier"] for cell in cells] == [1, 2]
    for changed, said in (
        ({"settings": {"threads": 1, "float32_products": "float32"}}, "uses 1 threads, where 2 processors"),
        ({"settings": {"threads": 2, "float32_products": "tf32"}}, "multiplies float32 as tf32"),
        ({"cpus": [0]}, "not all had the same processors"),
        ({"pools": {"OMP_NUM_THREADS": "1"}}, "not all had the same sizes of thread pools"),
        ({"process": "7-7"}, "ran 5 jobs in 1 processes"),
    ):
        unfair = sound[:5] + with_receipts(repeats("b", [2.0, 2.1, 2.0, 2.1, 2.0]), **changed)
        assert any(said in line for line in fairness.differences(fairness.receipts(unfair))), said
        cells = figures.cells(unfair, {})
        assert not ranking.rank(cells, unfair)
        tier = cells[0]["metrics"]["train_samples_per_s"]
        assert tier["tier"] is None and "budgets were not equal" in tier["tier_reason"]


def test_each_repeat_is_a_process_of_its_own_on_the_same_processors(crossframe: Command, tmp_path: Path) -> None:
    words = ("run", "--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity", "--repeats", 3)
    assert crossframe(*words, "--seeds", 2, "--threads", 1, "--out", tmp_path / "run").returncode == 0
    found, _ = records.read(tmp_path / "run")
    receipts = [record["measures"]["receipt"] for record in found]
    assert len({one["process"] for one in receipts}) == 3
    assert all(len(one["cpus"]) == 1 and set(one["pools"].values()) == {"1"} for one in receipts)
    # The seeds take turns: the first and third repeat drew the same.
    losses = {record["repeat"]: record["measures"]["curve"][-1]["loss"] for record in found}
    assert losses[1] == losses[3] != losses[2]


def test_a_budget_is_spent_on_what_is_not_settled(crossframe: Command, tmp_path: Path) -> None:
    """The same code as two candidates: no number of rounds tells them apart, so the time runs out first."""
    words = ("--backend", "reference,faulty", "--mode", "numpy,honest", "--task", "circle", "--preset", "quick")
    assert crossframe("run", *words, "--budget", "12s", "--out", tmp_path / "run").returncode == 0
    found, _ = records.read(tmp_path / "run")
    by_round: dict[int, set[str]] = {}
    for record in found:
        by_round.setdefault(record["repeat"], set()).add(record["cell"]["backend"])
    assert len(by_round) > 1 and all(names == {"reference", "faulty"} for names in by_round.values())


def test_inference_stands_beside_onnxruntime(crossframe: Command) -> None:
    words = ("infer", "--backend", "reference,mxnet", "--task", "circle", "--preset", "quick", "--batch-size", "1,8")
    done = crossframe(*words, "--json")
    assert done.returncode == 0, done.stderr
    rows = {(one["backend"], one["runs"], one["batch_size"]): one for one in json.loads(done.stdout)}
    assert len(rows) == 8
    for backend, runs in (("reference", "numpy"), ("mxnet", "hybrid"), ("mxnet", "onnxruntime")):
        assert rows[backend, runs, 8]["samples_per_s"]["value"] > 0 and rows[backend, runs, 1]["p50_s"]["value"] > 0
    none = rows["reference", "onnxruntime", 1]
    assert none["state"] == "unsupported" and none["p50_s"] is None and "no file" in none["reason"]


def test_an_unstable_machine_is_named() -> None:
    calm = {"others_share": 0.01, "steal_share": 0.0, "swapped_pages": 0, "throttlings": None}
    seen = [
        {"machine": calm},
        {"machine": {**calm, "others_share": 0.4}},
        {"machine": {**calm, "swapped_pages": 9}},
        {},
    ]
    said = machine.warnings(seen, {"governor": "powersave"})
    assert [line.split(":")[0] for line in said] == ["W-OTHERS", "W-SWAP", "W-FREQUENCY"]
    assert "1 of 3 jobs" in said[0] and "40%" in said[0]
    assert machine.warnings([{"machine": calm}], {"governor": None}) == []


@pytest.mark.skipif(machine.processor_s() is None, reason="this system has no /proc/stat to watch")
def test_what_another_program_does_is_seen() -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(60)"
    watch = machine.Watch()
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told, elapsed_s = watch.told(), time.monotonic() - watch.begin
        other.kill()
    # It has not ended, so it is none of our children yet; the kernel's counter moves in ticks, on each processor.
    ticks_s = machine.TICK_S * (os.cpu_count() or 1)
    assert told["others_share"] >= (0.5 - ticks_s) / (elapsed_s * (os.cpu_count() or 1))


def test_what_we_do_ourselves_is_not_called_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = iter([(100.0, 1.0), (108.0, 3.0)])
    own = iter([50.0, 56.0])
    monkeypatch.setattr(machine, "processor_s", lambda: next(counters))
    monkeypatch.setattr(machine, "own_s", lambda: next(own))
    watch = machine.Watch()
    watch.begin -= 10
    told = watch.told()
    available = 10 * (os.cpu_count() or 1)
    assert told["others_share"] == pytest.approx(2 / available, rel=0.01)
    assert told["steal_share"] == pytest.approx(2 / available, rel=0.01)


def test_selftest_in_short(crossframe: Command) -> None:
    done = crossframe("selftest", "--backend", "reference", "--pairs", 1, "--tries", 1, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    # No clock may show less than what was there; how much more is this machine's noise.
    assert all(one["measured"] >= 0.99 * one["known"] for one in told["exact"]) and len(told["exact"]) == 6
    assert told["equal"]["pairs"] == told["slower"]["tries"] == 1 and told["smallest_slowdown"] > 0


def test_a_backend_that_cannot_be_timed_does_not_end_the_selftest(tmp_path: Path) -> None:
    own = discover()["reference"]
    gone = Backend("gone", "backends.gone", own.folder, own.facts)
    told = selftest.clock_or_why(selftest.Bench(tmp_path, [0], "cpu", 60), selftest.small(), gone)
    assert told["state"] == "failed" and "No module named 'backends.gone'" in told["reason"]
    assert "FAILED clock of gone" in selftest.as_text(
        {
            "exact": [],
            "clock": [told],
            "equal": {"pairs": 0, "called_different": 0},
            "rounds": 7,
            "slower": {"slowdown": 0.05, "tries": 0, "found": 0},
            "smallest_slowdown": None,
        }
    )


def test_a_selftest_that_finds_something_wrong_says_so() -> None:
    right = {"what": "step_s", "known": 0.01, "measured": 0.0101, "off": 0.01}
    wrong = {**right, "measured": 0.001, "off": -0.9}
    fine = {"backend": "a", "state": "ok", "reason": None}
    assert selftest.failed({"exact": [right], "clock": [fine]}) == []
    assert len(selftest.failed({"exact": [wrong], "clock": [{**fine, "state": "failed", "reason": "why"}]})) == 2
