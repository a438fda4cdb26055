"""Inference: text in, text out, over an engine that knows how to run the network."""
