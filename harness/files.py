"""Files that are written whole or not at all, and digests of files and folders."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_atomically(path: Path, content: str | bytes | Mapping[str, np.ndarray]) -> None:
    """Write text, bytes or an `.npz` archive of arrays, so that a reader sees the whole file or none.

    The content is written to a file beside `path`, which then replaces `path`. Missing parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            elif isinstance(content, bytes):
                file.write(content)
            else:
                np.savez(file, **content)  # type: ignore[arg-type]
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def digest(*paths: Path) -> str:
    """Return the SHA-256 digest of files and of all files in folders, with their names within the folder, as hex.

    Compiled bytecode is left out. FileNotFoundError if a path does not exist.
    """
    total = hashlib.sha256()
    for path in paths:
        files = _files_below(path) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if file != path else file.name
            total.update(hashlib.sha256(name.encode()).digest())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
