"""One job in a process of its own: written down, started, waited for, and given exactly one state."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from crossframe.backends import Backend
from crossframe.harness.machine.cache import cache

ROOT = Path(__file__).resolve().parents[2]
RUNNING: set[int] = set()  # process ids of the workers under way
LOG_TAIL = 300  # characters of a log that a reason quotes
# By these the user's shell would change in silence what NVIDIA's or Intel's libraries compute, or how fast. Each
# backend names those of its own as `not_inherited`.
NOT_INHERITED = (
    *("NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING", "CUDA_CACHE_*", "CUBLAS_*", "CUDNN_*", "TRITON_*"),
    *("DNNL_*", "ONEDNN_*", "MKL_*", "OPENBLAS_*", "OMP_*", "GOMP_*", "KMP_*", "ATEN_*"),
)


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `measures` is what the worker wrote, `{}` where it wrote nothing whole."""

    state: str
    reason: str | None
    wall_s: float
    measures: dict[str, Any]


def import_path(backend: Backend) -> Path:
    """Return a folder that holds links to our packages and the backend's, and nothing else.

    The site-packages of an installed Crossframe can't be put on a worker's path: its NumPy would hide the worker's.
    """
    links = {f"crossframe/{name}": ROOT / name for name in ("tasks", "backends", "harness")}
    if not backend.module.startswith("crossframe."):
        links[backend.top_level.name] = backend.top_level
    key = hashlib.sha256("\n".join(map(str, links.values())).encode()).hexdigest()[:12]
    folder = cache() / "import_path" / key
    for name, target in links.items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            link.symlink_to(target, target_is_directory=True)
    return folder


def not_inherited(backend: Backend) -> set[str]:
    """Which variables that are set here a worker of this backend is not given."""
    patterns = (*NOT_INHERITED, *backend.facts.get("not_inherited", ()))
    return {name for name in os.environ if any(fnmatchcase(name, pattern) for pattern in patterns)}


def variables(backend: Backend, threads: int, scratch: str) -> dict[str, str]:
    """The worker's environment: equal threads for all, the backend's own variables, no stray Python path.

    `scratch` is a folder for what no other job may find, such as compiled code.
    """
    out = not_inherited(backend) | {name for name in os.environ if name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    inherited = {name: value for name, value in os.environ.items() if name not in out}
    pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    words = {"threads": threads, "scratch": scratch}
    own = {name: str(value).format(**words) for name, value in backend.facts.get("environment", {}).items()}
    # `cuda:N` is the same card for CUDA, which would else put the fastest first, and for NVML: see `host.handles`.
    ours = {"PYTHONPATH": str(import_path(backend)), "PYTHONNOUSERSITE": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return inherited | pools | own | ours


def launch(
    python: Path,
    backend: Backend,
    job: dict[str, Any],
    folder: Path,
    timeout_s: float,
    program: str = "crossframe.harness.worker.train",
) -> Outcome:
    """Run the worker, or another program of its kind, on `job` in `folder`; all that it prints goes to `log.txt`.

    Whatever happens to it, this returns; only KeyboardInterrupt passes through, after the worker's process group is
    ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measures.json").unlink(missing_ok=True)
    (folder / "job.json").write_text(json.dumps(job, indent=1))
    command = [str(python), "-m", program, str(folder)]
    killed_before = out_of_memory_kills()
    begin = time.monotonic()
    # What is written there by what the worker started, and ended after it, is no reason to fail.
    aside = tempfile.TemporaryDirectory(prefix="crossframe-", ignore_cleanup_errors=True)
    with aside as scratch, (folder / "log.txt").open("w") as log:
        environment = variables(backend, len(job["cpus"]), scratch)
        print(f"$ PYTHONPATH={environment['PYTHONPATH']} {' '.join(command)}", file=log, flush=True)
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome("not_installed", f"{python} can't be started: {error.strerror}", 0.0, {})
        RUNNING.add(process.pid)
        try:
            in_time = wait(process, timeout_s)
        finally:
            # On time, too: nothing that the worker started may go on beside the next job.
            end(process.pid)
            process.wait()
            RUNNING.discard(process.pid)
    wall_s = time.monotonic() - begin
    measures = read_measures(folder / "measures.json")
    if measures is not None:  # whole, whatever hung afterwards
        return Outcome(measures["state"], measures["reason"], wall_s, measures)
    if not in_time:
        return Outcome("timeout", f"not done after {timeout_s:g} s", wall_s, {})
    return Outcome(*without_measures(process.returncode, folder, out_of_memory_kills() > killed_before), wall_s, {})


def end(pid: int) -> None:
    """End a worker and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def end_all() -> None:
    """End every worker that other threads wait for: an interrupt reaches the main thread alone."""
    for pid in tuple(RUNNING):
        end(pid)


def wait(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Block until the process ends or its time is over; no polling, which would take time from what is measured."""
    descriptor = os.pidfd_open(process.pid)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def read_measures(path: Path) -> dict[str, Any] | None:
    """What the worker left, if it is whole and of the right form."""
    try:
        measures = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return measures if isinstance(measures, dict) and isinstance(measures.get("state"), str) else None


def without_measures(code: int, folder: Path, memory_ran_out: bool) -> tuple[str, str]:
    """(state, reason) of a worker that ended without a word."""
    if code == -signal.SIGKILL and memory_ran_out:
        return "out_of_memory", "ended by the kernel, which had no memory left"
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} and no measures"
    log = " ".join((folder / "log.txt").read_text(errors="replace").split("\n", 1)[-1].split())
    return "failed", f"{how}; log: …{log[-LOG_TAIL:]}" if log else how


def out_of_memory_kills() -> int:
    """How many processes the kernel has ended for want of memory, so far."""
    counters = Path("/proc/vmstat")
    lines = counters.read_text().splitlines() if counters.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
