"""The dnn module of OpenCV: the new engine of version 5 or, if that one fails, the classic one."""

from __future__ import annotations

import cv2
import numpy as np


class Session:
    """A `cv2.dnn.Net`. Its facts name the engine."""

    def __init__(self, path: str, threads: int, device: str) -> None:
        cv2.setNumThreads(threads)
        # ENGINE_AUTO does the same, but does not report which engine it chose.
        try:
            self.network = cv2.dnn.readNetFromONNX(path, cv2.dnn.ENGINE_NEW)
            self.facts = {"engine": "new"}
        except cv2.error as error:
            self.network = cv2.dnn.readNetFromONNX(path, cv2.dnn.ENGINE_CLASSIC)
            self.facts = {"engine": "classic", "fallback_reason": " ".join(str(error).split())[:200]}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Do nothing: OpenCV compiles in the first run of a shape."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs in the order of the graph."""
        for name, array in feeds.items():
            self.network.setInput(array, name)
        return [array.copy() for array in self.network.forward(self.network.getUnconnectedOutLayersNames())]
