"""A child process of the harness: its failures are those of one call, and it ends with the harness."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from crossframe.harness.errors import DamagedFileError
from crossframe.harness.files import read_archive
from crossframe.harness.launch.child import ChildError, ChildProcess, ChildTimeoutError
from crossframe.harness.launch.job_processes import JobProcesses, is_alive

pytestmark = pytest.mark.frameworks  # starts processes for seconds


@pytest.fixture(scope="module")
def child() -> Iterator[ChildProcess]:
    with closing(ChildProcess(2 << 30)) as child:
        yield child


def test_a_call_is_made_in_another_process(child: ChildProcess) -> None:
    assert child.call(os.getpid) != os.getpid()
    assert child.call(os.getpid) == child.call(os.getpid)
    np.testing.assert_array_equal(child.call(np.full, (2, 3), fill_value=4.0), np.full((2, 3), 4.0))


def test_what_is_raised_is_raised_here_with_its_traceback(child: ChildProcess, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"torn")
    with pytest.raises(DamagedFileError, match=r"a\.npz is no valid archive") as caught:
        child.call(read_archive, tmp_path / "a.npz")
    assert "in read_archive" in caught.value.__notes__[0]


def test_too_much_memory_is_the_failure_of_one_call(child: ChildProcess) -> None:
    pid = child.call(os.getpid)
    with pytest.raises(MemoryError):
        child.call(np.ones, 1 << 32)
    assert child.call(os.getpid) == pid


def test_a_process_that_ends_is_started_again(child: ChildProcess) -> None:
    for code in (signal.SIGKILL, signal.SIGSEGV):
        with pytest.raises(ChildError, match="ended before it had a result"):
            child.call(signal.raise_signal, code)
        assert child.call(math.sqrt, 4.0) == 2.0


def test_a_call_that_fails_late_does_not_end_the_next_process(child: ChildProcess) -> None:
    child.call(math.sqrt, 4.0)
    first = child.control
    assert first is not None
    child.close()
    assert child.call(math.sqrt, 4.0) == 2.0
    process = child.process
    child._end_if(first)
    assert child.process is process
    assert child.call(math.sqrt, 9.0) == 3.0


def test_a_call_that_takes_too_long_is_given_up(child: ChildProcess) -> None:
    begin = time.monotonic()
    with pytest.raises(ChildTimeoutError, match=r"not done after 0\.2 s"):
        child.call_within(0.2, time.sleep, 60)
    assert time.monotonic() - begin < 30
    assert child.call(math.sqrt, 4.0) == 2.0


def test_calls_are_served_at_once(child: ChildProcess) -> None:
    child.call(math.sqrt, 4.0)
    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seconds: child.call(time.sleep, seconds), [2.0] * 4))
    assert time.monotonic() - begin < 6


def test_no_module_of_the_working_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('planted')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with closing(ChildProcess()) as child:
        assert child.call(math.sqrt, 4.0) == 2.0


def test_it_is_no_process_of_a_job() -> None:
    with closing(ChildProcess()) as child:
        with JobProcesses() as processes:
            pid = child.call(os.getpid)
            assert pid not in processes.update()
        assert child.call(os.getpid) == pid


def test_it_ends_with_the_harness() -> None:
    code = (
        "import os, time\n"
        "from threading import Thread\n"
        "from crossframe.harness.launch.child import ChildProcess\n"
        "child = ChildProcess()\n"
        "print(child.call(os.getpid), flush=True)\n"
        "Thread(target=child.call, args=(time.sleep, 600), daemon=True).start()\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        assert is_alive(pid)
        time.sleep(0.2)
        harness.kill()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)
