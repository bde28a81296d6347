"""`crossframe doctor`: what this machine has, what it lacks, and the remedies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

from crossframe.backends import Plugin, discover
from crossframe.harness import runtimes
from crossframe.harness.files import make_folder
from crossframe.harness.launch.env_vars import list_not_inherited
from crossframe.harness.machine import cache, environments, gpus, host
from crossframe.harness.machine.environments import EnvironmentRow, EnvironmentState
from crossframe.harness.machine.pip_settings import read_pip_settings
from crossframe.harness.records.model import Host

# Free space for the environments of all backends on one kind of device and for uv's own cache of them, with a margin:
# 3.4 and 15 GB by `du` on 2026-11-21.
NEEDED_BYTES = {"cpu": 8e9, "cuda": 20e9}
NEXT_STEPS = "next: `crossframe plan` for the length of a run, `crossframe selftest` for what this machine can resolve"
TOOLS = ("gcc", "git", "nvidia-smi")


@dataclass(frozen=True)
class CudaSupport:
    """Whether the build of a backend or runtime can run on a GPU: `reason` says why not."""

    device: str
    gpu: str
    backend: str
    reason: str | None
    note: str | None  # of the manifest, about a build that can run


@dataclass(frozen=True)
class Finding:
    """Something that deserves attention, and the command or the step that resolves it."""

    id: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `crossframe doctor` reports."""

    host: Host
    tools: dict[str, str | None]  # name -> path
    pip: dict[str, list[str]]  # settings of pip
    cache: str
    free_bytes: int
    environments: list[EnvironmentRow]
    cuda: list[CudaSupport]
    not_inherited: list[str]  # variables of this process that workers do not inherit
    findings: list[Finding]
    titles: dict[str, str]  # backend or runtime -> title


def inspect_machine() -> Diagnosis:
    """Inspect this machine."""
    folder = cache.cache_folder()
    make_folder(folder)
    plugins: dict[str, Plugin] = {**discover(), **runtimes.discover()}
    diagnosis = Diagnosis(
        host=host.fingerprint(),
        tools={name: shutil.which(name) for name in TOOLS},
        pip=read_pip_settings(),
        cache=str(folder),
        free_bytes=shutil.disk_usage(folder).free,
        environments=environments.list_environments(discover()),
        cuda=list_cuda_support(),
        not_inherited=sorted(set().union(*map(list_not_inherited, discover().values()))),
        findings=[],
        titles={name: plugin.manifest.title for name, plugin in plugins.items()},
    )
    return replace(diagnosis, findings=list(find_problems(diagnosis)))


def list_cuda_support() -> list[CudaSupport]:
    """Return whether each backend and each runtime for GPUs can run on each GPU."""
    backends = [backend for backend in discover().values() if backend.has_builds]
    gpu_runtimes = [runtime for runtime in runtimes.discover().values() if "cuda" in runtime.manifest.install]
    plugins: list[Plugin] = [*backends, *gpu_runtimes]
    rows = []
    for number, gpu in enumerate(gpus.list_gpus()):
        for plugin in plugins:
            reason = gpus.refusal(plugin, f"cuda:{number}")
            note = None if reason else plugin.manifest.install["cuda"].note
            rows.append(CudaSupport(f"cuda:{number}", gpu.name, plugin.name, reason, note))
    return rows


def find_problems(diagnosis: Diagnosis) -> Iterator[Finding]:
    """Yield what deserves attention on a machine."""
    kind = "cuda" if diagnosis.host.gpus else "cpu"  # what --device auto selects
    refused = {row.backend for row in diagnosis.cuda if row.device == "cuda:0" and row.reason}
    absent = [
        diagnosis.titles[row.backend]
        for row in diagnosis.environments
        if row.state is EnvironmentState.ABSENT and row.device == kind and row.backend not in refused
    ]
    if not diagnosis.host.gpus:
        text = "the driver shows no NVIDIA GPU: runs use the CPU, and --device cuda exits with code 3"
        yield Finding("no-gpu", text, "install the NVIDIA driver if the machine has a GPU")
    if diagnosis.tools["gcc"] is None:
        yield Finding("no-compiler", "gcc is not installed: modes that compile with it will fail", "install gcc")
    if diagnosis.free_bytes < NEEDED_BYTES[kind] and absent:
        text = f"only {diagnosis.free_bytes / 1e9:.1f} GB are free in the cache folder"
        yield Finding("little-disk", text, "set CROSSFRAME_CACHE to a folder with more space")
    if absent:
        text = f"environments that are not made yet: {', '.join(absent)} ({kind})"
        yield Finding("no-environment", text, "crossframe env sync (crossframe run makes them too)")
    if diagnosis.not_inherited:
        text = f"variables that workers do not inherit: {', '.join(diagnosis.not_inherited)}"
        yield Finding("variables", text, "unset them, or set them for all runs in [env_vars] of a backend.toml")
    if diagnosis.host.governor not in (None, "performance"):
        text = f"the frequency governor of the processor is {diagnosis.host.governor}: the clock rate follows the load"
        yield Finding("governor", text, "cpupower frequency-set -g performance")


def as_table(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as text: one fact a line, findings with their remedies, and the next steps."""
    machine = diagnosis.host
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB" if machine.memory_bytes else "unknown"
    lines = [
        f"processor     {machine.cpu}, {len(machine.affinity)} of {machine.processors} usable",
        f"memory        {memory}",
        f"system        {machine.system}, kernel {machine.kernel}, Python {machine.python}",
        *(f"GPU           {gpu.name}, driver {gpu.driver}" for gpu in machine.gpus),
        f"cache         {diagnosis.cache}, {diagnosis.free_bytes / 1e9:.0f} GB free",
    ]
    for row in diagnosis.environments:
        size = f", {row.bytes / 1e6:,.0f} MB" if row.bytes else ""
        lines.append(f"environment   {diagnosis.titles[row.backend]} on {row.device}: {row.state}{size}")
    for support in diagnosis.cuda:
        note = f"; {support.note}" if support.note else ""
        answer = f"no: {support.reason}" if support.reason else f"yes{note}"
        lines.append(f"{support.device:<13} {diagnosis.titles[support.backend]}: {answer}")
    lines += [f"[{finding.id}] {finding.text}; {finding.remedy}" for finding in diagnosis.findings]
    lines.append(NEXT_STEPS)
    return "\n".join(lines) + "\n"
