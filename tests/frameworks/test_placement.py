"""Where each framework's parameters and results are: asked of all of them, of the devices that they name themselves.

There is no card here, so what lies elsewhere is a stand-in that says, in the framework's own words, that it does.
"""

import json
import subprocess
from typing import Any

import pytest

from crossframe.backends import discover
from crossframe.harness.machine.environments import make
from tests.conftest import environment

CANDIDATES = [name for name, backend in discover().items() if backend.has_builds]
# Framework -> (what `away` says of itself, one parameter that is away, results that are).
PLANTED = {
    "torch": (
        "import torch; away = Mock(device=torch.device('cuda:0'))",
        "own = list(model.network.parameters()); model.network = Mock(parameters=lambda: [*own, away])",
        "model.infer = lambda x: away",
    ),
    "tensorflow": (
        "name = '/job:localhost/replica:0/task:0/device:GPU:0'; away = Mock(device=name, backing_device=name)",
        "model.network = Mock(weights=[*model.network.weights, Mock(value=away)])",
        "model.infer = lambda x: away",
    ),
    "mxnet": (
        "import mxnet; away = Mock(context=mxnet.gpu(0), shape=(1, 1), dtype=np.float32)",
        "own = model.network.collect_params(); stray = Mock(data=lambda: away)\n"
        "model.network = Mock(collect_params=lambda: {**own, 'stray': stray})",
        "model.infer = lambda x: away",
    ),
    "jax": (
        "away = Mock(devices=lambda: {Mock(platform='gpu', id=0)})",
        "model.parameters['dense2.b'] = away",
        "model.programs = Mock(infer=lambda parameters, x: away)",
    ),
}
SCRIPT = """
import json
from importlib import import_module
from unittest.mock import Mock
import numpy as np
from tasks import discover
from crossframe.tasks.spec import initial_weights

def made():
    task = discover()["circle"]["quick"]
    return import_module("backends.{name}").prepare(task, initial_weights(task, 0), "cpu", "{mode}", "float32")

x = np.zeros((4, 2), np.float32)
model = made()
model.train([model.put(x, np.zeros(4, np.int64))])
model.predict(x)
found = [model.placement()]
{away}
{parameter}
found.append(model.placement())
model = made()
{result}
found.append(model.placement())
model.predict(x)
found.append(model.placement())
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", CANDIDATES)
def test_one_parameter_or_result_elsewhere_is_seen(name: str) -> None:
    backend: Any = discover()[name]
    away, parameter, result = PLANTED[name]
    script = SCRIPT.format(name=name, mode=backend.modes[0], away=away, parameter=parameter, result=result)
    command = [make(backend, "cpu").python, "-c", script]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    honest, stray, before, answered = json.loads(done.stdout.splitlines()[-1])
    assert (honest, stray, before, answered) == ("cpu", "cpu and cuda:0", "cpu", "cpu and cuda:0")
