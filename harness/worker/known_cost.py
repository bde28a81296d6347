"""A backend with a known cost added to it, with which the self-test measures the measurement itself.

`$KNOWN_COST_MODULE` names the module of the wrapped backend. A step takes at least `$KNOWN_COST_STEP_S` seconds and
`$KNOWN_COST_SLOWDOWN` times as long as without the cost. The first step takes exactly `$KNOWN_COST_FIRST_STEP_S`
seconds, if given; it computes nothing. The added time is busy waiting, since a slower framework uses processor time as
well. `$KNOWN_COST_BYTES` bytes of memory are allocated by the holder that `$KNOWN_COST_HOLDER` names (`HOLDERS`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.tasks.spec import Arrays, Task

WRAPPED = import_module(os.environ["KNOWN_COST_MODULE"])
MODES, DIALECT = WRAPPED.MODES, WRAPPED.DIALECT
STEP_S = float(os.environ.get("KNOWN_COST_STEP_S", "0"))
SLOWDOWN = float(os.environ.get("KNOWN_COST_SLOWDOWN", "1"))
FIRST_STEP_S = float(os.environ.get("KNOWN_COST_FIRST_STEP_S", "0"))
BYTES = int(float(os.environ.get("KNOWN_COST_BYTES", "0")))
HOLDER = os.environ.get("KNOWN_COST_HOLDER", "worker")
HELD_S = 0.5  # for which memory is held that is freed later

# Ones: the kernel provides no memory before it is written. The process ends with the end of its input, so with us.
HOLD = "import sys; ballast = b'1' * int(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
# The parent ends at once, so that the kernel gives its child to another process.
ESCAPE = f"import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\n{HOLD}"


def hold(size: int) -> object:
    """Return an object that holds `size` bytes of this process."""
    return np.ones(size, np.uint8)


def hold_and_free(size: int) -> object:
    """Hold `size` bytes for `HELD_S` seconds."""
    ballast = hold(size)
    time.sleep(HELD_S)
    del ballast
    return None


def hold_and_reset(size: int) -> object:
    """Hold `size` bytes for `HELD_S` seconds, then have the kernel forget the peak of this process."""
    hold_and_free(size)
    Path("/proc/self/clear_refs").write_text("5")
    return None


def hold_elsewhere(script: str) -> Callable[[int], object]:
    """Return a function that has another process hold memory, until this process ends."""

    def start(size: int) -> object:
        command = [sys.executable, "-I", "-S", "-c", script, str(size)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout
        process.stdout.readline()
        return process

    return start


# Name -> function that holds so many bytes and returns what must be kept alive for that.
HOLDERS: dict[str, Callable[[int], object]] = {
    "worker": hold,
    "freed": hold_and_free,
    "reset": hold_and_reset,
    "child": hold_elsewhere(HOLD),
    "grandchild": hold_elsewhere(ESCAPE),
}


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> CostlyModel:
    """Return the model of the wrapped backend with the cost added."""
    return CostlyModel(WRAPPED.prepare(task, weights, device, mode, precision))


class CostlyModel:
    """A model with a known cost; everything but `train` is that of the wrapped model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.ballast = HOLDERS[HOLDER](BYTES)
        self.first_step_s = FIRST_STEP_S

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped model."""
        return getattr(self.model, name)

    def train(self, batches: Sequence[Batch]) -> None:
        """Do one update for each batch, each at the known cost."""
        begin = time.perf_counter()
        if self.first_step_s:
            end = begin + self.first_step_s
            self.first_step_s = 0.0
            while time.perf_counter() < end:
                pass
            return
        for batch in batches:
            begin = time.perf_counter()
            self.model.train([batch])
            self.model.sync()
            end = begin + max(STEP_S, (time.perf_counter() - begin) * SLOWDOWN)
            while time.perf_counter() < end:
                pass
