"""The MXNet backend: no OpenMP team in the calling thread, gradients at a logit of zero, and running statistics."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.machine.environments import make_environment

MXNET = discover()["mxnet"]
# Every call moves more than 200,000 numbers, the size from which MXNet copies by OpenMP.
THREADS = """
import json, os, sys, time
from pathlib import Path
import mxnet as mx
import numpy as np
from crossframe.backends.mxnet import prepare
from crossframe.tasks import discover
from crossframe.tasks.spec import initial_weights

task = discover()["autoencoder"]["standard"]
model = prepare(task, initial_weights(task, 0), "cpu", "{mode}", "float32")
x, folder = np.zeros((360, *task.input_shape), np.float32), Path(sys.argv[1])
counts = {{}}

def count_threads(name, call, patience_s=0.0):
    call()
    model.sync()
    end = time.monotonic() + patience_s
    while len(os.listdir("/proc/self/task")) > counts.get("train", 0) and time.monotonic() < end:
        time.sleep(0.01)
    counts[name] = len(os.listdir("/proc/self/task"))

count_threads("train", lambda: model.train([model.put(x[:64], x[:64])] * 2))
count_threads("put", lambda: model.put(x, x))
count_threads("predict", lambda: model.predict(x))
count_threads("weights", model.weights)
count_threads("placement", model.placement)
count_threads("save", lambda: model.save(folder / "checkpoint"))
count_threads("load", lambda: model.load(folder / "checkpoint"))
# The threads of an export end a little later.
count_threads("export_onnx", lambda: model.export_onnx(folder / "model.onnx", 13), 10.0)
count_threads("train again", lambda: model.train([model.put(x[:64], x[:64])] * 2))
count_threads("mx.nd.array", lambda: mx.nd.array(x))
print(json.dumps(counts))
"""
# The reference model needs NumPy only, so it runs in MXNet's environment too.
GRADIENTS = """
import json
from dataclasses import replace
import numpy as np
from crossframe.backends import mxnet, reference
from crossframe.tasks import discover
from crossframe.tasks.spec import SGD, Dense, ReLU, initial_weights

generator = np.random.default_rng(0)
x, y = generator.normal(size=(10, 2)).astype(np.float32), np.arange(10) % 3 % 2
errors, zeros = [], 0
for units in range(1, 9):
    layers = (Dense(units), ReLU(), Dense(1))
    task = replace(discover()["circle"]["original"], layers=layers, optimizer=SGD(1.0))
    for seed in range(4):
        start, after = initial_weights(task, seed), []
        for backend, mode in ((reference, reference.MODES[0]), (mxnet, "{mode}")):
            model = backend.prepare(task, start, "cpu", mode, "float64")
            zeros += int((model.predict(x) == 0).sum())
            model.train([model.put(x, y)])
            after.append(model.weights())
        errors.append(max(float(np.abs(after[0][name] - after[1][name]).max()) for name in start))
print(json.dumps([zeros, max(errors)]))
"""
STATISTICS = """
import json
import numpy as np
from crossframe.backends.mxnet import prepare
from crossframe.tasks.spec import SGD, BatchNorm, Conv2D, Dense, GlobalAveragePool, Task, initial_weights

layers = (Conv2D(8, 3, 1, bias=False), BatchNorm(), GlobalAveragePool(), Dense(3))
task = Task("t", "d", (4, 16, 16), layers, "softmax_cross_entropy", SGD(0.1), 1, 0.0)
model = prepare(task, initial_weights(task, 0), "cpu", "{mode}", "float32")
generator, stale = np.random.default_rng(0), 0
for _ in range(3):
    x = generator.normal(size=(64, *task.input_shape)).astype(np.float32)
    for read in (lambda: model.buffers()["norm1.mean"], lambda: model.predict(x)):
        model.train([model.put(x, np.zeros(64, np.int64))])
        early = read()
        model.sync()
        stale += int(not np.array_equal(early, read()))
print(json.dumps(stale))
"""


def run_script(script: str, mode: str, folder: Path) -> Any:
    """Run a script as a worker of MXNet with two threads; return the JSON of the last line that it prints."""
    python = make_environment(MXNET, "cpu").python
    command = [str(python), "-c", script.format(mode=mode), str(folder)]
    env_vars = worker_env_vars(MXNET, 2, str(folder))
    process = subprocess.run(command, env=env_vars, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", MXNET.manifest.modes)
def test_the_calling_thread_never_makes_an_openmp_team(tmp_path: Path, mode: str) -> None:
    """Such a team slows all later training down without any message, but the process has one more thread."""
    counts = run_script(THREADS, mode, tmp_path)
    control = counts.pop("mx.nd.array")
    if len(os.sched_getaffinity(0)) > 1:
        assert control > counts["train"]  # else the count shows no team
    assert set(counts.values()) == {counts["train"]}, counts


@pytest.mark.parametrize("mode", MXNET.manifest.modes)
def test_the_gradient_is_right_where_a_logit_is_exactly_zero(mode: str, tmp_path: Path) -> None:
    """A logit is zero where no hidden unit is active: tests/findings/mxnet_binary_cross_entropy.py."""
    zeros, error = run_script(GRADIENTS, mode, tmp_path)
    assert zeros > 20  # else nothing is tested
    assert error < 1e-12


@pytest.mark.parametrize("mode", MXNET.manifest.modes)
def test_running_statistics_are_up_to_date_directly_after_training(mode: str, tmp_path: Path) -> None:
    """MXNet's own reader does not wait for them: tests/findings/mxnet_running_statistics.py."""
    assert run_script(STATISTICS, mode, tmp_path) == 0
