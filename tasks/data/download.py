"""Files of data sets: from a folder of the user, or downloaded once, verified by checksum and cached."""

from __future__ import annotations

import os
from pathlib import Path


class DataError(Exception):
    """A data file cannot be obtained or read; the message names the file, the cause and the remedy."""


def download_folder() -> Path:
    """Return the folder of downloaded files: $CROSSFRAME_CACHE, or the cache folder of the operating system."""
    import pooch

    return Path(os.environ.get("CROSSFRAME_CACHE") or pooch.os_cache("crossframe"))


def obtain(name: str, url: str, checksum: str, folder: Path | None) -> Path:
    """Return the path of the file `name`: in `folder`, unverified, or else downloaded from `url` and verified.

    Raises DataError if the file is missing, cannot be downloaded or does not have the `checksum`.
    """
    if folder is not None:
        if not (folder / name).is_file():
            raise DataError(
                f"{folder / name} is missing: put it there, or leave out --data-dir to download it from {url}"
            )
        return folder / name

    import pooch
    from requests import RequestException

    try:
        return Path(pooch.retrieve(url, known_hash=checksum, fname=name, path=download_folder()))
    except (OSError, ValueError) as error:
        if isinstance(error, RequestException):
            # A response of status 400 or above is false in a condition: compare with None.
            status = None if error.response is None else error.response.status_code
            cause = f"no answer, {type(error).__name__}" if status is None else f"the server answered {status}"
        elif isinstance(error, ValueError):
            cause = f"the download does not have the checksum {checksum}"
        else:
            cause = str(error)
        raise DataError(
            f"{name} could not be downloaded from {url} ({cause}): "
            "get it by other means and pass its folder as --data-dir"
        ) from error
