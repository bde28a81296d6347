"""Measurement that proves itself: each mistake that a suite of this kind makes, made on purpose, must show."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crossframe.backends import Backend, discover
from crossframe.backends.reference.model import Model as Oracle
from crossframe.harness.analysis import fairness, metrics, ranking, warnings
from crossframe.harness.cli import doctor
from crossframe.harness.cli.machine_commands import selftest as command
from crossframe.harness.launch import interference, launch
from crossframe.harness.machine.environments import make
from crossframe.harness.records import store
from crossframe.harness.selftest import selftest
from crossframe.harness.selftest.bench import Bench
from crossframe.harness.selftest.clock import busiest, clock, clock_or_why
from crossframe.harness.worker import process, time_steps
from crossframe.tasks.spec import initial_weights, to_json
from tests.conftest import THIRD_PARTY, Command
from tests.support.fake_nvml import HOPPER, FakeNvml
from tests.support.synthetic import repeats

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
    assert metrics.train_samples_per_s(record) == pytest.approx(record["cell"]["batch_size"] / 0.01)


def test_steady_cuts_a_slow_start_and_nothing_else() -> None:
    even = 1 + 0.01 * np.random.default_rng(0).normal(size=200)
    slow = even.copy()
    slow[:20] += np.linspace(2, 0.1, 20)
    assert 180 >= len(metrics.steady(slow)) >= 100
    assert abs(metrics.steady(slow).mean() - even.mean()) < 0.005
    assert len(metrics.steady(even)) >= 100
    assert list(metrics.steady([5.0])) == [5.0]


def test_memory_of_the_parent_is_not_the_worker_s(tmp_path: Path) -> None:
    """`ru_maxrss` would carry this process's peak over into a worker that it starts."""
    large = np.ones(800 << 20, np.uint8)
    own, bench = discover()["reference"], Bench(tmp_path, [0], "cpu", 60)
    peak = bench.measure(selftest.small(), own, make(own, "cpu"))["host_peak_bytes"]
    assert len(large) == 800 << 20 and 0 < peak < 400 << 20


@pytest.mark.parametrize("name", QUEUEING)
def test_a_clock_without_a_barrier_is_caught(tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    backend = discover()[name]
    environment = make(backend, "cpu")
    bench = Bench(tmp_path, sorted(os.sched_getaffinity(0)), "cpu", 300)
    task = busiest()
    assert clock(bench, task, backend, environment)["state"] == "ok"
    facts = {**backend.facts, "environment": {**backend.facts["environment"], "FAULTS_WRAP": backend.module}}
    spoilt = Backend(name, "faults", THIRD_PARTY / "faults", facts)
    told = clock(bench, replace(task, name=f"{task.name}+no_op_barrier"), spoilt, environment)
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
        given = launch.variables(known[name], 2, "")
        assert variable not in given and given["CUDA_VISIBLE_DEVICES"] == "9"
        # What a backend sets itself stands.
        assert given.get("NVIDIA_TF32_OVERRIDE") == ("0" if name == "mxnet" else None)
    assert launch.variables(known["tensorflow"], 2, "")["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "JAX_DEFAULT_MATMUL_PRECISION" in launch.variables(known["torch"], 2, "")  # which does not read it
    (finding,) = [one for one in doctor.examine()["findings"] if one["id"] == "variables"]
    assert all(name in finding["text"] for name in changing.values()) and "CUDA_VISIBLE" not in finding["text"]


def test_libraries_from_elsewhere_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib64")
    assert process.given()["libraries"] == {"LD_LIBRARY_PATH": "/opt/cuda/lib64"}


def test_equal_budgets_are_ranked_and_unequal_ones_are_not() -> None:
    sound = with_receipts(repeats("a", [1.0, 1.1, 1.0, 1.1, 1.0]) + repeats("b", [2.0, 2.1, 2.0, 2.1, 2.0]))
    cells = metrics.cells(sound, {})
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
        cells = metrics.cells(unfair, {})
        assert not ranking.rank(cells, unfair)
        tier = cells[0]["metrics"]["train_samples_per_s"]
        assert tier["tier"] is None and "budgets were not equal" in tier["tier_reason"]


def test_each_repeat_is_a_process_of_its_own_on_the_same_processors(crossframe: Command, tmp_path: Path) -> None:
    words = ("run", "--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity", "--repeats", 3)
    assert crossframe(*words, "--seeds", 2, "--threads", 1, "--out", tmp_path / "run").returncode == 0
    found, _ = store.read(tmp_path / "run")
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
    found, _ = store.read(tmp_path / "run")
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
    said = warnings.warnings(seen, {"governor": "powersave"})
    assert [line.split(":")[0] for line in said] == ["W-OTHERS", "W-SWAP", "W-FREQUENCY"]
    assert "1 of 3 jobs" in said[0] and "40%" in said[0]
    assert warnings.warnings([{"machine": calm}], {"governor": None}) == []


@pytest.mark.skipif(interference.processor_s() is None, reason="this system has no /proc/stat to watch")
def test_what_another_program_does_is_seen() -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(60)"
    watch = interference.Watch()
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told, elapsed_s = watch.told(), time.monotonic() - watch.begin
        other.kill()
    # It has not ended, so it is none of our children yet; the kernel's counter moves in ticks, on each processor.
    ticks_s = interference.TICK_S * (os.cpu_count() or 1)
    assert told["others_share"] >= (0.5 - ticks_s) / (elapsed_s * (os.cpu_count() or 1))


def test_what_we_do_ourselves_is_not_called_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = iter([(100.0, 1.0), (108.0, 3.0)])
    own = iter([50.0, 56.0])
    monkeypatch.setattr(interference, "processor_s", lambda: next(counters))
    monkeypatch.setattr(interference, "own_s", lambda: next(own))
    watch = interference.Watch()
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


def on_a_card(words: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """`crossframe selftest` on a machine whose driver shows a card."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml("580.82.07", HOPPER))  # type: ignore[arg-type]
    monkeypatch.setattr(selftest, "cache", lambda: tmp_path)
    monkeypatch.setattr(selftest, "STEPS_S", (0.01,))
    monkeypatch.setattr(selftest, "BYTES", (64 << 20,))
    usual = {"backend": [], "candidate": "reference", "pairs": 0, "tries": 0, "device": "auto", "json": True}
    return command(argparse.Namespace(**usual | words))


def test_selftest_on_a_machine_with_a_card_that_numpy_does_not_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_a_card({"backend": ["reference", "mxnet"]}, monkeypatch, tmp_path) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["candidate"], told["device"], len(told["exact"])) == ("reference", "cpu", 2)
    numpy, refused = told["clock"]
    assert (numpy["state"], numpy["device"]) == ("ok", "cpu")
    assert (refused["state"], refused["device"]) == ("unsupported", "cuda:0") and "up to 8.9" in refused["reason"]
    assert f"clock of mxnet        unsupported {refused['reason']}" in selftest.as_text(told)
    # A run on the card is not told of what the processor's noise lets be seen.
    assert "reference on cpu" in str(selftest.last("cpu"))
    assert selftest.last("cuda:0") is None
    assert on_a_card({"candidate": "mxnet"}, monkeypatch, tmp_path) == 1
    assert "mxnet: unsupported: its build has code for" in capsys.readouterr().err


@pytest.mark.parametrize(
    "step_s, read_s, said", [(0.02, 0.0, None), (1e-4, 0.0, "0.0001 s of time on the wall"), (0.02, 0.02, "after sync")]
)
def test_the_clock_of_a_card_is_held_against_what_the_card_can_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step_s: float, read_s: float, said: str | None
) -> None:
    """Its steps cost the host next to nothing, and that is right."""
    task, backend = busiest("cuda:0"), discover()["torch"]
    assert 2 * task.flops() * task.batch_size / 5e13 > 0.001  # else a card might be done before the host has asked
    measures = {
        "epochs": [{"train_s": step_s, "steps": 1}],
        "processor_samples_s": [1e-6],
        "read_samples_s": [read_s],
        "ceiling_flops": 5e13,
    }
    monkeypatch.setattr(Bench, "measure", lambda *_, **__: measures)
    told = clock(Bench(tmp_path, [0], "cuda:0", 60), task, backend, make(discover()["reference"], "cpu"))
    assert told["state"] == ("failed" if said else "ok")
    assert said is None or said in told["reason"]


def test_the_stopwatch_asks_a_card_itself_what_it_can_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = selftest.small()
    model = Oracle(task, initial_weights(task, 0), np.dtype("float32"), {})
    monkeypatch.setattr(model, "placement", lambda: "cuda:0")
    carded: Any = ModuleType("carded")
    carded.prepare = lambda *_: model
    monkeypatch.setitem(sys.modules, "carded", carded)
    asked: list[tuple[Any, str]] = []
    found = {"flops_per_s": 5e13, "bytes_per_s": 4e12}
    monkeypatch.setattr(time_steps, "reached", lambda *words: asked.append(words) or found)
    inputs = Bench(tmp_path, [0], "cuda:0", 60).inputs(task)
    job = {"task": to_json(task), "module": "carded", "inputs": str(inputs), "mode": "eager", "precision": "float32"}
    measures: dict[str, Any] = {}
    time_steps.work({**job, "device": "cuda:0", "ceiling": True}, tmp_path, measures)
    assert asked == [(model, "cuda:0")] and measures["ceiling_flops"] == 5e13


def test_a_backend_that_cannot_be_timed_does_not_end_the_selftest(tmp_path: Path) -> None:
    own = discover()["reference"]
    gone = Backend("gone", "backends.gone", own.folder, own.facts)
    told = clock_or_why(Bench(tmp_path, [0], "cpu", 60), selftest.small(), gone)
    assert told["state"] == "failed" and "No module named 'backends.gone'" in told["reason"]
    assert "FAILED clock of gone" in selftest.as_text(
        {
            "exact": [],
            "clock": [told],
            "equal": {"pairs": 0, "called_different": 0},
            "rounds": 7,
            "candidate": "gone",
            "device": "cpu",
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
