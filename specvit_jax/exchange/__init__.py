"""Networks from and for other programs: the original PyTorch system's checkpoints, ONNX."""
