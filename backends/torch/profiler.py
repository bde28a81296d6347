"""The time of each operator in training, by PyTorch's own profiler."""

from __future__ import annotations

from collections.abc import Sequence

from torch import profiler
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from crossframe.backends.contract import Batch, OperatorCost
from crossframe.backends.torch.model import Model


def profile(model: Model, batches: Sequence[Batch]) -> list[OperatorCost]:
    """Return the operators of ATen, autograd and Inductor with their host times; on a GPU, with those of their kernels.

    Inductor's C++ kernels have no rows of their own: their time is part of the compiled graph that calls them.
    """
    on_gpu = model.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profiler.profile(activities=activities) as trace:
        model.train(batches)
        model.sync()
    # A GPU's kernels are in the list as well, under their own names; their time is counted with the operators.
    events = [event for event in trace.key_averages() if event.device_type == DeviceType.CPU]
    if on_gpu:
        return [
            OperatorCost(e.key, e.count, e.self_device_time_total / 1e6) for e in events if e.self_device_time_total
        ]
    return [OperatorCost(e.key, e.count, e.self_cpu_time_total / 1e6) for e in events]
