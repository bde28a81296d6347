"""Classify digits row by row with two LSTM layers over 28 steps of 100, which measures recurrence."""

from dataclasses import replace

from crossframe.tasks.spec import LSTM, Adam, Dense, LastStep, Task

STANDARD = Task(
    name="lstm",
    data="digits",
    input_shape=(28, 100),
    layers=(LSTM(256), LSTM(256), LastStep(), Dense(10)),
    loss="softmax_cross_entropy",
    optimizer=Adam(0.001),
    epochs=6,
    target=0.9,
)

PRESETS = {
    "standard": STANDARD,
    "quick": replace(STANDARD, epochs=1, target=0.5),
    "original": STANDARD,
}
