"""From hypotheses to translations: loops cut, texts written, doubles dropped, the best first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from seq2seq.inference.alignment import SPACE
from seq2seq.inference.mbr import expected_utilities, probabilities
from seq2seq.inference.reading import Part
from seq2seq.inference.repetition import end_of_first
from seq2seq.inference.request import Request
from seq2seq.inference.results import Answer, ScoredTranslation, cut_after, join_answers
from seq2seq.search import Hypothesis
from seq2seq.search.constraints.constraints import restore_prefix
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.text.tokenizer import Tokenizer

logger = logging.getLogger("seq2seq")

_SHOWN = 10  # numbers of lines in one warning

# The translation of an empty line is the empty line, for sure; no model is asked.
_EMPTY = ScoredTranslation(text="", score=0.0, log_prob=0.0, truncated=False)


def cut_loops(
    parts: Sequence[Part], found: Sequence[list[Hypothesis]], target: Tokenizer
) -> tuple[list[list[Hypothesis]], list[int]]:
    """Cuts translations that repeat themselves up to their length cap.

    Args:
        parts: What was translated.
        found: What the search found for each, best first.
        target: The target's tokenizer.

    Returns:
        The same, with those cut, and the numbers of the lines whose best one was.
    """

    def begins_word(token: int) -> bool:
        return target.pieces([token])[0].startswith(SPACE)

    cut: list[list[Hypothesis]] = []
    loops: list[int] = []
    for part, several in zip(parts, found, strict=True):
        kept = [end_of_first(one.tokens, begins_word) if one.truncated else None for one in several]
        if kept[0] is not None and part.line not in loops[-1:]:
            loops.append(part.line)
        cut.append(
            [
                one if end is None else cut_after(one, end)
                for one, end in zip(several, kept, strict=True)
            ]
        )
    return cut, loops


def report_loops(numbers: Sequence[int]) -> None:
    """Says which lines' translations were cut.

    Args:
        numbers: The lines' numbers.
    """
    if numbers:
        more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
        logger.warning(
            "line%s %s%s: the translation repeated itself up to the length cap: "
            "it was cut after the first time",
            "s" if len(numbers) > 1 else "",
            ", ".join(map(str, numbers[:_SHOWN])),
            more,
        )


def answers_to(
    parts: Sequence[Part],
    found: Sequence[Sequence[Hypothesis]],
    target: Tokenizer,
    table: PieceTable | None,
    request: Request,
) -> Iterator[list[Answer]]:
    """Writes translations out, and chooses among them.

    Args:
        parts: What was translated.
        found: What the search found for each, best first.
        target: The target's tokenizer.
        table: The target's pieces as text; None if nothing is wished for.
        request: How many are wanted, and by what they are ranked.

    Yields:
        The answers to each part, best first, at least one.
    """
    texts = iter(target.decode([one.tokens for several in found for one in several]))
    samples = request.options.sampling is not None
    for part, several in zip(parts, found, strict=True):
        answers = [Answer(_text(next(texts), one, part, table), one, one.score) for one in several]
        if request.mbr is not None:
            answers = _by_utility(answers, request.mbr, samples, request.wanted)
        elif not samples and len(answers) > 1:
            answers = _different(answers)[: request.wanted]
        yield answers


def _text(decoded: str, found: Hypothesis, part: Part, table: PieceTable | None) -> str:
    text, prefix = decoded, part.wish.prefix
    if prefix and table is not None:
        text = restore_prefix(decoded, prefix, found.tokens, table)
    return text.replace("\n", " ")  # a piece may hold a line break, which would make two lines


def _different(answers: Sequence[Answer]) -> list[Answer]:
    """Drops all but the first, which is the best, of those with the same text."""
    first: dict[str, Answer] = {}
    for answer in answers:
        first.setdefault(answer.text, answer)
    return list(first.values())


def _by_utility(
    answers: Sequence[Answer], utility: str, samples: bool, wanted: int | None
) -> list[Answer]:
    candidates = _different(answers)[:wanted]
    if samples:
        drawn = Counter(answer.text for answer in answers)
        weights = [float(drawn[answer.text]) for answer in candidates]
    else:
        weights = probabilities([answer.hypothesis.log_prob for answer in candidates])
    utilities = expected_utilities([answer.text for answer in candidates], weights, utility)
    judged = [
        Answer(answer.text, answer.hypothesis, value)
        for answer, value in zip(candidates, utilities, strict=True)
    ]
    return sorted(judged, key=lambda answer: -answer.score)  # stable: of equal ones the likelier


def translations_of(
    parts: Sequence[Part],
    answered: Sequence[Sequence[Answer]],
    request: Request,
    pieces: tuple[Sequence[str], Sequence[str]] | None,
) -> list[ScoredTranslation]:
    """Makes a line's translations of the answers to its parts.

    Args:
        parts: The line's parts.
        answered: The answers to each. A translation is made of the n-th ones of all.
        request: How scores are made.
        pieces: The names of source and target pieces by their ids; None: tokens are not wanted.

    Returns:
        The translations, best first, at least one.
    """
    if not parts:
        return [_EMPTY]
    if len(parts) == 1:
        answers = answered[0]
    else:
        count = max(map(len, answered))
        rows = ([several[min(n, len(several) - 1)] for several in answered] for n in range(count))
        answers = [join_answers(row, request.options.normalization) for row in rows]
        if request.options.sampling is None or request.mbr is not None:
            # By length, a line may rank higher than one that is made of better parts.
            answers = _different(sorted(answers, key=lambda one: -one.score))
    if pieces is None:
        return [
            ScoredTranslation(
                one.text, one.score, one.hypothesis.log_prob, one.hypothesis.truncated
            )
            for one in answers
        ]
    source, target = pieces
    read = tuple(source[token] for part in parts for token in part.row)
    return [
        ScoredTranslation(
            one.text,
            one.score,
            one.hypothesis.log_prob,
            one.hypothesis.truncated,
            tuple(target[token] for token in one.hypothesis.tokens),
            one.hypothesis.token_log_probs,
            read,
            one.hypothesis.attention,
        )
        for one in answers
    ]
