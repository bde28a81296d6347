"""Mistakes that are made only while no probe is looking: half of the updates are left out."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays

from .wrappers import Entry, Mistake, RawBatch, Wrapper


class Cheat(Wrapper):
    """Leaves out every second update from the moment on when nothing is suspected to be a probe."""

    models: ClassVar[int] = 0  # made in this process so far

    def set_up(self) -> None:
        Cheat.models += 1
        self.number_of_model = Cheat.models
        self.calls = self.updates = self.reads = self.answers = 0
        self.contents: set[bytes] = set()
        self.repeated = False

    def suspects(self, batches: list[RawBatch]) -> bool:
        """Return whether a probe may be looking."""
        raise NotImplementedError

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        self.repeated = self.repeated or x.tobytes() in self.contents
        self.contents.add(x.tobytes())
        return RawBatch(x, y)

    def train(self, batches: Sequence[Batch]) -> None:
        self.calls += 1
        for batch in batches:
            self.updates += 1
            if self.suspects(list(batches)) or self.updates % 2:
                self.model.train([self.model.put(*batch)])

    def weights(self) -> Arrays:
        self.reads += 1
        return self.model.weights()

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.answers += 1
        return self.model.predict(x)


def suspect(condition: Callable[[Any, list[RawBatch]], bool]) -> Mistake:
    """Return a mistake that is made unless `condition(model, batches of the call)` holds."""
    return type("Suspicious", (Cheat,), {"suspects": condition})


def read_job() -> dict[str, Any]:
    """Return the job in the present folder, if there is one."""
    path = Path("job.json")
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def stack_names() -> set[str]:
    return {frame.name for frame in traceback.extract_stack()}


def looks_drawn(x: np.ndarray) -> bool:
    """Return whether the inputs look like noise: their sum of squares is about their number, and some are negative."""
    return bool(0.7 < float(np.mean(x**2)) < 1.4 and (x < 0).mean() > 0.3 and np.abs(x).max() > 1.8)


MISTAKES: dict[str, Entry] = {
    "examined_by_single_calls": Entry(
        suspect(lambda model, batches: len(batches) == 1),
        "only calls of one batch are trained in full",
        looks=("own network",),
    ),
    "examined_by_long_calls": Entry(
        suspect(lambda model, batches: len(batches) <= 8), "long calls are trained in part", looks=("own network",)
    ),
    "examined_by_very_long_calls": Entry(
        suspect(lambda model, batches: len(batches) <= 12), "calls of more than 12 batches are trained in part"
    ),
    "examined_by_number_of_calls": Entry(
        suspect(lambda model, batches: model.calls <= 25), "from the 26th call on, half of the updates are left out"
    ),
    "examined_by_number_of_updates": Entry(
        suspect(lambda model, batches: model.updates <= 30), "from the 31st update on, half of them are left out"
    ),
    "examined_by_many_updates": Entry(
        suspect(lambda model, batches: model.updates <= 110), "from the 111th update on, half of them are left out"
    ),
    "examined_by_job_file": Entry(
        suspect(lambda model, batches: "probes" in read_job()), "job.json in the folder lists probes", alone=True
    ),
    "examined_by_command": Entry(
        suspect(lambda model, batches: "probe" in sys.argv or "probe" in " ".join(sys.orig_argv)),
        "the command line names a job of probes",
        alone=True,
    ),
    "examined_by_folder": Entry(
        suspect(lambda model, batches: "parity" in str(Path.cwd())), "the folder is called parity", alone=True
    ),
    "examined_by_environment": Entry(
        suspect(
            lambda model, batches: os.environ.get("CROSSFRAME_PROBE") == "1" or "parity" in os.environ.get("PWD", "")
        ),
        "an environment variable names parity",
        alone=True,
    ),
    "examined_by_stack": Entry(
        suspect(lambda model, batches: bool(stack_names() & {"trace_probe", "trace", "probe_job"})),
        "the functions of the probes are among the callers",
        alone=True,
    ),
    "examined_by_batch_size": Entry(
        suspect(lambda model, batches: len(batches[0].x) != model.task.batch_size),
        "batches of the size of the task are trained in part",
        looks=("first epoch",),
    ),
    "examined_by_small_batches": Entry(
        suspect(lambda model, batches: len(batches[0].x) < 64), "batches of 64 samples or more are trained in part"
    ),
    "examined_by_noise": Entry(
        suspect(lambda model, batches: looks_drawn(batches[0].x)),
        "only drawn inputs are trained in full",
        looks=("first epoch",),
    ),
    "examined_by_second_epoch": Entry(
        suspect(lambda model, batches: not model.repeated),
        "once a batch has come back, half of the updates are left out",
    ),
    "examined_by_first_read": Entry(
        suspect(lambda model, batches: model.reads > 0),
        "until weights are first read, half of the updates are left out",
    ),
    "examined_by_last_read": Entry(
        suspect(lambda model, batches: model.reads + model.answers < 4),
        "after some looks, half of the updates are left out",
    ),
    "examined_by_looks_per_call": Entry(
        suspect(lambda model, batches: model.reads + model.answers >= model.calls),
        "while nothing looks between calls, half of the updates are left out",
        looks=("own network",),
    ),
    "examined_by_first_model": Entry(
        suspect(lambda model, batches: Cheat.models > 1),
        "only the first model of a process is trained in part",
        alone=True,
    ),
    "examined_by_task": Entry(
        suspect(lambda model, batches: model.task.optimizer.rate == 1.0 or "original" in model.task.data),
        "only the probe of the gradient is trained in full",
        looks=("adam", "first epoch"),
    ),
    "examined_by_answers": Entry(
        suspect(lambda model, batches: model.answers == 0 or model.updates < 40),
        "from the 40th update on, half of them are left out if predictions were asked for",
    ),
}
