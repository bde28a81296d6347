"""onnxruntime on an NVIDIA card, in float32; never on the CPU in its stead, which is what it does by itself."""

from __future__ import annotations

import numpy as np
import onnxruntime

PROVIDER = "CUDAExecutionProvider"
# onnxruntime leaves the arithmetic of shapes to the CPU on purpose, where its numbers are needed to start kernels. It
# tells names and no types, so that an addition of data that is left there goes unnoticed.
OF_SHAPES = {
    *("Shape", "Size", "Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Cast", "Range"),
    *("Constant", "ConstantOfShape", "Add", "Sub", "Mul", "Div", "Equal", "Where", "ReduceProd"),
}


class Session:
    def __init__(self, path: str, threads: int, device: str):
        onnxruntime.preload_dlls(directory="")  # CUDA's libraries lie in this environment, where no loader looks
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors alone
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        # TF32, its default, keeps 10 bits of a float32's 23.
        cuda = (PROVIDER, {"device_id": device.partition(":")[2], "use_tf32": "0"})
        self.session = onnxruntime.InferenceSession(path, options, [cuda, "CPUExecutionProvider"], enable_fallback=0)
        parts = [(part.ep_name, node.op_type) for part in self.assigned() for node in part.get_nodes()]
        # Without its libraries, a driver or a card it says so in its log alone, and takes the CPU.
        if all(provider != PROVIDER for provider, _ in parts):
            raise RuntimeError(f"no operator of the file is on {device}: its log says why")
        self.facts = {"engine": PROVIDER, "device": device}
        left = sorted({operator for provider, operator in parts if provider != PROVIDER} - OF_SHAPES)
        if left:
            self.facts["cost"] = f"left to the CPU: {', '.join(left)}"

    def assigned(self) -> list[onnxruntime.capi.onnxruntime_pybind11_state.OrtEpAssignedSubgraph]:
        """The parts of the graph, each with the provider that runs it."""
        return self.session.get_provider_graph_assignment_info()

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Done on reading."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.session.run(None, feeds)
