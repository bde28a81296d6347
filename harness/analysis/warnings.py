"""TODO: say what this module is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crossframe.harness.analysis import gpu

# Id -> (counter, above what it is worth a word, what to say of the worst job).
SIGNS: dict[str, tuple[str, float, Callable[[float], str]]] = {
    "W-OTHERS": ("others_share", 0.05, lambda worst: f"other programs had up to {worst:.0%} of the processors"),
    "W-STEAL": ("steal_share", 0.02, lambda worst: f"other guests of this host took up to {worst:.0%} of the time"),
    "W-SWAP": ("swapped_pages", 0, lambda worst: f"memory was short: up to {worst:,.0f} pages were swapped"),
    "W-THERMAL": ("throttlings", 0, lambda worst: f"cores were slowed for their heat up to {worst:.0f} times"),
}


def warnings(records: Iterable[dict[str, Any]], host: dict[str, Any]) -> list[str]:
    """`ID: text` of what made this machine an unstable one."""
    records = list(records)
    seen = [record["machine"] for record in records if record.get("machine")]
    found = gpu.warnings(records)
    for name, (counter, limit, text) in SIGNS.items():
        above = [one[counter] for one in seen if (one[counter] or 0) > limit]
        if above:
            found.append(f"{name}: during {len(above)} of {len(seen)} jobs {text(max(above))}")
    if host.get("governor") not in (None, "performance"):
        found.append(f"W-FREQUENCY: the processors' frequency is governed by {host['governor']!r}, not 'performance'")
    return found
