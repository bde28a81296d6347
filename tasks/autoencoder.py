"""Reproduce digits through a bottleneck of 32 numbers, which measures dense layers."""

from dataclasses import replace

from crossframe.tasks.spec import Adam, Dense, ReLU, Task

STANDARD = Task(
    name="autoencoder",
    data="digits",
    input_shape=(784,),
    layers=(
        Dense(400),
        ReLU(),
        Dense(200),
        ReLU(),
        Dense(32),
        Dense(200),
        ReLU(),
        Dense(400),
        ReLU(),
        Dense(784),
    ),
    loss="mean_squared_error",
    optimizer=Adam(0.001),
    epochs=20,
    target=0.004,
    normalization="unit",
    baseline="pca",
)

PRESETS = {
    "standard": STANDARD,
    "quick": replace(STANDARD, epochs=5, target=0.03),
    "original": STANDARD,
}
