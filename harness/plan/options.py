"""The words that say what to run, shared by the commands, and where a run goes."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from crossframe.harness.errors import Usage

RESULTS = Path("results")
# What to run, and how often: the words of the command line before anybody says any.
SELECTION: dict[str, Any] = {
    "task": [],
    "scale": [],
    "backend": [],
    "mode": [],
    "device": "auto",
    "precision": [],
    "batch_size": [],
    "preset": "standard",
    "threads": None,
    "timeout": 900,
    "data": None,
    "data_dir": None,
    "python": [],
    "repeats": 1,
    "budget_s": None,
    "seeds": 1,
    "parity": True,
    "profile": False,
}


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The selection as plain data, as `run.json` keeps it."""
    affinity = sorted(os.sched_getaffinity(0))
    threads = arguments.threads or len(affinity)
    if threads > len(affinity):
        raise argparse.ArgumentTypeError(f"--threads {threads}: this process may use {len(affinity)} processors")
    options = {name: getattr(arguments, name) for name in SELECTION if name != "threads"}
    return options | {"cpus": affinity[:threads], "python": dict(arguments.python)}


def new_folder(asked: str | None, preset: str) -> Path:
    """The folder of a new run, empty. Usage where the one asked for holds something."""
    folder = Path(asked) if asked else RESULTS / f"{datetime.now():%Y%m%d-%H%M%S}-{preset}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Usage(f"{folder} is there and not empty; to go on with that run: crossframe run --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
