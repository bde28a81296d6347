"""The key of a kept result: a digest of everything that the result depends on."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

import crossframe.backends
import crossframe.harness
import crossframe.harness.launch
import crossframe.harness.parity
import crossframe.harness.worker
import crossframe.tasks
from crossframe.backends import GROUP, Backend
from crossframe.harness.files import digest, digest_content
from crossframe.harness.machine.environments import Environment
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.records.codec import to_plain
from crossframe.harness.worker.jobs import ProbeJob

# The code that a result depends on, beside the distribution of the backend: the contract, all built-in backends (which
# can import each other) with the reference model, the probes and the checks, and the tasks.
PACKAGES = (
    crossframe.backends,
    crossframe.harness.launch,
    crossframe.harness.parity,
    crossframe.harness.worker,
    crossframe.tasks,
)
OWN_PACKAGES = (crossframe.backends, crossframe.harness, crossframe.tasks)  # what a worker sees of Crossframe
NOT_CODE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # written by installers
LIST_PACKAGES = """
import hashlib, importlib.metadata, json, sys
rows = {(d.metadata["Name"], d.version, hashlib.sha256((d.read_text("RECORD") or "").encode()).hexdigest())
        for d in importlib.metadata.distributions()}
print(json.dumps([sys.version, sys.platform, sorted(map(list, rows), key=str)]))
"""


def make_key(backend: Backend, environment: Environment, job: ProbeJob) -> str:
    """Return the key of the result of a parity job."""
    request = replace(job, inputs="", cpus=[]).to_json()
    host = fingerprint()
    parts = [
        request,
        digest_content(Path(job.inputs)),
        digest(*(Path(package.__path__[0]) for package in PACKAGES)),
        digest(*list_code(backend)),
        str(environment.python),
        list_packages(environment.python),
        to_plain([host.cpu, host.gpus]),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def list_code(backend: Backend) -> list[Path]:
    """Return the files and folders of everything that a backend can import from its own distribution."""
    return [backend.folder, *([] if backend.module.startswith("crossframe.") else sorted({*_list_own_files(backend)}))]


def has_other_code(backend: Backend, files: Sequence[str]) -> bool:
    """Return whether one of the files that a worker imported is covered neither by a key nor by Crossframe itself."""
    covered = {Path(folder).resolve() for package in OWN_PACKAGES for folder in package.__path__}
    covered |= {path.resolve() for path in list_code(backend)}
    return any(covered.isdisjoint((Path(file), *Path(file).parents)) for file in files)


def _list_own_files(backend: Backend) -> Iterator[Path]:
    if backend.top_level != backend.folder:
        yield backend.top_level
    for point in entry_points(group=GROUP):
        if point.name != backend.name or point.dist is None:
            continue
        for file in point.dist.files or ():
            path = Path(str(point.dist.locate_file(file)))
            if path.suffix != ".pyc" and path.name not in NOT_CODE and path.is_file():
                yield path


@lru_cache
def list_packages(python: Path) -> str:
    """Return everything that is installed in an interpreter, with versions and digests, as that interpreter reports it.

    It is asked once, without the variables that would show it the packages of another interpreter.
    """
    command = [str(python), "-I", "-c", LIST_PACKAGES]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    return done.stdout or f"code {done.returncode}"
