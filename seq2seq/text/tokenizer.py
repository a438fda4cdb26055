"""SentencePiece, behind the few calls that the rest of the toolkit needs.

Four ids are the same in every vocabulary: pad 0, unk 1, bos 2, eos 3. A model that was trained
elsewhere is taken if it has them.

Two things need care, and are done here: training is repeated exactly (one thread, since sums over
threads depend on their number; lines chosen by place, not by chance), and SentencePiece's errors
become sentences that name the size which would have worked.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sentencepiece

from seq2seq.errors import DataError, ModelError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.storage.layout import SOURCE_TOKENIZER, TARGET_TOKENIZER, TOKENIZER
from seq2seq.storage.lines import read_errors
from seq2seq.storage.whole import TOKENIZER_SIZE, read_bytes
from seq2seq.text.normalization import (
    IDENTITY,
    SOURCE_RULE,
    normalizing,
    with_rule,
    would_change,
)
from seq2seq.text.sampling import Int32s, Int64s, Sampler

if TYPE_CHECKING:
    from seq2seq import recipe

# Longer lines are silently left out of its training by SentencePiece; none is as long as this.
_LONGEST_LINE = 2**30
_FATAL_ONLY = 3  # SentencePiece's log levels: 0 info, 1 warning, 2 error, 3 fatal


class Tokenizer:
    """One SentencePiece model: text to ids and back.

    ``proto`` is the model as a ``.model`` file holds it; messages call it ``origin``, usually its
    path.
    """

    def __init__(self, proto: bytes, origin: str = "tokenizer") -> None:
        self.proto = proto
        self.digest = hashlib.sha256(proto).hexdigest()
        try:
            # LoadFromSerializedProto, since the constructor takes empty bytes for "load nothing".
            self._processor: Any = sentencepiece.SentencePieceProcessor()
            loaded = bool(proto) and self._processor.LoadFromSerializedProto(proto) is not False
        except (RuntimeError, OSError):
            loaded = False
        if not loaded:
            raise ModelError(f"{origin}: not a SentencePiece model, or a damaged one")
        self.size: int = self._processor.get_piece_size()
        self._check_ids(origin)

    def _check_ids(self, origin: str) -> None:
        processor = self._processor
        names = ("pad", "unk", "bos", "eos")
        ids = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
        if ids == (PAD, UNK, BOS, EOS):
            return
        found = ", ".join(
            f"{name} {'missing' if number < 0 else number}"
            for name, number in zip(names, ids, strict=True)
        )
        raise ModelError(
            f"{origin}: its ids are {found}, but must be pad 0, unk 1, bos 2, eos 3: train it with "
            "--pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3"
        )

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Reads a ``.model`` file; a ``ModelError`` says what is wrong with it."""
        with read_errors(path, ModelError, "a SentencePiece model"):
            proto = read_bytes(path, TOKENIZER_SIZE)
        return cls(proto, str(path))

    def encode(self, texts: Sequence[str] | Sequence[bytes]) -> list[list[int]]:
        """Splits texts, or their UTF-8 (which saves encoding them), into the best pieces of each.

        The ids come without bos and eos; a text that is empty or all space has none.
        """
        try:
            if len(texts) == 1:  # a list is given to a thread, which may have to wait for a core
                return [self._processor.encode(texts[0])]
            ids: list[list[int]] = self._processor.encode(list(texts), num_threads=1)
        except (RuntimeError, TypeError, UnicodeEncodeError):
            # A str may hold halves of surrogate pairs, which have no UTF-8.
            whole = [
                text if isinstance(text, bytes) else text.encode("utf-8", "replace")
                for text in texts
            ]
            ids = self._processor.encode(whole, num_threads=1)
        return ids

    def normalize(self, text: str) -> str:
        """Normalizes a text as ``encode`` does first: with ``▁`` for a space, and one before it."""
        return str(self._processor.normalize(text.encode("utf-8", "replace").decode("utf-8")))

    def keeps(self, text: str) -> bool:
        """Whether normalizing changes nothing in a text but white space."""
        return self.normalize(text).replace("▁", "") == "".join(text.split())

    def score(self, text: str) -> float:
        """The log-probability of the best split of a text; of BPE, as it ranks its pieces.

        It is -inf if there are characters that cannot be spelled.
        """
        row = self.encode([text])[0]
        return -math.inf if UNK in row else sum(map(self._scores.__getitem__, row))

    @cached_property
    def _scores(self) -> list[float]:
        return [float(self._processor.get_score(number)) for number in range(self.size)]

    def resplit(
        self, values: Int32s, offsets: Int64s, alpha: float, seed: int
    ) -> tuple[Int32s, Int64s]:
        """Splits texts into other pieces, each split drawn by chance (subword regularization).

        The texts' ids stand one after another, text i being ``values[offsets[i] : offsets[i +
        1]]``, and so do those returned. It is a pure function of its arguments: the same call gives
        the same splits, in any thread and any process. ``alpha`` is, for unigram, the smoothing of
        the distribution over splits (lower: more varied), for BPE, the chance of dropping a merge
        (higher: more varied). Of ``seed`` the lowest 64 bits count. See
        :mod:`seq2seq.text.sampling`.
        """
        return self._sampler.resplit(values, offsets, alpha, seed)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self.proto)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Joins each text's pieces; pad, bos and eos leave nothing, unk leaves ``⁇``.

        An id that is not in the vocabulary raises a ValueError.
        """
        rows = [[int(number) for number in row] for row in ids]
        for row in rows:
            if row and (min(row) < 0 or max(row) >= self.size):
                raise ValueError(f"ids must be from 0 to {self.size - 1}, not {row}")
        if len(rows) == 1:
            return [self._processor.decode(rows[0])]
        texts: list[str] = self._processor.decode(rows, num_threads=1) if rows else []
        return texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Names pieces, as a vocabulary lists them (``▁`` stands for a space)."""
        return [self._processor.id_to_piece(int(number)) for number in ids]

    @cached_property
    def vocabulary(self) -> list[str]:
        """The names of all pieces, by their ids."""
        return self.pieces(range(self.size))

    @cached_property
    def known(self) -> frozenset[str]:
        """The names of all pieces, to look them up."""
        return frozenset(self.vocabulary)


@dataclass(frozen=True)
class Tokenizers:
    """The source's and the target's tokenizer: one object twice where one model serves both."""

    source: Tokenizer
    target: Tokenizer

    @property
    def in_one_file(self) -> bool:
        """Whether one model serves both sides; else each has its own, perhaps with equal pieces."""
        return self.source is self.target

    @property
    def joint(self) -> bool:
        """Whether both sides share one vocabulary."""
        return self.in_one_file or self.source.vocabulary == self.target.vocabulary

    @property
    def digest(self) -> str:
        """A hash over both models."""
        return hashlib.sha256((self.source.digest + self.target.digest).encode()).hexdigest()

    @property
    def files(self) -> dict[str, bytes]:
        """The files that ``load`` reads: name and content."""
        if self.in_one_file:
            return {TOKENIZER: self.source.proto}
        return {SOURCE_TOKENIZER: self.source.proto, TARGET_TOKENIZER: self.target.proto}

    @classmethod
    def load(cls, folder: Path) -> Tokenizers:
        """Reads a folder's ``tokenizer.model``, or ``source.model`` and ``target.model``.

        A ``ModelError`` says that there are none, or one is damaged.
        """
        both, source, target = (
            Path(folder, name) for name in (TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER)
        )
        if both.exists():
            joint = Tokenizer.load(both)
            return cls(joint, joint)
        if not source.exists() and not target.exists():
            raise ModelError(
                f"{folder}: no tokenizer: expected {both.name}, or {source.name} and {target.name}"
            )
        return cls(Tokenizer.load(source), Tokenizer.load(target))


def train_tokenizers(
    options: recipe.Tokenizer, source_lines: Iterable[str], target_lines: Iterable[str]
) -> Tokenizers:
    """Trains the tokenizers that a recipe describes, or reads those that it names.

    Where the vocabulary is joint and the rules of normalization differ, the two models have the
    same pieces. The same text and options give the same bytes, with one version of SentencePiece.
    Of more lines than ``max_lines``, so many are taken evenly from the whole; the first ones, if a
    side has no ``len``. It is a DataError if the text cannot fill the vocabulary, or needs a larger
    one (the message says which size works), and a ModelError if a model is named that cannot be
    used.
    """
    if options.model is not None:
        joint = Tokenizer.load(Path(options.model))
        return Tokenizers(joint, joint)
    if options.source_model is not None and options.target_model is not None:
        given = Tokenizers(
            Tokenizer.load(Path(options.source_model)), Tokenizer.load(Path(options.target_model))
        )
        if options.joint and not given.joint:
            raise ModelError(
                f"{options.source_model} and {options.target_model} have different pieces, but "
                "tokenizer.joint = true: say joint = false"
            )
        return given
    sources, targets = (_again(lines, options.max_lines) for lines in (source_lines, target_lines))
    rules = options.rules
    if rules is None:
        rules = (SOURCE_RULE, IDENTITY if would_change(targets()) else SOURCE_RULE)
    if not options.joint:
        return Tokenizers(
            *_sized(
                options,
                _Wanted("the source side", sources, rules[0], options.sizes[0]),
                _Wanted("the target side", targets, rules[1], options.sizes[1]),
            )
        )
    both = partial(_chained, sources, targets)
    if rules[0] == rules[1]:
        (joint,) = _sized(options, _Wanted("both sides", both, rules[0], options.sizes[0]))
        return Tokenizers(joint, joint)
    both = partial(
        _chained,
        *(_normalized(side, rule) for side, rule in zip((sources, targets), rules, strict=True)),
    )
    (plain,) = _sized(options, _Wanted("both sides", both, IDENTITY, options.sizes[0]))
    source, target = (Tokenizer(with_rule(plain.proto, rule)) for rule in rules)
    return Tokenizers(source, target)


Lines = Callable[[], Iterable[str]]
"""Gives lines from the first one on, as often as it is called."""


@dataclass(frozen=True)
class _Wanted:
    """A vocabulary that is to be trained: what of, by which rule, and of what size."""

    side: str
    lines: Lines
    rule: str
    size: int | None  # None: as it suits the text


def _again(lines: Iterable[str], limit: int) -> Lines:
    known = lines if isinstance(lines, Sized) else list(islice(lines, limit))
    return lambda: _some(known, limit)


def _chained(*sides: Lines) -> Iterable[str]:
    return chain.from_iterable(side() for side in sides)


def _normalized(lines: Lines, rule: str) -> Lines:
    return lambda: map(normalizing(rule), _trainable(lines()))


class _WrongSizeError(Exception):
    """A vocabulary size that the text does not allow, and the nearest one that it does."""

    def __init__(self, too_large: bool, limit: int) -> None:
        super().__init__()
        self.too_large = too_large
        self.limit = limit


def _sized(options: recipe.Tokenizer, *wanted: _Wanted) -> list[Tokenizer]:
    """Trains each; a DataError tells all sizes that do not work at once."""
    trained: list[Tokenizer] = []
    problems: list[tuple[_Wanted, _WrongSizeError]] = []
    for one in wanted:
        try:
            if one.size is None:
                trained.append(_train_suitable(options, one))
            else:
                trained.append(_train(options, one, one.size))
        except _WrongSizeError as problem:
            problems.append((one, problem))
    if problems:
        raise DataError(_size_message(options, problems))
    return trained


def suitable_size(text: int) -> int:
    """The size of a vocabulary that suits so many bytes of text.

    It grows with the root: 8,000 for 30,000 pairs of 60 letters a side, 2,500 for 3,000. Little
    data wants few pieces, each seen often (Sennrich and Zhang 2019).
    """
    return min(max(100, round(4 * math.sqrt(text) / 100) * 100), 32_000)


def _suitable_for(lines: Lines) -> int:
    return suitable_size(sum(len(line.encode("utf-8", "replace")) for line in lines()))


def _train_suitable(options: recipe.Tokenizer, wanted: _Wanted) -> Tokenizer:
    """Trains with the size that suits the text, or one well within what the text allows."""
    size, corrections = _suitable_for(wanted.lines), 0
    while True:
        try:
            return _train(options, wanted, size)
        except _WrongSizeError as problem:
            corrections += 1
            if corrections > 3:
                raise
            # Once it is known how little room there is: the nearest one that works.
            size = problem.limit if corrections > 1 else _within(problem)


def _within(problem: _WrongSizeError) -> int:
    """A size with some distance to the one that is just possible."""
    limit = problem.limit
    return max(8, limit // 2) if problem.too_large else limit + limit // 4


def _size_message(
    options: recipe.Tokenizer, problems: list[tuple[_Wanted, _WrongSizeError]]
) -> str:
    one, problem = problems[0]
    places = ("source", "target") if len(set(options.sizes)) > 1 else ("", "")
    keys = {"the source side": places[0], "the target side": places[1]}
    key = ".".join(filter(None, ["tokenizer.vocab_size", keys.get(one.side)]))
    limits = ", ".join(f"{found.limit:,} for {this.side}" for this, found in problems)
    if problem.too_large:
        suitable = min(min(_suitable_for(this.lines), _within(found)) for this, found in problems)
        return (
            f"{key} = {one.size} is too large for this little text, which allows at most {limits}: "
            f'leave it out ("auto": a size that suits the text), or use --set {key}={suitable}, '
            "or more text"
        )
    most = max(found.limit for _, found in problems)
    return (
        f"{key} = {one.size} is too small for the characters of this text: the smallest size that "
        f"works is {limits}: use --set {key}={most} or more, or a lower "
        "tokenizer.character_coverage"
    )


def _train(options: recipe.Tokenizer, wanted: _Wanted, size: int) -> Tokenizer:
    proto = io.BytesIO()

    def work(given_up: threading.Event) -> None:
        lines = takewhile(lambda _: not given_up.is_set(), wanted.lines())
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_trainable(lines),
            model_writer=proto,
            model_type=options.kind,
            vocab_size=size,
            character_coverage=options.character_coverage,
            byte_fallback=options.byte_fallback,
            normalization_rule_name=wanted.rule,
            user_defined_symbols=list(options.user_defined_symbols),
            max_sentence_length=_LONGEST_LINE,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            num_threads=1,
            minloglevel=_FATAL_ONLY,
        )

    try:
        run_interruptibly(work)
    except RuntimeError as error:
        raise _training_error(str(error), wanted.side) from None
    return Tokenizer(proto.getvalue())


def run_interruptibly(work: Callable[[threading.Event], None]) -> None:
    """Does long work of C++ in a thread, so that Ctrl-C need not wait for its end.

    Python minds signals in the main thread alone, and there only between its own instructions. The
    work gets an event that is set when nobody waits for it any more; what it raises is raised here.
    """
    given_up, failed = threading.Event(), []

    def run() -> None:
        try:
            work(given_up)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    except BaseException:
        given_up.set()
        thread.join(1.0)  # while it still asks for lines it ends at the next one
        raise
    if failed:
        raise failed[0]


def _some(lines: Iterable[str], limit: int) -> Iterator[str]:
    if not isinstance(lines, Sized) or len(lines) <= limit:
        return islice(lines, limit)
    total = len(lines)
    # Line n is taken where n * limit / total passes a whole number: limit times in all.
    return (line for n, line in enumerate(lines) if (n + 1) * limit // total > n * limit // total)


def _trainable(lines: Iterable[str]) -> Iterator[str]:
    """Replaces NUL, with which SentencePiece drops lines, and half surrogates, which it refuses."""
    for line in lines:
        yield line.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _training_error(message: str, side: str) -> Exception:
    """Reads the size that works from SentencePiece's message; checked exact by the tests."""
    if "KeyboardInterrupt" in message:  # Ctrl-C while SentencePiece asked for the next line
        raise KeyboardInterrupt
    if match := re.search(r"value <= (\d+)", message):
        return _WrongSizeError(True, int(match[1]))
    if match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return _WrongSizeError(False, int(match[1]))
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return DataError(f"no text to train a tokenizer on: {side} of the training data is empty")
    return DataError(f"the tokenizer cannot be trained on {side}: SentencePiece says: {message}")
