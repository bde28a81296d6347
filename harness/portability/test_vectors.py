"""What a file is fed and what it should say: batches of many sizes, zeros, large numbers, NaN; the float64 oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.tasks.spec import Arrays, Task

PARTS = (1, 2, 3, 7, 64)  # batch sizes
NARROW = ("batch_1", "batch_2", "batch_3")
LARGE = 1e3
NAN_ROW = 1  # in a batch of three
HELD_OUT = (
    *(f"batch_{size}" for size in PARTS),
    "rest",
    "declared",
)  # the sets that make up the held-out samples between them

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """Inputs by set, and what the oracle says to each; the arrays of a set share their first axis."""

    feeds: dict[str, Feeds]
    wanted: dict[str, list[np.ndarray]]  # no entry where there is no oracle, and for NaN
    rows: dict[str, np.ndarray]  # set -> which samples, of those given
    layers: dict[str, np.ndarray] = field(default_factory=dict)  # what each layer of the task says to `batch_2`

    def narrow(self) -> Reference:
        """The smallest batches alone, for questions that are asked many times."""
        return Reference(
            {name: self.feeds[name] for name in NARROW},
            {name: self.wanted[name] for name in NARROW},
            {name: self.rows[name] for name in NARROW},
        )

    def save(self, path: Path) -> Path:
        """The feeds as one archive, keys `set/input`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = {f"{name}/{entry}": array for name, feeds in self.feeds.items() for entry, array in feeds.items()}
        np.savez(path, **flat)  # type: ignore[arg-type]
        return path


def rows_of_sets(samples: int) -> dict[str, np.ndarray]:
    """Set -> rows: the parts one after another, what is left, and the parts as one; few samples come again."""
    rows = np.resize(np.arange(samples), max(samples, sum(PARTS)))
    ends = np.cumsum(PARTS)
    found = {f"batch_{size}": rows[end - size : end] for size, end in zip(PARTS, ends)}
    if len(rows) > ends[-1]:
        found["rest"] = rows[ends[-1] :]
    return found | {"whole": rows[: ends[-1]]}


def of_samples(inputs: Feeds, outputs: list[np.ndarray] | None) -> Reference:
    """Sets cut from samples: every input, and every output where they are known, has one for each."""
    rows = rows_of_sets(len(next(iter(inputs.values()))))
    feeds = {name: {entry: array[own] for entry, array in inputs.items()} for name, own in rows.items()}
    wanted = {name: [array[own] for array in outputs] for name, own in rows.items()} if outputs else {}
    three = {entry: array[rows["whole"][:3]] for entry, array in inputs.items()}
    feeds["zeros"] = {entry: np.zeros_like(array[:2]) for entry, array in three.items()}
    floats = [entry for entry, array in inputs.items() if array.dtype.kind == "f"]
    if floats:
        feeds["large"] = {entry: array[:2].copy() for entry, array in three.items()}
        feeds["nan"] = {entry: array.copy() for entry, array in three.items()}
        for entry in floats:
            feeds["large"][entry] *= LARGE
            feeds["nan"][entry][NAN_ROW] = np.nan
    return Reference(feeds, wanted, rows)


def of_one(inputs: Feeds, outputs: list[np.ndarray] | None) -> Reference:
    """The inputs as they are, in one set: for a file that takes no other shape."""
    count = len(next(iter(inputs.values()), ()))  # no inputs, no samples
    return Reference({"declared": inputs}, {"declared": outputs} if outputs else {}, {"declared": np.arange(count)})


def of_task(task: Task, weights: Arrays, x: np.ndarray) -> Reference:
    """The task's held-out samples, and the float64 oracle with the trained weights."""
    oracle = reference.prepare(task, weights, "cpu")
    found = of_samples({"x": x.astype(np.float32)}, [oracle.predict(x)])
    wanted = found.wanted | {name: [oracle.predict(found.feeds[name]["x"])] for name in ("zeros", "large")}
    seen = oracle.outputs(found.feeds["batch_2"]["x"].astype(np.float64))
    return replace(found, wanted=wanted, layers={name: value for (name, _, _), value in zip(task.walk(), seen)})
