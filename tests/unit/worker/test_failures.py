"""Errors of workers become states."""

import pytest

from crossframe.backends.contract import Unsupported
from crossframe.harness.worker.failures import DivergedError, state_for_error, summarize_error
from crossframe.harness.worker.states import State


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (
            "{{function_node __wrapped__MatMul}} OOM when allocating tensor with shape[8192,8192] [Op:MatMul]",
            State.OUT_OF_MEMORY,
        ),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", State.OUT_OF_MEMORY),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", State.OUT_OF_MEMORY),
        ("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", State.OUT_OF_MEMORY),
        ("CUDA out of memory. Tried to allocate 20.00 GiB.", State.OUT_OF_MEMORY),
        ("RESOURCE_EXHAUSTED: failed to allocate 1.5GiB", State.OUT_OF_MEMORY),
        ("cudaMalloc retry failed: out of memory", State.OUT_OF_MEMORY),
        ("CUDNN_STATUS_EXECUTION_FAILED", State.FAILED),
        ("no layer is called Zoom", State.FAILED),
    ],
)
def test_each_framework_s_message_for_exhausted_memory_is_recognized(message: str, state: State) -> None:
    assert state_for_error(RuntimeError(message)) == state


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MemoryError(), State.OUT_OF_MEMORY),
        (DivergedError("the loss is nan"), State.DIVERGED),
        (Unsupported("out of memory of the phrase kind"), State.UNSUPPORTED),
    ],
)
def test_the_class_of_an_error_precedes_its_message(error: Exception, state: State) -> None:
    assert state_for_error(error) == state


def test_a_summary_is_one_line_of_limited_length() -> None:
    assert summarize_error(ValueError("two\n  lines")) == "ValueError: two lines"
    assert len(summarize_error(ValueError("x" * 1000))) == 500
