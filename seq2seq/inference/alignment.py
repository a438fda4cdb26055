"""Which words of the source a translation's words come from, read from the attention over pieces.

A word is what has spaces around it in the tokenizer's text: it begins at a piece with the mark of
a space in front, and the pieces without one belong to the word before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.search.model import Floats, Floats32, Ints

SPACE = "\u2581"
"""How SentencePiece writes a space."""


def words_of(pieces: Sequence[str]) -> list[int]:
    """Tells which word each piece belongs to."""
    numbers: list[int] = []
    word, inside = 0, False
    for piece in pieces:
        if piece.startswith(SPACE) and inside:
            word, inside = word + 1, False
        numbers.append(word)
        inside = inside or bool(piece.strip(SPACE))
    if pieces and not inside and word:  # marks at the end begin no word
        numbers = [min(number, word - 1) for number in numbers]
    return numbers


def word_attention(
    attention: Floats32, source_pieces: Sequence[str], target_pieces: Sequence[str]
) -> Floats:
    """Merges the attention of pieces to that of words.

    Args:
        attention: How each target piece, and the end, weighed each source piece, and the end
            (target pieces + 1, source pieces + 1).
        source_pieces: The source's pieces, without the end.
        target_pieces: The translation's pieces, without the end.

    Returns:
        How each target word weighed each source word (target words, source words): the weights of
        a word's pieces are added up for the source, and averaged for the target. The ends are left
        out, so a row's sum is 1 less what went to the source's end.
    """
    target, source = _begins(words_of(target_pieces)), _begins(words_of(source_pieces))
    inner = attention[: len(target_pieces), : len(source_pieces)]
    if not inner.size:
        return np.zeros((len(target), len(source)))
    by_source = np.add.reduceat(inner, source, axis=1, dtype=np.float64)
    sizes = np.diff(target, append=len(target_pieces))
    return np.asarray(np.add.reduceat(by_source, target, axis=0) / sizes[:, None])


def word_alignment(
    attention: Floats32, source_pieces: Sequence[str], target_pieces: Sequence[str]
) -> list[tuple[int, int]]:
    """Aligns each word of a translation to the source word that it weighed most."""
    weights = word_attention(attention, source_pieces, target_pieces)
    if not weights.size:
        return []
    best = weights.argmax(axis=1).tolist()
    return [(i, j) for j, i in enumerate(best) if weights[j, i] > 0.0]


def pharaoh(alignment: Sequence[tuple[int, int]]) -> str:
    """Writes an alignment as Pharaoh and fast_align do."""
    return " ".join(f"{i}-{j}" for i, j in alignment)


def _begins(words: Sequence[int]) -> Ints:
    """The piece that each word begins at."""
    return np.flatnonzero(np.diff(np.asarray(words, dtype=np.int64), prepend=-1))
