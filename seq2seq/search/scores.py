"""The rules of a search: scores normalized by length, length caps, and tokens kept out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search.model import Bools, Floats, Floats32, Ints, S, StepModel, checked

Normalization = NoNormalization | LengthNormalization | GnmtNormalization

SUPPRESSED = (PAD, UNK, BOS)  # tokens that a translation never holds, unless asked otherwise


def divisors(normalization: Normalization, longest: int) -> Floats:
    """What log-probabilities are divided by to give scores, for each length.

    It never falls with length; the beam's early stop rests on that.

    Args:
        normalization: The recipe's rule.
        longest: The greatest number of tokens, eos counted.

    Returns:
        A table (longest + 1,); its entry at a number of tokens, eos counted, is the divisor.
    """
    length = np.arange(longest + 1, dtype=np.float64)
    match normalization:
        case NoNormalization():
            return np.ones_like(length)
        case LengthNormalization(alpha=alpha):
            length[0] = 1.0  # no hypothesis has length 0, as eos counts; only keep it divisible
            return np.asarray(length**alpha)
        case GnmtNormalization(alpha=alpha):
            return np.asarray(((5.0 + length) / 6.0) ** alpha)


def length_caps(source_lengths: npt.ArrayLike, max_ratio: float, max_extra: int) -> Ints:
    """How many tokens a translation may have, eos not counted.

    Args:
        source_lengths: Pieces of each source, eos not counted (B,).
        max_ratio: Target pieces a source piece.
        max_extra: Target pieces besides.

    Returns:
        The caps (B,): ``max_ratio * length + max_extra``, rounded down.
    """
    lengths = np.asarray(source_lengths, dtype=np.float64)
    return np.floor(max_ratio * lengths + max_extra).astype(np.int64)


def coverage_penalties(attended_NS: Floats, lengths_N: Ints) -> Floats:
    """How much of its source each translation leaves out (Wu et al. 2016, equation 14).

    Args:
        attended_NS: The attention that each source position got, summed over all steps (N, S).
        lengths_N: Positions of each source, eos counted (N,); the rest is padding.

    Returns:
        The sum over positions of ``log(min(attended, 1))``, which is 0 or below (N,). An attention
        of exactly 0 counts as the least float32, so that the penalty stays finite.
    """
    penalty_NS = np.log(np.clip(attended_NS, np.finfo(np.float32).tiny, 1.0))
    real_NS = np.arange(attended_NS.shape[1]) < lengths_N[:, None]
    # One after another, unlike sum: to the last bit the same, whatever the padding.
    return np.asarray(np.where(real_NS, penalty_NS, 0.0).cumsum(axis=1)[:, -1])


def checked_caps(max_lengths: npt.ArrayLike, sentences: int) -> Ints:
    """Checks the caps that a search was given.

    Args:
        max_lengths: The caps, one a sentence.
        sentences: How many sentences there are.

    Returns:
        The caps as an array (B,).

    Raises:
        Seq2SeqError: If there are more or fewer than sentences, or one is below 0.
    """
    caps = np.asarray(max_lengths, dtype=np.int64)
    if caps.shape != (sentences,):
        raise Seq2SeqError(
            f"max_lengths has the shape {caps.shape}, but needs one length for each of "
            f"{sentences} sentences: ({sentences},)"
        )
    if (caps < 0).any():
        raise Seq2SeqError(f"max_lengths holds {caps.min()}; lengths of 0 or more are allowed")
    return caps


def suppressing(vocab_size: int, tokens: Sequence[int]) -> Floats32 | None:
    """The bias that keeps tokens out of translations.

    Args:
        vocab_size: How many tokens there are (V).
        tokens: Those to keep out.

    Returns:
        The bias (1, V); None if there is nothing to keep out.

    Raises:
        Seq2SeqError: If a token is outside the vocabulary.
    """
    if not tokens:
        return None
    if min(tokens) < 0 or max(tokens) >= vocab_size:
        raise Seq2SeqError(
            f"suppress holds {sorted(tokens)}; token ids from 0 to {vocab_size - 1} are allowed"
        )
    bias = np.zeros((1, vocab_size), dtype=np.float32)
    bias[0, list(tokens)] = -np.inf
    return bias


def force_ends(
    model: StepModel[S],
    state: S,
    parent_N: Ints,
    token_N: Ints,
    capped_R: Ints,
    log_probs_Nk: Floats,
    tokens_Nk: Ints,
) -> tuple[Floats, Ints, Bools]:
    """Leaves eos as the only candidate of rows that have reached their cap.

    Where eos is not among their candidates, the model is asked once more with all else forbidden.
    That is rare (most translations end well before their cap), so it costs less than a bias of
    full rows at each step would.

    Args:
        model: The model.
        state: The state that the step was asked from.
        parent_N: The parents that it was given.
        token_N: The tokens that it was given.
        capped_R: The rows that have to end.
        log_probs_Nk: What it answered.
        tokens_Nk: The tokens that have these log-probabilities.

    Returns:
        The log-probabilities and tokens with those rows replaced, and marks on the rows that were
        cut: where eos was not the model's own choice (N,).
    """
    cut_N = np.zeros(len(parent_N), dtype=np.bool_)
    if not len(capped_R):
        return log_probs_Nk, tokens_Nk, cut_N
    cut_N[capped_R] = tokens_Nk[capped_R, 0] != EOS
    is_end = tokens_Nk[capped_R] == EOS
    ends_R = np.where(is_end, log_probs_Nk[capped_R], -np.inf).max(axis=1)
    unknown = ~is_end.any(axis=1)
    if unknown.any():
        only_eos = np.full((1, model.vocab_size), -np.inf, dtype=np.float32)
        only_eos[0, EOS] = 0.0
        row_U = capped_R[unknown]
        candidates, _ = model.step(state, parent_N[row_U], token_N[row_U], 1, only_eos)
        ends_R[unknown] = checked(candidates)[0][:, 0]
    log_probs_Nk, tokens_Nk = log_probs_Nk.copy(), tokens_Nk.copy()
    log_probs_Nk[capped_R] = -np.inf
    log_probs_Nk[capped_R, 0] = ends_R
    tokens_Nk[capped_R, 0] = EOS
    return log_probs_Nk, tokens_Nk, cut_N
