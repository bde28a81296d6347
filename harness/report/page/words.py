"""The words that the page explains to a first-time reader."""

MARKS = {
    "state": "did not succeed",
    "parity": "not verified equal",
    "dialect": "dialect",
    "onnx": "ONNX export failed",
}
# Ranked metric -> its name in the comparison of two candidates.
COMPARED = {
    "train_samples_per_s": "training speed",
    "time_to_target_s": "time to the target",
    "first_step_s": "first step",
    "infer_latency_s": "inference of one sample",
    "host_peak_bytes": "peak memory",
    "accuracy": "accuracy",
    "mse": "mean squared error",
}
WORDS = {
    "cell": "one framework in one mode, on one task with one batch size, precision and device: a row of the table.",
    "mode": "how a framework executes the network, in the framework's own term: operation by operation, or compiled.",
    "precision": "the format of the numbers that are multiplied; weights are kept in 32 bits where it has fewer.",
    "interval": "two values between which the typical value lies with 95 % confidence. Each cell ran in several "
    "processes, whose values differ by chance; ± is the distance to the farther end. A single process has no interval, "
    "nor have processes that share a seed in a value that depends on the seed alone.",
    "noise": "how much repeated measurements differ by chance. A difference beyond the noise is one that chance does "
    "not explain; with one metric on one workload, chance looks like a difference in at most one of twenty runs.",
    "tier": "a place in the ranking that several cells may share. Only a difference beyond the noise begins a new "
    "tier: every cell in tier 1 may be the best. Too few processes give no tiers.",
    "baseline": "the variant that all others are compared with: 1.5x is one and a half times its value.",
    "parity": "the verification, before anything is measured, that a framework computes the same as slow, exact "
    "arithmetic does from the same weights and data. A cell that fails is shown but not ranked.",
    "dialect": "a detail that a framework computes differently by design, such as where Adam adds its epsilon. It is "
    "declared, and parity is verified with it.",
    "held-out quality": "the quality of the trained network on data that was not used for training: accuracy, or the "
    "mean squared error (mse), where less is better.",
    "ONNX": "the file format in which a trained network is exported, to be run without its framework.",
}
