"""Properties of the PyTorch backend that parity does not test: compiled sizes, replayed graphs, the type of an LSTM."""

import subprocess
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.machine.environments import make_environment

BEGIN = """
import numpy as np
import torch
from crossframe.backends.contract import Unsupported
from crossframe.backends.torch import prepare
from crossframe.backends.torch.model import Model
from crossframe.backends.torch.precision import configure
from crossframe.tasks.spec import LSTM, SGD, Dense, LastStep, Task, initial_weights

def model(mode="compile", precision="float32", layers=(Dense(2),), shape=(3,)):
    task = Task("t", "d", shape, layers, "mean_squared_error", SGD(0.5), 1, 0.0)
    return prepare(task, initial_weights(task, 0), "cpu", mode, precision)

"""
# The signature is that of torch 2.11, the oldest that compiles here. Code is traced, and not compiled any further.
COMPILED = """
traced, torch_compile = [], torch.compile

def record(graph, inputs):
    traced.append([size for x in inputs if isinstance(x, torch.Tensor) for size in x.shape])
    return graph.forward

def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False):
    return torch_compile(model, dynamic=dynamic, backend=record)

torch.compile = compile
"""
SIZES = """
for units in (2, 3):  # another network, which does not reuse compiled code
    traced.clear()
    network = model(layers=(Dense(units),))
    sizes = range(1, 13)
    for size in (*sizes, *sizes):
        network.predict(np.ones((size, 3), np.float32))
    assert len(traced) == len(sizes), traced  # beyond 8, the default limit of torch, and once each
    assert all(isinstance(size, int) for sizes in traced for size in sizes), traced
    traced.clear()
    for size in (*sizes, *sizes):
        network.train([network.put(np.ones((size, 3), np.float32), np.zeros((size, units), np.float32))])
    assert len(traced) == len(sizes), traced
"""
REPLAYED = """
steps = []
torch.compiler.cudagraph_mark_step_begin = lambda: steps.append(1)
torch.compile = lambda function, **options: function
x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
for mode, marked in (("eager", 0), ("compile", 0), ("max-autotune", 4), ("reduce-overhead", 4)):
    steps.clear()
    try:
        network = model(mode)
        assert mode != "reduce-overhead"
    except Unsupported as error:  # a CPU has no graphs
        assert "on the CPU it is compile" in str(error), error
        task = network.task
        arithmetic = configure(task, "cpu", "float32")
        network = Model(task, initial_weights(task, 0), torch.device("cpu"), mode, arithmetic)
    network.train([network.put(x, y)] * 3)
    network.predict(x)
    assert len(steps) == marked, (mode, steps)
    # An option that older versions do not have and eager does not need.
    assert torch._dynamo.config.trace_autograd_ops == (mode != "eager"), mode
"""
LSTM = """
calls, torch_lstm = [], torch.lstm

def lstm(x, start, weights, *rest):
    calls.append((torch.is_autocast_enabled("cpu"), {tensor.dtype for tensor in (x, *start, *weights)}))
    return torch_lstm(x, start, weights, *rest)

torch.lstm = lstm
x = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
layers = LSTM(5), LSTM(5), LastStep(), Dense(2)
full, half = (model("eager", precision, layers, (7, 3)) for precision in ("float32", "bfloat16"))
expected, outputs = full.predict(x), half.predict(x)
assert calls == [(False, {torch.bfloat16})] * 2, calls
np.testing.assert_allclose(outputs, expected, atol=5e-3)  # measured: 1.4e-3
assert not np.array_equal(outputs, expected)
half.train([half.put(x, np.zeros((4, 2), np.float32))])
assert all(np.isfinite(value).all() for value in half.weights().values())
"""


@pytest.mark.parametrize(
    "script", [COMPILED + SIZES, REPLAYED, LSTM], ids=["a graph for each size", "replayed graphs", "LSTM in bfloat16"]
)
def test_torch_backend(script: str, tmp_path: Path) -> None:
    backend = discover()["torch"]
    command = [str(make_environment(backend, "cpu").python), "-c", BEGIN + script]
    env_vars = worker_env_vars(backend, 1, str(tmp_path))
    process = subprocess.run(command, capture_output=True, text=True, env=env_vars, cwd=tmp_path, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
