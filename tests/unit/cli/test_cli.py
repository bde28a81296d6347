"""The command line: quick to help, plain on stdout, and able to tell what it would do."""

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from crossframe.harness.cli import parser
from crossframe.harness.machine import environments
from tests.conftest import Command

ROOT = Path(__file__).parents[3]


def test_help_imports_nothing_heavy(crossframe: Command) -> None:
    import subprocess

    code = (
        "import sys; from crossframe.harness.cli.parser import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'plotly', 'onnx', 'onnxruntime', 'sklearn', 'rich', 'torch', 'tensorflow', 'mxnet', 'jax'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and "run" in done.stdout


def test_plan_tells_and_writes_nothing(crossframe: Command) -> None:
    done = crossframe("plan", "--backend", "reference", "--repeats", "3", "--json")
    told = json.loads(done.stdout)
    assert len(told["jobs"]) == 12 and told["seconds"] > 0 and told["disk_bytes"] > 0
    # Interleaved: each repeat holds every cell once.
    repeats = [job["job"].rsplit("-", 1)[1] for job in told["jobs"]]
    assert repeats == ["1"] * 4 + ["2"] * 4 + ["3"] * 4


def test_doctor_tells_what_is_there(crossframe: Command) -> None:
    told = json.loads(crossframe("doctor", "--json").stdout)
    assert told["host"]["cpu"] and told["host"]["memory_bytes"] > 0
    assert {row["backend"] for row in told["environments"]} >= {"torch", "tensorflow", "mxnet", "jax"}
    assert all(finding["remedy"] for finding in told["findings"])
    text = crossframe("doctor").stdout
    assert "processor" in text and "\x1b" not in text


def test_pip_settings_reach_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from crossframe.backends import discover

    (tmp_path / "pip.conf").write_text(
        "[global]\nfind-links = /from/file\nextra-index-url = https://one.test/simple https://two.test/simple\n"
        "[install]\ntrusted-host = one.test\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from/environment")
    options = environments.uv_options(discover()["torch"], "cpu")
    pairs = list(zip(options[::2], options[1::2]))
    assert ("--find-links", "/from/environment") in pairs and ("--find-links", "/from/file") not in pairs
    assert [value for name, value in pairs if name == "--index"][-2:] == [
        "https://one.test/simple",
        "https://two.test/simple",
    ]
    assert ("--allow-insecure-host", "one.test") in pairs
    assert "--torch-backend" not in options  # the site decides


def test_without_pip_settings_the_backend_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossframe.backends import discover

    monkeypatch.setattr(environments, "pip_settings", dict)
    assert "--torch-backend" in environments.uv_options(discover()["torch"], "cpu")


def test_every_backend_is_pinned_to_the_last_package() -> None:
    from crossframe.backends import discover

    seen = 0
    for backend in discover().values():
        for kind in backend.facts.get("install", {}):
            requirements = backend.requirements(kind)
            assert requirements is not None
            for line in requirements.read_text().splitlines():
                assert "==" in line or line.startswith("#"), f"{backend.name} {kind}: {line}"
                seen += 1
    assert seen > 50


def test_an_environment_that_cannot_be_made_says_why(crossframe: Command, tmp_path: Path) -> None:
    import os
    import subprocess

    from tests.conftest import environment

    nowhere = {**environment(), "CROSSFRAME_CACHE": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    nowhere = {k: v for k, v in nowhere.items() if not k.startswith(("PIP_FIND", "PIP_EXTRA"))}
    nowhere |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}
    words = [
        "run",
        "--backend",
        "mxnet,reference",
        "--task",
        "circle",
        "--preset",
        "quick",
        "--out",
        str(tmp_path / "run"),
    ]
    command = [sys.executable, "-m", "crossframe", *words]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    states = {line["cell"]["backend"]: (line["state"], line["reason"]) for line in lines}
    assert states["reference"][0] == "ok"
    assert states["mxnet"][0] == "not_installed" and "could not be made" in states["mxnet"][1]


def readme_commands() -> list[str]:
    """Every command line that the README shows, with a real interpreter and one of several choices."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"`crossframe ([^`]+)`", " ".join(text.split())) + re.findall(r"(?m)^crossframe ([^#\n]+)", text)
    return [line.replace("/path/to/python", sys.executable).replace("sync|list|remove", "list") for line in found]


@pytest.mark.parametrize("line", readme_commands())
def test_the_readme_shows_commands_that_exist(line: str) -> None:
    assert callable(parser.parser().parse_args(shlex.split(line)).do)


def test_the_readme_shows_every_command() -> None:
    shown = {line.split()[0] for line in readme_commands()}
    (commands,) = (action for action in parser.parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert set(commands.choices) <= shown
