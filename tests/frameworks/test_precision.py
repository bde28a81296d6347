"""Precisions below float32: parity holds and can fail, unavailable ones give a reason, and float16 scales the loss.

A mistake that is smaller than the rounding cannot be seen. Of the mistakes in `CAUGHT_BY` (test_faults.py), bfloat16
hides a rate that is off by 1 percent, and inputs rounded to 11 bits; it catches every other one.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends import Backend
from crossframe.backends.contract import Precision
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.parity import checks, tolerances
from crossframe.harness.worker.measurements import ProbeResult
from crossframe.harness.worker.probes import EPOCH
from tests.support.planted_mistakes import BACKENDS, PARAMETERS, ProbedTask, list_probes, probe_task, run_probes
from tests.support.small_tasks import small_task

PROBES = ("forward", "gradient", "odd batches", "momentum plain", "adam all variants", "sgd clip", EPOCH)
MISTAKES = (
    ("loss_halved", "gradient"),
    ("optimizer_momentum_of_0.81", "momentum plain"),
    ("decay_decoupled", "adam all variants"),
)

pytestmark = pytest.mark.campaign


@dataclass
class LowPrecisionProbes:
    """What a backend left of the probes of `circle`: all in bfloat16, with mistakes too, and one in TF32."""

    bfloat16: ProbedTask
    tf32: ProbeResult


def probe_low_precisions(backend: Backend, folder: Path) -> LowPrecisionProbes:
    task = small_task("circle")
    bfloat16 = probe_task(backend, task, Precision.BFLOAT16, MISTAKES, folder / "bfloat16")
    forward, inputs = list_probes(task)["forward"], bfloat16.reference.probe_set.path
    outcome = run_probes(backend, Precision.TF32, [forward], inputs, folder / "tf32")
    return LowPrecisionProbes(bfloat16, outcome.measurements.probes["forward"])


@pytest.fixture(scope="module", params=PARAMETERS)
def probed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LowPrecisionProbes:
    return probe_low_precisions(BACKENDS[request.param], tmp_path_factory.mktemp(request.param))


def test_a_backend_without_mistakes_passes_in_bfloat16(probed: LowPrecisionProbes) -> None:
    results = [check for name in PROBES for check in probed.bfloat16.check(name)]
    assert len(results) > 30
    assert [checks.describe_check(check) for check in results if not check.passed] == []


def test_bfloat16_is_what_it_computes_in(probed: LowPrecisionProbes) -> None:
    """Weights and outputs are returned as float32; the error of the outputs is that of a significand of 8 bits."""
    assert all(value.dtype == np.float32 for value in probed.bfloat16.traces.values())
    (outputs,) = (check for check in probed.bfloat16.check("forward") if check.kind == "outputs")
    assert outputs.error > tolerances.TOLERANCES["float32"]["outputs"]


@pytest.mark.parametrize(("mistake", "probe"), MISTAKES)
def test_a_mistake_is_caught_in_bfloat16(probed: LowPrecisionProbes, mistake: str, probe: str) -> None:
    results = list(probed.bfloat16.check(probe, mistake))
    assert results
    assert not all(check.passed for check in results)


def test_tf32_needs_a_gpu(probed: LowPrecisionProbes) -> None:
    assert probed.tf32.state == "unsupported"
    assert "needs an NVIDIA GPU" in (probed.tf32.reason or "")


# Backend -> (precision, statement before training, expression of the loss scale). MXNet has no float16 on a CPU, so its
# loss scaler is added to a model in bfloat16.
ADD_LOSS_SCALER = "model.loss_scaler = precision.make_loss_scaler(precision.PRECISIONS['float16'])"
LOSS_SCALES = {
    "torch": ("float16", "", "model.loss_scaler.get_scale()"),
    "tensorflow": ("float16", "", "float(model.optimizer.dynamic_scale)"),
    "jax": ("float16", "", "float(model.state.scale)"),
    "mxnet": ("bfloat16", ADD_LOSS_SCALER, "model.loss_scaler.loss_scale"),
}
OVERFLOW = """
from importlib import import_module
import numpy as np
from crossframe.backends.contract import LOSS_SCALE
from crossframe.tasks.spec import SGD, Dense, StepSchedule, Task, initial_weights

name, precision_name, setup, scale = {words!r}
backend = import_module("crossframe.backends." + name)
precision = import_module("crossframe.backends." + name + ".precision")
task = Task("t", "d", (3,), (Dense(2),), "mean_squared_error", SGD(0.5), 1, 0.0, schedule=StepSchedule(1, 0.5))
weights = initial_weights(task, 0)
model = backend.prepare(task, weights, "cpu", {mode!r}, precision_name)
exec(setup)
x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
model.train([model.put(x, y + np.float32(3e38))])
model.sync()
assert all(np.array_equal(value, weights[key]) for key, value in model.weights().items()), "an overflow was trained on"
assert eval(scale) == LOSS_SCALE / 2, eval(scale)
model.train([model.put(x, y)])
step = model.weights()["dense1.b"] - weights["dense1.b"]
expected = -0.5 * (x @ weights["dense1.w"]).mean(axis=0)  # at the first rate: a skipped update does not count
np.testing.assert_allclose(step, expected, rtol=0.02)
assert eval(scale) == LOSS_SCALE / 2
"""


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_overflow_skips_the_update_and_halves_the_loss_scale(name: str, tmp_path: Path) -> None:
    backend = BACKENDS[name]
    script = OVERFLOW.format(words=(name, *LOSS_SCALES[name]), mode=backend.manifest.modes[0])
    command: list[Any] = [make_environment(backend, "cpu").python, "-c", script]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=worker_env_vars(backend, 1, str(tmp_path)),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
