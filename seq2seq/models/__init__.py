"""Encoder, bridge, decoder, and the translation model they make."""
