"""Classify digits with a small convolutional network on 3 x 24 x 24 images, which measures compute kernels."""

from dataclasses import replace

from crossframe.tasks.spec import SGD, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Task

STANDARD = Task(
    name="cnn",
    data="digits",
    input_shape=(3, 24, 24),
    layers=(
        Conv2D(32, size=3, padding=1),
        ReLU(),
        MaxPool2D(2),
        Conv2D(64, size=3, padding=1),
        ReLU(),
        MaxPool2D(2),
        Flatten(),
        Dense(128),
        ReLU(),
        Dense(10),
    ),
    loss="softmax_cross_entropy",
    optimizer=SGD(0.01, momentum=0.9),
    epochs=15,
    target=0.95,
)

PRESETS = {
    "standard": STANDARD,
    "quick": replace(STANDARD, epochs=3, target=0.9),
    "original": replace(STANDARD, optimizer=SGD(0.001, momentum=0.9)),
}
