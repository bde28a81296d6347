"""ONNX portability: exported files in several runtimes, how accurate and how fast they are."""
