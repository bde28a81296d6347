"""TODO: say what this module is."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """Where environments lie: $CROSSFRAME_CACHE, or the user's cache folder."""
    own = os.environ.get("CROSSFRAME_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(own) if own else base / "crossframe"
