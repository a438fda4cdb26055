"""Beam search over a batch of sentences, without a loop over sentences or hypotheses.

What it does, for each sentence:

1. At each step every live hypothesis is extended by every token. These candidates are ranked by
   the sum of their log-probabilities; of equal ones, that of the better parent goes first, then
   the one that comes first among the engine's candidates: the lower token id.
2. A candidate that ends (with eos) is finished if it is among the first ``beam`` of that ranking.
   The first ``beam`` others are the live hypotheses of the next step.
3. At the length cap eos is forced: all live hypotheses are finished, with its log-probability.
4. A sentence is done as soon as one of these holds:

   a. No hypothesis is live.
   b. No live hypothesis can get into the ``n_best``, for certain. Its sum ``s <= 0`` can only fall,
      and no divisor is greater than that of the cap, so it cannot score above
      ``s / divisor(cap + 1)``; and ``n_best`` finished ones score at least that much.
   c. ``beam`` hypotheses are finished, and no live one, divided by the divisor of its present
      length, scores above the best of them. This is a guess: with length normalization the bound of
      b is loose, and the search would often go on to the cap. It does not look at ``n_best``, so
      asking for more translations never changes the best one.
   d. ``beam`` is 1, and a hypothesis is finished: this is greedy search.

   Many toolkits stop at ``beam`` finished hypotheses, whatever they score. That can lose the best
   translation: where a model is sure of itself, poor endings fill the last places of the beam.
5. Finished hypotheses are ranked by normalized score; of equal ones, the first found goes first.

Of each row the ``beam + 1`` best tokens are enough to know the ranking as far as it matters: a row
has at most ``beam`` tokens among the first ``beam`` non-eos ones, and if eos is among the first
``beam`` of all, it is among the first ``beam`` of its row.

Rules may change what the candidates are ranked by at a step. The sums stay the model's own, so
nothing above changes. A coverage penalty is added to the score of what is finished; it is 0 or
below, so the bound of rule 4b holds.

With ``groups`` (Vijayakumar et al. 2018) each group of a sentence is a beam of its own, of ``beam /
groups`` hypotheses: it ranks, finishes and stops by itself, as above. It only sees at each step
which tokens the groups before it go on with, and each time lowers their choice. The best of all
groups' best are the sentence's. Here too ``beam + 1`` tokens of a row are enough: the groups before
go on with at most ``beam - width`` different tokens, so ``width + 1`` of those are not lowered, and
what is outside is neither better than these nor made better. A group's stop never looks at
``n_best``, as those after it would see that.

Nothing here mixes sentences, so a sentence's result does not depend on the batch that it is in.

Shapes are explained in ``state.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, SUPPRESSED
from seq2seq.recipe.training import Normalization
from seq2seq.search.beam.state import BeamState, Finished, Ranked
from seq2seq.search.constraints.phrases import ForcedPhrases
from seq2seq.search.constraints.tokens import Rule
from seq2seq.search.model import Bools, Hypothesis, S, SourceBatch, StepModel
from seq2seq.search.step import BestTokens, Stepper, checked_caps
from seq2seq.search.trace import Coverage, Trace, divisors


def beam_search(
    model: StepModel[S],
    source: SourceBatch,
    *,
    beam: int,
    n_best: int = 1,
    max_lengths: npt.ArrayLike,
    normalization: Normalization,
    suppress: Sequence[int] = SUPPRESSED,
    rules: Sequence[Rule] = (),
    coverage: float = 0.0,
    keep_attention: bool = False,
    groups: int = 1,
    diversity: float = 0.0,
    phrases: ForcedPhrases | None = None,
) -> list[list[Hypothesis]]:
    """Translates a batch, following the ``beam`` best hypotheses of each sentence.

    Arguments are as in :class:`~seq2seq.search.SearchOptions`, and besides: ``max_lengths``, the
    most tokens of each translation, eos not counted (B,); ``suppress``, tokens that are never
    taken; ``rules``, which change the choice one after another; and ``phrases``, one of the rules,
    what translations have to hold. ``diversity`` is what a token's log-probability is lowered by in
    the choice, for each time that a group before has chosen it at this step.

    Each sentence gets up to ``n_best`` hypotheses, best first, and at least one: where the model
    leaves no possible translation (all tokens -inf), the best prefix with a score of -inf. It is a
    Seq2SeqError if arguments do not fit, or the model has no attention where that is needed, and a
    ModelError if its log-probabilities are NaN.
    """
    check_sizes(beam, n_best, groups)
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    width = beam // groups
    k = min(beam + 1, model.vocab_size)
    stepper = Stepper(model, caps, suppress, rules, phrases)
    finished = Finished(
        caps.repeat(groups),
        source.lengths.repeat(groups),
        width,
        n_best if groups == 1 else width,
        divisors(normalization, int(stepper.last_B.max()) + 1),
    )
    covered = Coverage(coverage) if coverage > 0 else None
    trace = Trace(keep_attention=keep_attention)

    live = BeamState.at_start(len(source) * groups)
    state = model.start(source)
    sentence_N = parent_N = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    length = 0
    while len(parent_N):
        best, state = stepper.best(state, parent_N, token_N, sentence_N, length, k)
        if length == 0 and groups > 1:  # the groups of a sentence begin alike
            best = best.repeated(groups)
        trace.attend(best.attention_NS)
        if covered is not None:
            covered.add(best.attention_NS)
        ranked = _ranked(live, best, width, phrases, groups, diversity)
        keep_AC = _finish(finished, ranked, live, width, length, best.truncated_N, covered)
        if keep_AC is None:
            live, parent_N, token_N = live.advance_all(ranked, width)
        else:
            live, parent_N, token_N = live.advance(ranked, keep_AC)
        trace.add(parent_N, token_N, live.sum_N)
        if covered is not None:
            covered.advance(parent_N)
        if length == 0 and groups > 1:
            parent_N = parent_N // groups
        sentence_N = live.beam_N // groups if groups > 1 else live.beam_N
        length += 1
    return finished.hypotheses(trace, groups, n_best)


def check_sizes(beam: int, n_best: int, groups: int = 1) -> None:
    """Refuses sizes below 1, more hypotheses than are followed, and groups that do not divide."""
    if beam < 1:
        raise Seq2SeqError(f"beam is {beam}; 1 (greedy) or more is allowed")
    if n_best < 1:
        raise Seq2SeqError(f"n_best is {n_best}; 1 or more is allowed")
    if n_best > beam:
        raise Seq2SeqError(
            f"n_best is {n_best}, but beam is {beam}: --n-best {n_best} needs --beam "
            f"{n_best} or more"
        )
    if groups < 1 or beam % groups:
        allowed = ", ".join(str(n) for n in range(1, beam + 1) if beam % n == 0)
        raise Seq2SeqError(
            f"groups is {groups}, which does not divide a beam of {beam}; allowed are {allowed}"
        )


def _ranked(
    live: BeamState,
    best: BestTokens,
    width: int,
    phrases: ForcedPhrases | None,
    groups: int,
    diversity: float,
) -> Ranked:
    """Ranks the candidates; groups of a beam are kept different, and phrases get their share."""

    def rank(best: BestTokens) -> Ranked:
        if phrases is None:
            return live.rank(best, 2 * width)
        every = live.rank(best, len(live.sum_N) * best.token_Nk.shape[1])
        sentence_A, rows = live.beam_A // groups, len(live.sum_N)
        places_AC, taken_AC, overdue_AC = phrases.allocate(
            every.sum_AC, every.token_AC, every.row_AC, sentence_A, width, rows
        )
        return every.allocated(places_AC, taken_AC, overdue_AC)

    if groups > 1:
        best = _diversified(live, best, width, groups, diversity, rank)
    return rank(best)


def _diversified(
    live: BeamState,
    best: BestTokens,
    width: int,
    groups: int,
    diversity: float,
    rank: Callable[[BestTokens], Ranked],
) -> BestTokens:
    """Lowers the tokens that groups before have chosen, one group after another."""
    adjusted_Nk = best.adjusted_Nk.copy()
    best = best._replace(adjusted_Nk=adjusted_Nk)
    sentence_A, group_A = np.divmod(live.beam_A, groups)
    sentence_N, group_N = np.divmod(live.beam_N, groups)
    for group in range(1, groups):
        ranked = rank(best)
        chosen_AC = ranked.unfinished(width) & (group_A < group)[:, None]
        sentence_M, token_M = sentence_A[chosen_AC.nonzero()[0]], ranked.token_AC[chosen_AC]
        row_R = np.flatnonzero(group_N == group)
        chosen_RkM = best.token_Nk[row_R, :, None] == token_M
        chosen_RkM &= (sentence_N[row_R, None] == sentence_M)[:, None, :]
        adjusted_Nk[row_R] -= diversity * chosen_RkM.sum(axis=2)
    return best


def _finish(
    finished: Finished,
    ranked: Ranked,
    live: BeamState,
    width: int,
    length: int,
    truncated_N: Bools | None,
    covered: Coverage | None,
) -> Bools | None:
    """Notes hypotheses that end now, and marks the candidates that go on, (A, C).

    None: nothing has ended yet, so that the best ``width`` of each beam go on.
    """
    plain = ranked.is_plain(width)
    if plain and not finished.any:
        return None
    keep_AC = ranked.unfinished(width)
    if not plain:
        finished.add(ranked, live.beam_A, length, truncated_N, covered)
        stuck_A = np.logical_not(np.logical_or.reduce(keep_AC, axis=1))
        if stuck_A.any():
            finished.add_stuck(ranked, stuck_A, live.beam_A, length)
    if finished.any:
        keep_AC &= ~finished.done(ranked, keep_AC, live.beam_A, length)[:, None]
    return keep_AC
