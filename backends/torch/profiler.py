"""Where the time of training goes, by PyTorch's own profiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from crossframe.backends.contract import Batch, Operator

if TYPE_CHECKING:
    from crossframe.backends.torch.model import Model


def operators(model: Model, batches: Sequence[Batch]) -> list[Operator]:
    """What ATen, autograd and Inductor ran, by seconds on the host; on a GPU, by seconds of the kernels each started.

    Inductor's C++ kernels have no rows of their own: their time is that of the compiled graph that calls them.
    """
    on_gpu = model.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as seen:
        model.train(batches)
        model.sync()
    # A GPU's kernels stand in the list as well, by names of their own; they are counted with what started them.
    found = [event for event in seen.key_averages() if event.device_type == DeviceType.CPU]
    if on_gpu:
        return [(e.key, e.count, e.self_device_time_total / 1e6) for e in found if e.self_device_time_total]
    return [(e.key, e.count, e.self_cpu_time_total / 1e6) for e in found]
