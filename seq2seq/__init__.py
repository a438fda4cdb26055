"""Machine translation with encoder-decoder RNNs."""
