"""Constraints on a translation's text: its prefix, forced phrases and avoided phrases, as rules.

Shapes: B sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import UNK
from seq2seq.search.constraints.phrases import ForcedPhrases, PhraseMatcher
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.constraints.text import (
    AvoidedPhrases,
    Prefixes,
    avoided_phrase,
    most_pieces,
    restore_prefix,
)
from seq2seq.search.constraints.tokens import Rule
from seq2seq.search.model import Ints

__all__ = ["Constraints", "check_constraints", "forms_of", "make_rules", "restore_prefix"]


@dataclass(frozen=True)
class Constraints:
    """What one sentence's translation has to look like.

    Args:
        prefix: What it begins with; it may end within a word.
        forced: Phrases that it holds, each as whole words, in any order. In the place of a phrase
            may stand a tuple of phrases: it then holds one of them, or, of tuples that are there
            twice, two.
        avoided: Phrases that it does not hold as whole words.
    """

    prefix: str = ""
    forced: Sequence[str | Sequence[str]] = ()
    avoided: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.prefix or self.forced or self.avoided)


def forms_of(forced: str | Sequence[str]) -> Sequence[str]:
    """The phrases of which one has to come: a forced phrase itself, or its alternatives."""
    if isinstance(forced, str):
        return (forced,)
    if not forced:
        raise Seq2SeqError("a forced phrase has no alternatives: give one or more, or leave it out")
    return forced


def check_constraints(constraints: Constraints, pieces: PieceTable) -> None:
    """Refuses empty phrases, and a prefix or a forced phrase that holds an avoided one."""
    held = [
        (f"the forced phrase {phrase!r}", pieces.phrase(phrase) + b" ")
        for one in constraints.forced
        for phrase in forms_of(one)
    ]
    held.append((f"the prefix {constraints.prefix!r}", pieces.prefix(constraints.prefix)))
    for avoided in constraints.avoided:
        phrase = avoided_phrase(pieces, pieces.phrase(avoided))
        for what, text in held:
            if phrase.held_by(text)[0]:
                raise Seq2SeqError(
                    f"{what} holds {avoided!r}, which is to be avoided: leave one of them out"
                )


def make_rules(
    constraints_B: Sequence[Constraints],
    pieces: PieceTable,
    caps_B: Ints,
    *,
    max_length: int | None,
    sampling: bool,
    strict: bool = False,
) -> tuple[Ints, list[Rule], ForcedPhrases | None]:
    """Makes rules of the constraints of a batch; those that cannot be kept are refused.

    ``caps_B`` are the most tokens of each translation as they are without constraints. Returned
    are the caps with room for prefixes and forced phrases, up to ``max_length``; the rules in the
    order in which they are applied; and that of forced phrases, which the beam has to know, if
    there are any. A search without a beam is told to (``sampling``): the phrases then do alone what
    the beam's allocation does. With ``strict`` they undo no rule that comes before them.
    """
    matchers_B = [_matcher(one, pieces, max_length) for one in constraints_B]
    needed_B = [
        most_pieces(one.prefix, pieces) + (0 if matcher is None else matcher.total)
        for one, matcher in zip(constraints_B, matchers_B, strict=True)
    ]
    if max_length is not None:
        needed_B = [min(needed, max_length) for needed in needed_B]
    caps_B = np.maximum(caps_B, np.array(needed_B, dtype=np.int64))
    rules: list[Rule] = []
    phrases = avoided = None
    if any(one.avoided for one in constraints_B):
        # A phrase may hold what is avoided with more of the word behind, whatever room there is.
        room_B = np.where([matcher is None for matcher in matchers_B], caps_B, 2 * caps_B)
        avoided = AvoidedPhrases([one.avoided for one in constraints_B], pieces, room_B)
        rules.append(avoided)
    if any(matchers_B):
        phrases = ForcedPhrases(matchers_B, caps_B, avoided, alone=sampling, strict=strict)
        rules.append(phrases)
    if any(one.prefix for one in constraints_B):  # last, as it undoes what leaves no way on
        rules.append(Prefixes([one.prefix for one in constraints_B], pieces, strict=strict))
    return caps_B, rules, phrases


def _matcher(
    constraints: Constraints, pieces: PieceTable, max_length: int | None
) -> PhraseMatcher | None:
    check_constraints(constraints, pieces)
    matcher = None
    if constraints.forced:
        plain = [one for one in constraints.forced if isinstance(one, str)]
        choices = [one for one in constraints.forced if not isinstance(one, str)]
        matcher = PhraseMatcher(
            [_spelled(phrase, pieces) for phrase in plain],
            pieces,
            [[_spelled(phrase, pieces) for phrase in choice] for choice in choices],
        )
    if max_length is not None:
        needed = len(pieces.tokenizer.encode([constraints.prefix])[0])
        needed += 0 if matcher is None else matcher.total
        if needed > max_length:
            raise Seq2SeqError(
                f"max_length is {max_length}, but prefix and forced phrases have {needed} "
                f"pieces: allow max_length = {needed} or more"
            )
    return matcher


def _spelled(phrase: str, pieces: PieceTable) -> list[int]:
    tokens = pieces.tokenizer.encode([phrase])[0]
    if UNK in tokens or not tokens:
        raise Seq2SeqError(
            f"the forced phrase {phrase!r} has characters that the model's tokenizer does not know"
        )
    return tokens
