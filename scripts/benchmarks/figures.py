"""Figures: counts, medians with their spread, ratios, and the tables that show them."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The middle of several runs, and the outermost.

    Attributes:
        median: Half the runs lie on each side.
        low: The lowest.
        high: The highest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sums up some runs.

        Args:
            values: One figure a run; at least one.

        Returns:
            Their spread.

        Raises:
            ValueError: If there is none.
        """
        found = list(values)
        if not found:
            raise ValueError("a spread needs at least one value")
        return cls(statistics.median(found), min(found), max(found))

    def text(self, digits: int = 0) -> str:
        """The spread as tables show it.

        Args:
            digits: Decimal places.

        Returns:
            "median (low–high)"; the median alone where all runs agree.
        """
        middle, low, high = (f"{x:,.{digits}f}" for x in (self.median, self.low, self.high))
        return middle if low == high else f"{middle} ({low}–{high})"


def mean_text(values: Sequence[float], digits: int) -> str:
    """Some runs' figures as "mean ± standard deviation (low–high)"; of one run it alone.

    Args:
        values: One figure a run; at least one.
        digits: Decimal places.

    Returns:
        The words; the deviation is that of a sample.
    """
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    low, high = min(values), max(values)
    deviation = statistics.stdev(values)
    return f"{mean} ± {deviation:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def count_tokens(texts: Sequence[str], encode: Callable[[Sequence[str]], list[list[int]]]) -> int:
    """Counts what a tool has really said: pieces, and an end of sentence for each line.

    Args:
        texts: Translations.
        encode: Splits texts into pieces, the same way for all tools.

    Returns:
        How many tokens the texts are.
    """
    return sum(len(row) + 1 for row in encode(texts))


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times another's figure ours is, run by run: what slows a run slows both its sides.

    Args:
        ours: A figure for each run.
        theirs: The other's figures of the same runs.

    Returns:
        The spread of the quotients.
    """
    return Spread.of(one / other for one, other in zip(ours, theirs, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right.

    Args:
        head: The columns' names.
        rows: The cells.

    Returns:
        Lines, without a last line break.
    """
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def write_text(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all.

    Args:
        path: The file; its folder is made.
        text: The content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON as a whole or not at all.

    Args:
        path: The file.
        content: Anything that JSON has a form for, and dataclasses.
    """

    def plain(value: Any) -> Any:
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)

    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=plain) + "\n")


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Adds a row to a file of rows, a JSON object a line.

    Args:
        path: The file.
        row: What to add.
    """
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Reads rows; a last line without an end was being written when a call was killed, and goes.

    Args:
        path: The file; it need not be there.

    Returns:
        The rows.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        write_text(path, "".join(f"{line}\n" for line in lines[:-1]))
    return [json.loads(line) for line in lines[:-1]]
