"""What of the PyTorch backend no probe of parity shows: what is compiled, when graphs are replayed, an LSTM's type."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.launch import variables
from crossframe.harness.machine.environments import make

BEGIN = """
import numpy as np
import torch
from crossframe.backends.contract import Unsupported
from crossframe.backends.torch import prepare
from crossframe.backends.torch.model import Model
from crossframe.backends.torch.precision import settle
from crossframe.tasks.spec import LSTM, SGD, Dense, LastStep, Task, initial_weights

def model(mode="compile", precision="float32", layers=(Dense(2),), shape=(3,)):
    task = Task("t", "d", shape, layers, "mean_squared_error", SGD(0.5), 1, 0.0)
    return prepare(task, initial_weights(task, 0), "cpu", mode, precision)

"""
# The signature is that of torch 2.11, the oldest that compiles here. Code is traced, and not compiled any further.
COMPILED = """
traced, real = [], torch.compile

def keep(graph, inputs):
    traced.append([size for x in inputs if isinstance(x, torch.Tensor) for size in x.shape])
    return graph.forward

def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False):
    return real(model, dynamic=dynamic, backend=keep)

torch.compile = compile
"""
SIZES = """
for units in (2, 3):  # the same network would find what the first had compiled
    traced.clear()
    made = model(layers=(Dense(units),))
    sizes = range(1, 13)
    for size in (*sizes, *sizes):
        made.predict(np.ones((size, 3), np.float32))
    assert len(traced) == len(sizes), traced  # beyond 8, torch's own limit; and none a second time
    assert all(isinstance(size, int) for sizes in traced for size in sizes), traced
    traced.clear()
    for size in (*sizes, *sizes):
        made.train([made.put(np.ones((size, 3), np.float32), np.zeros((size, units), np.float32))])
    assert len(traced) == len(sizes), traced
"""
REPLAYED = """
steps = []
torch.compiler.cudagraph_mark_step_begin = lambda: steps.append(1)
torch.compile = lambda do, **how: do
x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
for mode, begun in (("eager", 0), ("compile", 0), ("max-autotune", 4), ("reduce-overhead", 4)):
    steps.clear()
    try:
        made = model(mode)
        assert mode != "reduce-overhead"
    except Unsupported as error:  # since a CPU has no graphs
        assert "on the CPU it is compile" in str(error), error
        task = made.task
        made = Model(task, initial_weights(task, 0), torch.device("cpu"), mode, settle(task, "cpu", "float32"))
    made.train([made.put(x, y)] * 3)
    made.predict(x)
    assert len(steps) == begun, (mode, steps)
    # Which an older torch does not know, and eager has no need of.
    assert torch._dynamo.config.trace_autograd_ops == (mode != "eager"), mode
"""
LSTM = """
asked, real = [], torch.lstm

def lstm(x, start, weights, *rest):
    asked.append((torch.is_autocast_enabled("cpu"), {tensor.dtype for tensor in (x, *start, *weights)}))
    return real(x, start, weights, *rest)

torch.lstm = lstm
x = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
layers = LSTM(5), LSTM(5), LastStep(), Dense(2)
full, half = (model("eager", precision, layers, (7, 3)) for precision in ("float32", "bfloat16"))
want, outputs = full.predict(x), half.predict(x)
assert asked == [(False, {torch.bfloat16})] * 2, asked
np.testing.assert_allclose(outputs, want, atol=5e-3)  # measured: 1.4e-3
assert not np.array_equal(outputs, want)
half.train([half.put(x, np.zeros((4, 2), np.float32))])
assert all(np.isfinite(value).all() for value in half.weights().values())
"""


@pytest.mark.parametrize(
    "script", [COMPILED + SIZES, REPLAYED, LSTM], ids=["a graph for each size", "replayed graphs", "LSTM in bfloat16"]
)
def test_torch(script: str, tmp_path: Path) -> None:
    backend = discover()["torch"]
    command: list[Any] = [make(backend, "cpu").python, "-c", BEGIN + script]
    environment = variables(backend, 1, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
