"""Wishes about the text of a translation, as rules: what it begins with, and what it avoids.

Both look at text, not at pieces: whatever split into pieces the search finds, the text keeps them.
Texts are compared as the tokenizer normalizes them (see ``pieces.py``), so case
matters unless the tokenizer folds it.
"""

from __future__ import annotations

from seq2seq.errors import Seq2SeqError
from seq2seq.search.constraints.avoided import Avoided, find_phrase
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.constraints.prefixes import Prefixes, most_pieces, restore_prefix
from seq2seq.search.options import Wish

__all__ = ["Avoided", "Prefixes", "check_wish", "most_pieces", "restore_prefix"]


def check_wish(wish: Wish, pieces: PieceTable) -> None:
    """Checks that a sentence's wishes say something, and do not contradict each other.

    Args:
        wish: The wishes.
        pieces: The target's pieces.

    Raises:
        Seq2SeqError: If a phrase is empty, or the prefix or a forced phrase holds an avoided one.
    """
    held = [(f"the forced phrase {one!r}", pieces.phrase(one) + b" ") for one in wish.forced]
    held.append((f"the prefix {wish.prefix!r}", pieces.prefix(wish.prefix)))
    for avoided in wish.avoided:
        phrase = find_phrase(pieces, pieces.phrase(avoided))
        for what, text in held:
            if phrase.held_by(text)[0]:
                raise Seq2SeqError(
                    f"{what} holds {avoided!r}, which is to be avoided: leave one of them out"
                )
