"""A translation with the spans of its source in it again, as text and as pieces."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seq2seq.inference.placement import insert, left_adjacent, place
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.segmentation import Segment
from seq2seq.search.constraints import forms_of
from seq2seq.search.model import Floats32, Hypothesis
from seq2seq.text.case import capitals
from seq2seq.text.sampling import SPACE
from seq2seq.text.spans import CLOSING_MARKS, LeftOut
from seq2seq.text.tokenizer import Tokenizer

_MARKS_BEFORE = re.compile(r"(?:^|\s)[^\w\s]+$")
_MARKS_BEHIND = re.compile(r"[^\w\s]+(?:\s|$)")


@dataclass(frozen=True)
class PlacedSpan:
    """A span and where it stands: how many pieces of the source and of the translation before."""

    source: int
    target: int
    one: LeftOut


def with_spans(
    text: str, found: Hypothesis, segment: Segment, target: Tokenizer
) -> tuple[str, tuple[PlacedSpan, ...]]:
    """Puts a segment's spans into its translation, and that into capitals if the segment was.

    A span that constraints demanded, and that the translation has already, does not come twice.
    """
    asked = [phrase for one in segment.constraints.forced for phrase in forms_of(one)]
    given = [segment.constraints.prefix, *asked] if segment.constraints else []
    found_text = text
    if segment.capitals:
        text = _in_capitals(text, [given[0], *segment.constraints.forced] if given else [])
    if not segment.left_out:
        return text, ()
    missing = _missing(segment.left_out, found_text, given)
    left_out = [segment.left_out[number] for number in missing]
    offsets = _offsets(text, found, target)
    size = len(found.tokens), len(segment.tokens)
    inside = _stretches(found_text, given)  # capitals are as many letters
    gaps = [
        gap
        for gap, offset in enumerate(offsets)
        if gap == size[0]
        or (_may_stand(text, offsets, gap) and not any(a < offset < b for a, b in inside))
    ]
    weights = None if found.attention is None else found.attention[: size[0], : size[1]]
    begins = [segment.begins[number] for number in missing]
    end = _before_last_marks(text, offsets, gaps)
    latest = [end if segment.closed[number] else size[0] for number in missing]
    placed = place(left_out, begins, weights, size, gaps, latest)
    spans = tuple(PlacedSpan(begins[number], gap, left_out[number]) for gap, number in placed)
    return insert(text, offsets, placed, left_out), spans


def _before_last_marks(text: str, offsets: Sequence[int], gaps: Sequence[int]) -> int:
    """The gap in front of the marks that end a text; the last one if there is none."""
    length = len(text)
    while length and (text[length - 1].isspace() or text[length - 1] in CLOSING_MARKS):
        length -= 1
    return next((gap for gap in reversed(gaps) if offsets[gap] == length), gaps[-1])


def _stretches(text: str, given: Sequence[str]) -> list[tuple[int, int]]:
    """Where a prefix (the first that is given) and forced phrases stand: nothing goes into them."""
    found = [(-1, len(given[0]))] if given and given[0] and text.startswith(given[0]) else []
    for phrase in filter(None, given[1:]):
        found += [match.span() for match in re.finditer(re.escape(phrase), text)]
    return found


def _missing(left_out: Sequence[LeftOut], text: str, given: Sequence[str]) -> list[int]:
    """The numbers of the spans that do not stand in a text because a constraint has them."""
    wanted = sorted({one.span.text for one in left_out}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, wanted)))
    inside = _stretches(text, given)
    there = Counter(
        match[0]
        for match in pattern.finditer(text)
        if any(begin <= match.start() and match.end() <= end for begin, end in inside)
    )
    missing = []
    for number, one in enumerate(left_out):
        if there[one.span.text]:
            there[one.span.text] -= 1
        else:
            missing.append(number)
    return missing


def _in_capitals(text: str, given: Sequence[str | Sequence[str]]) -> str:
    """A text in capitals, but for a prefix and forced phrases: they stay letter for letter."""
    kept = [re.escape(one) for one in given if one and isinstance(one, str)]
    if not kept:
        return capitals(text)
    parts = re.split(f"({'|'.join(sorted(kept, key=len, reverse=True))})", text)
    return "".join(part if n % 2 else capitals(part) for n, part in enumerate(parts))


def _offsets(text: str, found: Hypothesis, target: Tokenizer) -> list[int]:
    """Where in the text each piece begins, and the last one ends: behind as many letters."""
    prefixes = target.decode([found.tokens[:size] for size in range(len(found.tokens) + 1)])
    letters = [place for place, letter in enumerate(text) if not letter.isspace()]
    ends = [0, *(place + 1 for place in letters)]
    counts = [sum(not letter.isspace() for letter in prefix) for prefix in prefixes]
    return [*(ends[min(count, len(letters))] for count in counts[:-1]), len(text.rstrip())]


def _may_stand(text: str, offsets: Sequence[int], gap: int) -> bool:
    """Whether something may stand before a piece: not within a word, or before its last marks."""
    offset = offsets[gap]
    before, behind = text[:offset], text[offset:]
    if not before or not behind or behind[0].isspace() or before[-1].isspace():
        return True
    if _MARKS_BEFORE.search(before[-8:]) or _MARKS_BEHIND.match(behind):
        return True
    return any(unicodedata.east_asian_width(one) in "WF" for one in (before[-1], behind[0]))


def with_pieces(made: ScoredTranslation, spans: Sequence[PlacedSpan]) -> ScoredTranslation:
    """A translation in detail, with each span as one piece, here as in the source.

    What is certain has a log-probability of 0; and a span was made of itself alone.
    """
    by_source = sorted(range(len(spans)), key=lambda number: spans[number].one.span.begin)
    source_at = [spans[number].source for number in by_source]
    target_at = [one.target for one in spans]
    source = _with(made.source_tokens, source_at, [spans[number].one for number in by_source])
    target = _with(made.tokens, target_at, [one.one for one in spans])
    log_probs = made.token_log_probs
    if log_probs:
        log_probs = tuple(np.insert(np.array(log_probs), target_at, 0.0).tolist())
    attention = made.attention
    if attention is not None:
        attention = _attention(attention, target_at, source_at, np.argsort(by_source).tolist())
    return replace(
        made,
        tokens=target,
        token_log_probs=log_probs,
        source_tokens=source,
        attention=attention,
    )


def _with(
    pieces: Sequence[str], places: Sequence[int], left_out: Sequence[LeftOut]
) -> tuple[str, ...]:
    """Pieces with spans among them, ``places`` being ascending."""
    found: list[str] = []
    begin = 0
    for number, (end, one) in enumerate(zip(places, left_out, strict=True)):
        found += _glued(pieces[begin:end], found, left_out[number - 1] if number else None)
        begin = end
        adjacent = number > 0 and left_adjacent(left_out[number - 1], one)
        spaced = one.before == " " and not adjacent
        found.append(f"{SPACE if spaced or not found else ''}{one.span.text}")
    return (*found, *_glued(pieces[begin:], found, left_out[-1] if left_out else None))


def _glued(pieces: Sequence[str], before: Sequence[str], span: LeftOut | None) -> list[str]:
    """Pieces behind a span that nothing stood between it and what followed."""
    rest = list(pieces)
    if rest and before and span is not None and span.after != " " and rest[0].startswith(SPACE):
        rest[0] = rest[0].removeprefix(SPACE)
    return rest


def _attention(
    weights: Floats32,
    target_at: Sequence[int],
    source_at: Sequence[int],
    column_of: Sequence[int],
) -> Floats32:
    """The attention with a row and a column for each span."""
    wide = np.insert(weights, source_at, 0.0, axis=1)
    whole = np.insert(wide, target_at, 0.0, axis=0)
    rows = [place + number for number, place in enumerate(target_at)]
    columns = [place + number for number, place in enumerate(source_at)]
    whole[rows, [columns[number] for number in column_of]] = 1.0
    return whole
