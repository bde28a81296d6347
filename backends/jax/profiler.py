"""Where the time of training goes, by JAX's own profiler."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from crossframe.backends.contract import Batch, Operator

if TYPE_CHECKING:
    from crossframe.backends.jax.model import Model

# In a program's text: a kernel with JAX's own name of what it ends in, a kernel with the computation that was fused
# into it, and a computation with XLA's name of what it ends in.
NAMED = re.compile(r'^ +(?:ROOT )?%?([\w.-]+) = .*op_name="[^"]*/([^"/]+)"', re.MULTILINE)
FUSED = re.compile(r"^ +(?:ROOT )?%?([\w.-]+) = .* fusion\(.*calls=%?([\w.-]+)", re.MULTILINE)
ENDS = re.compile(r"^%?([\w.-]+) \(.*\{\n(?:  .*\n)*?  ROOT .*? ([a-z-]+)\(", re.MULTILINE)
ENCLOSING = ("while", "call", "conditional")  # their time is that of what they run


def operators(model: Model, batches: Sequence[Batch]) -> list[Operator]:
    """XLA's kernels, each with what it ends in by JAX's name: `ynn_fusion.11 (conv_general_dilated)`, or by XLA's.

    Seconds of the thread that ran each, which may have shared the work with others.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python's own calls would take longer to write down than they take
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            model.train(batches)
            model.sync()
        (file,) = Path(folder).rglob("*.xplane.pb")
        trace = jax.profiler.ProfileData.from_file(str(file))
    calls: Counter[str] = Counter()
    nanoseconds: Counter[str] = Counter()
    names = primitives(model)
    where = "/host:CPU" if model.device.platform == "cpu" else "/device:GPU"
    for plane in (plane for plane in trace.planes if plane.name.startswith(where)):
        for event in (event for line in plane.lines for event in line.events):
            stats: dict[str, Any] = dict(event.stats)
            if "hlo_op" in stats and stats["hlo_op"].partition(".")[0] not in ENCLOSING:
                name = names.get((stats["hlo_module"], stats["hlo_op"]), stats["hlo_op"])
                calls[name] += 1
                nanoseconds[name] += event.duration_ns
    return [(name, calls[name], nanoseconds[name] / 1e9) for name in calls]


def primitives(model: Model) -> dict[tuple[str, str], str]:
    """(XLA's program, its kernel) -> the kernel and what it ends in, of all that this process has compiled."""
    found = {}
    for module in (module for program in model.device.client.live_executables() for module in program.hlo_modules()):
        text = module.to_string()
        ends = dict(ENDS.findall(text))
        fused = {kernel: ends[computation] for kernel, computation in FUSED.findall(text) if computation in ends}
        for kernel, end in (fused | dict(NAMED.findall(text))).items():
            found[module.name, kernel] = f"{kernel} ({end})"
    return found
