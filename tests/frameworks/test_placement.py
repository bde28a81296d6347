"""`Model.placement` of each backend: a misplaced parameter or result is reported.

The tests need no GPU: a misplaced tensor is a stand-in that reports a GPU as its device, in the framework's own form.
"""

import json
import subprocess
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.machine.environments import make_environment

BACKENDS = {name: backend for name, backend in discover().items() if backend.has_builds}
# Backend -> (definition of `away`, a tensor on a GPU; a parameter that is away; results that are away).
MISPLACED = {
    "torch": (
        "import torch; away = Mock(device=torch.device('cuda:0'))",
        "parameters = list(model.network.parameters()); model.network = Mock(parameters=lambda: [*parameters, away])",
        "model.infer = lambda x: away",
    ),
    "tensorflow": (
        "name = '/job:localhost/replica:0/task:0/device:GPU:0'; away = Mock(device=name, backing_device=name)",
        "model.network = Mock(weights=[*model.network.weights, Mock(value=away)])",
        "model.infer = lambda x: away",
    ),
    "mxnet": (
        "import mxnet; away = Mock(context=mxnet.gpu(0), shape=(1, 1), dtype=np.float32)",
        "parameters = model.network.collect_params(); stray = Mock(data=lambda: away)\n"
        "model.network = Mock(collect_params=lambda: {**parameters, 'stray': stray})",
        "model.infer = lambda x: away",
    ),
    "jax": (
        "away = Mock(devices=lambda: {Mock(platform='gpu', id=0)})",
        "model.parameters['dense2.b'] = away",
        "model.programs = Mock(infer=lambda *arguments: away)",
    ),
}
SCRIPT = """
import json
from importlib import import_module
from unittest.mock import Mock
import numpy as np
from crossframe.tasks import discover
from crossframe.tasks.spec import initial_weights

def prepare():
    task = discover()["circle"]["quick"]
    backend = import_module("crossframe.backends.{name}")
    return backend.prepare(task, initial_weights(task, 0), "cpu", "{mode}", "float32")

x = np.zeros((4, 2), np.float32)
model = prepare()
model.train([model.put(x, np.zeros(4, np.int64))])
model.predict(x)
placements = [model.placement()]
{away}
{parameter}
placements.append(model.placement())
model = prepare()
{result}
placements.append(model.placement())
model.predict(x)
placements.append(model.placement())
print(json.dumps(placements))
"""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_misplaced_parameter_or_result_is_reported(name: str, tmp_path: Path) -> None:
    backend = BACKENDS[name]
    away, parameter, result = MISPLACED[name]
    script = SCRIPT.format(name=name, mode=backend.manifest.modes[0], away=away, parameter=parameter, result=result)
    command = [str(make_environment(backend, "cpu").python), "-c", script]
    env_vars = worker_env_vars(backend, 1, str(tmp_path))
    process = subprocess.run(command, env=env_vars, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    placements = json.loads(process.stdout.splitlines()[-1])
    assert placements == ["cpu", "cpu and cuda:0", "cpu", "cpu and cuda:0"]
