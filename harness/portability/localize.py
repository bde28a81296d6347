"""Whose fault, and where: the first node that parts from the oracle, and a file as small as can be that shows it.

Where another runtime gets the file right, the accused one is at fault, and bisecting graphs cut short finds the node.
Where none does, the file is: of the oracle's layers some is computed nowhere in it, and the node behind the last tensor
that the oracle knows is named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from crossframe.harness.portability import surgery
from crossframe.harness.portability.matrix import Bench
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.test_vectors import Feeds, Reference
from crossframe.harness.portability.verdict import TOLERANCE
from crossframe.tasks.spec import Arrays

TRUSTED = ("onnxruntime", "reference_evaluator")


def close(got: np.ndarray, want: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers; a NaN is close to a NaN."""
    if got.shape != want.shape:
        return False
    scale = float(np.abs(want[np.isfinite(want)]).max(initial=0.0)) or 1.0
    return bool(np.allclose(got, want, rtol=0, atol=TOLERANCE * scale, equal_nan=True))


def same_numbers(got: np.ndarray, want: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers in any layout."""
    return got.size == want.size and close(np.sort(got, axis=None), np.sort(want, axis=None))


class Search:
    """One accused file and runtime, and what a trusted runtime has for every tensor in the file."""

    def __init__(self, bench: Bench, subject: Subject, runtime: str):
        self.bench, self.subject, self.runtime = bench, subject, runtime
        self.set = "batch_2" if "batch_2" in subject.reference.feeds else "declared"
        self.folder = bench.folder / "reproducers" / f"{subject.key}-{runtime}"
        self.model = onnx.load(subject.path)
        self.names = surgery.tensors(self.model)
        self.fed = surgery.depending(self.model)
        feeds = self.feeds = subject.reference.feeds[self.set]
        others = [name for name in TRUSTED if name in bench.ready and name not in bench.failed and name != runtime]
        found = (self.run(self.model, feeds, self.names, name) for name in others)
        self.values: Arrays = next((values for values in found if values), {})

    def run(self, model: ModelProto, feeds: Feeds, names: list[str], runtime: str) -> Arrays:
        """Tensor -> value by a runtime, {} where it does not run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "searched.onnx"
        onnx.save(surgery.ending_in(model, names), path)
        archive = Reference({self.set: feeds}, {}, {}).save(self.folder / "feeds.npz")
        asked = replace(self.subject, path=path, feeds=archive, variant="searched")
        _, _, outputs = self.bench.run(asked, runtime)
        return {
            name: outputs[f"{self.set}/{number}"]
            for number, name in enumerate(names)
            if f"{self.set}/{number}" in outputs
        }

    def parts(self, name: str) -> bool:
        """Whether the accused runtime, asked for this tensor alone, says something else than the trusted one."""
        got = self.run(self.model, self.feeds, [name], self.runtime)
        return name in got and not close(got[name], self.values[name])

    def bisect(self, names: list[str]) -> str:
        """The tensor at which agreement turns into difference; the last one is known to differ."""
        low, high = -1, len(names) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.parts(names[middle]) else (middle, high)
        return names[high]

    def lost(self, names: list[str]) -> tuple[str, str]:
        """(the tensor behind the last that the oracle knows, the layer that is computed nowhere)."""
        layers = {"input": next(iter(self.feeds.values())), **self.subject.reference.layers}
        known = {
            layer: [place for place, name in enumerate(names) if same_numbers(self.values[name], want)]
            for layer, want in layers.items()
        }
        missing = next((layer for layer in self.subject.reference.layers if not known[layer]), "the last layer")
        before = list(layers)[: list(layers).index(missing)] if missing in layers else list(layers)
        last = max((place for layer in before for place in known[layer]), default=-1)
        return names[min(last + 1, len(names) - 1)], missing

    def node_of(self, name: str) -> NodeProto:
        return next(node for node in self.model.graph.node if name in node.output)

    def reproducer(self, node: NodeProto) -> str:
        """The node alone with what it is fed, or, where that shows nothing, the file up to it."""
        small, feeds = surgery.alone(self.model, node, self.values | self.feeds, self.fed)
        onnx.save(small, self.folder / "model.onnx")
        want = {f"output/{name}": self.values[name] for name in node.output if name in self.values}
        np.savez(self.folder / "io.npz", **{f"input/{name}": array for name, array in feeds.items()}, **want)  # type: ignore[arg-type]
        return str(self.folder / "model.onnx")


def blame(bench: Bench, subject: Subject, runtime: str) -> dict[str, Any] | None:
    """{node, operator, why, reproducer}; None where no trusted runtime runs the file, so that nothing can be told."""
    search = Search(bench, subject, runtime)
    if not search.values or search.set not in subject.reference.wanted:
        return None
    floats = [n for n in search.names if n in search.fed and search.values[n].dtype.kind == "f"]
    last = search.values[search.model.graph.output[0].name]
    if close(last, subject.reference.wanted[search.set][0]):
        tensor = search.bisect(floats)
        why = f"{runtime} parts there from what another runtime computes"
    else:
        tensor, layer = search.lost(floats)
        why = f"the file itself: {layer} is computed nowhere in it"
    node = search.node_of(tensor)
    made = search.reproducer(node)
    return {"node": node.name or tensor, "operator": node.op_type, "why": why, "reproducer": made}
