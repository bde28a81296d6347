"""The cache folder of Crossframe."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $CROSSFRAME_CACHE, or `crossframe` in the user's cache folder. The folder may not exist yet."""
    configured = os.environ.get("CROSSFRAME_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(configured) if configured else base / "crossframe"
