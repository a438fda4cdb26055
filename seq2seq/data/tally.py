"""What preparing counts in a split while its batches go by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.encoding import Result
from seq2seq.data.report import SideCounter, Split
from seq2seq.data.storage import flat_ids
from seq2seq.errors import DataError
from seq2seq.text.cleaning import DUPLICATES, Drops, Seen


@dataclass
class Tally:
    """What is known of a split so far.

    Attributes:
        split: Its name.
        seen: The pairs that there were, if repeated ones are dropped.
        drops: What was dropped.
        counters: The pieces of either side.
        read: Pairs in the input.
        kept: Pairs that are kept.
        replaced: Kept pairs in which bytes that are not UTF-8 were replaced.
        replaced_line: The line of the first of them.
    """

    split: str
    seen: Seen | None
    drops: Drops = field(default_factory=Drops)
    counters: tuple[SideCounter, SideCounter] = field(
        default_factory=lambda: (SideCounter(), SideCounter())
    )
    read: int = 0
    kept: int = 0
    replaced: int = 0
    replaced_line: int | None = None

    def cleaned(self, result: Result) -> pa.RecordBatch:
        """Counts a batch that was cleaned, and drops the pairs that earlier ones had.

        Args:
            result: The next batch's.

        Returns:
            The batch, without repeated pairs.
        """
        batch, notes = result
        for one in notes.dropped:
            self.drops.add(one.rule, one.first_line, one.count)
        if notes.replaced and not self.replaced:
            self.replaced_line = notes.replaced_line
        self.read += notes.read
        self.replaced += notes.replaced
        if self.seen is not None and batch.num_rows:
            batch = self._new(batch, self.seen.first_times(notes.numbers()))
        self.kept += batch.num_rows
        return batch

    def _new(self, batch: pa.RecordBatch, first_times: npt.NDArray[np.bool_]) -> pa.RecordBatch:
        if first_times.all():
            return batch
        repeated = np.flatnonzero(~first_times)
        first_line = batch.column("line")[int(repeated[0])].as_py()
        self.drops.add(DUPLICATES, first_line, len(repeated))
        return batch.filter(pa.array(first_times))

    def tokenized(self, batch: pa.RecordBatch) -> None:
        """Counts a batch's pieces.

        Args:
            batch: The next one, of ``SCHEMA``.
        """
        for counter, column in zip(self.counters, batch.columns, strict=False):
            counter.add(*flat_ids(column))

    def check(self) -> None:
        """Sees that there is something in the split.

        Raises:
            DataError: If not; the message says why.
        """
        if self.kept:
            return
        counts = ", ".join(f"{one.rule} {one.count:,}" for one in self.drops.result())
        why = (
            f"cleaning dropped all {self.read:,} pairs ({counts})"
            if self.read
            else "there are no pairs"
        )
        raise DataError(f"data.{self.split}: {why}")

    def result(self) -> Split:
        """Sums up.

        Returns:
            The split.
        """
        source, target = (counter.side() for counter in self.counters)
        return Split(
            self.split,
            self.read,
            self.drops.result(),
            self.kept,
            self.replaced,
            self.replaced_line,
            source,
            target,
        )
