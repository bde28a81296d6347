"""Classify digits with a residual network on 3 x 32 x 32 images, which measures convolutions and normalization.

ResNet-8 of He et al. 2016, section 4.2, with projections, and SiLU in place of ReLU: a rectifier behind a batch
normalization amplifies rounding so much that a float32 training can't be verified beyond its first updates.
"""

from dataclasses import replace

from crossframe.tasks.spec import (
    SGD,
    BatchNorm,
    Conv2D,
    CosineSchedule,
    Dense,
    GlobalAveragePool,
    Layer,
    Residual,
    SiLU,
    Task,
)


def convolve(filters: int, size: int = 3, stride: int = 1) -> tuple[Layer, ...]:
    """Return a convolution and its normalization, whose shift replaces the bias."""
    return Conv2D(filters, size, padding=size // 2, stride=stride, bias=False), BatchNorm()


def block(filters: int, stride: int) -> tuple[Layer, ...]:
    """Return a residual block, with a projection where the shape changes, and the activation after it."""
    body = (*convolve(filters, stride=stride), SiLU(), *convolve(filters))
    return Residual(body, convolve(filters, 1, stride) if stride > 1 else ()), SiLU()


STEPS = 22  # in an epoch of the digits
STANDARD = Task(
    name="resnet",
    data="digits",
    input_shape=(3, 32, 32),
    layers=(
        *convolve(16),
        SiLU(),
        *block(16, stride=1),
        *block(32, stride=2),
        *block(64, stride=2),
        GlobalAveragePool(),
        Dense(10),
    ),
    loss="softmax_cross_entropy",
    optimizer=SGD(0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
    epochs=15,
    target=0.98,
    schedule=CosineSchedule(15 * STEPS, warm_up=5 * STEPS),  # with one of a single epoch rounding grows to 5 %
)

PRESETS = {
    "standard": STANDARD,
    "quick": replace(
        STANDARD, input_shape=(3, 16, 16), epochs=3, target=0.9, schedule=CosineSchedule(3 * STEPS, STEPS)
    ),
}
