"""ONNX Runtime on an NVIDIA GPU, in float32. A silent fallback to the CPU, its default behaviour, is an error."""

from __future__ import annotations

import numpy as np
import onnxruntime

PROVIDER = "CUDAExecutionProvider"
# ONNX Runtime deliberately keeps shape arithmetic on the CPU, where the results are needed to launch kernels. It
# reports operators without types, so that an addition of data that stays on the CPU is not noticed.
SHAPE_OPERATORS = {
    *("Shape", "Size", "Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Cast", "Range"),
    *("Constant", "ConstantOfShape", "Add", "Sub", "Mul", "Div", "Equal", "Where", "ReduceProd"),
}


class Session:
    """An `onnxruntime.InferenceSession` on one GPU."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        onnxruntime.preload_dlls(directory="")  # the CUDA libraries of this environment, which the loader does not find
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        # TF32, the default, has a mantissa of 10 bits instead of 23.
        cuda = (PROVIDER, {"device_id": device.partition(":")[2], "use_tf32": "0"})
        self.session = onnxruntime.InferenceSession(path, options, [cuda, "CPUExecutionProvider"], enable_fallback=0)
        assigned = [(part.ep_name, node.op_type) for part in self.partitions() for node in part.get_nodes()]
        # Without CUDA libraries, driver or GPU, ONNX Runtime only writes to its log and uses the CPU.
        if all(provider != PROVIDER for provider, _ in assigned):
            raise RuntimeError(f"no operator of the file runs on {device}: see the log for the reason")
        self.facts = {"engine": PROVIDER, "device": device}
        on_cpu = sorted({operator for provider, operator in assigned if provider != PROVIDER} - SHAPE_OPERATORS)
        if on_cpu:
            self.facts["cost"] = f"operators on the CPU: {', '.join(on_cpu)}"

    def partitions(self) -> list[onnxruntime.capi.onnxruntime_pybind11_state.OrtEpAssignedSubgraph]:
        """Return the parts of the graph, each with the provider that runs it."""
        return list(self.session.get_provider_graph_assignment_info())

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Do nothing: the file was compiled while it was loaded."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        outputs: list[np.ndarray] = self.session.run(None, feeds)
        return outputs
