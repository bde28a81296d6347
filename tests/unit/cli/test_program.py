"""The program `crossframe`: fast help, data on stdout, messages on stderr, exit codes."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from crossframe.harness.cli import options, program
from crossframe.harness.errors import ExitCode
from crossframe.harness.machine import gpus
from crossframe.harness.records.model import RunOptions
from tests.conftest import ROOT, Command

HEAVY = (
    "{'numpy', 'msgspec', 'plotly', 'onnx', 'onnxruntime', 'sklearn', 'rich', 'torch', 'tensorflow', 'mxnet', 'jax'}"
)
CONTEXT = click.Context(program.crossframe, info_name="crossframe")


def get_command(name: str) -> click.Command:
    command = program.crossframe.get_command(CONTEXT, name)
    assert command is not None, name
    return command


def test_help_imports_no_large_package() -> None:
    code = (
        "import sys\nfrom crossframe.harness.cli import main\n"
        f"assert main(['--help']) == 0\nprint(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stderr.strip() == "[]"
    assert "portability" in process.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--version"]) == 0
    assert capsys.readouterr().out == f"crossframe {version('crossframe')}\n"


def test_the_module_is_the_command(crossframe: Command) -> None:
    process = crossframe("--version")
    assert (process.returncode, process.stdout) == (0, f"crossframe {version('crossframe')}\n")


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: crossframe {name} ")
    if name != "help":
        assert program.main(["help", name]) == 0
        assert capsys.readouterr().out == text


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    for parameter in get_command(name).params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


PRINTING = [name for name in program.COMMANDS if name != "help"]


@pytest.mark.parametrize("name", PRINTING)
def test_every_command_prints_json_on_request(name: str) -> None:
    (parameter,) = [each for each in get_command(name).params if "--format" in each.opts]
    assert isinstance(parameter.type, click.Choice)
    assert "json" in parameter.type.choices


def test_the_options_of_a_run_are_the_fields_of_its_options() -> None:
    names = {field.name for field in fields(RunOptions)}
    assert set(options.FLAGS) == names == set(options.SELECTION) | set(options.REPETITION)
    assert names <= {parameter.name for parameter in get_command("run").params}


def test_without_arguments_a_run_has_the_default_options(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[RunOptions] = []

    @click.command()
    @options.add_run_options(options.FLAGS)
    def probe(options: RunOptions) -> int:
        received.append(options)
        return 0

    probe.main([], standalone_mode=False)
    probe.main(
        [
            *("--task", "cnn,lstm", "--task", "circle", "--batch-size", "1,8", "--no-parity", "--profile-operators"),
            *("--time-budget", "2m", "--python", f"torch={sys.executable}", "--threads", "1", "--timeout", "5"),
        ],
        standalone_mode=False,
    )
    default, changed = received
    assert default == RunOptions(cpus=default.cpus)
    assert default.cpus
    assert changed == RunOptions(
        task=["cnn", "lstm", "circle"],
        batch_size=[1, 8],
        parity=False,
        profile_operators=True,
        time_budget_s=120.0,
        python={"torch": sys.executable},
        cpus=default.cpus[:1],
        timeout_s=5,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["help", "nonsense"], "unknown command 'nonsense'; available: run, plan, "),
        (["plan", "--repeats", "0"], "Invalid value for '--repeats': 0 is not 1 or more; see `crossframe plan --help`"),
        (["plan", "--batch-size", "8,x"], "Invalid value for '--batch-size': 'x' is not a valid integer"),
        (["plan", "--time-budget", "0s"], "'0s' is not a time above zero, such as 90s, 10m or 2h"),
        (["plan", "--python", "torch"], "'torch' is not NAME=PATH with the path of a Python interpreter"),
        (["plan", "--threads", "9999"], "--threads 9999: this process may use only"),
        (["plan", "--task", "nonsense"], "unknown task 'nonsense'; available: autoencoder, circle, cnn, lstm"),
        (["compare", "a", "b", "--fail-if-regress", "150%"], "'150%' is not a share such as 5% or 0.05"),
        (["decide", "a", "--use-case", "edge", "--criteria", "b"], "--use-case and --criteria exclude each other"),
        (["decide", "a", "--use-case", "nonsense"], "unknown use case 'nonsense'; available: research, "),
        (["env", "list", "nonsense"], "unknown backend or runtime 'nonsense'; available: "),
        (["check", "nonsense.onnx"], "nonsense.onnx is not a file"),
        (
            ["check", __file__, "--runtime", "onnxruntime_cuda", "--device", "cpu"],
            "onnxruntime_cuda runs on a GPU only",
        ),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main(arguments) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("crossframe: ")
    assert message in output.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(bool(gpus.list_gpus()), reason="this machine has a GPU")
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--preset", "quick", "--out", "run"],
        ["plan"],
        ["parity"],
        ["infer"],
        ["conformance", "reference"],
        ["portability"],
        ["check", __file__],
        ["selftest"],
        ["env", "sync"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_a_gpu_cuda_is_missing_and_nothing_is_written(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main([*arguments, "--device", "cuda"]) == ExitCode.MISSING
    output = capsys.readouterr()
    assert output.out == ""
    assert "crossframe: cuda does not exist" in output.err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_manifest_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from crossframe.backends import manifest
    from crossframe.harness.cli import doctor

    def fail() -> None:
        raise manifest.ManifestError("x/backend.toml: unknown key `titel`; did you mean `title`?")

    monkeypatch.setattr(doctor, "discover", fail)
    assert program.main(["doctor"]) == ExitCode.USAGE
    assert "crossframe: x/backend.toml: unknown key `titel`" in capsys.readouterr().err


def test_completion_of_commands(crossframe: Command) -> None:
    variables = {"_CROSSFRAME_COMPLETE": "bash_complete", "COMP_WORDS": "crossframe po", "COMP_CWORD": "1"}
    process = crossframe(env_vars={"PATH": "/usr/bin:/bin", **variables})
    assert process.stdout.split() == ["plain,portability"]


def test_plan_prints_jobs_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main(["plan", "--backend", "reference", "--repeats", "3", "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["jobs"]) == 12
    assert plan["seconds"] > 0
    assert plan["disk_bytes"] > 0
    assert program.main(["plan", "--backend", "reference"]) == 0
    assert "20 jobs on " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_env_list_prints_titles_and_the_names_that_commands_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["env", "list", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"torch", "tensorflow", "mxnet", "jax", "onnxruntime"} <= {row["backend"] for row in rows}
    assert program.main(["env", "list"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    for row in rows:
        assert any(row["backend"] in words and row["device"] in words and row["state"] in words for words in lines)
    assert "PyTorch" in printed
    assert str(Path(rows[0]["folder"]).parent) in printed


def documented_commands() -> list[str]:
    """Return every command line in the README and in docs/, with a real interpreter and one of several choices."""
    lines = []
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = file.read_text()
        lines += re.findall(r"`crossframe ([^`]+)`", " ".join(text.split()))
        for block in re.findall(r"(?s)```sh\n(.*?)```", text):
            lines += re.findall(r"(?m)^crossframe ([^#\n]+)", block)
    return [line.replace("/path/to/python", sys.executable).replace("sync|list|remove", "list") for line in lines]


@pytest.mark.parametrize("line", dict.fromkeys(documented_commands()))
def test_documented_commands_exist(line: str) -> None:
    name, *arguments = shlex.split(line)
    get_command(name).make_context(name, arguments, parent=CONTEXT)


def test_every_command_is_documented() -> None:
    assert set(program.COMMANDS) <= {line.split()[0] for line in documented_commands()}
