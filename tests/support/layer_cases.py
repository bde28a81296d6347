"""Small networks that together have every layer, with every setting, that is not a matter of a framework's speed."""

from __future__ import annotations

import numpy as np

from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Layer, Task

IMAGE = (4, 8, 8)
CLASSES = 3
END: tuple[Layer, ...] = (spec.Flatten(), spec.Dense(CLASSES))
CONVOLUTIONS: dict[str, spec.Conv2D] = {
    "stride": spec.Conv2D(6, 3, 1, stride=2),
    "projection": spec.Conv2D(6, 1, 0, stride=2, bias=False),
    "wide padding": spec.Conv2D(6, 3, 2),
    "rows and columns": spec.Conv2D(6, 3, ((1, 1), (2, 2))),
    "asymmetric": spec.Conv2D(6, 3, ((0, 1), (2, 0))),
    "asymmetric stride": spec.Conv2D(6, 3, ((0, 1), (0, 1)), stride=2),
    "groups": spec.Conv2D(6, 3, 1, groups=2),
    "depthwise": spec.Conv2D(4, 3, 1, groups=4),
    "asymmetric groups": spec.Conv2D(6, 3, ((0, 1), (1, 0)), groups=2, stride=2),
    "dilation": spec.Conv2D(6, 3, 2, dilation=2),
    "dilated groups": spec.Conv2D(6, 3, 2, dilation=2, groups=2),
    "dilated stride": spec.Conv2D(6, 3, 2, dilation=2, stride=2),
}
ACTIVATIONS: dict[str, Layer] = {
    "ReLU": spec.ReLU(),
    "LeakyReLU": spec.LeakyReLU(0.1),
    "ELU": spec.ELU(),
    "Sigmoid": spec.Sigmoid(),
    "Tanh": spec.Tanh(),
    "SiLU": spec.SiLU(),
    "GELU": spec.GELU(),
    "GELU by tanh": spec.GELU(approximate=True),
    "Softplus": spec.Softplus(),
}


def convolve(filters: int, stride: int = 1) -> tuple[Layer, ...]:
    return spec.Conv2D(filters, 3, 1, stride=stride, bias=False), spec.BatchNorm()


CASES: dict[str, tuple[Layer, ...]] = {
    **{f"convolution, {name}": (layer, *END) for name, layer in CONVOLUTIONS.items()},
    **{f"activation {name}": (spec.Flatten(), spec.Dense(9), layer, *END) for name, layer in ACTIVATIONS.items()},
    "activations of images": (spec.Conv2D(6, 3, 1), spec.SiLU(), spec.Conv2D(6, 3, 1), spec.Tanh(), *END),
    "average pooling": (spec.Conv2D(6, 3, 1), spec.AveragePool2D(2), *END),
    "global average pooling": (spec.Conv2D(6, 3, 1), spec.GlobalAveragePool(), spec.Dense(CLASSES)),
    "batch normalization": (*convolve(6), spec.Tanh(), *END),
    "settings of batch normalization": (
        spec.BatchNorm(1e-2, 0.7), spec.Conv2D(6, 3, 1, bias=False), spec.BatchNorm(1e-3, 0.99), spec.SiLU(), *END,
    ),
    "residual": (spec.Residual((*convolve(4), spec.SiLU(), *convolve(4))), spec.SiLU(), *END),
    "residual with projection": (
        spec.Residual(
            (*convolve(6, 2), spec.Tanh(), *convolve(6)),
            (spec.Conv2D(6, 1, 0, stride=2, bias=False), spec.BatchNorm()),
        ),
        spec.GlobalAveragePool(), spec.Dense(CLASSES),
    ),
    "residual in residual": (
        spec.Residual((spec.Residual((spec.Conv2D(4, 3, 1), spec.Tanh())), spec.Conv2D(4, 3, 1))), *END,
    ),
    "residual of dense layers": (
        spec.Flatten(), spec.Dense(7), spec.Residual((spec.Dense(7), spec.Tanh())), spec.Dense(CLASSES),
    ),
}  # fmt: skip


def make_task(name: str) -> Task:
    """Return a task with the network of a case, Nesterov's momentum and a cosine with warm-up."""
    optimizer = spec.SGD(0.1, momentum=0.9, weight_decay=1e-2, nesterov=True)
    schedule = spec.CosineSchedule(6, warm_up=2)
    return Task(
        name, "digits", IMAGE, CASES[name], "softmax_cross_entropy", optimizer, 1, 0.0, schedule=schedule, batch_size=8
    )


def draw_arrays(task: Task) -> Arrays:
    """Return drawn parameters and buffers, of which none has its usual initial value."""
    generator = np.random.default_rng(0)
    arrays = {}
    for name, value in spec.initial_weights(task, 0).items():
        drawn = np.asarray(value + 0.2 * generator.normal(size=value.shape), np.float32)
        arrays[name] = np.maximum(drawn, 0.5) if name.endswith("variance") else drawn
    return arrays


def draw_batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return batches of eight images and labels."""
    generator = np.random.default_rng(1)
    return [
        (generator.normal(size=(8, *IMAGE)).astype(np.float32), generator.integers(0, CLASSES, 8)) for _ in range(count)
    ]
