"""Mistakes in `predict`: answers that are kept, wrong for some sizes, or of another network than the trained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays

from .frameworks import set_weights
from .wrappers import Entry, Mistake, Wrapper, call_after, change_input, change_outputs

LOOKS = ("forward", "predict", "first epoch")


def keep_answers(key: Callable[[np.ndarray], Any], only: Callable[[np.ndarray], bool] = lambda x: True) -> Mistake:
    """Return a mistake that answers as before where `key(x)` is known, for the inputs that `only` names."""

    class Kept(Wrapper):
        def set_up(self) -> None:
            self.answers: dict[Any, tuple[np.ndarray, np.ndarray]] = {}

        def predict(self, x: np.ndarray) -> np.ndarray:
            if not only(x):
                return self.model.predict(x)
            if key(x) not in self.answers:
                self.answers[key(x)] = x, self.model.predict(x)  # x too, so that its id stays taken
            return self.answers[key(x)][1].copy()

    return Kept


class KeptBetweenTrainings(Wrapper):
    """Answers are kept until the model is trained: the same input twice costs nothing."""

    def set_up(self) -> None:
        self.answers: dict[bytes, np.ndarray] = {}

    def train(self, batches: Sequence[Batch]) -> None:
        self.answers = {}
        self.model.train(batches)

    def predict(self, x: np.ndarray) -> np.ndarray:
        if x.tobytes() not in self.answers:
            self.answers[x.tobytes()] = self.model.predict(x)
        return self.answers[x.tobytes()].copy()


def answer_rows(rows: Callable[[int], int], fill: Callable[[np.ndarray, int], np.ndarray]) -> Mistake:
    """Return a mistake that computes the first `rows(n)` of n rows, and the others by `fill(outputs, how many)`."""

    def predict(wrapper: Wrapper, model: Any, x: np.ndarray) -> np.ndarray:
        count = rows(len(x))
        if count >= len(x):
            outputs: np.ndarray = model.predict(x)
            return outputs
        outputs = model.predict(x[: max(count, 1)])[:count]
        return np.concatenate([outputs, fill(outputs, len(x) - count)])

    return call_after("predict", predict)


def fill_zeros(outputs: np.ndarray, count: int) -> np.ndarray:
    return np.zeros((count, *outputs.shape[1:]), outputs.dtype)


def fill_repeated(outputs: np.ndarray, count: int) -> np.ndarray:
    return np.resize(outputs, (count, *outputs.shape[1:]))


class StaleWeights(Wrapper):
    """Predictions by the weights from before the last call of `train`."""

    def train(self, batches: Sequence[Batch]) -> None:
        self.old = self.model.weights()
        self.model.train(batches)

    def predict(self, x: np.ndarray) -> np.ndarray:
        now = self.model.weights()
        set_weights(self.model, vars(self).get("old", now))
        outputs = self.model.predict(x)
        set_weights(self.model, now)
        return outputs


class AveragedWeights(Wrapper):
    """Predictions by a moving average of the weights."""

    def set_up(self) -> None:
        self.average: Arrays = self.model.weights()

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.model.train([batch])
            now = self.model.weights()
            self.average = {name: 0.9 * self.average[name] + 0.1 * now[name] for name in now}

    def predict(self, x: np.ndarray) -> np.ndarray:
        now = self.model.weights()
        set_weights(self.model, self.average)
        outputs = self.model.predict(x)
        set_weights(self.model, now)
        return outputs


class LearnsInPredict(Wrapper):
    """A layer in training mode: each prediction moves the last bias a little."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self.model.predict(x)
        weights = self.model.weights()
        name = [name for name in weights if name.endswith(".b")][-1]
        set_weights(
            self.model, {**weights, name: weights[name] + 1e-3 * outputs.mean(axis=0).ravel()[: weights[name].size]}
        )
        return outputs


class SharedResult(Wrapper):
    """All results of one size lie in the same memory."""

    def set_up(self) -> None:
        self.results: dict[tuple[int, ...], np.ndarray] = {}

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self.model.predict(x)
        shared = self.results.setdefault(outputs.shape, outputs.copy())
        shared[:] = outputs
        return shared


class InitialWeights(Wrapper):
    """Single samples are answered by the network as it was prepared, compiled with its weights as constants."""

    def set_up(self) -> None:
        self.constant = self.prepare_correct.fresh(self.task, self.start)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (self.constant if len(x) == 1 else self.model).predict(x)


def to_probabilities(outputs: np.ndarray) -> np.ndarray:
    if outputs.shape[-1] == 1:
        return np.asarray(1 / (1 + np.exp(-outputs)), outputs.dtype)
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), outputs.dtype)


def standardize(x: np.ndarray) -> np.ndarray:
    """Return the inputs with the statistics of their own batch, as batch normalization in training mode has them."""
    if len(x) < 2:
        return x
    return np.asarray((x - 0.01 * x.mean(axis=0)) / (1 + 0.01 * x.std(axis=0)), x.dtype)


CLASSES = ("circle", "cnn", "lstm")
MISTAKES: dict[str, Entry] = {
    "predict_kept_by_object": Entry(keep_answers(id), "the same array is answered as before", looks=LOOKS),
    "predict_kept_by_content": Entry(
        keep_answers(lambda x: x.tobytes()), "the same input is answered as before", looks=LOOKS
    ),
    "predict_kept_single": Entry(
        keep_answers(lambda x: x.tobytes(), lambda x: len(x) == 1), "single samples are answered as before", looks=LOOKS
    ),
    "predict_kept_by_first_sample": Entry(
        keep_answers(lambda x: (x[:1].tobytes(), len(x)), lambda x: len(x) > 64),
        "large inputs are known by their first sample",
    ),
    "predict_kept_until_trained": Entry(
        KeptBetweenTrainings,
        "an answer is kept until the next update",
        gains=("infer_samples_s", "infer_batch_samples_s"),
    ),
    "predict_limit_500": Entry(answer_rows(lambda n: min(n, 500), fill_zeros), "rows beyond 500 are zero"),
    "predict_limit_256": Entry(
        answer_rows(lambda n: min(n, 256), fill_repeated), "rows beyond 256 repeat the first ones"
    ),
    "predict_multiples_of_8": Entry(
        answer_rows(lambda n: n - n % 8 if n > 8 else n, fill_zeros), "the rows after the last multiple of 8 are zero"
    ),
    "predict_multiples_of_64": Entry(
        answer_rows(lambda n: n - n % 64 if n > 64 else n, fill_repeated),
        "the last short chunk of 64 repeats the first rows",
    ),
    "predict_single_is_initial": Entry(InitialWeights, "single samples are answered with the initial weights"),
    "predict_single_is_zero": Entry(answer_rows(lambda n: n if n > 1 else 0, fill_zeros), "single samples give zero"),
    "predict_first_half": Entry(
        answer_rows(lambda n: (n + 1) // 2 if n >= 64 else n, fill_repeated),
        "half of a large input is computed, and repeated",
    ),
    "predict_probabilities": Entry(
        change_outputs(to_probabilities), "probabilities instead of logits", tasks=CLASSES, looks=LOOKS
    ),
    "predict_in_half_precision": Entry(
        change_outputs(lambda z: z.astype(np.float16).astype(z.dtype)), "outputs are rounded to float16", looks=LOOKS
    ),
    "predict_clipped": Entry(change_outputs(lambda z: z.clip(-3, 3)), "outputs are clipped to ±3"),
    "predict_stale_weights": Entry(StaleWeights, "the weights before the last call are used", looks=("first epoch",)),
    "predict_averaged_weights": Entry(
        AveragedWeights, "a moving average of the weights is used", looks=("first epoch",)
    ),
    "predict_learns": Entry(LearnsInPredict, "a layer in training mode changes with each prediction", looks=LOOKS),
    "predict_shared_result": Entry(SharedResult, "a later result overwrites an earlier one", looks=("first epoch",)),
    "predict_batch_statistics": Entry(
        change_input(standardize, training=False), "inputs are normalized by their own batch", looks=LOOKS
    ),
    "predict_sorted": Entry(
        call_after(
            "predict", lambda self, model, x: np.sort(model.predict(x), axis=0) if len(x) > 100 else model.predict(x)
        ),
        "large inputs are answered in another order",
    ),
    "predict_squeezed": Entry(
        change_outputs(lambda z: z[0] if len(z) == 1 else z), "the batch axis of a single sample is lost"
    ),
    "predict_noisy": Entry(
        change_outputs(lambda z: np.asarray(z * (1 + 1e-4 * np.random.default_rng().normal(size=z.shape)), z.dtype)),
        "outputs differ from call to call by 1e-4",
        looks=LOOKS,
    ),
}
