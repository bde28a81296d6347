"""How far outputs lie from the oracle's: distances, labels, and the task's measure of quality. NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossframe.tasks.spec import Loss

SUITE = (1e-3, 1e-7)  # relative and absolute tolerance of the ONNX project's own backend tests


def distances(got: np.ndarray, want: np.ndarray) -> dict[str, Any]:
    """Of float32 outputs from float64 ones: largest absolute, the same by the largest output, ULP, cosine."""
    if got.shape != want.shape:
        raise ValueError(f"shape {got.shape} where {want.shape} belongs")
    gap = np.abs(got.astype(np.float64) - want)
    if not np.isfinite(gap).all():
        raise ValueError("numbers that are not finite, where the oracle's are")
    largest = float(np.abs(want).max(initial=0.0))
    norms = np.linalg.norm(got.astype(np.float64)) * np.linalg.norm(want)
    spacing = np.spacing(np.maximum(np.abs(want), np.finfo(np.float32).tiny).astype(np.float32))
    return {
        "max_abs": float(gap.max(initial=0.0)),
        "scaled": float(gap.max(initial=0.0)) / (largest or 1.0),
        "max_ulp": float((gap / spacing).max(initial=0.0)),
        "cosine": float(np.sum(got * want) / norms) if norms else 1.0,
        "onnx_suite": bool(np.allclose(got, want, *SUITE)),
    }


def labels(loss: Loss, outputs: np.ndarray) -> np.ndarray | None:
    """The decisions that outputs mean; None where the task decides nothing."""
    if loss == "mean_squared_error":
        return None
    return outputs[:, 0] > 0 if loss == "binary_cross_entropy" else outputs.argmax(axis=1)


def margins(loss: Loss, outputs: np.ndarray) -> np.ndarray:
    """By how much each decision was taken: a tie is one closer than twice the error of a float32 network."""
    if loss == "binary_cross_entropy":
        return 2 * np.abs(outputs[:, 0])
    ordered = np.sort(outputs, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def decisions(loss: Loss, got: np.ndarray, want: np.ndarray, own_error: float) -> dict[str, int] | None:
    """{labels, ties, flips}: how many decisions, how many within the framework's own error, how many others differ."""
    ours, theirs = labels(loss, want), labels(loss, got)
    if ours is None or theirs is None:
        return None
    ties = margins(loss, want) <= 2 * own_error
    return {"labels": len(ours), "ties": int(ties.sum()), "flips": int(((ours != theirs) & ~ties).sum())}


def nan_behaviour(got: np.ndarray, clean: np.ndarray, row: int) -> str:
    """What became of a sample of NaN at `row` of a batch: `kept`, `swallowed`, or `spread` to its neighbours."""
    others = np.delete(np.arange(len(got)), row)
    if not np.allclose(got[others], clean[others], rtol=1e-3, atol=1e-4 * float(np.abs(clean).max(initial=1.0))):
        return "spread"
    return "kept" if np.isnan(got[row]).any() else "swallowed"
