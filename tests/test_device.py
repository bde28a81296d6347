"""Devices, sizes and limits: where the work is done, which card can do it, and how close it comes to what it could."""

import json
from pathlib import Path

import pytest

from tasks import discover as discover_tasks
from tasks.scale import scaled, unscaled
from tests.conftest import Command

QUICK = {name: presets["quick"] for name, presets in discover_tasks().items()}


@pytest.mark.parametrize("name", QUICK)
def test_a_scaled_task_has_the_same_operations_with_more_to_do(name: str) -> None:
    plain, large = QUICK[name], scaled(QUICK[name], 4)
    assert (large.name, large.batch_size) == (f"{name}-x4", 4 * plain.batch_size)
    assert unscaled(large.name) == (name, 4) and unscaled(name) == (name, 1)
    assert scaled(plain, 1) == plain
    assert [type(layer) for layer in large.layers] == [type(layer) for layer in plain.layers]
    assert (large.input_shape, large.output_shape()) == (plain.input_shape, plain.output_shape())
    assert large.parameters().keys() == plain.parameters().keys()
    # The first and last layer grow on one side only, all others on both.
    assert 4 * plain.flops() <= large.flops() <= 16 * plain.flops()


def test_scales_are_tasks_of_their_own_in_a_run(crossframe: Command, tmp_path: Path) -> None:
    words = ("--backend", "reference", "--task", "circle", "--preset", "quick", "--scale", "1,2", "--no-parity")
    done = crossframe("run", *words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    told = json.loads(crossframe("report", tmp_path / "run", "--format", "json").stdout)
    assert {(cell["task"], cell["batch_size"]) for cell in told["cells"]} == {("circle", 64), ("circle-x2", 128)}
    assert told["tasks"]["circle-x2"]["parameters"] == 2 * 32 + 32 + 32 + 1
    again = crossframe("run", "--resume", tmp_path / "run")
    assert again.returncode == 0 and "2 of 2 jobs are done" in again.stderr
    # A batch larger than the data would be cut short in silence.
    for words in (("--preset", "original", "--scale", "2"), ("--preset", "quick", "--scale", "64", "--task", "cnn")):
        refused = crossframe("run", "--backend", "reference", *words, "--out", tmp_path / "none")
        assert refused.returncode == 2 and not (tmp_path / "none").exists()
