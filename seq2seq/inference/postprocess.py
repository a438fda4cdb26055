"""From hypotheses to translations: loops cut, texts written, doubles dropped, the best first.

A network that has lost its place says one phrase again and again until it is stopped; only what was
stopped by its length cap is looked at, so one that says a thing three times for a reason stays as
it is. Minimum Bayes risk takes, of several translations, the one that agrees best with all others:
the utility of one, were another the right one, is sacreBLEU's sentence score; samples count once
each time they were drawn (Eikema and Aziz 2020), an n-best list's members by their probabilities
(Kumar and Byrne 2004).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from seq2seq.inference.glossary import used_terms
from seq2seq.inference.reinsertion import PlacedSpan, with_pieces, with_spans
from seq2seq.inference.request import Request
from seq2seq.inference.results import Note, ScoredTranslation
from seq2seq.inference.segmentation import Line, Segment, join_segments
from seq2seq.search import Hypothesis, Normalization, divisors
from seq2seq.search.constraints import restore_prefix
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.model import Floats, Floats32
from seq2seq.text.sampling import SPACE
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

_TIMES = 3  # a phrase that stands there less often at the end may be meant
_SHORTEST = 6  # pieces: "ha ha ha" is no loop

# The translation of an empty line is the empty line, for sure; no model is asked.
_EMPTY = ScoredTranslation(text="", score=0.0, log_prob=0.0, truncated=False)

_LOOPED = Note("looped", "it repeated itself up to the length cap: it was cut after the first time")
_CUT = Note("cut", "it was cut off at the length cap")
_INCOMPLETE = Note("incomplete", "it looks cut: parts of the source may be missing")

# A translation looks cut if it has less than half of the usual length (of human translations of
# Multi30k, 3 in 1,000 have), or if it attended to a stretch of the source as good as not at all.
_SHORT = 0.5
_UNSEEN = 0.1  # the sum of a piece's attention
_STRETCH = 6  # pieces, and a quarter of all
_LEAST = 8  # pieces: what is shorter than this has no usual length
_MOST_WEIGHTS = 2**26  # of one line's attention: 256 MiB


@dataclass(frozen=True)
class Answer:
    """What a segment of a line was translated to: a hypothesis with its text.

    The end of the hypothesis is left out if it looped. ``score`` is what answers are ranked by, and
    ``length`` how many tokens the search found, their end counted: what its score is made with. The
    ``spans`` are in the text, but not in the hypothesis.
    """

    text: str
    hypothesis: Hypothesis
    score: float
    length: int
    looped: bool = False
    incomplete: bool = False
    spans: tuple[PlacedSpan, ...] = ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader should know of it."""
        found = (_INCOMPLETE,) if self.incomplete else ()
        if self.looped:
            return (_LOOPED, *found)
        return (_CUT, *found) if self.hypothesis.truncated else found


def answers_to(
    segments: Sequence[Segment],
    found: Sequence[Sequence[Hypothesis]],
    target: Tokenizer,
    table: PieceTable | None,
    request: Request,
    ratio: float = 1.0,
    *,
    backwards: bool = False,
) -> Iterator[list[Answer]]:
    """Writes translations out, and chooses among them.

    ``ratio`` is how many pieces a translation mostly has for each of its source's. ``backwards``:
    they were written from right to left, and so a loop stands at their beginning.
    """

    def begins_word(token: int) -> bool:
        return target.pieces([token])[0].startswith(SPACE)

    kept = [
        [_without_loop(one, begins_word, backwards) if one.truncated else one for one in several]
        for several in found
    ]
    texts = iter(target.decode([one.tokens for several in kept for one in several]))
    samples = request.options.sampling is not None
    for segment, several, shown in zip(segments, found, kept, strict=True):
        answers = []
        for one, cut in zip(several, shown, strict=True):
            text = _text(next(texts), cut, segment, target, table)
            text, spans = with_spans(text, cut, segment, target)
            looped, incomplete = cut is not one, looks_cut(cut, len(segment.tokens), ratio)
            length = len(one.tokens) + 1
            answers.append(Answer(text, cut, cut.score, length, looped, incomplete, spans))
        if request.mbr is not None:
            answers = _by_utility(answers, request.mbr, samples, request.wanted)
        elif not samples and len(answers) > 1:
            answers = _different(answers)[: request.wanted]
        yield answers


def looks_cut(found: Hypothesis, source: int, ratio: float) -> bool:
    """Whether parts of a source of so many pieces seem to be missing in its translation."""
    if source < _LEAST:
        return False
    if len(found.tokens) < _SHORT * ratio * source:
        return True
    if found.attention is None:
        return False
    unseen = found.attention[:-1, :-1].sum(axis=0) < _UNSEEN
    least = max(_STRETCH, source / 4)
    if np.count_nonzero(unseen) < least:
        return False
    return any(is_unseen and len([*run]) >= least for is_unseen, run in groupby(unseen.tolist()))


def _without_loop(
    found: Hypothesis, begins_word: Callable[[int], bool], backwards: bool
) -> Hypothesis:
    written = found.backwards() if backwards else found
    kept = end_of_first(written.tokens, begins_word, backwards=backwards)
    if kept is None:
        return found
    cut = cut_after(written, kept)
    return cut.backwards() if backwards else cut


def _text(
    decoded: str, found: Hypothesis, segment: Segment, target: Tokenizer, table: PieceTable | None
) -> str:
    prefix = segment.constraints.prefix
    if not prefix or table is None:
        return as_one_line(decoded, target)
    text = restore_prefix(decoded, prefix, found.tokens, table)
    rest = as_one_line(f"x{text[len(prefix) :]}", target)[1:]
    rest = rest.lstrip(" ") if prefix.endswith(" ") else rest
    return prefix.replace("\n", " ") + rest  # else the prefix is kept letter for letter


def as_one_line(decoded: str, tokenizer: Tokenizer) -> str:
    """The text as one line, without the extra spaces that the tokenizer ignores."""
    text = decoded.replace("\n", " ")  # a piece may hold a line break, which would make two lines
    if "  " in text or text.startswith(" ") or text.endswith(" "):
        plain = re.sub(" +", " ", text).strip(" ")
        if tokenizer.encode([plain]) == tokenizer.encode([text]):
            return plain
    return text


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
        replace(answer, score=value) for answer, value in zip(candidates, utilities, strict=True)
    ]
    return sorted(judged, key=lambda answer: -answer.score)  # stable: of equal ones the likelier


def translations_of(
    line: Line,
    answered: Sequence[Sequence[Answer]],
    request: Request,
    tokenizers: Tokenizers | None,
) -> list[ScoredTranslation]:
    """Makes a line's translations of the answers to its segments; in detail with tokenizers."""
    if not line.segments:
        return (
            [replace(_EMPTY, text=line.wordless, notes=line.notes)] if line.wordless else [_EMPTY]
        )
    if len(line.segments) == 1:
        answers = answered[0]
    else:
        drawn = request.options.sampling is not None and request.mbr is None
        rows = zip(*answered, strict=True) if drawn else _best_rows(answered)
        options, is_shown = request.options, tokenizers is not None and request.options.attention
        sizes = [len(segment.tokens) for segment in line.segments]
        answers = [
            join_answers(row, options.normalization, attention=is_shown, sizes=sizes)
            for row in rows
        ]
        if not drawn:
            # By length, a line may rank higher than one that is made of better segments.
            answers = _different(sorted(answers, key=lambda one: -one.score))
    found = []
    demands = [demand for segment in line.segments for demand in segment.demands]
    for one in answers:
        pieces = None
        if tokenizers is not None:
            row = [token for segment in line.segments for token in segment.tokens]
            pieces = tokenizers.source.pieces(row), tokenizers.target.pieces(one.hypothesis.tokens)
        hypothesis, notes = one.hypothesis, line.notes + one.notes
        if pieces is not None and not request.options.attention:
            hypothesis = replace(hypothesis, attention=None)
        made = ScoredTranslation.of(one.text, hypothesis, one.score, notes, pieces)
        if demands:
            made = replace(made, terms=used_terms(demands, one.text))
        found.append(with_pieces(made, one.spans) if pieces is not None and one.spans else made)
    return found


def _best_rows(answered: Sequence[Sequence[Answer]]) -> list[list[Answer]]:
    """The best ways to take an answer of each segment, as many as a segment has answers."""
    count = max(map(len, answered))
    best: list[tuple[float, list[Answer]]] = [(0.0, [])]
    for several in answered:
        longer = ((score + one.score, [*row, one]) for score, row in best for one in several)
        best = sorted(longer, key=lambda found: -found[0])[:count]
    return [row for _, row in best]


def join_answers(
    answers: Sequence[Answer],
    normalization: Normalization,
    *,
    attention: bool = True,
    sizes: Sequence[int] = (),
) -> Answer:
    """Joins the answers to a line's segments, as if these had been translated in one go.

    Log-probabilities are added up, and each segment's end counts for the length. The joint
    ``attention`` grows with the square of the line: it is made only where it is asked for.
    ``sizes`` are the lengths of the segments in source pieces, which say where spans stand.
    """
    if len(answers) == 1:
        return answers[0]
    several = [answer.hypothesis for answer in answers]
    log_prob = math.fsum(one.log_prob for one in several)
    hypothesis = Hypothesis(
        tokens=tuple(token for one in several for token in one.tokens),
        log_prob=log_prob,
        score=_joint_score(answers, log_prob, normalization),
        truncated=any(one.truncated for one in several),
        token_log_probs=_joint_steps([one.token_log_probs for one in several]),
        attention=_joint_attention([one.attention for one in several]) if attention else None,
    )
    ranked_by_search = all(answer.score == answer.hypothesis.score for answer in answers)
    score = sum(answer.score for answer in answers) / len(answers)  # a mean of utilities
    return Answer(
        join_segments([answer.text for answer in answers]),
        hypothesis,
        hypothesis.score if ranked_by_search else score,
        sum(answer.length for answer in answers),
        looped=any(answer.looped for answer in answers),
        incomplete=any(answer.incomplete for answer in answers),
        spans=_joint_spans(answers, sizes),
    )


def _joint_spans(answers: Sequence[Answer], sizes: Sequence[int]) -> tuple[PlacedSpan, ...]:
    found: list[PlacedSpan] = []
    source = target = 0
    for answer, size in zip(answers, sizes, strict=False):
        found += [
            replace(one, source=one.source + source, target=one.target + target)
            for one in answer.spans
        ]
        source, target = source + size, target + len(answer.hypothesis.tokens)
    return tuple(found)


def _joint_score(answers: Sequence[Answer], log_prob: float, normalization: Normalization) -> float:
    """By the lengths that were searched: what was left out of a loop counts in the sum, too."""
    total = sum(answer.length for answer in answers)
    if not math.isfinite(log_prob):
        return log_prob
    table = divisors(normalization, total)
    coverage = math.fsum(
        answer.hypothesis.score - answer.hypothesis.log_prob / table[answer.length]
        for answer in answers
    )
    return float(log_prob / table[total] + coverage)


def _joint_steps(several: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    if not all(several):
        return ()
    ends = math.fsum(one[-1] for one in several)
    return (*(value for one in several for value in one[:-1]), ends)


def _joint_attention(several: Sequence[Floats32 | None]) -> Floats32 | None:
    """One matrix: each segment looked at its own source alone, and all ends are one.

    None if a segment has none, or the matrix would be too large for the memory.
    """
    whole = [one for one in several if one is not None]
    if len(whole) < len(several):
        return None
    heights, widths = zip(*(np.subtract(one.shape, 1).tolist() for one in whole), strict=True)
    if sum(heights) * sum(widths) > _MOST_WEIGHTS:
        return None
    joint = np.zeros((sum(heights) + 1, sum(widths) + 1), dtype=np.float32)
    row = column = 0
    for one, height, width in zip(whole, heights, widths, strict=True):
        joint[row : row + height, column : column + width] = one[:-1, :-1]
        joint[row : row + height, -1] = one[:-1, -1]
        row, column = row + height, column + width
    joint[-1, column - width : column] = whole[-1][-1, :-1]
    joint[-1, -1] = whole[-1][-1, -1]
    return joint


def cut_after(hypothesis: Hypothesis, kept: int) -> Hypothesis:
    """Leaves out the end of a hypothesis that repeated itself."""
    steps, attention = hypothesis.token_log_probs, hypothesis.attention
    return Hypothesis(
        hypothesis.tokens[:kept],
        hypothesis.log_prob,
        hypothesis.score,
        hypothesis.truncated,
        (*steps[:kept], math.fsum(steps[kept:])) if steps else (),
        None if attention is None else np.concatenate([attention[:kept], attention[-1:]]),
    )


def end_of_first(
    tokens: Sequence[int], begins_word: Callable[[int], bool], *, backwards: bool = False
) -> int | None:
    """Finds where a repeated phrase at the end has been said for the first time.

    None if the end repeats nothing. The shortest phrase counts, at least three times said, the last
    time perhaps in part; it is cut between words if it can be. Tokens that were written
    ``backwards`` come as they were written: a word ends with the token that begins it.
    """
    ids = np.asarray(tokens, dtype=np.int64)
    for period in range(1, len(ids) // _TIMES + 1):
        differs = np.flatnonzero(ids[period:] != ids[:-period])
        begin = int(differs[-1]) + 1 if len(differs) else 0
        repeated = len(ids) - begin
        if repeated >= max(_TIMES * period, _SHORTEST):
            first = begin + period
            for cut in range(first, first + period):
                if begins_word(tokens[cut - 1 if backwards else cut]):
                    return cut
            return first
    return None


def expected_utilities(texts: Sequence[str], weights: Sequence[float], utility: str) -> list[float]:
    """Computes how well each candidate agrees with all of them."""
    if not texts:
        return []
    orders, score = (_chrf if utility == "chrf" else _bleu)(texts)
    counted = [_matches(counts) for counts in zip(*orders, strict=True)]
    shares = np.asarray(weights, dtype=np.float64)
    shares /= shares.sum()
    found = []
    for i in range(len(texts)):
        scores = [
            score(i, j, [(sizes[i], sizes[j], matches[i][j]) for sizes, matches in counted])
            for j in range(len(texts))
        ]
        found.append(float(np.dot(scores, shares)))
    return found


_Orders = list[list[Counter[Any]]]
"""The n-grams of each text, by their order."""
_ScoreOf = Callable[[int, int, list[tuple[int, int, int]]], float]
"""Scores text i against text j: for each order, n-grams of i, of j, and those in common."""


def _chrf(texts: Sequence[str]) -> tuple[_Orders, _ScoreOf]:
    from sacrebleu.metrics import helpers
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()

    def score(i: int, j: int, each: list[tuple[int, int, int]]) -> float:
        # Counts of an order that the reference lacks are left out.
        stats = [n for own, other, both in each for n in (own if other else 0, other, both)]
        # Its public way takes texts, and would count the n-grams of each once for each other.
        return float(metric._compute_score_from_stats(stats).score)

    return [helpers.extract_all_char_ngrams(one, metric.char_order) for one in texts], score


def _bleu(texts: Sequence[str]) -> tuple[_Orders, _ScoreOf]:
    from sacrebleu.metrics import helpers
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    most = metric.max_ngram_order
    orders, lengths = [], []
    for text in texts:
        counts, length = helpers.extract_all_word_ngrams(metric.tokenizer(text.rstrip()), 1, most)
        split = [Counter[Any]() for _ in range(most)]
        for ngram, count in counts.items():
            split[len(ngram) - 1][ngram] = count
        orders.append(split)
        lengths.append(length)

    def score(i: int, j: int, each: list[tuple[int, int, int]]) -> float:
        found = metric.compute_bleu(
            [both for _, _, both in each],
            [own for own, _, _ in each],
            lengths[i],
            lengths[j],
            metric.smooth_method,
            effective_order=True,  # as sentence_bleu: orders longer than the sentence do not count
        )
        return float(found.score)

    return orders, score


def _matches(several: Sequence[Counter[Any]]) -> tuple[list[int], list[list[int]]]:
    """How many n-grams each text has, and how many each has in common with each.

    The smaller of two counts is the number of times from 1 on that both reach, so all pairs are
    compared by products of matrices.
    """
    number: dict[Any, int] = {}
    for counts in several:
        for ngram in counts:
            number.setdefault(ngram, len(number))
    count_NG = np.zeros((len(several), len(number)), dtype=np.float32)
    for row, counts in zip(count_NG, several, strict=True):
        row[[number[ngram] for ngram in counts]] = list(counts.values())
    matches_NN = np.zeros((len(several), len(several)), dtype=np.float64)
    for times in range(1, int(count_NG.max(initial=0)) + 1):
        reach_NG = count_NG[:, (count_NG >= times).any(axis=0)] >= times
        matches_NN += reach_NG.astype(np.float32) @ reach_NG.astype(np.float32).T
    sizes = [sum(counts.values()) for counts in several]
    return sizes, matches_NN.astype(np.int64).tolist()


def probabilities(log_probs: Sequence[float]) -> list[float]:
    """Turns log-probabilities of candidates into weights that sum to 1."""
    values: Floats = np.asarray(log_probs, dtype=np.float64)
    peak = values.max(initial=-np.inf)
    shares = np.exp(values - peak) if np.isfinite(peak) else np.ones_like(values)
    weights: list[float] = (shares / shares.sum()).tolist() if len(values) else []
    return weights
