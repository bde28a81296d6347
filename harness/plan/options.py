"""The help texts of the options of a run, its processors and its folder. The defaults are those of `RunOptions`."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from crossframe.harness.errors import UsageError
from crossframe.harness.files import make_folder
from crossframe.tasks import CORE

RESULTS = Path("results")
MOST_FOLDERS = 1000  # of one name

# Field of RunOptions -> help text. The command line shows the default of the field beside it, unless the text has one.
OPTION_HELP = {
    "task": "tasks to run, or all (default: " + ", ".join(CORE) + ")",
    "scale": "factors by which the widths and the batch of each task are multiplied, for example 1,4,16 (default: 1)",
    "backend": "backends to run (default: all except reference)",
    "mode": "execution modes, all, or best: the fastest of each backend and task in a short trial of `run` (default: "
    "the first mode of each backend)",
    "device": "auto, cpu, cuda or cuda:N",
    "precision": "float32, float64, tf32, bfloat16 or float16 (default: float32)",
    "batch_size": "batch sizes (default: that of the task)",
    "preset": "quick, standard or original",
    "cpus": "number of processors to use (default: all that this process may use)",
    "timeout_s": "time limit of a job in seconds",
    "data": "digits, mnist or cifar10, for the tasks that learn from images (default: that of the task)",
    "data_dir": "folder with the files of the data set, instead of a download",
    "python": "interpreter to use for a backend, as it is; in `infer` also for onnxruntime",
    "repeats": "processes per cell; the first trains to the end (default: 5 in preset standard, which can rank four "
    "candidates; 1 in other presets, and with a time budget)",
    "time_budget_s": "keep repeating pairs that are not yet distinguishable, up to this much time: 90s, 10m, 2h",
    "seeds": "number of random seeds of weights and sample order; repeats cycle through them",
    "parity": "measure without verifying the cells first",
    "profile_operators": "also measure where the time of a step goes, with the profiler of each framework",
}


def usable_cpus(threads: int | None) -> list[int]:
    """Return the first `threads` processors that this process may use, or all; UsageError if there are fewer."""
    affinity = sorted(os.sched_getaffinity(0))
    if threads is not None and threads > len(affinity):
        raise UsageError(f"--threads {threads}: this process may use only {len(affinity)} processors")
    return affinity[:threads]


def unused_folder(name: str) -> Path:
    """Create a folder of this name below the results, with a number behind it if another run took the name."""
    for number in range(1, MOST_FOLDERS):
        folder = RESULTS / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            make_folder(folder, exist_ok=False)
            return folder
    raise UsageError(f"there are {MOST_FOLDERS} folders {RESULTS / name}; use --out")


def create_run_folder(path: Path | None, preset: str) -> Path:
    """Create the folder of a new run, by default under `results/`; UsageError if `path` is not empty."""
    folder = path or unused_folder(f"{datetime.now():%Y%m%d-%H%M%S}-{preset}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; to continue that run: crossframe run --resume {folder}")
    make_folder(folder)
    return folder
