"""ONNX portability: the accuracy and the speed of exported files in several runtimes."""
