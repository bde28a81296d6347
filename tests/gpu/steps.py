"""The steps of the campaign, grouped in stages; a step is one command.

Nothing of Crossframe is imported: the steps call its command line, and `WORDS` lists every name of it that they use.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
# Every module, folder and option of Crossframe that the campaign uses; a renaming has to change this table only.
WORDS = {
    **{"module": "crossframe", "handwritten": "tests.benchmarks.handwritten"},
    **{"tasks": "tasks", "backends": "backends", "tests": "tests/gpu"},
    **{"task": "--task", "backend": "--backend", "mode": "--mode", "precision": "--precision", "scale": "--scale"},
    **{"device": "--device", "preset": "--preset", "python": "--python", "out": "--out", "resume": "--resume"},
    **{"repeats": "--repeats", "seed": "--seed", "batch_size": "--batch-size", "no_parity": "--no-parity"},
    **{"format": "--format", "pairs": "--pairs", "tries": "--tries", "timeout": "--timeout"},
    **{"rounds": "--rounds", "tuned": "--tuned"},
}
CACHE = "CROSSFRAME_CACHE"
STAGES = {
    "a": "doctor, placement, and planted fallbacks to the CPU",
    "b": "parity of every task: precisions, modes, seeds, and planted mistakes",
    "c": "timed runs of five repeats",
    "d": "comparison with tuned handwritten loops",
    "e": "memory and energy, measured in two ways",
    "f": "inference and portability",
    "g": "selftest of clocks and of the memory meter",
}
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
RUNTIMES = ("onnxruntime", "onnxruntime_cuda", "reference_evaluator")  # those that the campaign's interpreter may hold


@dataclass(frozen=True)
class Step:
    """One command. It is skipped once it has ended, and started again if it was interrupted."""

    name: str
    command: tuple[str, ...]
    limit_s: int
    rank: int  # 0: part of the smallest campaign; steps of a higher rank run later
    run: Path | None = None  # the folder of a `run`, which is resumed
    needs: str | None = None  # the step whose run this one reads

    @property
    def stage(self) -> str:
        """The letter of the stage."""
        return self.name[0]

    @property
    def smallest(self) -> bool:
        """Whether the step belongs to the smallest campaign."""
        return self.rank == 0


@dataclass(frozen=True)
class Campaign:
    """Folder, device and interpreters of the steps."""

    work: Path
    device: str
    python: Path  # runs Crossframe and pytest
    pythons: dict[str, Path]  # backend -> the interpreter that holds its framework
    tasks: list[str]
    quick: bool

    @property
    def packages(self) -> Path:
        """The folder with links to the packages of the source tree."""
        return self.work / "packages"

    @property
    def modes(self) -> dict[str, list[str]]:
        """Measured backend -> its modes, without the uncompiled mode unless that is the default."""
        return {name: modes for name, modes in list_modes().items() if name in self.pythons}

    def crossframe(self, command: str, *positional: str, **options: object) -> tuple[str, ...]:
        """Return a command line of Crossframe. A list becomes one word with commas, True an option without a value."""
        words = [str(self.python), "-m", WORDS["module"], command, *positional]
        for name, value in options.items():
            texts = [",".join(map(str, value))] if isinstance(value, list) else [str(value)]
            words += [WORDS[name], *([] if value is True else texts)]
        return tuple(words)

    def measured(self, command: str, *positional: str, **options: object) -> tuple[str, ...]:
        """Return a command line of Crossframe on the campaign's device and with its interpreters."""
        interpreters = [part for name, path in self.pythons.items() for part in (WORDS["python"], f"{name}={path}")]
        return (*self.crossframe(command, *positional, device=self.device, **options), *interpreters)

    def pytest(self, file: str, selection: str = "test") -> tuple[str, ...]:
        """Return a command line of pytest, for the tests of a file that the expression `selection` (-k) selects."""
        words = ("-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "--tb=short")
        return (str(self.python), *words, str(ROOT / WORDS["tests"] / file), "-k", selection)

    def env_vars(self) -> dict[str, str]:
        """Return the environment variables of a step. Offline, a backend without an interpreter is `not_installed`."""
        interpreters = ",".join(f"{name}={path}" for name, path in self.pythons.items())
        offline = {"UV_OFFLINE": "1", "UV_NO_CACHE": "1", "PIP_NO_INDEX": "1"}
        tests = {"CROSSFRAME_TEST_DEVICE": self.device, "CROSSFRAME_TEST_PYTHON": interpreters}
        path = {"PYTHONPATH": str(self.packages), "PYTHONUNBUFFERED": "1", CACHE: str(self.work / "cache")}
        return {**os.environ, **offline, **tests, **path}


def list_tasks() -> list[str]:
    """Return the names of the tasks: the modules in the folder of tasks that define PRESETS."""
    files = sorted((ROOT / WORDS["tasks"]).glob("*.py"))
    return [file.stem for file in files if re.search(r"^PRESETS\b", file.read_text(), re.MULTILINE)]


def read_manifests() -> dict[str, dict[str, Any]]:
    """Return backend -> content of its `backend.toml`."""
    files = sorted((ROOT / WORDS["backends"]).glob("*/backend.toml"))
    return {file.parent.name: tomllib.loads(file.read_text()) for file in files}


def list_modes() -> dict[str, list[str]]:
    """Return backend -> its modes, the default first, without the uncompiled mode unless that is the default."""
    return {
        name: [mode for mode in table["modes"] if mode == table["modes"][0] or mode != table.get("uncompiled_mode")]
        for name, table in read_manifests().items()
    }


def uncompiled_modes() -> set[str]:
    """Return the modes in which some backend runs operation by operation."""
    return {table["uncompiled_mode"] for table in read_manifests().values() if "uncompiled_mode" in table}


def all_steps(plan: Campaign) -> list[Step]:
    """Return every step, sorted by rank, then by stage."""
    parts = (placement, parity, timed, handwritten, accounts, runtimes, meters)
    steps = [step for list_steps in parts for step in list_steps(plan)]
    assert len({step.name for step in steps}) == len(steps), "two steps of one name"
    return sorted(steps, key=lambda step: (step.rank, step.stage))


def placement(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage a."""
    run = plan.work / "runs" / "a-placement"
    quick = plan.measured("run", task=plan.tasks, preset="quick", no_parity=True, timeout=120, out=run)
    yield Step("a-doctor", plan.crossframe("doctor", format="json"), 60, 0)
    yield Step("a-placement", quick, 150, 0, run=run)
    yield Step("a-fallback", plan.pytest("test_placement.py", "caught"), 120, 0)


def parity(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage b: the default modes first, then each backend alone, since names of modes repeat."""
    for task in plan.tasks:
        yield Step(f"b-float32-{task}", parity_command(plan, task, "float32"), 150, 0)
    yield Step("b-planted", plan.pytest("test_parity.py", "not honest"), 200, 1)
    for precision in PRECISIONS[1:2] if plan.quick else PRECISIONS[1:]:
        for task in plan.tasks:
            yield Step(f"b-{precision}-{task}", parity_command(plan, task, precision), 150, 2)
    if plan.quick:
        return
    for precision in PRECISIONS:
        for task in plan.tasks:
            for backend, modes in plan.modes.items():
                command = parity_command(plan, task, precision, backend=backend, mode=modes)
                yield Step(f"b-modes-{precision}-{task}-{backend}", command, 300, 4 if precision == "float32" else 6)
    for seed in (1, 2):
        for task in plan.tasks:
            yield Step(f"b-seed{seed}-{task}", parity_command(plan, task, "float32", seed=seed), 150, 6)


def parity_command(plan: Campaign, task: str, precision: str, **options: object) -> tuple[str, ...]:
    """Return the command that verifies one task in one precision."""
    preset = "quick" if plan.quick else "standard"
    return plan.measured("parity", task=task, precision=precision, preset=preset, format="json", **options)


def timed(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage c: scale 1 alone, all scales in one run for their chart, and every compiled mode.

    Two backends may share the name of an uncompiled mode, so the last step names compiled modes only.
    """
    preset, repeats = ("quick", 1) if plan.quick else ("standard", 5)
    compiled = {mode for modes in plan.modes.values() for mode in modes} - uncompiled_modes()
    runs: dict[str, tuple[int, dict[str, object]]] = {
        "c-scale1": (0, {}),
        "c-scales": (5, {"scale": [1, 4, 16]}),
        "c-modes": (6, {"mode": sorted(compiled)}),
    }
    for name, (rank, options) in list(runs.items())[: 1 if plan.quick else None]:
        run = plan.work / "runs" / name
        words = {"task": plan.tasks, "preset": preset, "repeats": repeats, "out": run}
        yield Step(name, plan.measured("run", **words, **options), 500, rank, run=run)


def handwritten(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage d: each mode compared with a handwritten loop; the last and the first mode early."""
    for scale in (1,) if plan.quick else (16, 1):
        for task in plan.tasks:
            for backend, modes in plan.modes.items():
                early = {modes[0]: 4, modes[-1]: 3}  # each backend lists its most compiled mode last
                for mode in modes[:1] if plan.quick else modes[::-1]:
                    words = {"task": task, "mode": mode, "scale": scale, "device": plan.device}
                    words["rounds"] = 1 if plan.quick else 3
                    options = [text for name, value in words.items() for text in (WORDS[name], str(value))]
                    options += [] if plan.quick else [WORDS["tuned"]]
                    command = (str(plan.pythons[backend]), "-m", WORDS["handwritten"], backend, *options)
                    yield Step(
                        f"d-scale{scale}-{task}-{backend}-{mode}",
                        command,
                        150,
                        early.get(mode, 6) if scale == 16 else 6,
                    )


def accounts(plan: Campaign) -> Iterator[Step]:
    """Yield the step of stage e."""
    yield Step("e-accounts", plan.pytest("test_accounts.py"), 240, 1)


def runtimes(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage f."""
    # A runtime that needs a GPU can't be named without --device cuda.
    names = [name for name in RUNTIMES if plan.device != "cpu" or not name.endswith("_cuda")]
    interpreters = [part for name in names for part in (WORDS["python"], f"{name}={plan.python}")]
    infer = plan.measured("infer", task=plan.tasks, preset="quick", batch_size=[1, 64], format="json")
    yield Step("f-infer", (*infer, *interpreters), 240, 4)
    run = str(plan.work / "runs" / "a-placement")
    files = plan.crossframe("portability", run, device=plan.device, format="json")
    yield Step("f-portability", (*files, *interpreters), 240, 4, needs="a-placement")


def meters(plan: Campaign) -> Iterator[Step]:
    """Yield the steps of stage g."""
    pairs = 0 if plan.quick else 1
    words = plan.measured("selftest", backend=list(plan.pythons), pairs=pairs, tries=pairs, format="json")
    yield Step("g-selftest", words, 240, 3)
    yield Step("g-memory", plan.pytest("test_meters.py", "not clocks"), 120, 1)
