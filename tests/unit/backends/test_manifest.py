"""Manifests: valid ones are read, a mistake in one names the file and the key."""

from pathlib import Path

import pytest

from crossframe.backends import Backend, discover, read_backend
from crossframe.backends.manifest import CONTRACT_VERSION, InstallRecipe, Manifest, ManifestError, read_manifest

VALID = f"""
contract_version = {CONTRACT_VERSION}
title = "Test"
packages = ["test", "numpy"]
modes = ["fast", "slow"]
uncompiled_mode = "slow"
not_inherited = ["TEST_*"]

[facts]
maintained = {{ value = true, date = "2026-11-21", source = "a page" }}

[[known_issues]]
text = "it is slow"
date = "2026-11-22"
source = "a script"

[env_vars]
TEST_THREADS = "{{threads}}"

[install.cpu]
python = "3.11"
requirements = "requirements-cpu.txt"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "requirements-cpu.txt").write_text("test==1\n")
    path = folder / "backend.toml"
    path.write_text(text)
    return path


def test_a_valid_manifest_is_typed(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, VALID), Manifest)
    assert manifest.modes == ("fast", "slow")
    assert manifest.install == {"cpu": InstallRecipe(python="3.11", requirements="requirements-cpu.txt")}
    assert manifest.facts["maintained"].value is True
    assert manifest.onnx_opset == 0
    assert [issue.text for issue in manifest.known_issues] == ["it is slow"]
    backend = read_backend("test", "test", tmp_path)
    assert isinstance(backend, Backend)
    assert backend.has_builds
    assert backend.requirements("cpu") == tmp_path / "requirements-cpu.txt"
    assert backend.requirements("cuda") is None


@pytest.mark.parametrize(
    ("text", "replacement", "message"),
    [
        ("modes =", "modez =", "unknown key `modez`; did you mean `modes`?"),
        ('title = "Test"\n', "", "the key `title` is missing"),
        ('title = "Test"', "title = 3", "`title` must be a string, not 3"),
        ('["fast", "slow"]', '"fast"', "`modes` must be a list, not 'fast'"),
        ('["fast", "slow"]', '["fast", 3]', r"`modes\[1\]` must be a string, not 3"),
        ('["fast", "slow"]', '["fast", "fast"]', "`modes` must be a list of distinct names"),
        ('uncompiled_mode = "slow"', 'uncompiled_mode = "eager"', "`uncompiled_mode` must be one of fast, slow"),
        (
            '"2026-11-22"',
            '"soon"',
            r"`known_issues\[0\].date` must be a date",
        ),
        ('python = "3.11"', "python = 3.11", "`install.cpu.python` must be a string, not 3.11"),
        ("[install.cpu]", "[install.tpu]", "unknown key `install.tpu`"),
        ('"requirements-cpu.txt"', '"other.txt"', "`install.cpu.requirements`: there is no file 'other.txt'"),
        ("{threads}", "{cores}", "`env_vars.TEST_THREADS` may use the placeholders"),
        ("maintained", "maintaned", "unknown key `facts.maintaned`; did you mean `maintained`?"),
        ("value = true", "value = 3", "`facts.maintained.value` must be a string or true or false, not 3"),
        ('"2026-11-21"', '"yesterday"', "`facts.maintained.date` must be a date"),
        (', source = "a page"', "", "the key `facts.maintained.source` is missing"),
        (f"contract_version = {CONTRACT_VERSION}", "contract_version = 99", "implements version 99 of the contract"),
        (f"contract_version = {CONTRACT_VERSION}\n", "", "the key `contract_version` is missing"),
        ('title = "Test"', "title =", "Invalid value"),
    ],
)
def test_a_mistake_names_file_and_key(text: str, replacement: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, VALID.replace(text, replacement))
    with pytest.raises(ManifestError, match=message) as error:
        read_manifest(path, Manifest)
    assert str(error.value).startswith(f"{path}: ")


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"backend\.toml"):
        read_backend("test", "test", tmp_path)


def test_discovery_finds_the_built_in_backends_without_importing_them() -> None:
    backends = discover()
    assert {"jax", "mxnet", "reference", "tensorflow", "torch"} <= backends.keys()
    assert all(backend.manifest.contract_version == CONTRACT_VERSION for backend in backends.values())


def test_a_third_party_backend_may_not_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("torch", "elsewhere", "crossframe.backends")
    monkeypatch.setattr("crossframe.backends.entry_points", lambda group: [point])
    with pytest.raises(ValueError, match="two backends called torch"):
        discover()


def test_an_entry_point_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("mine", "no_such_package.mine", "crossframe.backends")
    monkeypatch.setattr("crossframe.backends.entry_points", lambda group: [point])
    with pytest.raises(ValueError, match=r"no_such_package\.mine, which is not installed"):
        discover()
