"""A runtime with the fault that $FAULT names. It shows the fault only on models of more than one node."""

import os
import resource
import signal
import time

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator


class Session:
    """An `onnx.reference.ReferenceEvaluator` with a fault."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        model = onnx.load(path)
        self.facts = {"engine": "faulty"}
        fault = os.environ["FAULT"]
        self.fault = fault if len(model.graph.node) > 1 or fault == "broken" else "none"
        if self.fault == "costly":
            self.facts = {"engine": "faulty", "cost": "operators on the CPU: Relu"}
        if self.fault == "report":  # no fault, but facts about the process
            limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
            self.facts = {"engine": "faulty", "device": device, "limited": str(limited)}
        if self.fault == "wrong":  # one operator is computed as another
            for node in model.graph.node:
                node.op_type = {"Relu": "Abs"}.get(node.op_type, node.op_type)
        self.evaluator = ReferenceEvaluator(model)

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Crash if that is the fault."""
        if self.fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "greedy":
            np.ones(2**40)
        if self.fault in ("refuse", "broken"):
            raise NotImplementedError("no such operator")
        outputs: list[np.ndarray] = self.evaluator.run(None, feeds)
        if self.fault == "mixing":  # samples depend on the other samples of their batch
            outputs[0] = outputs[0] + 0.1 * outputs[0].mean()
        return outputs
