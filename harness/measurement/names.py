"""What a reader calls a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def names_of(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(task, backend, mode) of each cell; the mode with the device, precision and batch size where these tell it apart.

    `("cnn", "a", "jit bfloat16")`, where the same mode ran that task in other precisions too.
    """
    seen: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        seen.setdefault((cell["task"], cell["backend"], cell["mode"]), []).append(cell)
    found = []
    for cell in cells:
        task, backend, mode = cell["task"], cell["backend"], cell["mode"]
        for part, word in (("device", ""), ("precision", ""), ("batch_size", "batch ")):
            if len({one[part] for one in seen[task, backend, cell["mode"]]}) > 1:
                mode += f" {word}{cell[part]}"
        found.append((task, backend, mode))
    return found
