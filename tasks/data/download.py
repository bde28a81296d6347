"""A file of a data set: the user's own copy, or fetched once, checked and kept."""

from __future__ import annotations

import os
from pathlib import Path


class DataError(Exception):
    """A data file cannot be had or cannot be read; the message names the file, the cause and the remedy."""


def cache() -> Path:
    """Where fetched files are kept: $CROSSFRAME_CACHE, or this system's folder for caches."""
    import pooch

    return Path(os.environ.get("CROSSFRAME_CACHE") or pooch.os_cache("crossframe"))


def obtain(name: str, url: str, checksum: str, folder: Path | None) -> Path:
    """The file `name`: the one in `folder` as it is, if that is given; else from `url`, and of this `checksum`."""
    if folder is not None:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing: put it there, or leave out --data-dir to fetch it from {url}")
        return folder / name

    import pooch
    from requests import RequestException

    try:
        return Path(pooch.retrieve(url, known_hash=checksum, fname=name, path=cache()))
    except (OSError, ValueError) as error:
        if isinstance(error, RequestException):
            # A response of 400 and above counts as false: compare with None.
            status = None if error.response is None else error.response.status_code
            cause = f"no answer, {type(error).__name__}" if status is None else f"the server answered {status}"
        elif isinstance(error, ValueError):
            cause = f"what came does not have the checksum {checksum}"
        else:
            cause = str(error)
        raise DataError(
            f"{name} could not be fetched from {url} ({cause}): get it by other means and give its folder as --data-dir"
        ) from error
