"""What preparing counts in a split while its batches go by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.arrow import flat_ids
from seq2seq.data.preparing.duplicates import Seen
from seq2seq.data.preparing.report import Corpus, SideCounter, Split
from seq2seq.data.preparing.worker import Result
from seq2seq.errors import DataError
from seq2seq.text.cleaning import DUPLICATES, Drops


@dataclass
class Count:
    """What is known of a corpus so far.

    Attributes:
        name: What it is called.
        drops: What was dropped.
        read: Pairs in the input.
        kept: Pairs that are kept.
        replaced: Kept pairs in which bytes that are not UTF-8 were replaced.
        replaced_line: The line of the first of them.
    """

    name: str
    drops: Drops = field(default_factory=Drops)
    read: int = 0
    kept: int = 0
    replaced: int = 0
    replaced_line: int | None = None

    def result(self) -> Corpus:
        """Sums up.

        Returns:
            The corpus.
        """
        return Corpus(
            self.name,
            self.read,
            self.drops.result(),
            self.kept,
            self.replaced,
            self.replaced_line,
        )


@dataclass
class Tally:
    """What is known of a split so far.

    Attributes:
        split: Its name.
        seen: The pairs that there were, if repeated ones are dropped.
        several: Whether the recipe lists several corpora.
        counters: The pieces of either side.
        counts: What is known of each of its corpora.
    """

    split: str
    seen: Seen | None
    several: bool = False
    counters: tuple[SideCounter, SideCounter] = field(
        default_factory=lambda: (SideCounter(), SideCounter())
    )
    counts: list[Count] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Pairs that are kept."""
        return sum(one.kept for one in self.counts)

    def begin(self, corpus: str) -> str:
        """Begins the next corpus.

        Args:
            corpus: What it is called.

        Returns:
            What to call it beside the split.
        """
        self.counts.append(Count(corpus))
        return f"{self.split}: {corpus}" if self.several else self.split

    def cleaned(self, result: Result, corpus: int = -1) -> pa.RecordBatch:
        """Counts a batch that was cleaned, and drops the pairs that earlier ones had.

        Args:
            result: The next batch's.
            corpus: Which of the corpora it is from, if not from the one that was begun last.

        Returns:
            The batch, without repeated pairs.
        """
        batch, notes = result
        count = self.counts[corpus]
        for one in notes.dropped:
            count.drops.add(one.rule, one.first_line, one.count)
        if notes.replaced and not count.replaced:
            count.replaced_line = notes.replaced_line
        count.read += notes.read
        count.replaced += notes.replaced
        if self.seen is not None and batch.num_rows:
            batch = self._new(batch, self.seen.first_times(notes.numbers()))
        count.kept += batch.num_rows
        return batch

    def _new(self, batch: pa.RecordBatch, first_times: npt.NDArray[np.bool_]) -> pa.RecordBatch:
        if first_times.all():
            return batch
        repeated = np.flatnonzero(~first_times)
        first_line = batch.column("line")[int(repeated[0])].as_py()
        self.counts[-1].drops.add(DUPLICATES, first_line, len(repeated))
        return batch.filter(pa.array(first_times))

    def tokenized(self, batch: pa.RecordBatch) -> None:
        """Counts a batch's pieces.

        Args:
            batch: The next one, of ``SCHEMA``.
        """
        for counter, column in zip(self.counters, batch.columns, strict=False):
            counter.add(*flat_ids(column))

    def check(self, *, sample: bool = False) -> None:
        """Sees that there is something in each corpus.

        Args:
            sample: Whether reading ended when there was enough, so that a corpus may not have had
                its turn.

        Raises:
            DataError: If not; the message says why.
        """
        for number, one in enumerate(self.counts):
            if one.kept or (sample and self.kept and not one.read):
                continue
            why, mend = "there are no pairs", "name one that has some"
            if one.read:
                counts = ", ".join(f"{drop.rule} {drop.count:,}" for drop in one.drops.result())
                why = f"cleaning dropped all {one.read:,} pairs ({counts})"
                mend = "mend its text or the rules of [cleaning]"
            where = f"data.{self.split}"
            if self.several:
                where, mend = f"{where}[{number}] ({one.name})", f"leave it out, or {mend}"
            raise DataError(f"{where}: {why}: {mend}")

    def result(self) -> Split:
        """Sums up.

        Returns:
            The split.
        """
        source, target = (counter.side() for counter in self.counters)
        corpora = [one.result() for one in self.counts]
        drops = Drops()
        for one in corpora:
            for drop in one.dropped:
                drops.add(drop.rule, drop.first_line, drop.count)
        return Split(
            self.split,
            sum(one.read for one in corpora),
            drops.result(),
            self.kept,
            sum(one.replaced for one in corpora),
            next((one.replaced_line for one in corpora if one.replaced), None),
            source,
            target,
            tuple(corpora) if self.several else (),
        )
