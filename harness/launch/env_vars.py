"""The environment variables of a worker process, including its import path."""

from __future__ import annotations

import hashlib
import os
from fnmatch import fnmatchcase
from pathlib import Path

from crossframe.backends import Plugin
from crossframe.harness.files import make_link
from crossframe.harness.machine.cache import cache_folder
from crossframe.harness.worker.process import THREAD_POOLS

ROOT = Path(__file__).resolve().parents[2]
# These variables silently change what the libraries of NVIDIA and Intel compute, or how fast, so workers do not inherit
# them. Each manifest lists further ones in `not_inherited`.
NOT_INHERITED = (
    *("NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING", "CUDA_CACHE_*", "CUBLAS_*", "CUDNN_*", "TRITON_*"),
    *("DNNL_*", "ONEDNN_*", "MKL_*", "OPENBLAS_*", "OMP_*", "GOMP_*", "KMP_*", "ATEN_*"),
)


def import_path(plugin: Plugin) -> Path:
    """Return a folder that holds links to the packages of Crossframe and of the plugin, and nothing else.

    The site-packages of an installed Crossframe can't be put on the path of a worker: they contain another NumPy.
    """
    links = {f"crossframe/{name}": ROOT / name for name in ("tasks", "backends", "harness")}
    if not plugin.module.startswith("crossframe."):
        links[plugin.top_level.name] = plugin.top_level
    key = hashlib.sha256("\n".join(map(str, links.values())).encode()).hexdigest()[:12]
    folder = cache_folder() / "import_path" / key
    for name, target in links.items():
        make_link(folder / name, target)
    return folder


def list_not_inherited(plugin: Plugin) -> set[str]:
    """Return the variables of this process that a worker of the plugin does not inherit."""
    patterns = (*NOT_INHERITED, *plugin.manifest.not_inherited)
    return {name for name in os.environ if any(fnmatchcase(name, pattern) for pattern in patterns)}


def worker_env_vars(plugin: Plugin, threads: int, scratch: str) -> dict[str, str]:
    """Return the environment variables of a worker.

    Every worker gets the same number of threads and a clean Python path, and then the variables of its plugin.
    `scratch` is a folder for files that no other job may see, such as compiled code.
    """
    removed = list_not_inherited(plugin) | {name for name in os.environ if name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    inherited = {name: value for name, value in os.environ.items() if name not in removed}
    thread_pools = {name: str(threads) for name in THREAD_POOLS}
    placeholders = {"threads": threads, "scratch": scratch}
    declared = {name: str(value).format(**placeholders) for name, value in plugin.manifest.env_vars.items()}
    # CUDA numbers the fastest GPU first by default; with PCI_BUS_ID its numbers match those of NVML (`machine.gpus`).
    fixed = {"PYTHONPATH": str(import_path(plugin)), "PYTHONNOUSERSITE": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    tools = os.environ.get("CROSSFRAME_WORKER_PATH")  # further folders for the import path: see `make coverage`
    if tools:
        fixed["PYTHONPATH"] += os.pathsep + tools
    return inherited | thread_pools | declared | fixed
