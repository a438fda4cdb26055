"""From a corpus to a folder that training reads: clean, train the tokenizer, tokenize, store.

The input is read once. Where the recipe names a tokenizer, each batch is cleaned and tokenized in
one go. Where one is trained, validation pairs are held out, or training pairs are added, the
cleaned pairs go to a raw Arrow file first, which is then tokenized. Nothing but the memory of
repeated pairs (8 bytes a pair, if the recipe asks for it) grows with the corpus.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import pyarrow as pa

from seq2seq.data import Progress
from seq2seq.data.arrow import RAW_SCHEMA, SCHEMA, Column, read_batches, writer
from seq2seq.data.dataset import (
    PreparedData,
    input_digests,
    read_manifest,
    read_otherwise,
    same_content,
    write_manifest,
)
from seq2seq.data.mixture import NamedSource, sources_of
from seq2seq.data.preparing.augment import augment
from seq2seq.data.preparing.held_out import count_repeated, hold_out
from seq2seq.data.preparing.statistics import PrepareReport, Seen, SplitCount, peak_memory
from seq2seq.data.preparing.worker import Result, Work
from seq2seq.data.preparing.workers import worked
from seq2seq.data.reading import read_blocks
from seq2seq.data.reading.corpus import source_files
from seq2seq.data.reading.stream import Streams
from seq2seq.errors import DataError, RecipeError
from seq2seq.processors import usable_processors
from seq2seq.recipe import Cleaning, Recipe
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.storage.atomic import new_folder, real_path
from seq2seq.storage.layout import MANIFEST, PREPARED_FILES, RECIPE, SPLITS, split_file
from seq2seq.storage.lines import check_file
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

_GLANCE = 2**16  # pairs of a stream that are looked at where no tokenizer is to be trained
KEEP_ALL = Cleaning(empty=False, max_length=None, invalid_utf8=False, control_characters=False)
"""What validation and test pairs are cleaned by: nothing."""


def prepare(
    recipe: Recipe,
    output: Path,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    same_val: bool = False,
) -> PreparedData:
    """Prepares the corpus that a recipe names; see ``api.prepare``.

    Training pairs are cleaned; validation and test keep every line. Where the recipe names no
    validation pairs, some of the clean training pairs become those. The folder appears under its
    name when it is complete, or not at all. A folder that the same recipe has prepared from the
    same files is not made again. The same input gives the same Arrow and tokenizer files, byte for
    byte, by any number of processes; None: one a processor. ``same_val`` allows validation on the
    training files, which is else refused.

    Raises ``RecipeError`` if training data is missing, or validation data of a stream,
    ``DataError`` if the data cannot be read, is unfit, or cannot be written, ``ModelError`` if a
    given tokenizer cannot be used.
    """
    output = Path(output)
    sources = _sources(recipe)
    if is_prepared(recipe, output):
        return PreparedData.open(output)
    if not same_val:
        _check_val(sources)
    _check_output(output, overwrite)
    with _appearing(output) as folder:
        one = _Preparation(recipe, folder, processes or usable_processors(), progress or Progress())
        one.run(sources)
    return PreparedData.open(output, verify=False)


def is_prepared(recipe: Recipe, output: Path) -> bool:
    """Whether a folder was prepared by the same recipe from files with the same content."""
    try:
        manifest = read_manifest(Path(output))
    except DataError:
        return False
    return same_content(manifest, recipe) and not read_otherwise(manifest, recipe.data)


def _sources(recipe: Recipe) -> dict[str, tuple[NamedSource, ...]]:
    sources = {split: named for split in SPLITS if (named := sources_of(recipe.data, split))}
    if recipe.data.kind is not None:
        raise RecipeError(
            recipe.name,
            [
                f"data.problem = {recipe.data.problem!r} draws its sequences while it trains: "
                "there is nothing to prepare; 'seq2seq train' needs no --data"
            ],
        )
    if missing := recipe.data.missing():
        raise RecipeError(recipe.name, missing)
    for one in chain.from_iterable(sources.values()):
        for path in source_files(one.source):
            check_file(path)
    return sources


def _check_val(sources: dict[str, tuple[NamedSource, ...]]) -> None:
    """Raises a DataError if validation pairs are the training pairs' files."""
    for val, train in product(sources.get("val", ()), sources["train"]):
        theirs, ours = source_files(val.source), source_files(train.source)
        same = [Path(one).samefile(other) for one, other in zip(theirs, ours, strict=False)]
        if same and len(theirs) == len(ours) and all(same):
            raise DataError(
                f"data.val ({', '.join(theirs)}) and data.train ({', '.join(ours)}) are the same: "
                "how text that was trained on is translated says nothing of other text: name other "
                "pairs, or leave data.val out, and some of the training pairs are held out"
            )


def _check_output(output: Path, overwrite: bool) -> None:
    if output.is_file():
        raise DataError(f"{output}: a file, where a folder is to be made")
    if output.is_symlink() or real_path(output) == Path.cwd():
        raise DataError(
            f"{output}: the current folder or a link, and the folder is renamed into its place "
            "when it is complete: give -o a name of its own"
        )
    names = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if not names:
        return
    if foreign := [name for name in names if name not in PREPARED_FILES or MANIFEST not in names]:
        more = ", ..." if len(foreign) > 3 else ""
        raise DataError(
            f"{output}: not empty, and not a prepared folder (it holds {', '.join(foreign[:3])}"
            f"{more}): choose another"
        )
    if not overwrite:
        raise DataError(
            f"{output}: holds data of another recipe, other files or an older version: choose "
            "another folder, remove this one, or replace it (seq2seq prepare --overwrite)"
        )


@contextmanager
def _appearing(output: Path) -> Iterator[Path]:
    """A folder to work in, which gets the output's name at the end, or disappears."""
    try:
        with new_folder(output, overwrite=True) as folder:
            yield folder
    except BlockingIOError:
        raise DataError(f"{output}: another process is preparing it: wait for it") from None
    except OSError as error:
        # pyarrow's errors have no errno, only its text.
        if error.errno == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
            existing = next(parent for parent in output.absolute().parents if parent.is_dir())
            left = shutil.disk_usage(existing).free
            raise DataError(
                f"{output}: the disk is full ({left / 2**20:,.0f} MiB left); nothing was kept"
            ) from None
        raise DataError(f"{output}: cannot be written: {error.strerror or error}") from None


class _Preparation:
    """Makes the files of one folder."""

    def __init__(self, recipe: Recipe, folder: Path, processes: int, progress: Progress) -> None:
        self._recipe = recipe
        self._folder = folder
        self._raw = folder / "raw"
        self._processes = processes
        self._progress = progress
        self._shares = recipe.text.augment.shares
        self._added = set[int]()  # batches of the training file whose pairs are no corpus's own

    def run(self, sources: dict[str, tuple[NamedSource, ...]]) -> None:
        """Reads, trains, tokenizes, and describes the result."""
        begin = time.monotonic()
        inputs = input_digests(self._recipe.data)
        options = self._recipe.tokenizer
        if self._recipe.data.stream is not None:
            counts = self._prepare_stream(sources)
        elif "val" in sources and (options.model or options.source_model) and not self._shares:
            tokenizers = self._tokenizers((), ())
            counts = [self._read(*one, tokenizers) for one in sources.items()]
        else:
            self._raw.mkdir()
            counts = [self._read(*one, None) for one in sources.items()]
            if "val" not in sources:
                self._progress.start("holding out pairs for val", None)
                counts.insert(1, hold_out(counts[0], self._raw, self._recipe.data.held_out))
                self._progress.finish()
            if self._shares:
                self._progress.start("adding to train (text.augment)", None)
                self._added = augment(counts[0], self._raw, self._shares, self._recipe.seed)
                self._progress.finish()
            tokenizers = self._tokenizers(*self._columns(counts[0]))
            for count in counts:
                self._tokenize(count, tokenizers, self._folder / split_file(count.split))
            shutil.rmtree(self._raw)
        splits = tuple(count.result() for count in counts)
        for split, side in product(splits, ("source", "target")):
            if not getattr(split, side).tokens:
                raise DataError(
                    f"data.{split.name}: every line of the {side} is empty: name other files"
                )
        given = [split for split in SPLITS if split in sources and split != "train"]
        if given and self._recipe.data.stream is None:
            files = (self._folder / split_file(split) for split in ("train", *given))
            self._progress.start(f"comparing {' and '.join(given)} with train", None)
            found = dict(zip(given, count_repeated(*files), strict=True))
            self._progress.finish()
            splits = tuple(replace(one, in_train=found.get(one.name, 0)) for one in splits)
        text = recipe_to_toml(self._recipe)
        (self._folder / RECIPE).write_text(text, encoding="utf-8", newline="\n")
        report = PrepareReport(splits, round(time.monotonic() - begin, 3), peak_memory())
        write_manifest(self._folder, self._recipe, inputs, report)

    def _columns(self, count: SplitCount) -> Iterator[Column]:
        path = self._raw / split_file(count.split)
        return (Column(path, side, count.kept) for side in ("source", "target"))

    def _prepare_stream(self, sources: dict[str, tuple[NamedSource, ...]]) -> list[SplitCount]:
        """Trains the tokenizer on a sample; of the training pairs nothing else is kept."""
        self._raw.mkdir()
        train = self._sample(sources["train"])
        tokenizers = self._tokenizers(*self._columns(train))
        self._tokenize(train, tokenizers, self._raw / "tokenized.arrow")
        shutil.rmtree(self._raw)
        train.split = "train (sample)"
        held_out = ((split, named) for split, named in sources.items() if split != "train")
        return [train, *(self._read(split, named, tokenizers) for split, named in held_out)]

    def _sample(self, sources: tuple[NamedSource, ...]) -> SplitCount:
        options = self._recipe.tokenizer
        wanted = _GLANCE if options.model or options.source_model else options.max_lines
        work, count = Work(self._cleaning("train"), None), self._new_count("train")
        for named in sources:
            count.begin(named)
        self._progress.start("reading a sample of train", wanted)
        with writer(self._raw / split_file("train"), RAW_SCHEMA) as raw:
            for corpus, block in Streams(self._recipe.data).sample():
                batch = count.cleaned(work(block), corpus)
                raw.write_batch(batch)
                self._progress.advance(batch.num_rows)
                if count.kept >= wanted:
                    break
        self._progress.finish()
        count.check(sample=True)
        return count

    def _cleaning(self, split: str) -> Cleaning:
        return self._recipe.cleaning if split == "train" else KEEP_ALL

    def _new_count(self, split: str) -> SplitCount:
        seen = Seen() if self._cleaning(split).duplicates else None
        return SplitCount(split, seen, isinstance(getattr(self._recipe.data, split), tuple))

    def _read(
        self, split: str, sources: tuple[NamedSource, ...], tokenizers: Tokenizers | None
    ) -> SplitCount:
        """Cleans and tokenizes a split; without tokenizers its clean text is kept for later."""
        work, count = Work(self._cleaning(split), tokenizers), self._new_count(split)
        if tokenizers is None:
            folder, schema, processes, verb = self._raw, RAW_SCHEMA, 1, "reading"
        else:
            folder, schema, processes, verb = self._folder, SCHEMA, self._processes, "tokenizing"
        with writer(folder / split_file(split), schema) as pairs:
            for named in sources:
                self._progress.start(f"{verb} {count.begin(named)}", None)
                with self._worked(read_blocks(named.source), work, processes) as results:
                    for result in results:
                        batch = count.cleaned(result)
                        pairs.write_batch(batch)
                        if tokenizers is not None:
                            count.tokenized(batch, tokenizers)
                        self._progress.advance(result.notes.read)
                self._progress.finish()
        count.check()
        return count

    def _tokenizers(self, sources: Iterable[str], targets: Iterable[str]) -> Tokenizers:
        options = self._recipe.tokenizer
        given = options.model is not None or options.source_model is not None
        self._progress.start(f"{'reading' if given else 'training'} the tokenizer", None)
        tokenizers = train_tokenizers(options, sources, targets)
        for name, proto in tokenizers.files.items():
            (self._folder / name).write_bytes(proto)
        self._progress.finish()
        return tokenizers

    def _tokenize(self, count: SplitCount, tokenizers: Tokenizers, output: Path) -> None:
        self._progress.start(f"tokenizing {count.split}", count.kept)
        batches = read_batches(self._raw / split_file(count.split))
        with (
            writer(output, SCHEMA) as prepared,
            self._worked(batches, Work(None, tokenizers), self._processes) as results,
        ):
            for number, (batch, _) in enumerate(results):
                prepared.write_batch(batch)
                added = count.split == "train" and number in self._added
                count.tokenized(batch, tokenizers, added=added)
                self._progress.advance(batch.num_rows)
        self._progress.finish()

    def _worked(
        self, batches: Iterator[pa.RecordBatch], work: Work, processes: int
    ) -> closing[Generator[Result, None, None]]:
        # Closed at once where something fails or is interrupted, which ends the helpers.
        return closing(worked(batches, work, self._folder, processes))
