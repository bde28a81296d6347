"""Mistakes of which only the measured job can know: memory, threads, first steps, files. They change no result."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, FrameworkSettings
from crossframe.tasks.spec import Arrays, Task

from .frameworks import set_weights
from .wrappers import Entry, Prepare, Wrapper, call_after

HELD_MB = 300
HOLD = f"import time; held = bytearray({HELD_MB} << 20); held[::4096] = b'x' * len(held[::4096]); time.sleep(600)"


class MemoryInChild(Wrapper):
    """A child holds 300 MB while the model lives, as the processes of a data loader do."""

    def set_up(self) -> None:
        self.child = subprocess.Popen([sys.executable, "-c", HOLD])
        time.sleep(0.5)


class MemoryFreed(Wrapper):
    """300 MB are held while training; before the peak is read they are freed and the kernel's peak is set back."""

    def set_up(self) -> None:
        self.held: bytearray | None = bytearray(HELD_MB << 20)
        self.held[::4096] = b"x" * len(self.held[::4096])

    def settings(self) -> FrameworkSettings:
        self.held = None
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        return self.model.settings()


class AllProcessors(Wrapper):
    """Training runs in a thread that may use every processor, whatever the job was given."""

    def train(self, batches: Sequence[Batch]) -> None:
        def work() -> None:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            self.model.train(batches)
            self.model.sync()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


class WorkInChild(Wrapper):
    """A child process spends processor time for the model, which the time of this process does not show."""

    def train(self, batches: Sequence[Batch]) -> None:
        busy = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
        child = subprocess.Popen([sys.executable, "-c", busy])
        self.model.train(batches)
        child.wait()


class WarmedUpInPut(Wrapper):
    """The first `put` trains another model of the same task, so that the first timed step has been compiled."""

    warm = False

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        batch = self.model.put(x, y)
        if not self.warm:
            self.warm = True
            before = self.model.weights()
            self.model.save(Path("warm"))
            self.model.train([batch])
            self.model.sync()
            self.model.load(Path("warm"))
            set_weights(self.model, before)
        return batch


class InitialExport(Wrapper):
    """The exported file holds the initial weights."""

    def export_onnx(self, path: Path, opset: int) -> None:
        self.prepare_correct.fresh(self.task, self.start).export_onnx(path, opset)


class SlowClock(Wrapper):
    """The clock of the process runs at half its speed."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        super().__init__(prepare_correct, task, weights)
        exact = time.perf_counter
        time.perf_counter = lambda: exact() / 2


class BusyAfterSync(Wrapper):
    """A thread works on after `sync`, like a loader that prepares the next epoch, and takes no part of the timing."""

    def sync(self) -> None:
        self.model.sync()

        def work() -> None:
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass

        threading.Thread(target=work, daemon=True).start()


def lie_about_threads(self: Wrapper, model: Any) -> FrameworkSettings:
    settings: FrameworkSettings = model.settings()
    return FrameworkSettings(1, settings.float32_products, settings.details)


MISTAKES: dict[str, Entry] = {
    "meter_memory_in_child": Entry(MemoryInChild, "a child holds 300 MB", alone=True),
    "meter_memory_freed": Entry(MemoryFreed, "the peak of 300 MB is set back before it is read", alone=True),
    "meter_all_processors": Entry(AllProcessors, "training uses processors that the job was not given", alone=True),
    "meter_work_in_child": Entry(WorkInChild, "a child takes part in the work", alone=True),
    "meter_warmed_up_in_put": Entry(
        WarmedUpInPut, "the first put compiles the step", alone=True, gains=("first_step_s",)
    ),
    "meter_initial_export": Entry(InitialExport, "the exported file holds the initial weights", alone=True),
    "meter_slow_clock": Entry(
        SlowClock,
        "the clock of the process runs at half its speed",
        alone=True,
        gains=("step_samples_s", "infer_samples_s", "infer_batch_samples_s"),
    ),
    "meter_busy_after_sync": Entry(BusyAfterSync, "a thread works on after sync", alone=True),
    "meter_threads_reported": Entry(
        call_after("settings", lie_about_threads),
        "one thread is reported, all are used",
        alone=True,
        everywhere=True,
    ),
}
