"""The environments of backends: where their packages come from, and what decides their folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import Backend, discover
from crossframe.backends.manifest import InstallRecipe
from crossframe.harness.errors import MissingError
from crossframe.harness.machine import environments
from crossframe.harness.machine.environments import EnvironmentState


def test_pip_settings_reach_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nfind-links = /from/file\nextra-index-url = https://one.test/simple https://two.test/simple\n"
        "[install]\ntrusted-host = one.test\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from/variable")
    options = environments.build_uv_options(discover()["torch"], "cpu")
    pairs = list(zip(options[::2], options[1::2]))
    assert ("--find-links", "/from/variable") in pairs
    assert ("--find-links", "/from/file") not in pairs
    indexes = [value for name, value in pairs if name == "--index"]
    assert indexes[-2:] == ["https://one.test/simple", "https://two.test/simple"]
    assert ("--allow-insecure-host", "one.test") in pairs
    assert "--torch-backend" not in options  # the settings of pip decide


def test_without_pip_settings_the_manifest_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "read_pip_settings", dict)
    assert "--torch-backend" in environments.build_uv_options(discover()["torch"], "cpu")


BUILDS = [(backend, kind) for backend in discover().values() for kind in backend.manifest.install]


@pytest.mark.parametrize(("backend", "kind"), BUILDS, ids=lambda value: getattr(value, "name", value))
def test_every_package_of_a_backend_is_pinned(backend: Backend, kind: str) -> None:
    requirements = backend.requirements(kind)
    assert requirements is not None
    lines = [line for line in requirements.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 3
    assert [line for line in lines if "==" not in line] == []


def test_an_environment_is_ready_when_its_receipt_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))
    torch = discover()["torch"]
    folder = environments.environment_folder(torch, "cpu")
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    assert environments.read_environment(folder) is None
    (folder / environments.RECEIPT).write_text('{"install_s": 4.0, "bytes": 1000}')
    environment = environments.read_environment(folder)
    assert environment is not None
    assert (environment.install_s, environment.bytes) == (4.0, 1000)
    rows = environments.list_environments({"torch": torch})
    assert [(row.device, row.state) for row in rows] == [
        ("cpu", EnvironmentState.READY),
        ("cuda", EnvironmentState.ABSENT),
    ]
    assert environments.remove_environments(torch) == 1
    assert not folder.exists()


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
    with pytest.raises(MissingError, match="torch has no requirements for cuda"):
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
