"""What ``prepare`` finds out about a corpus, counted while its batches go by."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter

from seq2seq.data.arrow import flat_ids
from seq2seq.data.mixture import NamedSource
from seq2seq.data.preparing.worker import Result
from seq2seq.data.reading.corpus import encodings_of, invalid_text_error
from seq2seq.errors import DataError, number_of, printable
from seq2seq.ids import UNK
from seq2seq.recipe.data import Source
from seq2seq.storage.encodings import MOST_INVALID
from seq2seq.text import shown
from seq2seq.text.cleaning import DUPLICATES, INVALID, Dropped, Drops
from seq2seq.text.sentences import split_sentences
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

if TYPE_CHECKING:
    from rich.console import Group

MUCH_IN_TRAIN = 0.1
"""A share of held-out pairs: short ones may stand in any corpus; more make scores too good."""
_PERCENTILES = (50, 90, 99)
_SAMPLE = 100  # lines of a batch whose sentences are counted
EXAMPLES = 3
_LOOKED_AT = 100  # texts of a batch with unknown pieces
_ASCII = "".join(map(chr, range(33, 127)))
_NOT_ASCII = "".join(map(chr, range(0xA1, 0x250))) + "…Ａ"  # every rule changes some of these
Ints = npt.NDArray[np.intp]
_LONGEST = 70  # characters of an example


@dataclass(frozen=True)
class Side:
    """One side of a split: its pieces, without bos and eos, and how many a line has."""

    tokens: int = 0
    unknown: int = 0
    p50: int = 0  # the pieces that 50, 90 and 99 lines in a hundred do not exceed
    p90: int = 0
    p99: int = 0
    longest: int = 0
    unspelled: tuple[tuple[str, int], ...] = ()  # characters that have no piece, the usual first
    rewritten: tuple[tuple[str, int], ...] = ()  # and those that normalization takes away

    @property
    def unknown_rate(self) -> float:
        """The share of unk among the pieces."""
        return self.unknown / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Added:
    """Pairs that a kind of ``text.augment`` has added, of those that its share asks for."""

    kind: str
    pairs: int
    asked: int


@dataclass(frozen=True)
class Corpus:
    """Pairs that were read together: a split, or one of the corpora of the training split."""

    name: str
    read: int  # pairs in the input
    dropped: tuple[Dropped, ...]  # by cleaning (train only)
    kept: int  # pairs in the prepared file
    replaced: int  # kept pairs in which bytes that are not UTF-8 were replaced
    replaced_line: int | None  # the line of the first of them
    examples: tuple[tuple[str, str], ...] = ()  # the first kept pairs, cut where they are long
    held_out: int = 0  # pairs that became validation pairs (train only)
    added: tuple[Added, ...] = ()  # by text.augment (train only); they are among the kept ones

    def doubts(self) -> Iterator[str]:
        """What in the first pairs looks as if something else had been meant."""
        if len(self.examples) < EXAMPLES:
            return
        if all(source == target for source, target in self.examples):
            yield (
                "the first pairs have the same text on both sides: is one of the files the wrong "
                "one?"
            )
        if all(_is_quoted(text) for pair in self.examples for text in pair):
            yield (
                "the texts stand in quotes, which are kept: write the file without them if they "
                "are not meant"
            )
        for side in (0, 1):
            texts = [pair[side] for pair in self.examples]
            if all(map(str.isdecimal, texts)):
                name = ("source", "target")[side]
                yield f"the {name} is only numbers ({', '.join(texts)}): is it another column?"


def _is_quoted(example: str) -> bool:
    return example.startswith('"') and example.endswith(('"', "..."))


@dataclass(frozen=True)
class Sentences:
    """How many sentences the source's lines have, by a sample of them."""

    several: float  # the share of lines with more than one
    p99: int  # what 99 lines in a hundred do not exceed


@dataclass(frozen=True)
class Split(Corpus):
    """One split: "train", "val" or "test"."""

    source: Side = Side()
    target: Side = Side()
    corpora: tuple[Corpus, ...] = ()  # each, in the recipe's order, where that lists several
    sentences: Sentences | None = None  # None: prepared by version 0.3 or older
    in_train: int = 0  # pairs that are training pairs, too (not of train)

    def parts(self) -> Iterator[tuple[str, Corpus]]:
        """Yields each corpus, or the split itself, with what to call it."""
        for corpus in self.corpora:
            yield f"{self.name}: {corpus.name}", corpus
        if not self.corpora:
            yield self.name, self


@dataclass(frozen=True)
class PrepareReport:
    """What preparing found out: train, val and, where there is one, test."""

    splits: tuple[Split, ...]
    seconds: float  # from beginning to end
    peak_memory: int  # bytes: the most that this process held, and the largest of its children

    def warnings(self) -> Iterator[str]:
        """What makes scores say little."""
        for split in self.splits:
            if split.in_train > MUCH_IN_TRAIN * split.kept:
                pairs = "validation pairs" if split.name == "val" else f"{split.name} pairs"
                yield (
                    f"{split.in_train:,} of the {split.kept:,} {pairs} are training pairs, too: "
                    f"scores on them are too good; name others as data.{split.name}, or leave them "
                    "out of data.train"
                )
            for name, corpus in split.parts():
                yield from (f"{printable(name)}: {words}" for words in corpus.doubts())
            for one in split.added:
                if one.asked and not one.pairs:
                    yield (
                        f"text.augment.{one.kind} added no pairs: nothing in the training pairs "
                        "allows it (words: words that are repeated, with spaces between them)"
                    )

    def drops(self) -> Iterator[str]:
        """What cleaning dropped, a line for each corpus that lost pairs."""
        for name, corpus in (part for split in self.splits for part in split.parts()):
            rules = sorted(corpus.dropped, key=lambda one: -one.count)
            if rules:
                yield (
                    f"{printable(name)}: {sum(one.count for one in rules):,} of "
                    f"{number_of(corpus.read, 'pair')} dropped: "
                    + ", ".join(
                        f"{one.rule} {one.count:,} (first: line {one.first_line:,})"
                        for one in rules
                    )
                )

    def to_json(self) -> dict[str, Any]:
        """The report in plain values, which ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PrepareReport:
        """Reads what ``to_json`` gave, perhaps through a manifest, and by another version."""
        return TypeAdapter(cls).validate_python(values)


def peak_memory(*, children: bool = True) -> int:
    """The most bytes that this process held, plus the largest of its finished children."""
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + children]
    return unit * sum(resource.getrusage(one).ru_maxrss for one in who)


def report_table(report: PrepareReport) -> Group:
    """Draws the report for ``rich`` to print."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    held_out = any(split.held_out for split in report.splits)
    added = any(split.added for split in report.splits)
    more = [name for name, there in (("held out", held_out), ("added", added)) if there]
    columns = ("", "lines read", "dropped", *more, "kept")
    pairs = Table(*columns, title="Pairs", title_justify="left")
    dropped = Table("split", "rule", "dropped", "first at line", title="Dropped by each rule")
    new = Table("split", "kind", "added", "asked for", title="Added by [text.augment]")
    tokens = Table("", "tokens", "unknown", "p50", "p90", "p99", "longest", title="Tokens a line")
    for table, texts in ((pairs, 1), (dropped, 2), (new, 2), (tokens, 1)):
        table.title_justify = "left"
        for column in table.columns[texts:]:
            column.justify = "right"
    for split in report.splits:
        names = [(split.name, split), *(split.parts() if split.corpora else ())]
        for name, counted in names:
            drops = sum(one.count for one in counted.dropped)
            held = [counted.held_out] if held_out else []
            there = [sum(one.pairs for one in counted.added)] if added else []
            figures = (counted.read, drops, *held, *there, counted.kept)
            pairs.add_row(Text(printable(name)), *(f"{figure:,}" for figure in figures))
        for name, counted in split.parts():
            for one in counted.dropped:
                dropped.add_row(
                    Text(printable(name)), one.rule, f"{one.count:,}", f"{one.first_line:,}"
                )
            for extra in counted.added:
                new.add_row(
                    Text(printable(name)), extra.kind, f"{extra.pairs:,}", f"{extra.asked:,}"
                )
        for name, side in (("source", split.source), ("target", split.target)):
            lengths = (side.p50, side.p90, side.p99, side.longest)
            tokens.add_row(
                f"{split.name} {name}",
                f"{side.tokens:,}",
                f"{side.unknown_rate:.3%}",
                *(f"{length:,}" for length in lengths),
            )
    read = Table("", "source", "target", title="Pairs as they were read", title_justify="left")
    for split in report.splits:
        for name, counted in split.parts():
            for source, target in counted.examples[: None if split.name.startswith("train") else 1]:
                read.add_row(*map(Text, (printable(name), source, target)))
    tables = (table for table in (read, pairs, dropped, new, tokens) if table.row_count)
    return Group(*tables, *map(Text, _notes(report)))


def _notes(report: PrepareReport) -> Iterator[str]:
    """What the tables do not say, a line each."""
    yield from (f"warning: {words}" for words in report.warnings())
    parts = [part for split in report.splits for part in split.parts()]
    if any(split.held_out for split in report.splits):
        val = next(split for split in report.splits if split.name == "val")
        yield (
            f"val: {val.kept:,} of the training pairs, drawn evenly from all of them, which are "
            "not trained on: the recipe names no data.val"
        )
    for name, counted in parts:
        if counted.replaced:
            yield (
                f"{printable(name)}: bytes that are not UTF-8 were replaced in "
                f"{counted.replaced:,} pairs, first at line {counted.replaced_line:,}"
            )
    for split in report.splits:
        for name, counts in (("source", split.source), ("target", split.target)):
            for what, characters in (
                ("cannot spell", counts.unspelled),
                ("rewrites, so that no translation has them", counts.rewritten),
            ):
                if characters:
                    listed = ", ".join(f"{shown(one, 9)!r} ({n:,})" for one, n in characters)
                    yield f"{split.name} {name}: characters that the tokenizer {what}: {listed}"
    yield f"{report.seconds:.1f} seconds, {report.peak_memory / 2**20:,.0f} MiB at most"


class SideCounter:
    """Counts one side's pieces as they come, in memory that only the longest line determines."""

    def __init__(self) -> None:
        self._histogram = np.zeros(1, dtype=np.int64)  # lines of each length
        self._unknown = 0
        self._unspelled: Counter[str] = Counter()
        self._rewritten: Counter[str] = Counter()

    def add(self, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> None:
        """Counts lines: all their pieces, and the number of pieces in each."""
        self._unknown += int(np.count_nonzero(ids == UNK))
        counts = np.bincount(lengths, minlength=len(self._histogram))
        counts[: len(self._histogram)] += self._histogram
        self._histogram = counts

    def side(self) -> Side:
        """Sums up."""
        lengths = np.arange(len(self._histogram))
        up_to = np.cumsum(self._histogram)
        p50, p90, p99 = (
            int(np.searchsorted(up_to, up_to[-1] * percent / 100)) for percent in _PERCENTILES
        )
        longest = int(lengths[self._histogram > 0].max(initial=0))
        tokens = int((lengths * self._histogram).sum())
        usual, changed = (
            tuple(found.most_common(EXAMPLES)) for found in (self._unspelled, self._rewritten)
        )
        return Side(tokens, self._unknown, p50, p90, p99, longest, usual, changed)

    def note_unspelled(
        self, texts: pa.StringArray, lengths: npt.NDArray[np.int32], unknown: Ints, by: Tokenizer
    ) -> None:
        """Counts the characters that have no piece, in the texts of the unknown pieces."""
        rows = np.unique(np.searchsorted(np.cumsum(lengths), unknown, side="right"))
        for row in rows[:_LOOKED_AT].tolist():
            for one in by.normalize(texts[row].as_py()):
                if one not in by.known and (one in self._unspelled or len(self._unspelled) < 1000):
                    self._unspelled[one] += 1

    def note_rewritten(self, texts: pa.StringArray, by: Tokenizer) -> None:
        """Counts the characters that normalization takes away from texts, white space aside."""
        keeps_ascii = by.keeps(_ASCII)
        if keeps_ascii and by.keeps(_NOT_ASCII):
            return
        for text in texts.to_pylist():
            if not (keeps_ascii and text.isascii()) and not by.keeps(text):
                lost = Counter("".join(text.split())) - Counter(by.normalize(text))
                self._rewritten.update(lost)


class SentenceCounter:
    """Counts the sentences of some lines of each batch."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, column: pa.Array) -> None:
        """Counts lines, evenly chosen of a batch's texts."""
        rows = np.unique(np.linspace(0, len(column) - 1, _SAMPLE, dtype=np.int64))
        texts = (column[int(row)].as_py() for row in rows if len(column))
        self._counts.update(len(split_sentences(text)) for text in texts)

    def result(self) -> Sentences:
        """Sums up."""
        counts = np.sort(np.fromiter(self._counts.elements(), np.int64))
        if not len(counts):
            return Sentences(0.0, 1)
        p99 = counts[int(np.ceil(0.99 * len(counts))) - 1]
        return Sentences(round(float((counts > 1).mean()), 4), int(p99))


class Seen:
    """A growing set of 64-bit numbers, in 8 bytes each.

    Sorted runs, each at least twice as long as the next: a batch of n numbers costs a binary
    search in log2(all / n) runs, and merging moves each number as often. The largest merge needs
    as much again for a moment.
    """

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def first_times(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Adds numbers, and tells of each if it was neither in the set nor earlier among them."""
        unique, first = np.unique(numbers, return_index=True)
        new = np.ones(unique.shape, dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), run.size - 1)
            new &= run[place] != unique
        fresh = np.zeros(numbers.shape, dtype=np.bool_)
        fresh[first[new]] = True
        self._add(unique[new])
        return fresh

    def _add(self, run: npt.NDArray[np.uint64]) -> None:
        if run.size:
            self._runs.append(run)
        while len(self._runs) > 1 and self._runs[-2].size < 2 * self._runs[-1].size:
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # numpy's merges sorted runs in one pass
            self._runs.append(merged)

    def __len__(self) -> int:
        return sum(run.size for run in self._runs)


def _sums(corpora: Iterable[Corpus]) -> Iterator[Added]:
    """What was added to all corpora, by kind."""
    kinds = dict.fromkeys(one.kind for corpus in corpora for one in corpus.added)
    for kind in kinds:
        found = [one for corpus in corpora for one in corpus.added if one.kind == kind]
        yield Added(kind, sum(one.pairs for one in found), sum(one.asked for one in found))


@dataclass
class CorpusCount:
    """What is known of a corpus so far, as in ``Corpus``."""

    name: str
    source: Source | None = None
    drops: Drops = field(default_factory=Drops)
    read: int = 0
    kept: int = 0
    replaced: int = 0
    replaced_line: int | None = None
    examples: list[tuple[str, str]] = field(default_factory=list)
    held_out: int = 0
    added: dict[str, tuple[int, int]] = field(default_factory=dict)  # of each kind, and asked for

    def add(self, pairs: dict[str, int]) -> None:
        """Counts pairs that were added, of each kind."""
        for kind, count in pairs.items():
            there, asked = self.added[kind]
            self.added[kind] = there + count, asked
            self.kept += count

    def result(self) -> Corpus:
        """Sums up."""
        return Corpus(
            self.name,
            self.read,
            self.drops.result(),
            self.kept,
            self.replaced,
            self.replaced_line,
            tuple(self.examples),
            self.held_out,
            tuple(Added(kind, *counts) for kind, counts in self.added.items()),
        )

    def note(self, batch: pa.RecordBatch) -> None:
        """Keeps the first pairs, to be shown."""
        for row in batch.slice(0, EXAMPLES - len(self.examples)).to_pylist():
            self.examples.append((shown(row["source"], _LONGEST), shown(row["target"], _LONGEST)))

    def check_encoding(self) -> None:
        """Raises a DataError where more is invalid than a few bad lines in a text explain."""
        if self.source is None or any(encodings_of(self.source)):
            return
        dropped = sum(one.count for one in self.drops.result() if one.rule == INVALID)
        if self.replaced + dropped > MOST_INVALID * self.read:
            error = invalid_text_error(self.source)
            if error is not None:
                raise error


@dataclass
class SplitCount:
    """What is known of a split so far: the pieces of either side, and each of its corpora."""

    split: str
    seen: Seen | None  # the pairs that there were, if repeated ones are dropped
    several: bool = False  # whether the recipe lists several corpora
    counters: tuple[SideCounter, SideCounter] = field(
        default_factory=lambda: (SideCounter(), SideCounter())
    )
    counts: list[CorpusCount] = field(default_factory=list)
    sentences: SentenceCounter = field(default_factory=SentenceCounter)

    @property
    def kept(self) -> int:
        """Pairs that are kept."""
        return sum(one.kept for one in self.counts)

    def begin(self, corpus: NamedSource) -> str:
        """Begins the next corpus, and returns what messages call it."""
        self.counts.append(CorpusCount(corpus.name, corpus.source))
        return f"{self.split}: {corpus.name}" if self.several else self.split

    def cleaned(self, result: Result, corpus: int = -1) -> pa.RecordBatch:
        """Counts the next batch, and gives it without the pairs that earlier ones had.

        It is from the corpus that was begun last, where no other is given.
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
        if len(count.examples) < EXAMPLES:
            count.note(batch)
        return batch

    def _new(self, batch: pa.RecordBatch, first_times: npt.NDArray[np.bool_]) -> pa.RecordBatch:
        if first_times.all():
            return batch
        repeated = np.flatnonzero(~first_times)
        first_line = batch.column("line")[int(repeated[0])].as_py()
        self.counts[-1].drops.add(DUPLICATES, first_line, len(repeated))
        return batch.filter(pa.array(first_times))

    def tokenized(
        self, batch: pa.RecordBatch, tokenizers: Tokenizers, *, added: bool = False
    ) -> None:
        """Counts the pieces of the next batch, of ``SCHEMA``; of added pairs not the sentences."""
        models = (tokenizers.source, tokenizers.target)
        for number, (counter, by) in enumerate(zip(self.counters, models, strict=True)):
            ids, lengths = flat_ids(batch.column(number))
            counter.add(ids, lengths)
            if (unknown := np.flatnonzero(ids == UNK)).size:
                counter.note_unspelled(batch.column(2 + number), lengths, unknown, by)
        self.counters[1].note_rewritten(batch.column("target"), tokenizers.target)
        if not added:
            self.sentences.add(batch.column("source"))

    def check(self, *, sample: bool = False) -> None:
        """Sees that there is something in each corpus; a DataError says why there is not.

        Of a sample, which ends when there is enough, a corpus may not have had its turn.
        """
        for number, one in enumerate(self.counts):
            one.check_encoding()
            if one.kept or (sample and self.kept and not one.read):
                continue
            why, mend = "there are no pairs", "name one that has some"
            if one.read:
                counts = ", ".join(f"{drop.rule} {drop.count:,}" for drop in one.drops.result())
                why = f"cleaning dropped every pair ({counts})"
                mend = "mend its text or the rules of [cleaning]"
            where = f"data.{self.split}"
            if self.several:
                where, mend = f"{where}[{number}] ({one.name})", f"leave it out, or {mend}"
            raise DataError(f"{where}: {why}: {mend}")

    def result(self) -> Split:
        """Sums up."""
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
            () if self.several else corpora[0].examples,
            sum(one.held_out for one in corpora),
            tuple(_sums(corpora)),
            source,
            target,
            tuple(corpora) if self.several else (),
            self.sentences.result(),
        )
