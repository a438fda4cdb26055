"""What ``prepare`` found out about a corpus: the table it ends with, as data."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seq2seq.ids import UNK
from seq2seq.text.cleaning import Dropped

if TYPE_CHECKING:
    from rich.console import Group

_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Side:
    """One side of a split: its pieces, and how many a line has.

    Attributes:
        tokens: All pieces, without bos and eos.
        unknown: Those that are unk.
        p50: Half of the lines have at most so many pieces.
        p90: Nine lines in ten have at most so many.
        p99: 99 lines in a hundred have at most so many.
        longest: The pieces of the longest line.
    """

    tokens: int
    unknown: int
    p50: int
    p90: int
    p99: int
    longest: int

    @property
    def unknown_rate(self) -> float:
        """The share of unk among the pieces."""
        return self.unknown / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Counted:
    """Pairs that were read together.

    Attributes:
        name: What they are called.
        read: Pairs in the input.
        dropped: What cleaning dropped (train only).
        kept: Pairs in the prepared file.
        replaced: Kept pairs in which bytes that are not UTF-8 were replaced.
        replaced_line: The line of the first of them.
    """

    name: str
    read: int
    dropped: tuple[Dropped, ...]
    kept: int
    replaced: int
    replaced_line: int | None


@dataclass(frozen=True)
class Corpus(Counted):
    """One of several corpora of the training split."""


@dataclass(frozen=True)
class Split(Counted):
    """One split: "train", "val" or "test".

    Attributes:
        source: The source side.
        target: The target side.
        corpora: The same for each corpus, in the recipe's order, where the recipe lists several.
    """

    source: Side
    target: Side
    corpora: tuple[Corpus, ...] = ()

    def parts(self) -> Iterator[tuple[str, Counted]]:
        """Where pairs were counted one by one.

        Yields:
            What to call it, and its figures: each corpus, or the split itself.
        """
        for corpus in self.corpora:
            yield f"{self.name}: {corpus.name}", corpus
        if not self.corpora:
            yield self.name, self


@dataclass(frozen=True)
class PrepareReport:
    """The whole of it.

    Attributes:
        splits: Train, val and, where there is one, test.
        seconds: From beginning to end.
        peak_memory: Bytes: the most that this process held, and the largest of its children.
    """

    splits: tuple[Split, ...]
    seconds: float
    peak_memory: int

    def to_json(self) -> dict[str, Any]:
        """Turns the report into plain values.

        Returns:
            What ``from_json`` reads.
        """
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PrepareReport:
        """Reads a report from a manifest.

        Args:
            values: What ``to_json`` gave, perhaps through a JSON file.

        Returns:
            The report.
        """
        splits = tuple(
            Split(
                **{
                    **split,
                    "dropped": _dropped(split),
                    "corpora": tuple(
                        Corpus(**{**corpus, "dropped": _dropped(corpus)})
                        for corpus in split.get("corpora", ())
                    ),
                    "source": Side(**split["source"]),
                    "target": Side(**split["target"]),
                }
            )
            for split in values["splits"]
        )
        return cls(splits, values["seconds"], values["peak_memory"])


def _dropped(values: Mapping[str, Any]) -> tuple[Dropped, ...]:
    return tuple(Dropped(**one) for one in values["dropped"])


class SideCounter:
    """Counts one side's pieces as they come, in memory that only the longest line determines."""

    def __init__(self) -> None:
        self._histogram = np.zeros(1, dtype=np.int64)  # lines of each length
        self._unknown = 0

    def add(self, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> None:
        """Counts some lines.

        Args:
            ids: All their pieces.
            lengths: The number of pieces in each line.
        """
        self._unknown += int(np.count_nonzero(ids == UNK))
        counts = np.bincount(lengths, minlength=len(self._histogram))
        counts[: len(self._histogram)] += self._histogram
        self._histogram = counts

    def side(self) -> Side:
        """Sums up.

        Returns:
            The side.
        """
        lengths = np.arange(len(self._histogram))
        up_to = np.cumsum(self._histogram)
        p50, p90, p99 = (
            int(np.searchsorted(up_to, up_to[-1] * percent / 100)) for percent in _PERCENTILES
        )
        longest = int(lengths[self._histogram > 0].max(initial=0))
        tokens = int((lengths * self._histogram).sum())
        return Side(tokens, self._unknown, p50, p90, p99, longest)


def peak_memory() -> int:
    """Asks the system how much memory was held at most.

    Returns:
        Bytes: this process's most since it began, plus the largest of its finished children.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return unit * sum(resource.getrusage(one).ru_maxrss for one in who)


def report_table(report: PrepareReport) -> Group:
    """Draws the report.

    Args:
        report: The report.

    Returns:
        Something for ``rich`` to print.
    """
    from rich.console import Group
    from rich.table import Table

    pairs = Table("", "lines read", "dropped", "kept", title="Pairs", title_justify="left")
    dropped = Table("split", "rule", "dropped", "first at line", title="Dropped by each rule")
    tokens = Table("", "tokens", "unknown", "p50", "p90", "p99", "longest", title="Tokens a line")
    for table, texts in ((pairs, 1), (dropped, 2), (tokens, 1)):
        table.title_justify = "left"
        for column in table.columns[texts:]:
            column.justify = "right"
    for split in report.splits:
        names = [(split.name, split), *(split.parts() if split.corpora else ())]
        for name, counted in names:
            drops = sum(one.count for one in counted.dropped)
            pairs.add_row(name, f"{counted.read:,}", f"{drops:,}", f"{counted.kept:,}")
        for name, counted in split.parts():
            for one in counted.dropped:
                dropped.add_row(name, one.rule, f"{one.count:,}", f"{one.first_line:,}")
        for name, side in (("source", split.source), ("target", split.target)):
            lengths = (side.p50, side.p90, side.p99, side.longest)
            tokens.add_row(
                f"{split.name} {name}",
                f"{side.tokens:,}",
                f"{side.unknown_rate:.3%}",
                *(f"{length:,}" for length in lengths),
            )
    notes = [
        f"{name}: bytes that are not UTF-8 were replaced in {counted.replaced:,} pairs, "
        f"first at line {counted.replaced_line:,}"
        for split in report.splits
        for name, counted in split.parts()
        if counted.replaced
    ]
    notes.append(f"{report.seconds:.1f} seconds, {report.peak_memory / 2**20:,.0f} MiB at most")
    tables = [pairs, dropped, tokens] if dropped.row_count else [pairs, tokens]
    return Group(*tables, *notes)
