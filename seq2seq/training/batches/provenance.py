"""Where training pairs come from, in the words of messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2seq.data.batching import Ints

SHOWN_LINES = 20  # of a batch, in messages


@dataclass(frozen=True)
class Lines:
    """Lines of the training text.

    Attributes:
        numbers: Line numbers (B,), from 1, in their corpora.
        corpora: The corpus of each; None where there is but one.
    """

    numbers: Ints
    corpora: list[str] | None = None

    def told(self) -> str:
        """The lines in words, some of many.

        Returns:
            Such as "lines 3, 4 of the training text", or "line 3 of news; line 4 of talks".
        """
        if self.corpora is None:
            return f"{_some(self.numbers, SHOWN_LINES)} of the training text"
        names = list(dict.fromkeys(self.corpora))
        shown = max(1, SHOWN_LINES // len(names))
        where = np.array([names.index(corpus) for corpus in self.corpora])
        return "; ".join(
            f"{_some(self.numbers[where == number], shown)} of {name}"
            for number, name in enumerate(names)
        )

    def record(self) -> dict[str, list[int] | list[str]]:
        """The lines as ``metrics.jsonl`` has them, sorted.

        Returns:
            Plain values.
        """
        if self.corpora is None:
            return {"lines": np.sort(self.numbers).tolist()}
        both = sorted(zip(self.corpora, self.numbers.tolist(), strict=True))
        return {"lines": [line for _, line in both], "corpora": [corpus for corpus, _ in both]}


def _some(lines: Ints, most: int) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    shown = ", ".join(str(line) for line in np.sort(lines)[:most])
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return f"lines {shown}{more}"
