"""Mistakes in what `save` writes and `load` restores."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays

from .frameworks import forget, framework_of, set_weights
from .wrappers import Entry, Mistake, Wrapper

LOOKS = ("own network",)
SCALE = 2.0**24  # of the loss


class WeightsOnly(Wrapper):
    """A checkpoint of the weights alone, as NumPy arrays."""

    def change(self, name: str, value: np.ndarray) -> np.ndarray | None:
        """Return what is written of a parameter; None for nothing."""
        return value

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        changed = {name: self.change(name, value) for name, value in self.model.weights().items()}
        kept = {name: value for name, value in changed.items() if value is not None}
        np.savez(path / "weights.npz", **kept)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        with np.load(path / "weights.npz", allow_pickle=False) as stored:
            self.restore({name: stored[name] for name in stored.files})

    def restore(self, weights: Arrays) -> None:
        forget(self.model)
        set_weights(self.model, {**self.start, **weights})


def write_part(change: Callable[[str, np.ndarray], np.ndarray | None]) -> Mistake:
    """Return a mistake that changes what is written of a parameter."""
    return type("Part", (WeightsOnly,), {"change": lambda self, name, value: change(name, value)})


class WithoutForgetting(WeightsOnly):
    """The weights are restored, and the optimizer keeps the state that it has."""

    def restore(self, weights: Arrays) -> None:
        set_weights(self.model, weights)


def forget_after_load(**parts: bool) -> Mistake:
    """Return a mistake that restores everything but a part of the optimizer's state."""

    class Forgetful(Wrapper):
        def load(self, path: Path) -> None:
            self.model.load(path)
            forget(self.model, **parts)

    return Forgetful


class InMemory(Wrapper):
    """The checkpoint stays in this process; its files hold nothing that `load` reads."""

    saved: ClassVar[dict[str, Path]] = {}

    def save(self, path: Path) -> None:
        hidden = Path(tempfile.mkdtemp(prefix="crossframe-mistake-"))
        self.model.save(hidden / "checkpoint")
        self.saved[path.name] = hidden / "checkpoint"
        path.mkdir(parents=True, exist_ok=True)
        (path / "model.bin").write_bytes(bytes(1000))

    def load(self, path: Path) -> None:
        if path.name in self.saved:
            self.model.load(self.saved[path.name])


class NothingWritten(InMemory):
    """Nothing is written, and `load` gives the arrays back that this process had."""

    def save(self, path: Path) -> None:
        super().save(path)
        shutil.rmtree(path)


class LoadsFirst(Wrapper):
    """`load` always restores the first checkpoint of the process."""

    first: Path | None = None

    def save(self, path: Path) -> None:
        self.model.save(path)
        if self.first is None:
            self.first = Path(tempfile.mkdtemp(prefix="crossframe-mistake-")) / "checkpoint"
            shutil.copytree(path, self.first)

    def load(self, path: Path) -> None:
        self.model.load(self.first or path)


class LateSnapshot(Wrapper):
    """A thread writes what the model has a moment later."""

    thread: threading.Timer | None = None

    def save(self, path: Path) -> None:
        self.thread = threading.Timer(0.05, self.model.save, [path])
        self.thread.start()

    def load(self, path: Path) -> None:
        if self.thread is not None:
            self.thread.join()
        self.model.load(path)


class SavedInPlace(Wrapper):
    """The checkpoint of the state before the last call."""

    def train(self, batches: Sequence[Batch]) -> None:
        self.stale = Path(tempfile.mkdtemp(prefix="crossframe-mistake-")) / "checkpoint"
        self.model.save(self.stale)
        self.stale_weights = self.model.weights()
        self.model.train(batches)

    def save(self, path: Path) -> None:
        if hasattr(self, "stale_weights"):
            shutil.copytree(self.stale, path, dirs_exist_ok=True)
        else:
            self.model.save(path)


class NothingLoaded(Wrapper):
    """`load` does nothing."""

    def load(self, path: Path) -> None:
        pass


class TrainsOther(Wrapper):
    """After `load`, updates go to the parameters that the optimizer was made with, and those are no longer read."""

    loaded: Any = None

    def load(self, path: Path) -> None:
        self.loaded = self.prepare_correct.fresh(self.task, self.start)
        self.loaded.load(path)

    def weights(self) -> Arrays:
        arrays: Arrays = (self.loaded or self.model).weights()
        return arrays

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = (self.loaded or self.model).predict(x)
        return outputs


class AnswersOld(Wrapper):
    """After `load`, predictions are those of the weights before it until the model is trained again."""

    old: Any = None

    def load(self, path: Path) -> None:
        self.old = self.prepare_correct.fresh(self.task, self.model.weights())
        self.model.load(path)

    def train(self, batches: Sequence[Batch]) -> None:
        self.old = None
        self.model.train(batches)

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = (self.old or self.model).predict(x)
        return outputs


class ScaleForgotten(Wrapper):
    """The loss scale starts again after `load`, so high that gradients overflow and updates are skipped."""

    def load(self, path: Path) -> None:
        self.model.load(path)
        model: Any = self.model
        match framework_of(model):
            case "torch":
                model.loss_scaler.load_state_dict({**model.loss_scaler.state_dict(), "scale": SCALE})
            case "mxnet":
                model.loss_scaler.loss_scale = SCALE
            case "tensorflow":
                model.optimizer.dynamic_scale.assign(SCALE)
            case "jax":
                model.state = model.state._replace(scale=model.state.scale * 0 + SCALE)


def round_half(name: str, value: np.ndarray) -> np.ndarray:
    return value.astype(np.float16).astype(value.dtype)


MISTAKES: dict[str, Entry] = {
    "checkpoint_without_optimizer": Entry(WeightsOnly, "the optimizer's state is not saved", looks=LOOKS),
    "checkpoint_optimizer_goes_on": Entry(WithoutForgetting, "load keeps the optimizer's state as it is", looks=LOOKS),
    "checkpoint_without_moments": Entry(
        forget_after_load(counters=False), "the moments of Adam are not restored", looks=LOOKS
    ),
    "checkpoint_without_counters": Entry(
        forget_after_load(moments=False),
        "the number of updates, for Adam and the schedule, is not restored",
        looks=LOOKS,
    ),
    "checkpoint_in_half_precision": Entry(write_part(round_half), "the weights are saved in float16", looks=LOOKS),
    "checkpoint_without_biases": Entry(
        write_part(lambda name, value: None if name.endswith(".b") else value), "biases are not saved", looks=LOOKS
    ),
    "checkpoint_without_last_layer": Entry(
        write_part(lambda name, value: None if name.startswith("dense2") else value),
        "the last layer is not saved",
        looks=LOOKS,
    ),
    "checkpoint_in_memory": Entry(InMemory, "load works only in the process that saved", looks=LOOKS),
    "checkpoint_nothing_written": Entry(NothingWritten, "save writes no file", looks=LOOKS),
    "checkpoint_first_loaded": Entry(LoadsFirst, "load restores the first checkpoint of the process", looks=LOOKS),
    "checkpoint_written_later": Entry(LateSnapshot, "save returns before the file is written", looks=LOOKS),
    "checkpoint_before_last_call": Entry(SavedInPlace, "save writes what was before the last call", looks=LOOKS),
    "checkpoint_not_loaded": Entry(NothingLoaded, "load does nothing", looks=LOOKS),
    "checkpoint_trains_old": Entry(TrainsOther, "after load the optimizer updates the old arrays", looks=LOOKS),
    "checkpoint_answers_old": Entry(AnswersOld, "after load, predict uses the old weights", looks=LOOKS),
    "checkpoint_without_scale": Entry(
        ScaleForgotten,
        "the loss scale starts again, so high that updates are skipped",
        looks=LOOKS,
        precision="float16",
    ),
}
