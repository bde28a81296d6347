"""`crossframe doctor`: what this machine has and lacks, and what mends it."""

from __future__ import annotations

import shutil
from typing import Any

from crossframe.backends import discover
from crossframe.harness import runtimes
from crossframe.harness.launch.launch import not_inherited
from crossframe.harness.machine import cache, environments, gpus, host

# All four environments for a kind of device and uv's own cache of them, with room: 3.4 and 15 GB by `du` on 2026-11-21.
NEEDED_BYTES = {"cpu": 8e9, "cuda": 20e9}


def examine() -> dict[str, Any]:
    """{host, tools, environments, cuda, findings, …}; a finding is {id, text, remedy}, `cuda` says what runs on it."""
    cache.cache().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache.cache()).free
    told = {
        "host": host.fingerprint(),
        "tools": {name: shutil.which(name) for name in ("gcc", "git", "nvidia-smi")},
        "pip": environments.pip_settings(),
        "cache": str(cache.cache()),
        "free_bytes": free,
        "environments": environments.listing(discover()),
        "cuda": cards(),
        "not_inherited": sorted(set().union(*map(not_inherited, discover().values()))),
    }
    return {**told, "findings": findings(told)}


def cards() -> list[dict[str, Any]]:
    """{device, gpu, backend, reason, note} of each card and each backend and runtime for cards.

    A reason says why not, a note what is to be known of a build that runs.
    """
    candidates = [backend for backend in discover().values() if backend.has_builds]
    for_cards = [runtime for runtime in runtimes.discover().values() if "cuda" in runtime.facts["install"]]
    return [
        {
            "device": f"cuda:{number}",
            "gpu": gpu["name"],
            "backend": one.name,
            "reason": reason,
            "note": None if reason else one.facts["install"]["cuda"].get("note"),
        }
        for number, gpu in enumerate(gpus.gpus())
        for one in [*candidates, *for_cards]
        for reason in [gpus.refusal(one, f"cuda:{number}")]
    ]


def findings(told: dict[str, Any]) -> list[dict[str, str]]:
    """What is worth a person's attention, each with the command or the step that mends it."""
    found = []
    kind = "cuda" if told["host"]["gpus"] else "cpu"  # what --device auto takes
    refused = {row["backend"] for row in told["cuda"] if row["device"] == "cuda:0" and row["reason"]}
    missing = [row["backend"] for row in told["environments"] if (row["state"], row["device"]) == ("absent", kind)]
    absent = [name for name in missing if name not in refused]
    if not told["host"]["gpus"]:
        text = "the driver shows no NVIDIA GPU: runs go to the CPU, and --device cuda exits 3"
        found.append({"id": "no-gpu", "text": text, "remedy": "install the NVIDIA driver, if there is a card"})
    if told["tools"]["gcc"] is None:
        text = "there is no gcc: modes that compile with it will fail"
        found.append({"id": "no-compiler", "text": text, "remedy": "install gcc"})
    if told["free_bytes"] < NEEDED_BYTES[kind] and absent:
        text = f"{told['free_bytes'] / 1e9:.1f} GB are free where the environments go"
        found.append({"id": "little-disk", "text": text, "remedy": "set CROSSFRAME_CACHE to a folder with room"})
    if absent:
        text = f"not made yet: the environment of {', '.join(absent)} ({kind})"
        found.append({"id": "no-environment", "text": text, "remedy": "crossframe env sync (or run: it makes them)"})
    if told["not_inherited"]:
        text = f"set here, but not given to workers: {', '.join(told['not_inherited'])}"
        remedy = "unset them, or let a backend's [environment] set them for all runs"
        found.append({"id": "variables", "text": text, "remedy": remedy})
    if told["host"]["governor"] not in (None, "performance"):
        text = f"the processor's governor is {told['host']['governor']}: its clock follows the load"
        found.append({"id": "governor", "text": text, "remedy": "cpupower frequency-set -g performance"})
    return found


def as_text(told: dict[str, Any]) -> str:
    machine = told["host"]
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else "unknown"
    lines = [
        f"processor     {machine['cpu']}, {len(machine['affinity'])} of {machine['processors']} usable",
        f"memory        {memory}",
        f"system        {machine['system']}, kernel {machine['kernel']}, Python {machine['python']}",
        *(f"GPU           {gpu['name']}, driver {gpu['driver']}" for gpu in machine["gpus"]),
        f"cache         {told['cache']}, {told['free_bytes'] / 1e9:.0f} GB free",
    ]
    for row in told["environments"]:
        size = f", {row['bytes'] / 1e6:,.0f} MB" if row["bytes"] else ""
        lines.append(f"environment   {row['backend']} ({row['device']}): {row['state']}{size}")
    for row in told["cuda"]:
        said = f"no: {row['reason']}" if row["reason"] else f"yes; {row['note']}" if row["note"] else "yes"
        lines.append(f"{row['device']:<13} {row['backend']}: {said}")
    for finding in told["findings"]:
        lines.append(f"[{finding['id']}] {finding['text']}; {finding['remedy']}")
    return "\n".join(lines) + "\n"
