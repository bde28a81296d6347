"""The measurement of a ceiling, by a backend whose operations take a known time."""

import time
from types import ModuleType
from typing import Any

import pytest

from crossframe.backends.contract import Model, RepeatedOperation, Unsupported
from crossframe.harness.worker import ceiling

pytestmark = pytest.mark.frameworks  # starts processes for seconds

SIDE, SIZE = ceiling.SIZES["cuda"]
PRODUCT_S, COPY_S = 0.002, 0.05


class TimedBackend:
    """A backend whose product takes 2 ms and whose copy takes 50 ms, except that the first call of each is slow."""

    def __init__(self) -> None:
        self.peak_bytes = 2 * SIZE
        self.calls: dict[str, list[int]] = {"product": [], "copy": []}

    def ceiling(self, model: Any, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
        assert (side, size) == ceiling.SIZES["cuda"]
        return self.make_operation("product", PRODUCT_S), self.make_operation("copy", COPY_S)

    def make_operation(self, name: str, once_s: float) -> RepeatedOperation:
        def repeat(times: int) -> None:
            self.calls[name].append(times)
            time.sleep(times * once_s if len(self.calls[name]) > 1 else 0.2)

        return repeat

    def device_peak_bytes(self) -> int:
        return self.peak_bytes


def measure(backend: Any, device: str) -> tuple[float, float]:
    """Return the ceiling of a backend that is its own model."""
    model: Model = backend
    return ceiling.measure_ceiling(backend, model, device)


def test_the_ceiling_is_of_a_product_and_of_a_copy_that_is_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "PIPELINED_S", 0.05)
    backend = TimedBackend()
    flops_per_s, bytes_per_s = measure(backend, "cuda:1")
    assert flops_per_s == pytest.approx(2 * SIDE**3 / PRODUCT_S, rel=0.3)
    assert bytes_per_s == pytest.approx(2 * SIZE / COPY_S, rel=0.1)
    # Short operations are requested several at a time, so that a GPU need not wait for the next request.
    assert max(backend.calls["product"]) > 1
    assert set(backend.calls["copy"]) == {1}


def test_a_copy_that_was_not_on_the_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "SAMPLED_S", 0.0)
    backend = TimedBackend()
    backend.peak_bytes -= 1
    with pytest.raises(RuntimeError, match="requested a copy on cuda:1"):
        measure(backend, "cuda:1")


def test_a_backend_without_the_function_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="no function `ceiling`"):
        measure(ModuleType("bare"), "cpu")
