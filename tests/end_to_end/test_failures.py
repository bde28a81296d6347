"""Whatever a worker does, its cell ends in one state with a reason, and its neighbours are unharmed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossframe.harness.records import store
from crossframe.harness.worker import lifecycle
from tests.conftest import THIRD_PARTY, Command, environment

OOM = "out_of_memory"
# mode -> (state, what its reason names)
EXPECTED = {
    "honest": ("ok", None),
    "raises": ("failed", "RuntimeError: the planted error"),
    "refuses": ("unsupported", "the planted refusal"),
    "exits": ("failed", "ended with code 7"),
    "crashes": ("failed", "SIGSEGV"),
    "hangs": ("timeout", "not done after 6 s"),
    "rubbish": ("failed", "ended with code 0 and no measures"),
    "out_of_memory": ("out_of_memory", "RESOURCE_EXHAUSTED"),
    "diverges": ("diverged", "loss is nan"),
    "elsewhere": ("failed", "asked for cpu, but its parameters and results lie on cuda:0"),
    "bad_export": ("ok", None),
    "forgets": ("failed", "checkpoint"),
    "damages": ("failed", "can't be judged"),
    "lies": ("ok", None),
    "pretends": ("failed", "asked for cpu, but its parameters and results lie on cuda:0"),
    "retreats": ("failed", "asked for cpu, but its parameters and results lie on cuda:0"),
    "strays": ("failed", "asked for cpu, but its parameters and results lie on cpu and cuda:0"),
    "answers_elsewhere": ("failed", "asked for cpu, but its parameters and results lie on cuda:0"),
    "reloads_elsewhere": ("failed", "asked for cpu, but its parameters and results lie on cuda:0"),
}


def by_mode(run: Path) -> dict[str, dict]:
    found, warnings = store.read(run)
    assert not warnings
    return {record["cell"]["mode"]: record for record in found}


def test_every_mode_of_the_faulty_backend_is_expected() -> None:
    from crossframe.backends import read

    folder = THIRD_PARTY / "faulty"
    assert set(read("faulty", "faulty", folder).modes) == set(EXPECTED)


@pytest.mark.parametrize("mode", EXPECTED)
def test_a_failure_is_a_result_with_a_word_and_a_reason(faulty_run: Path, mode: str) -> None:
    record = by_mode(faulty_run)[mode]
    state, reason = EXPECTED[mode]
    assert record["state"] == state, record["reason"]
    if reason:
        assert reason in record["reason"]
    else:
        assert record["reason"] is None and record["verdict"]["quality"]["accuracy"] > 0.7


@pytest.mark.parametrize(
    "said, state",
    [
        ("{{function_node __wrapped__MatMul}} OOM when allocating tensor with shape[8192,8192] [Op:MatMul]", OOM),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", OOM),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", OOM),
        ("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", OOM),
        ("CUDA out of memory. Tried to allocate 20.00 GiB.", OOM),
        ("RESOURCE_EXHAUSTED: failed to allocate 1.5GiB", OOM),
        ("cudaMalloc retry failed: out of memory", OOM),
        ("CUDNN_STATUS_EXECUTION_FAILED", "failed"),
        ("no layer is called Zoom", "failed"),
    ],
)
def test_memory_that_ran_out_is_told_by_the_words_of_each_framework(said: str, state: str) -> None:
    assert lifecycle.state_of(RuntimeError(said)) == state


def test_an_export_has_a_state_of_its_own(faulty_run: Path) -> None:
    exported = by_mode(faulty_run)["bad_export"]["verdict"]["onnx"]
    assert exported["state"] == "failed" and exported["reason"]


def test_a_backend_that_trains_otherwise_shows_its_gap(faulty_run: Path) -> None:
    found = by_mode(faulty_run)
    assert found["honest"]["verdict"]["first_epoch_gap"] < 1e-3 < found["lies"]["verdict"]["first_epoch_gap"]


def test_the_gate_trips_and_says_so(crossframe: Command, tmp_path: Path) -> None:
    words = ["--backend", "faulty", "--mode", "honest,lies", "--task", "circle", "--preset", "quick"]
    done = crossframe("run", *words, "--out", tmp_path / "run")
    assert done.returncode == 4
    found = by_mode(tmp_path / "run")
    assert (found["honest"]["parity"]["state"], found["lies"]["parity"]["state"]) == ("ok", "failed")
    assert "gradient after 1 update" in found["lies"]["parity"]["reason"]
    assert "circle faulty lies: parity failed, not ranked" in done.stdout


def test_what_was_not_proven_says_so(faulty_run: Path, crossframe: Command) -> None:
    assert by_mode(faulty_run)["honest"]["parity"] is None
    assert "not proven equal is not ranked" in crossframe("report", faulty_run).stdout


def test_nothing_of_a_killed_worker_lives_on(faulty_run: Path) -> None:
    # `hangs` had started a child that would sleep for ten minutes.
    seen = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "time.sleep(600)" not in seen


def test_a_job_can_be_replayed_by_hand(faulty_run: Path) -> None:
    job = next((faulty_run / "jobs").glob("*honest*"))
    command = (job / "log.txt").read_text().splitlines()[0].removeprefix("$ ")
    (job / "measures.json").unlink()
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert json.loads((job / "measures.json").read_text())["state"] == "ok"


def test_ctrl_c_keeps_what_was_done_and_resume_finishes_it(crossframe: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        "run",
        "--no-parity",
        "--backend",
        "faulty",
        "--mode",
        "honest,hangs",
        "--task",
        "circle",
        "--preset",
        "quick",
    ]
    command = [sys.executable, "-m", "crossframe", *words, "--repeats", "2", "--timeout", "60", "--out", str(run)]
    started = subprocess.Popen(
        command,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Who starts the tests in the background of a shell has them ignore Ctrl-C, and their children with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    hanging = None
    for _ in range(600):
        hanging = next(run.glob("jobs/*hangs*/log.txt"), None)
        if hanging:
            break
        time.sleep(0.1)
    assert hanging, "the hanging job never started"
    time.sleep(1)
    started.send_signal(signal.SIGINT)
    _, messages = started.communicate(timeout=30)
    assert started.returncode == 130
    assert f"crossframe run --resume {run}" in messages
    told = json.loads((run / "run.json").read_text())
    told["options"]["timeout"] = 2
    (run / "run.json").write_text(json.dumps(told))
    resumed = crossframe("run", "--resume", run)
    assert resumed.returncode == 1  # the hanging ones end in a time-out
    found = store.read(run)[0]
    assert sorted((r["cell"]["mode"], r["state"]) for r in found) == [("hangs", "timeout")] * 2 + [("honest", "ok")] * 2


@pytest.mark.parametrize(
    "words, named",
    [
        (["--task", "circel"], "autoencoder, circle, cnn, lstm"),
        (["--backend", "troch"], "reference"),
        (["--backend", "reference", "--mode", "turbo"], "numpy"),
        (["--precision", "int3"], "float32, float64"),
        (["--preset", "slow"], "quick, standard, original"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--repeats", "0"], "1 or more"),
        (["--threads", "4096"], "processors"),
        (["--python", "reference=/no/such/python"], "NAME=PATH"),
        (["--data", "imagenet", "--backend", "reference"], "cifar10"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    crossframe: Command, tmp_path: Path, words: list[str], named: str
) -> None:
    out = tmp_path / "run"
    done = crossframe("run", "--out", out, *words)
    assert done.returncode == 2
    assert named in done.stderr and not out.exists()
    assert "Traceback" not in done.stderr


def test_an_absent_gpu_stops_everything_before_anything(crossframe: Command, tmp_path: Path) -> None:
    done = crossframe("run", "--device", "cuda:97", "--out", tmp_path / "run")
    assert done.returncode == 3 and "cuda:97 is not there" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_environment_that_cannot_be_made_leaves_the_others_alone(crossframe: Command, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("not a program")
    words = ["--backend", "reference,faulty", "--python", f"faulty={broken}", "--task", "circle", "--preset", "quick"]
    done = crossframe("run", *words, "--out", tmp_path / "run")
    assert done.returncode == 1
    states = {record["cell"]["backend"]: record for record in store.read(tmp_path / "run")[0]}
    assert states["reference"]["state"] == "ok"
    assert states["faulty"]["state"] == "not_installed" and "can't be started" in states["faulty"]["reason"]


def test_a_damaged_record_is_named_and_left_out(faulty_run: Path, crossframe: Command, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("run.json", "records.jsonl"):
        (copy / name).write_bytes((faulty_run / name).read_bytes())
    lines = (copy / "records.jsonl").read_text().splitlines()
    lines[1] = lines[1][: len(lines[1]) // 2]
    lines[2] = json.dumps({**json.loads(lines[2]), "state": "splendid"})
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    done = crossframe("report", copy, "--format", "json")
    assert done.returncode == 0
    assert "line 2 is damaged" in done.stderr and "line 3 is damaged" in done.stderr
    assert len(json.loads(done.stdout)["cells"]) == len(lines) - 2


def test_a_folder_that_is_no_run_is_refused(crossframe: Command, tmp_path: Path) -> None:
    done = crossframe("report", tmp_path)
    assert done.returncode == 2 and "is not a run" in done.stderr


def test_a_full_folder_is_not_written_over(crossframe: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = crossframe("run", "--backend", "reference", "--out", tmp_path)
    assert done.returncode == 2 and [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
