"""Processes and threads that a misbehaving job starts: name of the mode -> what it does when the model is prepared.

Every process that must not be left has the word `misbehaving-child` among its arguments.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SLEEP = "import time; time.sleep(300)"


def start(code: str = SLEEP, new_session: bool = False, env_vars: dict[str, str] | None = None) -> None:
    """Start a process that is left running."""
    subprocess.Popen([sys.executable, "-c", code, "misbehaving-child"], start_new_session=new_session, env=env_vars)


def start_daemon(env_vars: dict[str, str] | None) -> None:
    """Start a process whose parent has ended, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            arguments = [sys.executable, "-c", SLEEP, "misbehaving-child"]
            os.execve(sys.executable, arguments, os.environ if env_vars is None else env_vars)
        os._exit(0)
    os.wait()


def write_later(name: str) -> Callable[[], None]:
    """Return an action that starts a process that writes to a file of the job again and again."""
    code = (
        "import pathlib, sys, time\n"
        f"path = pathlib.Path.cwd() / {name!r}\n"
        "end = time.time() + 60\n"
        "while time.time() < end:\n"
        '    path.write_text(\'{"state": "ok"\')\n'
        "    time.sleep(0.01)\n"
    )
    return lambda: start(code, new_session=True, env_vars={})


def start_many() -> None:
    for _ in range(20):
        start(new_session=True)


def ignore_signals() -> None:
    """Never end, whatever signal comes."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def start_threads() -> None:
    """Start threads that never end."""
    for _ in range(8):
        threading.Thread(target=time.sleep, args=(600,)).start()


def watch_and_restart() -> None:
    """Start a process that starts another one whenever that is killed."""
    code = (
        "import subprocess, sys\n"
        f"for _ in range(20): subprocess.run([sys.executable, '-c', {SLEEP!r}, 'misbehaving-child'])\n"
    )
    start(code, new_session=True, env_vars={})


def remove_files() -> None:
    for path in Path.cwd().iterdir():
        path.unlink()


ACTIONS: dict[str, Callable[[], None]] = {
    "child": start,
    "child_new_session": lambda: start(new_session=True),
    "child_no_variables": lambda: start(new_session=True, env_vars={}),
    "child_daemon": lambda: start_daemon(None),
    "child_daemon_no_variables": lambda: start_daemon({}),
    "child_daemon_forged": lambda: start_daemon({"CROSSFRAME_JOB": "\udcff"}),
    "child_stopped": lambda: start(f"import os, signal; os.kill(os.getpid(), signal.SIGSTOP); {SLEEP}", True),
    "child_restarts": watch_and_restart,
    "children_many": start_many,
    "child_writes_measures": write_later("measures.json"),
    "child_writes_outputs": write_later("outputs.npz"),
    "ignores_signals": ignore_signals,
    "threads": start_threads,
    "no_more_files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)),
    "no_more_space": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    "little_memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)),
    "removes_files": remove_files,
    "goes_elsewhere": lambda: os.chdir("/"),
}
