"""The trainings of a measured job that the reference model repeats, as the rows of their batches.

The worker leaves the weights at their ends; `crossframe.harness.run.job_checks` compares them.
"""

from __future__ import annotations

import numpy as np

FIRST_EPOCH = "first epoch"
LATER_EPOCH = "later epoch"  # of the model that was measured, restored to its initial state
ONE_BATCH = "one batch"  # again and again: first as one object on the device, then as new objects of the same content
NEW_SAMPLES = "new samples"  # the first batches, with new values in every second sample of the data, in random order
FEW_BATCHES = 4  # of these
CALLS = (1, 1, 2)  # the number of batches in each call of `train` on one batch


def list_trainings(order: np.ndarray) -> dict[str, np.ndarray]:
    """Return name -> rows (updates, samples), from the order (epochs, batches, samples). All start from the beginning.

    The later epoch of a task of one epoch is its first, which the measurement repeats.
    """
    one = np.repeat(order[0][:1], 2 * sum(CALLS), axis=0)
    return {
        FIRST_EPOCH: order[0],
        LATER_EPOCH: order[1 % len(order)],
        ONE_BATCH: one,
        NEW_SAMPLES: order[0][:FEW_BATCHES],
    }


def draw_factors(samples: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """Return the factors (samples,) that make every second sample a new one; without a generator they are 0.5.

    Among new samples, those that the model was trained on before must count as much as ever.
    """
    new = np.full(samples, 0.5) if generator is None else generator.uniform(0.4, 0.6, samples)
    return np.where(np.arange(samples) % 2, 1.0, new)


def scale_samples(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return x (samples, ...) with each sample times its factor."""
    scaled: np.ndarray = x * factors.astype(x.dtype).reshape(-1, *(1 for _ in x.shape[1:]))
    return scaled


def list_updates(training: str, order: np.ndarray) -> tuple[int, ...]:
    """Return the numbers of updates of a training after which the weights are compared."""
    updates = len(list_trainings(order)[training])
    return (updates // 2, updates) if training == ONE_BATCH else (updates,)
