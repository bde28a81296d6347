"""A model trained and judged epoch by epoch, and single steps and answers sampled afterwards."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from crossframe.harness.worker import quality
from crossframe.harness.worker.timing import samples, seconds
from crossframe.tasks.spec import QUALITY, EarlyStopping, Task

ENOUGH_EPOCHS = 4  # of which two may be warm-up: a mode that compiles whole epochs compiles two lengths
EVALUATION_CHUNK = 500  # samples; the digits' 360 go through in one


class Diverged(Exception):
    """The loss is no longer a number."""


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """Outputs for all of x, in chunks."""
    chunks = [model.predict(x[start : start + EVALUATION_CHUNK]) for start in range(0, len(x), EVALUATION_CHUNK)]
    return np.concatenate(chunks)


def evaluate(model: Any, task: Task, data: Any, epoch: int) -> dict[str, Any]:
    """Held-out and training loss, and the quality that goes with the loss, after an epoch."""
    outputs = predict(model, data["x_test"])
    loss = quality.mean_loss(task.loss, outputs, data["y_test"])
    if not np.isfinite(loss):
        raise Diverged(f"the held-out loss is {loss} after epoch {epoch}")
    found = quality.measure(task.loss, outputs, data["y_test"])[task.quality]
    # A pass over the training data too would take as long as the epoch, so only where evaluations are rare.
    rare = task.evaluate_every > 1
    train_loss = quality.mean_loss(task.loss, predict(model, data["x_train"]), data["y_train"]) if rare else None
    return {"epoch": epoch, "loss": loss, "train_loss": train_loss, task.quality: found}


def stops_early(rule: EarlyStopping | None, losses: list[float]) -> bool:
    """Whether the last `patience` evaluations brought no loss lower by more than `min_delta`."""
    if rule is None or len(losses) <= rule.patience:
        return False
    return min(losses[-rule.patience :]) > min(losses[: -rule.patience]) - rule.min_delta


def epoch_of(model: Any, batches: list[Any], epoch: int | None) -> dict[str, Any]:
    """An epoch's steps, timed together. When it began stands in the clock by which the parent samples a GPU."""
    began_s = round(time.monotonic(), 6)
    spent_s = seconds(lambda: model.train(batches), model.sync)
    return {"epoch": epoch, "train_s": spent_s, "steps": len(batches), "began_s": began_s}


def train(model: Any, task: Task, data: Any) -> dict[str, Any]:
    """All epochs, by the order of batches in the inputs. Copies to the device stay out of the clock."""
    figures: dict[str, Any] = {"epochs": [], "curve": [], "time_to_target_s": None}
    name, more_is_better = QUALITY[task.loss]
    train_s = 0.0
    for epoch, order in enumerate(data["order"], start=1):
        batches = [model.put(data["x_train"][rows], data["y_train"][rows]) for rows in order]
        model.sync()
        if epoch == 1:
            # The first step compiles, the second shows what is left of that.
            spent = [seconds(lambda b=batch: model.train([b]), model.sync) for batch in batches[:2]]  # type: ignore[misc]
            figures["first_step_s"], figures["second_step_s"] = (*spent, None)[:2]
            batches, train_s = batches[2:], sum(spent)
        if batches:
            figures["epochs"].append(epoch_of(model, batches, epoch))
            train_s += figures["epochs"][-1]["train_s"]
        if epoch == 1:
            figures["after_first_epoch"] = model.weights()
        if epoch % task.evaluate_every == 0 or epoch == len(data["order"]):
            begin = time.perf_counter()
            point = {**evaluate(model, task, data, epoch), "train_s": train_s}
            point["evaluate_s"] = time.perf_counter() - begin
            figures["curve"].append(point)
            reached = point[name] >= task.target if more_is_better else point[name] <= task.target
            if reached and figures["time_to_target_s"] is None:
                figures["time_to_target_s"] = train_s
            if stops_early(task.early_stopping, [point["loss"] for point in figures["curve"]]):
                break
    return figures


def sample_steps(model: Any, data: Any, measures: dict[str, Any]) -> None:
    """Single steps, each to its end; and more epochs, where there were so few that nothing tells the steady ones."""
    batches = [model.put(data["x_train"][rows], data["y_train"][rows]) for rows in data["order"][0]]
    model.sync()
    measures["step_samples_s"] = samples(lambda: model.train(batches[:1]), model.sync, 5, 0.3, 2000)
    measures["epochs"] += [epoch_of(model, batches, None) for _ in range(ENOUGH_EPOCHS - len(measures["epochs"]))]


def sample_inference(model: Any, x_test: np.ndarray, measures: dict[str, Any]) -> None:
    """One sample at a time, and as many as an evaluation takes, each after a warm-up."""
    one, many = x_test[:1], x_test[:EVALUATION_CHUNK]
    for x, name, at_least in ((one, "infer_samples_s", 5), (many, "infer_many_samples_s", 3)):
        samples(lambda x=x: model.predict(x), model.sync, 2, 0.05, 50)  # type: ignore[misc]
        measures[name] = samples(lambda x=x: model.predict(x), model.sync, at_least, 0.15, 1000)  # type: ignore[misc]
    measures["infer_many"] = len(many)
