"""The environments of backends: where their packages come from, and what decides their folder."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import Backend, Plugin, discover
from crossframe.backends.manifest import InstallRecipe
from crossframe.harness.errors import MissingError
from crossframe.harness.machine import environments, pip_settings
from crossframe.harness.machine.environments import Environment, EnvironmentState


def test_pip_settings_reach_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nfind-links = /from/file\nextra-index-url = https://one.test/simple https://two.test/simple\n"
        "[install]\ntrusted-host = one.test\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from/variable")
    options = pip_settings.build_uv_options(discover()["torch"], "cpu")
    pairs = list(zip(options[::2], options[1::2]))
    assert ("--find-links", "/from/variable") in pairs
    assert ("--find-links", "/from/file") not in pairs
    indexes = [value for name, value in pairs if name == "--index"]
    assert indexes[-2:] == ["https://one.test/simple", "https://two.test/simple"]
    assert ("--allow-insecure-host", "one.test") in pairs
    assert "--torch-backend" not in options  # the settings of pip decide


def test_without_pip_settings_the_manifest_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip_settings, "read_pip_settings", dict)
    assert "--torch-backend" in pip_settings.build_uv_options(discover()["torch"], "cpu")


BUILDS = [(backend, kind) for backend in discover().values() for kind in backend.manifest.install]


@pytest.mark.parametrize(("backend", "kind"), BUILDS, ids=lambda value: getattr(value, "name", value))
def test_every_package_of_a_backend_is_pinned(backend: Backend, kind: str) -> None:
    requirements = backend.requirements(kind)
    assert requirements is not None
    lines = [line for line in requirements.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 3
    assert [line for line in lines if "==" not in line] == []


@pytest.fixture
def torch_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of an environment that seems to be complete."""
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))
    torch = discover()["torch"]
    folder = environments.environment_folder(torch, "cpu")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    requirements = torch.requirements("cpu")
    assert requirements is not None
    for line in requirements.read_text().splitlines():
        if "==" in line:
            name = line.partition("==")[0].replace("-", "_")
            package = folder / "lib" / "python3.11" / "site-packages" / f"{name}-1.dist-info"
            package.mkdir(parents=True)
            (package / "METADATA").write_text("")
    (folder / environments.RECEIPT).write_text('{"install_s": 4.0, "bytes": 1000}')
    return folder


def list_states() -> list[EnvironmentState]:
    return [row.state for row in environments.list_environments({"torch": discover()["torch"]})]


def test_an_environment_is_ready_when_its_receipt_is_written(torch_folder: Path, tmp_path: Path) -> None:
    assert torch_folder.is_relative_to(tmp_path)
    environment = environments.read_environment(torch_folder)
    assert environment is not None
    assert (environment.install_s, environment.bytes) == (4.0, 1000)
    assert list_states() == [EnvironmentState.READY, EnvironmentState.ABSENT]
    (torch_folder / environments.RECEIPT).unlink()
    assert environments.read_environment(torch_folder) is None
    assert environments.remove_environments(discover()["torch"]) == 1
    assert not torch_folder.exists()


def cut_receipt(folder: Path) -> None:
    (folder / environments.RECEIPT).write_text('{"install_s": 4.0, "by')


def remove_interpreter(folder: Path) -> None:
    (folder / "bin" / "python").unlink()


def break_interpreter(folder: Path) -> None:
    remove_interpreter(folder)
    (folder / "bin" / "python").symlink_to("/gone/python")


def remove_package(folder: Path) -> None:
    next(folder.glob("lib/*/site-packages/torch-*/METADATA")).unlink()


def replace_receipt(folder: Path) -> None:
    (folder / environments.RECEIPT).unlink()
    os.mkfifo(folder / environments.RECEIPT)


@pytest.mark.parametrize(
    "damage", [cut_receipt, remove_interpreter, break_interpreter, remove_package, replace_receipt]
)
def test_a_broken_environment_is_named_and_made_again(
    torch_folder: Path,
    damage: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(torch_folder)
    assert list_states()[0] == EnvironmentState.BROKEN
    made: list[Path] = []

    def install(plugin: Plugin, kind: str, requirements: Path, folder: Path) -> Environment:
        made.append(folder)
        return Environment(folder / "bin" / "python", 1.0, 1)

    monkeypatch.setattr(environments, "install_environment", install)
    environments.make_environment(discover()["torch"], "cpu")
    assert made == [torch_folder]
    assert "is incomplete and made again" in capsys.readouterr().err


def test_an_environment_is_not_complete_while_it_is_deleted(
    torch_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environments, "remove_folder", crash)
    with pytest.raises(KeyboardInterrupt):
        environments.delete_environment(torch_folder)
    assert list_states()[0] == EnvironmentState.BROKEN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", True),
        ("true", True),
        ("True", True),
        ("yes", True),
        ("on", True),
        ("t", True),
        ("0", False),
        ("no", False),
    ],
)
def test_no_index_is_honoured_in_all_spellings(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", value)
    assert ("--no-index" in pip_settings.build_uv_options(discover()["torch"], "cpu")) == expected


def test_the_folder_of_an_environment_follows_what_is_installed() -> None:
    torch = discover()["torch"]
    recipe = torch.manifest.install["cpu"]

    def folder_with(changed: InstallRecipe) -> Path:
        manifest = replace(torch.manifest, install={"cpu": changed})
        return environments.environment_folder(replace(torch, manifest=manifest), "cpu")

    folder = environments.environment_folder(torch, "cpu")
    assert folder_with(replace(recipe, python="3.12")) != folder
    assert folder_with(replace(recipe, uv=())) != folder
    assert folder_with(replace(recipe, note="where it can run")) == folder


def test_a_missing_build_is_named() -> None:
    torch = discover()["torch"]
    cpu_only = replace(torch, manifest=replace(torch.manifest, install={"cpu": torch.manifest.install["cpu"]}))
    with pytest.raises(MissingError, match="PyTorch has no requirements for cuda"):
        environments.make_environment(cpu_only, "cuda")


def test_a_failed_installation_is_reported_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: str) -> None:
        raise MissingError("no such package")

    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "run_uv", fail)
    backends = [discover()[name] for name in ("torch", "jax", "reference")]
    ready, failures = environments.make_environments(backends, "cpu", {"jax": Path("python")})
    assert ready.keys() == {"jax", "reference"}
    assert ready["jax"].python == Path("python")
    assert failures == {"torch": "its environment could not be made: no such package"}
