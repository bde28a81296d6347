"""How often the check of the barrier raises a false alarm on a busy machine, and how often it misses a mistake.

    python -m tests.benchmarks.barrier [--backend reference,torch] [--seconds 60] [--programs 4] [--mistake]

Each backend checks its own barrier for so many seconds, in its own environment and on one processor, while other
programs use 95 % of every processor each. Prints the number of checks, of those that failed, and the largest share of
the work that was left. With --mistake, `sync` does nothing and a thread does the work, so that all checks must fail.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from crossframe.backends.contract import BackendModule, Batch, Model
from crossframe.harness.worker.barrier import BARRIER, measure_unfinished
from crossframe.tasks import discover
from crossframe.tasks.spec import Arrays, initial_weights
from tests.benchmarks.handwritten import draw_batches

BUSY_S, IDLE_S = 0.095, 0.005
LOAD = f"""
import time
while True:
    end = time.perf_counter() + {BUSY_S}
    while time.perf_counter() < end:
        pass
    time.sleep({IDLE_S})
"""
BATCHES = 3


class InThread:
    """A model whose work a thread does, for which `sync` does not wait."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.thread = threading.Thread()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the correct model."""
        return getattr(self.model, name)

    def train(self, batches: Sequence[Batch]) -> None:
        """Start a thread that trains."""
        self.thread = threading.Thread(target=self.finish, args=(batches,))
        self.thread.start()

    def finish(self, batches: Sequence[Batch]) -> None:
        """Train to the end."""
        self.model.train(batches)
        self.model.sync()

    def sync(self) -> None:
        """Return at once."""

    def weights(self) -> Arrays:
        """Return the weights after all updates."""
        if self.thread.ident is not None:
            self.thread.join()
        return self.model.weights()


def check_repeatedly(module: str, name: str, for_s: float, mistake: bool) -> None:
    """Check the barrier of a backend for so many seconds; print a line of JSON for each check."""
    backend: BackendModule = import_module(module)
    task = discover()[name]["quick"]
    model: Any = backend.prepare(task, initial_weights(task, 0), "cpu", backend.MODES[0], "float32")
    batches = [model.put(x, y) for x, y in draw_batches(task, BATCHES)]
    model = InThread(model) if mistake else model
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        begin = time.monotonic()
        left = measure_unfinished(model, batches, "cpu")
        print(json.dumps({"left": left, "check_s": time.monotonic() - begin}), flush=True)


@contextmanager
def load(programs: int) -> Iterator[None]:
    """Use 95 % of the time of a processor with each of some programs."""
    processes = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(programs)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure_backend(name: str, arguments: argparse.Namespace) -> str:
    """Return a line on the checks of a backend."""
    from crossframe.backends import discover as discover_backends
    from crossframe.harness.launch.env_vars import ROOT, worker_env_vars
    from crossframe.harness.machine.environments import make_environment

    backend = discover_backends()[name]
    python = str(make_environment(backend, "cpu").python)
    env_vars = worker_env_vars(backend, 1, "/tmp")
    env_vars["PYTHONPATH"] += os.pathsep + str(ROOT)
    words = ["--check", backend.module, "--task", arguments.task, "--seconds", str(arguments.seconds)]
    command = [python, "-m", "tests.benchmarks.barrier", *words, *["--mistake"] * arguments.mistake]
    before = os.sched_getaffinity(0)
    with load(arguments.programs):
        os.sched_setaffinity(0, sorted(before)[:1])  # the check inherits it
        try:
            done = subprocess.run(command, env=env_vars, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        finally:
            os.sched_setaffinity(0, before)
    checks = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    shares = sorted(check["left"] for check in checks)
    failed = sum(share > BARRIER for share in shares)
    check_s = sum(check["check_s"] for check in checks) / len(checks)
    spread = f"left {shares[0]:.3f} to {shares[-1]:.3f}, median {shares[len(shares) // 2]:.3f}"
    return f"{name:<12} {len(checks)} checks of {check_s:.2f} s, {failed} failed; {spread} (tolerance {BARRIER})"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="reference,torch,mxnet")
    parser.add_argument("--task", default="circle")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--programs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--mistake", action="store_true")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check:
        check_repeatedly(arguments.check, arguments.task, arguments.seconds, arguments.mistake)
        return
    for name in arguments.backend.split(","):
        print(measure_backend(name, arguments), flush=True)


if __name__ == "__main__":
    main()
