"""Functions that run in a child process of the harness, since the memory or the time that they need is not bounded.

What a worker leaves may be as large as its task, and the reference model needs as much again. The child has a limit of
memory, so that the harness itself stays small, and each call has a limit of time. A failure is that of one call: the
next call starts another child if there is none.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, ParamSpec, TypeVar

from crossframe.harness.launch.guard import ensure_guard

P = ParamSpec("P")
T = TypeVar("T")

PROGRAM = f"import sys; from {__name__} import serve; serve(*map(int, sys.argv[1:]))"
TIMEOUT_S = 3600.0  # of a call; the reference model takes minutes for the largest tasks


class ChildError(Exception):
    """A call has no result, because its process ended; the message is the reason."""


class ChildTimeoutError(ChildError):
    """A call took too long, and its process was ended."""


def machine_memory_bytes() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class ChildProcess:
    """A process that is started by the first call and serves all calls, several at once; close it at the end.

    `memory_bytes` is the limit of its address space, and `silent` discards what it prints.
    """

    def __init__(self, memory_bytes: int | None = None, silent: bool = False) -> None:
        self.memory_bytes = memory_bytes or machine_memory_bytes()
        self.silent = silent
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None  # over which the child gets a connection for each call
        self._lock = Lock()

    def close(self) -> None:
        """End the process, and with it the calls that it serves."""
        with self._lock:
            self._end()

    def _end_if(self, control: socket.socket) -> None:
        """End the process with this socket; another one may serve the calls by now."""
        with self._lock:
            if self.control is control:
                self._end()

    def _end(self) -> None:
        if self.process is not None and self.control is not None:
            self.process.kill()
            self.process.wait()
            self.control.close()
        self.process = self.control = None

    def _start(self) -> socket.socket:
        """Return the socket of the process; start it if it does not run."""
        if self.process is not None and self.process.poll() is not None:
            self._end()
        if self.control is None:
            ensure_guard()
            self.control, remote = socket.socketpair()
            command = [sys.executable, "-P", "-c", PROGRAM, str(remote.fileno()), str(self.memory_bytes)]
            with remote:
                self.process = subprocess.Popen(
                    command,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # stdout is for data
                    stderr=subprocess.DEVNULL if self.silent else None,
                    pass_fds=[remote.fileno()],
                    process_group=0,  # an interrupt at the terminal is for the harness
                )
        return self.control

    def call(self, function: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        """Return `function(*arguments, **settings)`, called in the process; what it raises is raised here.

        The function and its arguments must be importable and picklable. ChildError if there is no result.
        """
        return self.call_within(TIMEOUT_S, function, *arguments, **settings)

    def call_within(self, timeout_s: float, function: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        """Call a function as `call`, with a limit of time."""
        try:
            result, error = self._request(timeout_s, (function, arguments, settings))
        except (EOFError, OSError):
            raise ChildError("the child process ended before it had a result; memory may have run out") from None
        if error is not None:
            raise error
        value: T = result
        return value

    def _request(self, timeout_s: float, request: object) -> tuple[Any, BaseException | None]:
        """Send a request over a connection of its own, and wait for the reply."""
        local, remote = socket.socketpair()
        with Connection(local.detach()) as connection:
            with remote, self._lock:
                control = self._start()
                socket.send_fds(control, [b"\0"], [remote.fileno()])
            try:
                connection.send(request)
                if connection.poll(timeout_s):
                    reply: tuple[Any, BaseException | None] = connection.recv()
                    return reply
            except (EOFError, OSError):
                self._end_if(control)  # it may still be ending, and would take the next call
                raise
        self._end_if(control)
        raise ChildTimeoutError(f"the child process was not done after {timeout_s:g} s")


def answer(connection: Connection) -> None:
    """Serve one call: receive the function, and send (result, None) or (None, what it raised)."""
    with connection:
        try:
            function, arguments, settings = connection.recv()
            reply = pickle.dumps((function(*arguments, **settings), None))
        except BaseException as error:
            reply = pickle.dumps((None, make_portable(error)))
        with suppress(OSError):  # the caller has gone
            connection.send_bytes(reply)


def make_portable(error: BaseException) -> BaseException:
    """Return an error that can be sent, with its traceback as a note."""
    error.add_note(f"in a child process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return ChildError(f"{type(error).__name__}: {error}")
    return error


def serve(descriptor: int, memory_bytes: int) -> None:
    """Serve each call by a thread, until the harness closes its end or is gone: the program of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with socket.socket(fileno=descriptor) as control:
        while descriptors := socket.recv_fds(control, 1, 1)[1]:
            Thread(target=answer, args=(Connection(descriptors[0]),), daemon=True).start()
    os._exit(0)  # calls without a caller may still compute
