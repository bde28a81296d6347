"""The checks of the contract, and the types of all backends against it."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from crossframe.backends.contract import (
    BackendModule,
    Unsupported,
    check_device,
    check_precision,
    get_ceiling_function,
    get_profile_function,
    joint_device,
    repeat_then_sync,
)

if TYPE_CHECKING:
    import crossframe.backends.jax
    import crossframe.backends.mxnet
    import crossframe.backends.reference
    import crossframe.backends.tensorflow
    import crossframe.backends.torch

    jax: BackendModule = crossframe.backends.jax
    mxnet: BackendModule = crossframe.backends.mxnet
    reference: BackendModule = crossframe.backends.reference
    tensorflow: BackendModule = crossframe.backends.tensorflow
    torch: BackendModule = crossframe.backends.torch

SUPPORTED = ("float32", "tf32")


def test_a_usable_device_passes() -> None:
    check_device("cpu", "frame 1", lambda: pytest.fail("a CPU needs no count of GPUs"))
    check_device("cuda", "frame 1", lambda: 1)
    check_device("cuda:1", "frame 1", lambda: 2)


@pytest.mark.parametrize(
    ("device", "count", "message"),
    [
        ("cuda:0", 0, "frame 1 can use no CUDA device here, not cuda:0"),
        ("cuda:2", 2, "frame 1 can use cuda:0, cuda:1 here, not cuda:2"),
        ("tpu", 1, "frame 1 can use cuda:0 here, not tpu"),
    ],
)
def test_another_device_is_unsupported(device: str, count: int, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        check_device(device, "frame 1", lambda: count)


def test_a_supported_precision_passes() -> None:
    check_precision("float32", SUPPORTED, "cpu")
    check_precision("tf32", SUPPORTED, "cuda:0")


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("tf32", "cpu", "needs an NVIDIA GPU"),
        ("float8", "cpu", "this backend trains in float32, tf32, not in float8"),
        ("float16", "cuda:1", "no half on GPUs"),
        ("float16", "cpu", "this backend trains in"),
    ],
)
def test_another_precision_is_unsupported(precision: str, device: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        check_precision(precision, SUPPORTED, device, {("float16", "cuda"): "no half on GPUs"})


def test_optional_functions() -> None:
    def profile(model: Any, batches: Any) -> list[Any]:
        return []

    with_profile: Any = SimpleNamespace(profile=profile)
    assert get_profile_function(with_profile) is profile
    with pytest.raises(Unsupported, match="this backend has no function `ceiling`"):
        get_ceiling_function(with_profile)


def test_a_joint_device_of_several_is_no_device() -> None:
    assert joint_device(["cuda:0", "cuda:0"]) == "cuda:0"
    assert joint_device(["cuda:0", "cpu", "cuda:0"]) == "cpu and cuda:0"


def test_an_operation_is_repeated_then_synchronized() -> None:
    calls: list[str] = []
    repeat_then_sync(lambda: calls.append("operation"), lambda: calls.append("sync"))(3)
    assert calls == ["operation"] * 3 + ["sync"]
