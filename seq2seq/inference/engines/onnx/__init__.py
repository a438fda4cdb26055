"""The network as ONNX graphs, and the engine that runs them."""
