"""Corpora: read, cleaned, tokenized, stored as memory-mapped Arrow, and cut into batches."""
