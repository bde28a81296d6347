"""The environment variables of workers."""

import pytest

from crossframe.backends import discover
from crossframe.harness.cli import doctor
from crossframe.harness.launch.env_vars import worker_env_vars

# Backend -> a variable that changes what its framework computes, or how fast.
CHANGING = {
    "torch": "TORCHINDUCTOR_MAX_AUTOTUNE",
    "tensorflow": "TF_XLA_FLAGS",
    "jax": "JAX_DEFAULT_MATMUL_PRECISION",
    "mxnet": "MXNET_CUDNN_AUTOTUNE_DEFAULT",
}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set variables in the user's shell."""
    for name in (*CHANGING.values(), "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "9")


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("name", CHANGING)
def test_variables_of_the_shell_do_not_change_what_is_measured(name: str) -> None:
    env_vars = worker_env_vars(discover()[name], 2, "")
    assert CHANGING[name] not in env_vars
    assert env_vars["CUDA_VISIBLE_DEVICES"] == "9"
    # A variable that a backend sets itself remains.
    assert env_vars.get("NVIDIA_TF32_OVERRIDE") == ("0" if name == "mxnet" else None)


@pytest.mark.usefixtures("shell")
def test_a_backend_sets_its_threads_and_keeps_unrelated_variables() -> None:
    backends = discover()
    assert worker_env_vars(backends["tensorflow"], 2, "")["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "JAX_DEFAULT_MATMUL_PRECISION" in worker_env_vars(backends["torch"], 2, "")  # torch does not read it


@pytest.mark.usefixtures("shell")
def test_doctor_lists_the_variables_that_are_not_inherited() -> None:
    (finding,) = [finding for finding in doctor.inspect_machine().findings if finding.id == "variables"]
    assert all(name in finding.text for name in CHANGING.values())
    assert "CUDA_VISIBLE" not in finding.text


def test_cuda_numbers_gpus_as_nvml_does() -> None:
    # By default, CUDA puts the fastest GPU first.
    assert worker_env_vars(discover()["reference"], 1, "")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
