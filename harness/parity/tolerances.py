"""How far a correct backend may be from the reference model: tolerances, each with the largest measured error."""

from __future__ import annotations

from crossframe.harness.parity.probe_design import has_pooling
from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.tasks.spec import LSTM, BatchNorm, Task

# Where the error of a correct backend exceeds a tolerance, it is at most 2.0 times the cost of rounding (the loss of
# the cnn after 21 updates, in one of 20 seeds; the next largest is 1.1).
ROUNDING_FACTOR = 3.0
# With batch normalization, a larger cost of rounding in float32 excuses nothing. Before rectifiers it amplifies
# rounding so much (ResNet-8 with ReLU: 5 % in 4 updates, 50 % in 22) that any mistake would pass. With SiLU it is 3e-3
# in the first update, where scales of one hardly move by more than their own rounding, and 5e-5 in 22.
MOST_ROUNDING = 0.01
TOLERANCES: dict[str, dict[str, float]] = {
    "float32": {"outputs": 1e-5, "loss": 1e-4, "gradient": 1e-4, "weights": 1e-4},
    "float64": {"outputs": 1e-10, "loss": 1e-10, "gradient": 1e-10, "weights": 1e-10},
    "tf32": {"outputs": 2.5e-3, "loss": 2.5e-3, "gradient": 4e-3, "weights": 1.25e-2},
    "float16": {"outputs": 2.5e-3, "loss": 2.5e-3, "gradient": 4e-3, "weights": 1.25e-2},
    # Measured where ROUNDING_FACTOR does not cover it: outputs 1.4e-2 (lstm), loss 6e-3 (lstm), weights 4.8e-2 (circle,
    # 20 updates). The errors of planted mistakes begin at 0.32, except in odd batches of a network with pooling, whose
    # tolerance is larger than that. TF32 and float16 have three more bits, so their tolerances are an eighth of these.
    "bfloat16": {"outputs": 2e-2, "loss": 2e-2, "gradient": 3e-2, "weights": 1e-1},
}
# In TF32, float16 and bfloat16 recurrence amplifies its own rounding, step after step. One sign of a gradient next to
# zero among the 1,024 numbers of a bias is 6e-2 of a first step of Adam. Measured: 5.4e-2, 4.8 times the cost of
# rounding (lstm2.b, one update). In float32 and float64 the rounding of an LSTM is that of other layers (outputs 6e-7).
RECURRENT: dict[str, dict[str, float]] = {
    "tf32": {"weights": 1.2e-1},
    "float16": {"weights": 1.2e-1},
    "bfloat16": {"weights": 2e-1},
}
# Over the first epoch of real data the optimizer has the epsilon of the task: the first step of Adam is the sign of the
# gradient, which rounding decides where the gradient is nearly zero. Measured: 1.3e-3, in one of six seeds (lstm2.b,
# one update).
EPOCH_TOLERANCES: dict[str, dict[str, float]] = {
    "float32": {"outputs": 1e-3, "loss": 1e-3, "weights": 4e-3},
    "float64": {"outputs": 1e-9, "loss": 1e-9, "weights": 1e-9},
}
# In the first epoch of a measured job, at the rate of the task and without noise on the data, rounding decides which of
# the nearly equal values of a pooling window is the largest, and each such decision sends a gradient elsewhere.
# Measured in float32 (cnn, 22 updates): weights up to 9e-3, outputs 4e-3, loss 3e-3, where the cost of rounding in the
# reference model is 2e-6 or 3e-3, depending on chance.
POOLED: dict[str, dict[str, float]] = {
    "float32": {"outputs": 2e-2, "loss": 1e-2, "weights": 3e-2},
    "float64": {"outputs": 1e-9, "loss": 1e-9, "weights": 1e-9},
}
# In bfloat16 more values of a pooling window are nearly equal. Measured: weights up to 0.34 after a batch of one
# sample, where one such decision matters most (2.7 times the cost of rounding), and 0.08 over the epoch.
POOLED_ODD_BATCHES_BFLOAT16 = {"weights": 4e-1}
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}

# Two runs from the same start agree to the last bit on the CPU. On a GPU they may differ: atomic additions sum in any
# order, and a kernel chosen by trial may be another one the next time; settings that forbid this would also forbid the
# kernels that are to be measured. There, two runs may differ by a tenth of the tolerance, or by the cost of rounding.
# No GPU was measured. On the CPU, with the samples of a batch in another order, two runs differ by at most 0.5 times
# the cost of rounding in the reference model (cnn, float32), 1.8e-5 (lstm), 1e-15 in float64.
REPEATS_SHARE = 0.1


def hides_mistakes(task: Task, precision: str, rounding: float) -> bool:
    """Return whether so large a cost of rounding would let mistakes pass; float64 can verify such a network."""
    return precision == "float32" and task.has(BatchNorm) and rounding > MOST_ROUNDING


def repeat_tolerance(precision: str, rounding: float | None) -> float:
    """Return how far two runs from the same start may differ on a GPU; `rounding` is the cost of rounding, if known."""
    return max(REPEATS_SHARE * TOLERANCES[precision]["weights"], ROUNDING_FACTOR * (rounding or 0.0))


def tolerances_for(probe: Probe, precision: str, updates: int) -> dict[str, float]:
    """Return the tolerance of each kind of check of a probe, after so many updates."""
    tolerances = TOLERANCES[precision] | (RECURRENT.get(precision, {}) if probe.task.has(LSTM) else {})
    if updates:
        tolerances = tolerances | {"outputs": tolerances["weights"]}  # outputs inherit the error of the weights
    if probe.name == EPOCH and updates:
        tolerances = tolerances | EPOCH_TOLERANCES.get(precision, {})
        if not probe.batches and has_pooling(probe.task):  # a measured job, no probe
            tolerances = tolerances | POOLED.get(precision, {})
    if updates and precision == "bfloat16" and probe.name == "odd batches" and has_pooling(probe.task):
        tolerances = tolerances | POOLED_ODD_BATCHES_BFLOAT16
    return tolerances
