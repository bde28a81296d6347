"""The inputs of a run are pinned by their digests: data that were replaced are refused, not mixed in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from crossframe.harness.errors import DamagedFileError
from crossframe.harness.files import MEGABYTE, below, open_file, read_file, write_atomically
from crossframe.harness.records.codec import from_json, to_json

PINS = "digests.json"  # name of a file of inputs -> its SHA-256 digest
INPUTS_BYTES = 1 << 40  # most of a file of inputs


class ChangedInputsError(ValueError):
    """A file of inputs is gone, or not the one with which the run was started."""


def digest_file(path: Path) -> str:
    """Return the SHA-256 digest of a regular file as hex."""
    total = hashlib.sha256()
    with open_file(path, INPUTS_BYTES) as file:
        while part := file.read(MEGABYTE):
            total.update(part)
    return total.hexdigest()


def pin_inputs(folder: Path) -> None:
    """Write the digests of all inputs of a run."""
    inputs = below(folder, "inputs")
    digests = {path.name: digest_file(path) for path in sorted(inputs.glob("*.npz"))}
    write_atomically(below(folder, "inputs", PINS), to_json(digests, indent=1) + "\n")


def read_pins(folder: Path) -> dict[str, str] | None:
    """Return the digests of the inputs of a run; None for a run of an older version. ValueError if they are damaged."""
    try:
        return from_json(read_file(below(folder, "inputs", PINS)), dict[str, str])
    except FileNotFoundError:
        return None


@dataclass
class Pins:
    """The digests of the inputs of a run; a file is read again only if it seems to have changed."""

    digests: dict[str, str]
    checked: dict[Path, tuple[int, ...]] = field(default_factory=dict)  # file -> its signature when it was right

    def require(self, path: Path) -> None:
        """Raise ChangedInputsError unless a file is the one with which the run was started; OSError of the system."""
        try:
            status = path.lstat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self.checked.get(path) == signature:
                return
            actual = digest_file(path)
        except (FileNotFoundError, NotADirectoryError, DamagedFileError) as error:
            raise ChangedInputsError(f"the inputs {path.name} can't be read: {error}") from None
        if self.digests.get(path.name, actual) != actual:
            raise ChangedInputsError(
                f"the inputs {path.name} are not those with which the run was started; delete {path}, and they are "
                "drawn again"
            )
        self.checked[path] = signature
