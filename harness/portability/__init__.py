"""ONNX portability: where an exported file really runs, how right and how fast."""
