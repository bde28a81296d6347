"""Whatever a worker does, its cell ends in one state with a reason, and other cells are not affected."""

import json
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from crossframe.backends import read_backend
from crossframe.harness.records import store
from crossframe.harness.records.model import Evaluation, ParitySummary, Record
from tests.conftest import THIRD_PARTY, Command, third_party_env_vars

ELSEWHERE = "requested cpu, but the parameters and results are on"
TIMEOUT_S = 6  # of the jobs of `faulty_run`
# mode -> (state, part of its reason)
EXPECTED: dict[str, tuple[str, str | None]] = {
    "honest": ("ok", None),
    "raises": ("failed", "RuntimeError: the planted error"),
    "refuses": ("unsupported", "the planted refusal"),
    "exits": ("failed", "ended with code 7"),
    "crashes": ("failed", "SIGSEGV"),
    "hangs": ("timeout", f"not done after {TIMEOUT_S} s"),
    "rubbish": ("failed", "the measurements of the worker are not valid"),
    "out_of_memory": ("out_of_memory", "RESOURCE_EXHAUSTED"),
    "diverges": ("diverged", "loss is nan"),
    "elsewhere": ("failed", f"{ELSEWHERE} cuda:0"),
    "bad_export": ("ok", None),
    "forgets": ("failed", "checkpoint"),
    "damages": ("failed", "can't be evaluated"),
    "lies": ("ok", None),
    "pretends": ("failed", f"{ELSEWHERE} cuda:0"),
    "retreats": ("failed", f"{ELSEWHERE} cuda:0"),
    "strays": ("failed", f"{ELSEWHERE} cpu and cuda:0"),
    "answers_elsewhere": ("failed", f"{ELSEWHERE} cuda:0"),
    "reloads_elsewhere": ("failed", f"{ELSEWHERE} cuda:0"),
}


def read_by_mode(run: Path) -> dict[str, Record]:
    records, warnings = store.read(run)
    assert not warnings
    return {record.cell.mode: record for record in records}


def read_evaluation(run: Path, mode: str) -> Evaluation:
    evaluation = read_by_mode(run)[mode].evaluation
    assert evaluation is not None
    return evaluation


def read_parity(run: Path, mode: str) -> ParitySummary:
    parity = read_by_mode(run)[mode].parity
    assert parity is not None
    return parity


def test_every_mode_of_the_faulty_backend_is_expected() -> None:
    backend = read_backend("faulty", "faulty", THIRD_PARTY / "faulty")
    assert set(backend.manifest.modes) == EXPECTED.keys()


@pytest.mark.parametrize("mode", EXPECTED)
def test_a_failure_is_a_result_with_a_state_and_a_reason(faulty_run: Path, mode: str) -> None:
    record = read_by_mode(faulty_run)[mode]
    state, reason = EXPECTED[mode]
    assert record.state == state, record.reason
    if reason:
        assert reason in (record.reason or "")
    else:
        assert record.reason is None
        assert read_evaluation(faulty_run, mode).quality["accuracy"] > 0.7


@pytest.mark.parametrize("mode", EXPECTED)
def test_a_record_has_the_start_and_the_end_of_its_job(faulty_run: Path, mode: str) -> None:
    record = read_by_mode(faulty_run)[mode]
    assert record.started is not None
    elapsed_s = (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)).total_seconds()
    # Both times are cut to seconds.
    assert record.wall_s - 1 <= elapsed_s <= record.wall_s + 3
    if mode == "hangs":
        assert record.wall_s >= TIMEOUT_S


def test_an_export_has_a_state_of_its_own(faulty_run: Path) -> None:
    onnx = read_evaluation(faulty_run, "bad_export").onnx
    assert onnx is not None
    assert onnx.state == "failed"
    assert onnx.reason


def test_a_backend_that_trains_differently_has_a_gap(faulty_run: Path) -> None:
    correct, wrong = (read_evaluation(faulty_run, mode).first_epoch_gap for mode in ("honest", "lies"))
    assert correct < 1e-3 < wrong


def join_lines(text: str) -> str:
    """Return a text whose lines were broken as one line."""
    return " ".join(text.split())


def test_a_cell_that_is_not_verified_trips_the_gate(crossframe: Command, tmp_path: Path) -> None:
    selection = ["--backend", "faulty", "--mode", "honest,lies", "--task", "circle", "--preset", "quick"]
    done = crossframe("run", *selection, "--out", tmp_path / "run")
    assert done.returncode == 4, done.stderr
    assert read_parity(tmp_path / "run", "honest").state == "ok"
    failed = read_parity(tmp_path / "run", "lies")
    assert failed.state == "failed"
    assert "gradient after 1 update" in (failed.reason or "")
    assert "circle A backend that fails in every way lies: parity failed, not ranked" in join_lines(done.stdout)


def test_cells_that_were_not_verified_are_not_ranked(faulty_run: Path, crossframe: Command) -> None:
    assert read_by_mode(faulty_run)["honest"].parity is None
    assert re.search("not verified.*not ranked", crossframe("report", faulty_run).stdout)


@pytest.mark.usefixtures("faulty_run")
def test_children_of_a_killed_worker_are_killed() -> None:
    # A worker of the mode `hangs` has started a child that sleeps for ten minutes.
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "time.sleep(600)" not in processes


def test_a_job_can_be_replayed_by_hand(faulty_run: Path) -> None:
    job = next((faulty_run / "jobs").glob("*honest*"))
    command = (job / "log.txt").read_text().splitlines()[0].removeprefix("$ ")
    (job / "measures.json").unlink()
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert json.loads((job / "measures.json").read_text())["state"] == "ok"


def wait_for_hanging_job(run: Path) -> None:
    for _ in range(600):
        if any(run.glob("jobs/*hangs*/log.txt")):
            time.sleep(1)
            return
        time.sleep(0.1)
    pytest.fail("the hanging job never started")


def test_ctrl_c_stores_finished_jobs_and_resuming_runs_the_rest(crossframe: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    selection = ["--backend", "faulty", "--mode", "honest,hangs", "--task", "circle", "--preset", "quick"]
    options = ["--no-parity", "--repeats", "2", "--timeout", "60", "--out", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-m", "crossframe", "run", *selection, *options],
        env=third_party_env_vars(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and their children, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_hanging_job(run)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"crossframe run --resume {run}" in messages
    info = json.loads((run / "run.json").read_text())
    info["options"]["timeout_s"] = 10  # enough for the others on a busy machine
    (run / "run.json").write_text(json.dumps(info))
    resumed = crossframe("run", "--resume", run)
    assert resumed.returncode == 1, resumed.stderr  # the hanging jobs time out
    states = sorted((record.cell.mode, record.state) for record in store.read(run)[0])
    assert states == [("hangs", "timeout")] * 2 + [("honest", "ok")] * 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--task", "circel"], "autoencoder, circle, cnn, lstm"),
        (["--backend", "troch"], "reference"),
        (["--backend", "reference", "--mode", "turbo"], "numpy"),
        (["--precision", "int3"], "float32, float64"),
        (["--preset", "slow"], "quick, standard, original"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--repeats", "0"], "--repeats"),
        (["--threads", "4096"], "processors"),
        (["--python", "reference=/no/such/python"], "NAME=PATH"),
        (["--data", "imagenet", "--backend", "reference"], "cifar10"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_valid_ones(
    crossframe: Command, tmp_path: Path, words: list[str], named: str
) -> None:
    out = tmp_path / "run"
    done = crossframe("run", "--out", out, *words)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert not out.exists()
    assert "Traceback" not in done.stderr


def test_a_missing_gpu_stops_the_run_before_it_starts(crossframe: Command, tmp_path: Path) -> None:
    done = crossframe("run", "--device", "cuda:97", "--out", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    assert "cuda:97" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_broken_interpreter_is_named_before_anything_is_measured(crossframe: Command, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("not a program")
    selection = ["--backend", "reference,faulty", "--task", "circle", "--preset", "quick"]
    done = crossframe("run", *selection, "--python", f"faulty={broken}", "--out", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    assert f"--python faulty={broken} can't be executed" in done.stderr
    assert not (tmp_path / "run").exists()


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
    assert done.returncode == 0, done.stderr
    assert "line 2 is damaged" in done.stderr
    assert "line 3 is damaged" in done.stderr
    assert len(json.loads(done.stdout)["cells"]) == len(lines) - 2


def test_a_folder_that_is_no_run_is_refused(crossframe: Command, tmp_path: Path) -> None:
    done = crossframe("report", tmp_path)
    assert done.returncode == 2, done.stderr
    assert "is not a run" in done.stderr


def test_a_full_folder_is_not_overwritten(crossframe: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = crossframe("run", "--backend", "reference", "--out", tmp_path)
    assert done.returncode == 2, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
