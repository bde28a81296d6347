"""A runtime that goes wrong in the way that `FAULT` names, but only on files of more than one node."""

import os
import resource
import signal
import time

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator


class Session:
    def __init__(self, path: str, threads: int, device: str):
        model = onnx.load(path)
        self.facts = {"engine": "faulty"}
        self.fault = os.environ["FAULT"] if len(model.graph.node) > 1 or os.environ["FAULT"] == "broken" else "none"
        if self.fault == "costly":
            self.facts = {"engine": "faulty", "cost": "left to the CPU: Relu"}
        if self.fault == "told":
            limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
            self.facts = {"engine": "faulty", "device": device, "limited": str(limited)}
        if self.fault == "wrong":  # one operator of it
            for node in model.graph.node:
                node.op_type = {"Relu": "Abs"}.get(node.op_type, node.op_type)
        self.evaluator = ReferenceEvaluator(model)

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        if self.fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "greedy":
            np.ones(2**40)
        if self.fault in ("refuse", "broken"):
            raise NotImplementedError("no such operator")
        answers = self.evaluator.run(None, feeds)
        if self.fault == "mixing":  # samples of a batch that know of each other
            answers[0] = answers[0] + 0.1 * answers[0].mean()
        return answers
