"""The log of a worker, which is cut while it grows."""

from __future__ import annotations

import os
from pathlib import Path

from crossframe.harness.files import MEGABYTE, create_file
from crossframe.harness.launch.background import BackgroundThread

LOG_BYTES = 10 * MEGABYTE  # most of a log; of a longer one the start and the end are kept
PERIOD_S = 0.2
CUT = b"\n[the log is longer than 10 MB; a part of it is left out here]\n"


class Log(BackgroundThread):
    """A context in which a new log is open for a worker; `file` is its descriptor."""

    def __init__(self, path: Path, command: str) -> None:
        self.file = create_file(path)  # its writes are appended, so the worker goes on behind a cut
        super().__init__()
        os.write(self.file, f"$ {command}\n".encode())

    def __exit__(self, *_: object) -> None:
        """Cut the log for the last time, and close it."""
        super().__exit__()
        self.cut()
        os.close(self.file)

    def run(self) -> None:
        """Cut the log whenever it has become too long."""
        while not self.done.wait(PERIOD_S):
            self.cut()

    def cut(self) -> None:
        """Leave out what is behind the first half, if the log is too long."""
        if os.fstat(self.file).st_size > LOG_BYTES:
            os.ftruncate(self.file, LOG_BYTES // 2)
            os.write(self.file, CUT)
