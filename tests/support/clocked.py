"""Runs the command line, with a wall clock that jumps by years if SEQ2SEQ_TEST_CLOCK is set."""

from __future__ import annotations

import os
import random
import time

if __name__ == "__main__":
    if os.environ.get("SEQ2SEQ_TEST_CLOCK"):
        jumps = random.Random(1)
        time.time = lambda: jumps.uniform(0.0, 4e9)
        time.time_ns = lambda: int(jumps.uniform(0.0, 4e18))
    from seq2seq.cli.app import main

    main()
