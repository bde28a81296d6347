"""The reference model in a process that uses more than it was given; the mode says what."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Dialect
from crossframe.backends.reference.model import Model
from crossframe.tasks.spec import Arrays, Task

MODES = ("honest", "thread_widens", "thread_widens_for_a_while", "child_widens", "leaves_a_daemon")
DIALECT: Dialect = {}
GIVEN = os.sched_getaffinity(0)
WIDEN = "import os, time; os.sched_setaffinity(0, range(os.cpu_count())); time.sleep(600)"
DAEMON = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
open("daemon.pid", "w").write(str(os.getpid()))
os.execve("/bin/sleep", ["sleep", "600"], {})
"""


def widen(for_s: float) -> None:
    """Let this thread, and none of the others, run on all processors for a while."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    time.sleep(for_s)
    os.sched_setaffinity(0, GIVEN)
    time.sleep(600)


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the reference model, once the process has taken what the mode names."""
    match mode:
        case "thread_widens":
            threading.Thread(target=widen, args=(600,), daemon=True).start()
        case "thread_widens_for_a_while":
            threading.Thread(target=widen, args=(0.3,), daemon=True).start()
        case "child_widens":
            subprocess.Popen([sys.executable, "-c", WIDEN])
        case "leaves_a_daemon":
            subprocess.Popen([sys.executable, "-c", DAEMON]).wait()
            while not Path("daemon.pid").exists():
                time.sleep(0.01)
    return Model(task, weights, np.dtype(precision), {})
