"""What a text is before it is split into pieces: SentencePiece's rules, a rule for each side.

A rule may help on the source, where it makes rare characters usual ones. On the target it takes
away what a reader is owed: what was rewritten before training ("…", "½", a joiner) can never be
written. Where both sides have one vocabulary, the pieces are the same in two models, which differ
in their rules alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import sentencepiece

SOURCE_RULE = "nmt_nfkc"
"""What the source is normalized by where the recipe leaves it open, and the target if it may be."""
IDENTITY = "identity"


@lru_cache
def _normalizer(rule: str, *, as_encoded: bool = False) -> Any:
    return sentencepiece.SentencePieceNormalizer(
        rule_name=rule,
        add_dummy_prefix=as_encoded,
        escape_whitespaces=as_encoded,
        remove_extra_whitespaces=as_encoded,
    )


def normalizing(rule: str) -> Callable[[str], str]:
    """The function that normalizes a text by a rule, and leaves space at its ends."""
    return _normalizer(rule).normalize  # type: ignore[no-any-return]


def would_change(lines: Iterable[str]) -> bool:
    """Whether ``SOURCE_RULE`` changes anything in some lines but the width of spaces."""
    normalize = normalizing(SOURCE_RULE)
    return any(
        not (line.isascii() and line.isprintable()) and _spaced(normalize(line)) != _spaced(line)
        for line in lines
    )


def _spaced(text: str) -> list[str]:
    return text.split(" ") if "  " not in text else [part for part in text.split(" ") if part]


def with_rule(proto: bytes, rule: str) -> bytes:
    """The same model with another rule; ``proto`` has the rule ``identity``.

    Serialized messages that are joined are merged, the later values counting.
    """
    merged = sentencepiece.SentencePieceProcessor()
    merged.LoadFromSerializedProto(
        proto + _normalizer(rule, as_encoded=True).serialized_model_proto()
    )
    return bytes(merged.serialized_model_proto())
