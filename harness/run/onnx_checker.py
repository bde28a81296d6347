"""The agreement of an exported file with its framework, by onnxruntime in a process of its own.

A file may crash onnxruntime, never end, or need any amount of memory: the process has a limit of memory, is ended after
a limit of time, and is started again for the next file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.harness.console import CONTROLS
from crossframe.harness.launch.child import ChildError, ChildProcess, ChildTimeoutError
from crossframe.harness.launch.leavings import require_model
from crossframe.harness.records.model import OnnxAgreement
from crossframe.harness.runtimes import MEMORY_BYTES
from crossframe.harness.worker.measurements import ExportResult
from crossframe.harness.worker.states import State

ONNX_BATCHES = (1, 3, 64)  # the exporter's example has another size
ONNX_TIMEOUT_S = 120.0  # for one file
REASON_LENGTH = 300  # characters


def run_onnx(path: str, x: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Check a file with onnx.checker and run it by onnxruntime on the CPU; return the outputs for each of ONNX_BATCHES.

    ValueError if they are not arrays of real numbers with the expected shape of each sample.
    """
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    x = x.astype(np.float64 if "double" in entry.type else np.float32)
    answers = [session.run(None, {entry.name: x[:batch]})[0] for batch in ONNX_BATCHES]
    for batch, answer in zip(ONNX_BATCHES, answers):
        if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
            raise ValueError("onnxruntime returns no array of real numbers")
        if answer.shape != (min(batch, len(x)), *shape):
            raise ValueError(
                f"onnxruntime returns outputs of the shape {answer.shape} for {min(batch, len(x))} samples"
            )
    return answers


def try_onnx(path: str, x: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray] | str:
    """Return the result of `run_onnx`, or the message of what it raises."""
    try:
        return run_onnx(path, x, shape)
    except Exception as error:  # onnx and onnxruntime raise many types
        text = CONTROLS.sub("\ufffd", " ".join(str(error).split()))
        return text[:REASON_LENGTH] or type(error).__name__


class OnnxChecker:
    """The process that runs exported files, started when it is needed."""

    def __init__(self, timeout_s: float = ONNX_TIMEOUT_S) -> None:
        self.timeout_s = min(timeout_s, ONNX_TIMEOUT_S)
        self.child = ChildProcess(MEMORY_BYTES, silent=True)  # onnxruntime quotes names of the file

    def close(self) -> None:
        """End the process."""
        self.child.close()

    def request(self, path: Path, x: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray] | str:
        """Return the outputs of a file, or the reason why there are none."""
        try:
            return self.child.call_within(self.timeout_s, try_onnx, str(path), x, shape)
        except ChildTimeoutError:
            return f"onnxruntime did not end after {self.timeout_s:g} s"
        except ChildError:
            return "onnxruntime crashed on the file"

    def check(
        self, export: ExportResult, folder: Path, x: np.ndarray, outputs: np.ndarray, tolerance: float
    ) -> OnnxAgreement:
        """Compare onnxruntime's outputs for x with those of the framework, both (samples, ...).

        `ok` if `model.onnx` in the folder is valid, runs at any batch size, and its largest error relative to the
        largest output is at most `tolerance`.
        """
        state, reason, max_error = self.compare_outputs(folder, x, outputs, tolerance)
        return OnnxAgreement(state, reason, export.export_s, export.onnx_bytes, max_error)

    def compare_outputs(
        self, folder: Path, x: np.ndarray, outputs: np.ndarray, tolerance: float
    ) -> tuple[State, str | None, float | None]:
        """Return (state, reason, largest error); see `check`."""
        try:
            path = require_model(folder)
        except (OSError, ValueError) as error:
            reason = str(error).replace(f"{folder}/", "")
            return State.FAILED, f"there is no file to run: {reason}"[:REASON_LENGTH], None
        answers = self.request(path, x[: max(ONNX_BATCHES)], outputs.shape[1:])
        if isinstance(answers, str):
            return State.FAILED, answers, None
        if not all(np.isfinite(answer).all() for answer in answers):
            return State.FAILED, "the outputs of onnxruntime are not finite numbers", None
        max_error = max(float(np.abs(answer - outputs[: len(answer)]).max()) for answer in answers)
        if not max_error <= tolerance * max(float(np.abs(outputs).max()), 1.0):
            reason = f"the outputs of onnxruntime differ from those of the framework by up to {max_error:.2g}"
            return State.FAILED, reason, max_error
        return State.OK, None, max_error
