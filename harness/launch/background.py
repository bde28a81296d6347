"""A thread of the parent that watches a job until its context ends."""

from __future__ import annotations

import threading
from typing import Self


class BackgroundThread:
    """A context in which `run` is executed by a thread; `run` must return soon after `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self.done.set()
        self.thread.join()

    def run(self) -> None:
        """Watch the job until `done` is set."""
        raise NotImplementedError
