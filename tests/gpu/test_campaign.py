"""The campaign on a machine without a GPU: its steps, its packing, and the continuation of interrupted steps."""

import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement

from crossframe.backends import discover as discover_backends
from crossframe.harness.cli import program
from crossframe.harness.machine.environments import make_environment
from crossframe.tasks import discover as discover_tasks
from tests.gpu import packing, steps
from tests.support.source_tree import link_packages

SCRIPT = Path(__file__).with_name("campaign")
SKIPPED = {"openvino", "opencv", "tract", "known_cost"}  # adapters of runtimes with a package of their own; a program
# Imports all of the harness while only some distributions can be imported, whatever else is installed.
IMPORTS = """
import json, sys
from importlib import import_module
from importlib.metadata import packages_distributions
from pkgutil import walk_packages

allowed, skipped = json.loads(sys.argv[1])
allowed = {name.lower().replace("_", "-") for name in [*allowed, "crossframe"]}
distributions = packages_distributions()

class Guard:
    def find_spec(self, name, path=None, target=None):
        owners = {owner.lower().replace("_", "-") for owner in distributions.get(name.partition(".")[0], [])}
        if owners and not owners & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}: it is neither packed nor on the machine", name=name)

sys.meta_path.insert(0, Guard())
import crossframe.harness
count = 0
for module in walk_packages(crossframe.harness.__path__, "crossframe.harness."):
    if not set(module.name.split(".")) & set(skipped) and not module.name.endswith("__main__"):
        import_module(module.name)
        count += 1
print(count, crossframe.__file__)
"""


def load_script() -> Any:
    """Return the script as a module."""
    loader = SourceFileLoader("campaign", str(SCRIPT))
    spec = spec_from_loader("campaign", loader)
    assert spec
    module = module_from_spec(spec)
    sys.modules["campaign"] = module
    loader.exec_module(module)
    return module


def make_plan(work: Path, device: str = "cuda:0", quick: bool = False) -> steps.Campaign:
    python = Path(sys.executable)
    return steps.Campaign(work, device, python, {"torch": python, "jax": python}, steps.list_tasks(), quick)


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=300, check=False
    )


def list_requirements(roots: list[str]) -> set[str]:
    """Return distributions and everything that they require, as far as they are installed here."""
    names: set[str] = set()
    pending = [Requirement(root).name for root in roots]
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name not in names:
            names.add(name)
            try:
                required = [Requirement(text) for text in requires(name) or []]
            except PackageNotFoundError:
                continue
            pending += [each.name for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    return names


def test_the_campaign_lists_the_tasks_and_modes_of_the_tree() -> None:
    assert steps.list_tasks() == list(discover_tasks())
    assert {name: modes[0] for name, modes in steps.list_modes().items()} == {
        name: backend.manifest.modes[0]
        for name, backend in discover_backends().items()
        if backend.module.startswith("crossframe.")
    }


@pytest.mark.parametrize(("device", "quick"), [("cuda:0", False), ("cpu", True)])
def test_every_step_is_a_valid_command(tmp_path: Path, device: str, quick: bool) -> None:
    all_steps = steps.all_steps(make_plan(tmp_path, device, quick))
    assert {step.stage for step in all_steps} == set(steps.STAGES)
    commands = [step.command[3:] for step in all_steps if step.command[2] == steps.WORDS["module"]]
    assert len(commands) >= 8
    group = click.Context(program.crossframe)
    for name, *words in commands:
        command = program.crossframe.get_command(group, name)
        assert command is not None, name
        command.make_context(name, words, parent=group)  # raises an error if a word is unknown
    files = [Path(word) for step in all_steps for word in step.command if word.endswith(".py")]
    assert len(files) >= 4
    assert all(file.is_file() for file in files)


def test_the_smallest_campaign_comes_first_with_every_task(tmp_path: Path) -> None:
    all_steps, script = steps.all_steps(make_plan(tmp_path)), load_script()
    smallest = [step.name for step in all_steps if step.smallest]
    assert [step.name for step in all_steps[: len(smallest)]] == smallest
    assert script.select_steps(all_steps, []) == all_steps[: len(smallest)]
    assert [step.name for step in script.select_steps(all_steps, ["b-planted", "e"])] == ["b-planted", "e-accounts"]
    with pytest.raises(SystemExit, match="unknown step z; stages: a, b"):
        script.select_steps(all_steps, ["z"])
    assert {f"b-float32-{task}" for task in discover_tasks()} | {"a-doctor", "c-scale1"} <= set(smallest)


def test_the_harness_needs_only_packages_that_are_packed_or_on_the_machine(tmp_path: Path) -> None:
    allowed = sorted(list_requirements([*packing.read_list("interpreters.txt"), *packing.read_list("wheels.txt")]))
    assert not {"plotly", "uv", "pooch"} & set(allowed)
    process = subprocess.run(
        [sys.executable, "-c", IMPORTS, json.dumps([allowed, sorted(SKIPPED)])],
        env={**os.environ, "PYTHONPATH": str(link_packages(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-1500:]
    count, file = process.stdout.split()
    assert int(count) > 60
    assert file == str(tmp_path / "crossframe" / "__init__.py")


def test_an_interpreter_sees_the_wheels_and_its_own_packages(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("packed_module.py", "WORD = 'packed'")
    python = packing.make_python(Path(sys.executable), [Path(wheel.filename or "")], tmp_path / "python")
    text = packing.run_program(python, "import packed_module, numpy, sys; print(packed_module.WORD, sys.prefix)")
    assert text.split() == ["packed", str(tmp_path / "python")]
    assert packing.list_packages(python)["numpy"]
    assert packing.make_python(python, [], tmp_path / "python") == python


@pytest.mark.parametrize(
    ("program", "step_limit_s", "limit_s", "state", "result", "is_done"),
    [
        ("import time; time.sleep(60)", 600, 1, "cut", "", False),
        ('print(\'[{"state": "ok"}]\')', 600, 60, "ended", "1 ok", True),
        ("raise ValueError", 600, 60, "crashed", "", False),
        ("import time; time.sleep(60)", 1, 1, "timeout", "", True),
    ],
)
def test_the_ending_of_a_step(
    tmp_path: Path, program: str, step_limit_s: int, limit_s: int, state: str, result: str, is_done: bool
) -> None:
    script, plan = load_script(), make_plan(tmp_path, "cpu", True)
    step = steps.Step("a-step", (sys.executable, "-c", program), step_limit_s, 0)
    note = script.run_step(plan, step, limit_s)
    assert (note["state"], note["result"]) == (state, result)
    assert script.is_done(plan, step) == is_done


def test_a_step_ends_with_the_campaign(tmp_path: Path) -> None:
    waiting = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    text = f"""
import signal
from pathlib import Path
from tests.gpu import steps, test_campaign
signal.signal(signal.SIGTERM, signal.default_int_handler)
step = steps.Step("a-waits", ({sys.executable!r}, "-c", {waiting!r}), 600, 0)
test_campaign.load_script().run_step(test_campaign.make_plan(Path({str(tmp_path)!r})), step, 60)
"""
    pid = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", text], cwd=steps.ROOT, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not pid.exists() or not pid.read_text():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) != 0
    assert not Path("/proc", pid.read_text()).exists()


def test_a_first_stage_without_results_ends_the_campaign(tmp_path: Path) -> None:
    script = load_script()
    step = steps.Step("a-placement", (), 10, 0, run=tmp_path)
    assert not script.is_hopeless(step)
    (tmp_path / "records.jsonl").write_text('{"state": "failed"}\n{"state": "not_installed"}\n')
    assert script.is_hopeless(step)
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"state": "ok"}\n')
    assert not script.is_hopeless(step)


def test_a_run_is_resumed_where_its_inputs_are_and_otherwise_started_again(tmp_path: Path) -> None:
    script, run = load_script(), tmp_path / "runs" / "c"
    step = steps.Step("c-run", ("python", "-m", "x", "run", "--out", str(run)), 10, 0, run=run)
    (run / "inputs").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert script.select_command(step)[3:] == ("run", "--resume", str(run))
    (run / "inputs").rmdir()
    assert script.select_command(step) == step.command
    assert not run.exists()


def test_the_archive_has_the_results_and_the_logs_of_failures_only(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run = work / "runs" / "r"
    for job, state in (("good", "ok"), ("bad", "failed")):
        (run / "jobs" / job).mkdir(parents=True)
        (run / "jobs" / job / "log.txt").write_text(job)
        (run / "jobs" / job / "measures.json").write_text(json.dumps({"state": state}))
    (run / "records.jsonl").write_text("{}\n")
    (run / "inputs.npz").write_bytes(b"0" * 1000)
    archive = packing.archive(work, tmp_path / "out")
    with tarfile.open(archive) as stored:
        assert sorted(stored.getnames()) == ["logs/r-bad.txt", "runs/r/records.jsonl"]
    packing.restore(archive, tmp_path / "again")
    assert (tmp_path / "again" / "runs" / "r" / "records.jsonl").exists()


@pytest.mark.frameworks
@pytest.mark.campaign
def test_stage_a_runs_on_a_cpu(tmp_path: Path) -> None:
    python = make_environment(discover_backends()["torch"], "cpu").python
    words = ("--device", "cpu", "--quick", "--task", "circle", "--python", f"torch={python}", "--work", tmp_path)
    process = call("a", *words)
    assert process.returncode == 0, process.stdout + process.stderr
    lines = call("a", "--list", *words).stdout.splitlines()
    assert len(lines) == 3
    assert all(" ended " in line for line in lines)
    records = (tmp_path / "runs" / "a-placement" / "records.jsonl").read_text().splitlines()
    states = {record["cell"]["backend"]: record["state"] for record in map(json.loads, records)}
    assert states.pop("torch") == "ok"
    assert set(states.values()) == {"not_installed"}
    with tarfile.open(tmp_path / packing.ARCHIVE) as stored:
        assert {"manifest.json", "steps/a-doctor.out", "runs/a-placement/records.jsonl"} <= set(stored.getnames())
