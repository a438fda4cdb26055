"""What is done to a batch of pairs, in this process or another: clean it, tokenize it.

A batch's result depends on nothing but the batch, so it is the same wherever and whenever it is
made. As ``python -m seq2seq.data.preparing.worker`` this is a process that takes batches as an
Arrow stream from its standard input and answers with a stream of results;
``seq2seq.data.preparing.workers`` starts it.
"""

from __future__ import annotations

import gc
import io
import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.arrow import RAW_SCHEMA, SCHEMA, id_column
from seq2seq.text.cleaning import Dropped, Drops, Rules, Texts
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

if TYPE_CHECKING:
    from seq2seq.recipe import Cleaning

_NOTES = b"notes"


@dataclass(frozen=True)
class Notes:
    """What was found out about a batch; see ``Corpus``."""

    read: int
    dropped: tuple[Dropped, ...] = ()
    replaced: int = 0
    replaced_line: int | None = None
    digests: str = ""  # the kept pairs' hashes in hexadecimal, if repeated pairs are looked for

    def to_metadata(self) -> dict[bytes, bytes]:
        """Packs the notes, to go with a batch through a stream."""
        return {_NOTES: json.dumps(asdict(self)).encode()}

    def numbers(self) -> npt.NDArray[np.uint64]:
        """Reads the hashes, a number for each kept pair."""
        return np.frombuffer(bytes.fromhex(self.digests), dtype="<u8").astype(np.uint64)

    @classmethod
    def from_metadata(cls, metadata: pa.KeyValueMetadata) -> Notes:
        """Unpacks the notes that came with a batch."""
        values = json.loads(metadata[_NOTES])
        return cls(**{**values, "dropped": tuple(Dropped(**one) for one in values["dropped"])})


class Result(NamedTuple):
    """A batch that was worked on, of ``SCHEMA`` or, if it was not tokenized, ``RAW_SCHEMA``."""

    batch: pa.RecordBatch
    notes: Notes


class Work:
    """Cleans the pairs of a batch if rules are given, and tokenizes them if tokenizers are."""

    def __init__(self, cleaning: Cleaning | None, tokenizers: Tokenizers | None) -> None:
        self.cleaning = cleaning
        self._rules = None if cleaning is None else Rules(cleaning)
        self._tokenizers = tokenizers

    def __call__(self, batch: pa.RecordBatch) -> Result:
        """Works on a batch of ``BLOCK_SCHEMA``, or a clean one of ``RAW_SCHEMA``."""
        notes = Notes(batch.num_rows)
        if self._rules is not None:
            batch, notes = self._clean(batch, self._rules)
        if self._tokenizers is not None:
            ids = (
                _ids(self._tokenizers.source, batch.column("source")),
                _ids(self._tokenizers.target, batch.column("target")),
            )
            batch = pa.record_batch([*ids, *batch.columns], schema=SCHEMA)
        return Result(batch, notes)

    def _clean(self, block: pa.RecordBatch, rules: Rules) -> tuple[pa.RecordBatch, Notes]:
        marks = block.column("invalid")
        invalid = set[int]()
        if marks.true_count:
            invalid.update(np.flatnonzero(marks.to_numpy(zero_copy_only=False)).tolist())
        columns = [_decoded(block.column(side), invalid) for side in ("source", "target")]
        replaced = np.array(sorted(invalid), dtype=np.intp)
        batch = pa.record_batch([*columns, block.column("line")], schema=RAW_SCHEMA)
        misread = _not_empty(block.column("misread"))
        places, names = rules.failing(_texts(columns[0]), _texts(columns[1]), replaced, misread)
        lines = block.column("line").to_numpy()
        drops = Drops()
        for line, name in zip(lines[places].tolist(), names, strict=True):
            drops.add(name, line)
        if len(places):
            keep = np.ones(block.num_rows, dtype=np.bool_)
            keep[places] = False
            columns = [_filtered(column, keep) for column in columns]
            batch = pa.record_batch([*columns, pa.array(lines[keep])], schema=RAW_SCHEMA)
            replaced = replaced[keep[replaced]]
        return batch, Notes(
            block.num_rows,
            drops.result(),
            len(replaced),
            int(lines[replaced[0]]) if len(replaced) else None,
            self._digests(batch),
        )

    def _digests(self, batch: pa.RecordBatch) -> str:
        if self.cleaning is None or not self.cleaning.duplicates:
            return ""
        return packed(digests_of(batch))


def digests_of(batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
    """Hashes the pairs of a batch of texts, a number a pair."""
    return digests(_encoded(batch.column("source")), _encoded(batch.column("target")))


def packed(numbers: npt.NDArray[np.uint64]) -> str:
    """Writes hashes as ``Notes`` has them."""
    return numbers.astype("<u8").tobytes().hex()


def digests(sources: Iterable[bytes], targets: Iterable[bytes]) -> npt.NDArray[np.uint64]:
    """Hashes pairs, so that repeated ones are found: a number a pair."""
    # The source's length keeps ("a b", "c") and ("a", "b c") apart.
    hashes = b"".join(
        blake2b(b"%d %b%b" % (len(source), source, target), digest_size=8).digest()
        for source, target in zip(sources, targets, strict=True)
    )
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def _decoded(column: pa.BinaryArray, invalid: set[int]) -> pa.StringArray:
    """Decodes texts, and notes the places of those that are not UTF-8."""
    # Not cast(), nor filter() above: they import pyarrow.compute, which a helper would wait for.
    strings = column.view(pa.string())
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        texts = []
        for n, text in enumerate(column.to_pylist()):
            try:
                texts.append(text.decode())
            except UnicodeDecodeError:
                texts.append(text.decode("utf-8", "replace"))
                invalid.add(n)
        return pa.array(texts, pa.string())
    return strings


def _not_empty(column: pa.StringArray) -> dict[int, str]:
    """The texts that are not empty, by their places; mostly there are none."""
    places = np.flatnonzero(_texts(column).lengths)
    return {place: column[place].as_py() for place in places.tolist()}


def _filtered(column: pa.StringArray, keep: npt.NDArray[np.bool_]) -> pa.StringArray:
    texts = list(compress(_encoded(column), keep.tolist()))
    return pa.array(texts, pa.binary()).view(pa.string())


def _ids(tokenizer: Tokenizer, texts: pa.StringArray) -> pa.ListArray:
    # Thousands of lists come and go at once, none of them in a cycle: Python would spend an eighth
    # of the time looking for one.
    collects = gc.isenabled()
    gc.disable()
    try:
        return id_column(tokenizer.encode(_encoded(texts)))
    finally:
        if collects:
            gc.enable()


def _encoded(column: pa.StringArray) -> list[bytes]:
    """Opens a column of texts without decoding them, which SentencePiece does itself."""
    texts: list[bytes] = column.view(pa.binary()).to_pylist()
    return texts


def _texts(column: pa.StringArray) -> Texts:
    _, bounds, data = column.buffers()
    begin = column.offset
    return Texts(
        np.frombuffer(data or b"", dtype=np.uint8),
        np.frombuffer(bounds, dtype=np.int32)[begin : begin + len(column) + 1],
    )


def main(folder: str, cleaning: str) -> None:
    """Works on the batches that come through standard input until there are no more.

    The tokenizers are in the folder; ``cleaning`` is the recipe's table as JSON, or ``null``.
    """
    # Ctrl-C reaches the whole process group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The parent has checked the table; to check it again, pydantic would take longer to be
    # imported than all that is needed here.
    options = json.loads(cleaning, object_hook=lambda values: SimpleNamespace(**values))
    work = Work(cast("Cleaning | None", options), Tokenizers.load(Path(folder)))
    with (
        suppress(BrokenPipeError),
        pa.PythonFile(sys.stdout.buffer, "w") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as results,
    ):
        for batch in _batches():
            result, notes = work(batch)
            results.write_batch(result, custom_metadata=notes.to_metadata())
            sys.stdout.buffer.flush()


def _batches() -> Iterator[pa.RecordBatch]:
    with io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False)) as pipe:
        if pipe.peek(1):  # else the corpus has ended before this process was ready
            with pa.ipc.open_stream(pipe) as batches:
                yield from batches


if __name__ == "__main__":
    main(*sys.argv[1:])
