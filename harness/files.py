"""Reading and writing of files: every write of the harness goes through this module.

Files are written whole or not at all, below the folder that they belong to, and never through a link. Files that
another program may have written are opened as what they must be: a regular file of a limited size. A pipe, a device or
a link in its place is an error, not a wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from crossframe.harness.errors import DamagedFileError, UsageError

MEGABYTE = 1 << 20
TEXT_BYTES = 256 * MEGABYTE  # most of a text file
ARCHIVE_BYTES = 256 * MEGABYTE  # most of the arrays of an archive
COPY_BYTES = 4096 * MEGABYTE  # most of a file that is copied
MOST_ARRAYS = 10_000  # of an archive


def write_atomically(path: Path, content: str | bytes | Mapping[str, np.ndarray]) -> None:
    """Write text, bytes or an `.npz` archive of arrays, so that a reader sees the whole file or none.

    The content is written to a new file beside `path`, which then replaces `path`. Missing parent folders are made.
    """
    make_folder(path.parent)
    part = path.with_name(f"{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file, name_in_errors(path):
            if isinstance(content, str):
                file.write(content.encode())
            elif isinstance(content, bytes):
                file.write(content)
            else:
                np.savez(file, **content)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            part.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Have the errors of an open file name its path, as those of its opening do."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, which is made if it does not exist.

    After a crash the last line may be incomplete; the new line does not continue it.
    """
    existed = path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open_checked(path, flags, "a+b") as file, name_in_errors(path):
        size = os.fstat(file.fileno()).st_size
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if not existed:
        sync_folder(path.parent)


def create_file(path: Path) -> int:
    """Return the descriptor of a new file, to which every write is appended. FileExistsError if there is one."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def remove_file(path: Path) -> None:
    """Remove a file, if there is one, for good: it is not there again after a crash."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        sync_folder(path.parent)


def move_folder(path: Path, target: Path) -> Path:
    """Give a folder another name, which must be free; return it."""
    with name_in_errors(path):
        path.rename(target)
    sync_folder(target.parent)
    return target


def make_folder(path: Path, exist_ok: bool = True) -> None:
    """Make a folder and its missing parents, so that what is written there is not lost with their names in a crash."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=exist_ok)
    for folder in missing:
        sync_folder(folder.parent)


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Wait until no other process holds a file, which is made if it does not exist, and hold it."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; UsageError if another process holds it. The lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder} is in use: another crossframe works in it; wait until it has ended") from None
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def below(folder: Path, *names: str) -> Path:
    """Return the path of a file below a folder. DamagedFileError if a name or a link leads out of the folder.

    The folder itself may be a link; what is below it may not.
    """
    path = folder
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise DamagedFileError(f"{name!r} is no name of a file or folder")
        path /= name
        if path.is_symlink():
            raise DamagedFileError(f"{path} is a link, and may lead out of {folder}")
    return path


def make_link(path: Path, target: Path) -> None:
    """Make a link to a folder, in place of any other link of this name."""
    if path.is_symlink() and path.readlink() == target:
        return
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.symlink_to(target, target_is_directory=True)
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            part.unlink()
        raise


def make_empty_folder(path: Path) -> None:
    """Make a folder, or replace what there is of this name, be it a file or a link, by an empty folder."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        remove_folder(path)
    make_folder(path, exist_ok=False)


def remove_folder(path: Path) -> None:
    """Remove a folder with its content, also where its permissions were taken away. Links are not followed."""
    for folder, names, _ in os.walk(path, onerror=lambda error: Path(error.filename).chmod(0o700)):
        for name in (".", *names):
            if not (Path(folder) / name).is_symlink():
                (Path(folder) / name).chmod(0o700)
    shutil.rmtree(path)


@contextmanager
def open_checked(path: Path, flags: int, mode: str) -> Iterator[BinaryIO]:
    """Open a path that must be that of a regular file, without waiting for anything."""
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if path.is_symlink() and flags & os.O_NOFOLLOW:
            raise DamagedFileError(f"{path} is a link, not a file") from None
        if path.exists() and not path.is_file():  # a folder, or a socket
            raise DamagedFileError(f"{path} is not a regular file: {error.strerror}") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFileError(f"{path} is not a regular file")
    with open(descriptor, mode) as file:  # noqa: PTH123  # of a descriptor
        yield file  # type: ignore[misc]


@contextmanager
def open_file(path: Path, most_bytes: int, follow: bool = False) -> Iterator[BinaryIO]:
    """Open a regular file of at most so many bytes for reading. DamagedFileError if it is anything else.

    Only with `follow` may it be a link: for files that the user named.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    with open_checked(path, flags, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise DamagedFileError(f"{path} has {size} bytes, more than {most_bytes}")
        yield file


def read_file(path: Path, most_bytes: int = TEXT_BYTES, follow: bool = False) -> bytes:
    """Return the content of a regular file, as `open_file`."""
    with open_file(path, most_bytes, follow) as file:
        return file.read(most_bytes)


def read_archive(
    path: Path, most_bytes: int = ARCHIVE_BYTES, follow: bool = False, names: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` archive, or those in `names`. DamagedFileError if one is missing or not valid.

    The file is opened as by `open_file`. The sizes that it states are checked before memory is taken.
    """
    with open_file(path, COPY_BYTES if names else most_bytes, follow) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = [archive.getinfo(f"{name}.npy") for name in names] or archive.infolist()
                total = sum(member.file_size for member in members)
                if len(members) > MOST_ARRAYS or total > most_bytes:
                    raise ValueError(f"{len(members)} arrays of {total} bytes are too many")
                return {member.filename.removesuffix(".npy"): _read_array(archive, member) for member in members}
        except Exception as error:  # zipfile and NumPy raise many types, also of others
            cause = error.__context__ if isinstance(error.__context__, OSError) else error  # zipfile hides its errors
            text = " ".join(str(cause).split())[:200]
            raise DamagedFileError(f"{path} is no valid archive of arrays: {type(cause).__name__}: {text}") from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array. ValueError unless its header states the size that it has."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or min(shape, default=0) < 0 or size != member.file_size - stream.tell():
            raise ValueError(f"the header of {member.filename} does not fit its content")
        content = bytearray(stream.read())
    array: np.ndarray = np.frombuffer(content, dtype) if size else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def copy_file(path: Path, target: Path, most_bytes: int = COPY_BYTES) -> None:
    """Copy a regular file, which the user may have named by a link. DamagedFileError if it is too large."""
    make_folder(target.parent)
    with open_file(path, most_bytes, follow=True) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, MEGABYTE)


def digest(*paths: Path) -> str:
    """Return the SHA-256 digest of files and of all files in folders, with their names within the folder, as hex.

    Compiled bytecode is left out. FileNotFoundError if a path does not exist.
    """
    total = hashlib.sha256()
    for path in paths:
        for file in _files_below(path) if path.is_dir() else [path]:
            name = file.relative_to(path).as_posix() if file != path else file.name
            total.update(hashlib.sha256(name.encode()).digest())
            total.update(bytes.fromhex(digest_content(file)))
    return total.hexdigest()


def digest_content(path: Path) -> str:
    """Return the SHA-256 digest of the content of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_below(folder: Path) -> Iterable[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
