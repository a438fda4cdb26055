"""Subword regularization: a text in another split each time it is seen.

For unigram models a split is drawn from P(split) ** alpha (Kudo 2018), for BPE by leaving out
merges by chance (Provilkov et al. 2020). SentencePiece can do both, but since its version 0.2.2 its
seeds mean something else in every process (its generator is salted), and a run that is resumed
would not be the run that was interrupted. So the draw is made here, and all else by SentencePiece:
it normalizes, finds words, user-defined symbols, bytes and unknown characters, and splits once;
what it made of a word is then split anew.

A word has ``_SPLITS`` splits, each a pure function of the word, its number and alpha, and chance
picks one. That makes them worth remembering: in text, most words have been seen before.

Shapes: W words.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from itertools import chain, count, pairwise

import numpy as np
import numpy.typing as npt

_SPLITS = 16
_REMEMBERED = 2**16  # words; some 100 MB if all their splits were drawn
_LONGEST = 24  # characters; longer words (or text without spaces) are split in parts

# The numbers of SentencePiece's sentencepiece_model.proto.
_NORMAL = 1  # the type of a piece: the others are unknown, control, user-defined, byte, unused
_UNIGRAM, _BPE = 1, 2
SPACE = "▁"
"""How a piece shows the space that a word begins with."""
_WORDS = struct.Struct("<16I")

Split = tuple[int, ...]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


class Sampler:
    """Draws splits for one serialized SentencePiece model."""

    def __init__(self, proto: bytes) -> None:
        pieces, self._kind = _read_model(proto)
        self._pieces = [piece for piece, _, _ in pieces]
        self._scores = {piece: score for piece, score, kind in pieces if kind == _NORMAL}
        self._ids = {piece: n for n, (piece, _, kind) in enumerate(pieces) if kind == _NORMAL}
        self._fixed = np.array([kind != _NORMAL for _, _, kind in pieces])
        self._begins = np.array([piece.startswith(SPACE) for piece in self._pieces])
        self._longest = max(map(len, self._ids), default=1)
        self._remembered: dict[tuple[Split, float], list[Split | None]] = {}

    def resplit(
        self, values: Int32s, offsets: Int64s, alpha: float, seed: int
    ) -> tuple[Int32s, Int64s]:
        """Splits texts anew, each different word once; see ``Tokenizer.resplit``."""
        if self._kind not in (_UNIGRAM, _BPE) or not len(values):
            return values, offsets  # whole words or characters: there is one split
        starts = self._word_starts(values, offsets)
        numbers = np.random.default_rng(seed % 2**64).integers(_SPLITS, size=len(starts))
        first_W, which_W = _different(values, starts)
        asked, which_W = np.unique(which_W * _SPLITS + numbers, return_inverse=True)
        ends = np.append(starts[1:], len(values))
        begins, stops = starts[first_W].tolist(), ends[first_W].tolist()
        ids = values.tolist()
        splits = [
            self._split(tuple(ids[begins[word] : stops[word]]), alpha, number)
            for word, number in (divmod(one, _SPLITS) for one in asked.tolist())
        ]
        table = np.fromiter(chain.from_iterable(splits), np.int32)
        sizes = np.fromiter(map(len, splits), np.int64, len(splits))
        lengths_W = sizes[which_W]
        ends_W = np.cumsum(lengths_W)
        place = np.repeat((np.cumsum(sizes) - sizes)[which_W] - (ends_W - lengths_W), lengths_W)
        place += np.arange(len(place))
        words_before = np.searchsorted(starts, offsets)
        return table[place], np.append(0, ends_W)[words_before]

    def _word_starts(self, values: Int32s, offsets: Int64s) -> Int64s:
        """Where words begin: texts, pieces with a space before them, and around those that stay."""
        fixed = self._fixed[values]
        starts = self._begins[values] | fixed
        starts[1:] |= fixed[:-1]
        starts[offsets[:-1][offsets[:-1] < len(values)]] = True
        return np.flatnonzero(starts)

    def _split(self, word: Split, alpha: float, number: int) -> Split:
        """Gives one of a word's splits, by its number; the word is given by its best split."""
        splits = self._remembered.get((word, alpha))
        if splits is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            splits = self._remembered[word, alpha] = [None] * _SPLITS
        split = splits[number]
        if split is None:
            split = splits[number] = self._draw(word, alpha, number)
        return split

    def _draw(self, word: Split, alpha: float, number: int) -> Split:
        if self._fixed[word[0]]:
            return word
        split: list[int] = []
        for text in self._parts(word):
            chance = _chances(text, number)
            if self._kind == _UNIGRAM:
                drawn = self._draw_unigram(text, alpha, chance)
            else:
                drawn = self._draw_bpe(text, alpha, chance)
            split.extend(self._ids[piece] for piece in drawn)
        return tuple(split)

    def _parts(self, word: Split) -> Iterator[str]:
        text = ""
        for piece in word:
            more = self._pieces[piece]
            if text and len(text) + len(more) > _LONGEST:
                yield text
                text = ""
            text += more
        yield text

    def _draw_unigram(self, text: str, alpha: float, chance: Iterator[float]) -> list[str]:
        """Forward sums of weights, then a walk back that draws each piece by its share."""
        scores, longest = self._scores, self._longest
        sums = [0.0]  # sums[end]: log of the summed weights of all splits of text[:end]
        ways: list[list[tuple[int, float]]] = [[]]  # ways[end]: where the last piece may begin
        for end in range(1, len(text) + 1):
            way = [
                (start, sums[start] + alpha * scores[text[start:end]])
                for start in range(max(0, end - longest), end)
                if text[start:end] in scores and sums[start] > -math.inf
            ]
            most = max((weight for _, weight in way), default=-math.inf)
            total = sum(math.exp(weight - most) for _, weight in way)
            sums.append(most + math.log(total) if way else -math.inf)
            ways.append(way)
        split: list[str] = []
        end = len(text)
        while end:
            left = next(chance)
            start = 0
            for start, weight in ways[end]:  # noqa: B007 - used after the loop
                left -= math.exp(weight - sums[end])
                if left <= 0:
                    break
            split.append(text[start:end])  # rounding may leave a rest: then the last way is taken
            end = start
        return split[::-1]

    def _draw_bpe(self, text: str, alpha: float, chance: Iterator[float]) -> list[str]:
        """Merges from characters up, best merge first, each left out with probability alpha."""
        scores = self._scores
        symbols = list(text)
        while len(symbols) > 1:
            merges = [
                (scores[left + right], -place)
                for place, (left, right) in enumerate(pairwise(symbols))
                if left + right in scores and next(chance) >= alpha
            ]
            if not merges:
                break
            place = -max(merges)[1]
            symbols[place : place + 2] = ["".join(symbols[place : place + 2])]
        return symbols


def _different(values: Int32s, starts: Int64s) -> tuple[Int64s, Int64s]:
    """Finds the first occurrence of each different word, and for each word (W,) which one it is.

    Words are told apart by a hash, and then compared piece by piece: two different ones with the
    same hash are met once in a billion corpora, and are then each their own.
    """
    lengths_W = np.diff(starts, append=len(values))
    within = np.arange(len(values)) - np.repeat(starts, lengths_W)
    powers = np.full(int(lengths_W.max()), 0x9E3779B97F4A7C15, dtype=np.uint64)
    np.cumprod(powers, out=powers)
    hashes_W = np.add.reduceat((values.astype(np.uint64) + np.uint64(1)) * powers[within], starts)
    _, first, which_W = np.unique(hashes_W, return_index=True, return_inverse=True)
    known_W = first[which_W]
    if np.array_equal(lengths_W, lengths_W[known_W]):
        place = np.repeat(starts[known_W], lengths_W) + within
        if np.array_equal(values, values[place]):
            return first, which_W
    return np.arange(len(starts)), np.arange(len(starts))


def _chances(text: str, number: int) -> Iterator[float]:
    """Yields numbers from 0 up to 1: the same for the same text and number, everywhere."""
    key = text.encode()
    for block in count():
        salt = struct.pack("<QQ", number, block)
        for chance in _WORDS.unpack(hashlib.blake2b(key, salt=salt).digest()):
            yield chance / 2**32


def _read_model(proto: bytes) -> tuple[list[tuple[str, float, int]], int]:
    """Reads from a model what its Python interface does not tell: types of pieces, and its own."""
    # It needs protobuf, which comes with onnx.
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    model = ModelProto.FromString(proto)
    pieces = [(one.piece, one.score, one.type) for one in model.pieces]
    return pieces, model.trainer_spec.model_type
