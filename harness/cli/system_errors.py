"""The errors of the operating system, in one line with the remedy."""

from __future__ import annotations

import errno

# Error -> the remedy.
REMEDIES = {
    errno.ENOSPC: "free some space, or use a folder on another disk",
    errno.EDQUOT: "free some space, or use a folder on another disk",
    errno.EFBIG: "raise the limit of the size of files: `ulimit -f unlimited`",
    errno.EROFS: "use a folder on a disk that can be written",
    errno.EACCES: "use a folder for which you have the permission",
    errno.EPERM: "use a folder for which you have the permission",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "check the name; if it is the present folder, change to one that exists",
    errno.ENOTDIR: "check the name",
    errno.EISDIR: "check the name",
    errno.EIO: "the disk may be faulty",
    errno.EMFILE: "raise the limit of open files: `ulimit -n 4096`",
    errno.EAGAIN: "too many processes: close some programs",
    errno.EINTR: "run the command again",
    errno.ENOMEM: "memory ran out; close other programs",
}


def describe_system_error(error: OSError | MemoryError) -> str:
    """Return an error of the operating system in one line, with the remedy."""
    if isinstance(error, MemoryError):
        return "memory ran out; close other programs, or use a smaller preset"
    subject = f"{error.filename}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{subject}{error.strerror or error}" + (f"; {remedy}" if remedy else "")
