"""The processes of a run: one for each repeat, and more where a time budget allows them."""

from pathlib import Path

from crossframe.harness.records import store
from crossframe.harness.worker.epochs import ENOUGH_EPOCHS, are_long
from tests.conftest import Command


def test_each_repeat_is_a_process_of_its_own_on_the_same_processors(crossframe: Command, tmp_path: Path) -> None:
    words = ("run", "--backend", "reference", "--task", "circle", "--preset", "quick", "--no-parity", "--repeats", 3)
    done = crossframe(*words, "--seeds", 2, "--threads", 1, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    records = store.read(tmp_path / "run")[0]
    receipts = [record.measurements.receipt for record in records]
    assert len({receipt.process for receipt in receipts if receipt}) == 3
    for receipt in receipts:
        assert receipt is not None
        assert len(receipt.cpus) == 1
        assert set(receipt.thread_pools.values()) == {"1"}
    # Repeats cycle through the seeds: the first and the third have the same data and weights.
    losses = {record.repeat: record.measurements.curve[0].loss for record in records}
    assert losses[1] == losses[3]
    assert losses[1] != losses[2]


def test_a_run_goes_on_with_more_repeats_that_train_as_long_as_timing_needs(
    crossframe: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ("--backend", "reference", "--task", "cnn", "--preset", "quick", "--no-parity")
    assert crossframe("run", *words, "--out", run).returncode == 0
    done = crossframe("run", "--resume", run, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    first, second = store.read(run)[0]
    assert (first.repeat, first.complete) == (1, True)
    assert (second.repeat, second.complete, second.state) == (2, False, "ok")
    assert second.measurements.checkpoint_bytes is None
    assert not (run / "jobs" / second.job / "checkpoint").exists()
    assert not (run / "jobs" / second.job / "model.onnx").exists()
    assert first.evaluation is not None
    assert second.evaluation is not None
    assert second.evaluation.onnx is None
    # It is checked like the first, but for the checkpoint, and measured as often.
    names = [check.name for check in first.evaluation.checks]
    assert [check.name for check in second.evaluation.checks] == [name for name in names if "checkpoint" not in name]
    assert all(check.passed for check in second.evaluation.checks)
    timed = second.measurements.epochs
    assert are_long(timed) or len(timed) >= min(ENOUGH_EPOCHS, len(first.measurements.epochs))


def test_a_time_budget_is_used_for_pairs_that_are_not_distinguishable(crossframe: Command, tmp_path: Path) -> None:
    """The two variants have the same code, so no number of rounds distinguishes them and the time expires first."""
    words = ("--backend", "reference,faulty", "--mode", "numpy,honest", "--task", "circle", "--preset", "quick")
    done = crossframe("run", *words, "--time-budget", "45s", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rounds: dict[int, set[str]] = {}
    for record in store.read(tmp_path / "run")[0]:
        rounds.setdefault(record.repeat, set()).add(record.cell.backend)
    assert len(rounds) > 1
    assert all(backends == {"reference", "faulty"} for backends in rounds.values())
