"""``python -m seq2seq``: the command line."""

from __future__ import annotations

from seq2seq.cli import main

main()
