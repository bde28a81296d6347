"""The time of each operator in training, by JAX's own profiler."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from crossframe.backends.contract import Batch, OperatorCost
from crossframe.backends.jax.model import Model

# Lines of a program's text: a kernel and JAX's name of its last operation; a kernel and the computation that is fused
# into it; a computation and XLA's name of its last operation.
OPERATION_NAME = re.compile(r'^ +(?:ROOT )?%?([\w.-]+) = .*op_name="[^"]*/([^"/]+)"', re.MULTILINE)
FUSION = re.compile(r"^ +(?:ROOT )?%?([\w.-]+) = .* fusion\(.*calls=%?([\w.-]+)", re.MULTILINE)
ROOT_OPERATION = re.compile(r"^%?([\w.-]+) \(.*\{\n(?:  .*\n)*?  ROOT .*? ([a-z-]+)\(", re.MULTILINE)
ENCLOSING = ("while", "call", "conditional")  # their time is that of the kernels they run


def profile(model: Model, batches: Sequence[Batch]) -> list[OperatorCost]:
    """Return XLA's kernels, with JAX's (or XLA's) name of the last operation: `ynn_fusion.11 (conv_general_dilated)`.

    Times are those of the thread that ran each kernel, which may have shared the work with others.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # recording Python's own calls takes longer than the calls
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            model.train(batches)
            model.sync()
        (file,) = Path(folder).rglob("*.xplane.pb")
        trace = jax.profiler.ProfileData.from_file(str(file))
    calls: Counter[str] = Counter()
    nanoseconds: Counter[str] = Counter()
    names = name_kernels(model)
    plane_name = "/host:CPU" if model.device.platform == "cpu" else "/device:GPU"
    for plane in (plane for plane in trace.planes if plane.name.startswith(plane_name)):
        for event in (event for line in plane.lines for event in line.events):
            stats: dict[str, Any] = dict(event.stats)
            if "hlo_op" in stats and stats["hlo_op"].partition(".")[0] not in ENCLOSING:
                name = names.get((stats["hlo_module"], stats["hlo_op"]), stats["hlo_op"])
                calls[name] += 1
                nanoseconds[name] += event.duration_ns
    return [OperatorCost(name, calls[name], nanoseconds[name] / 1e9) for name in calls]


def name_kernels(model: Model) -> dict[tuple[str, str], str]:
    """Return (program, kernel) -> kernel and its last operation, for all programs that this process has compiled."""
    names = {}
    for module in (module for program in model.device.client.live_executables() for module in program.hlo_modules()):
        text = module.to_string()
        roots = dict(ROOT_OPERATION.findall(text))
        fused = {kernel: roots[computation] for kernel, computation in FUSION.findall(text) if computation in roots}
        for kernel, operation in (fused | dict(OPERATION_NAME.findall(text))).items():
            names[module.name, kernel] = f"{kernel} ({operation})"
    return names
