"""OpenCV's dnn module: the engine that is new in version 5, else the classic one. Which one ran is a fact."""

from __future__ import annotations

import cv2
import numpy as np


class Session:
    def __init__(self, path: str, threads: int, device: str):
        cv2.setNumThreads(threads)
        # Not ENGINE_AUTO, which does the same and does not say which one it took.
        try:
            self.network = cv2.dnn.readNetFromONNX(path, cv2.dnn.ENGINE_NEW)
            self.facts = {"engine": "new"}
        except cv2.error as error:
            self.network = cv2.dnn.readNetFromONNX(path, cv2.dnn.ENGINE_CLASSIC)
            self.facts = {"engine": "classic", "why": " ".join(str(error).split())[:200]}

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Done at the first run of a shape."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        for name, array in feeds.items():
            self.network.setInput(array, name)
        return [array.copy() for array in self.network.forward(self.network.getUnconnectedOutLayersNames())]
