"""Scores and lengths of translations: normalization, the coverage penalty, length caps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, PAD, UNK
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search.model import Floats, Ints

Normalization = NoNormalization | LengthNormalization | GnmtNormalization

SUPPRESSED = (PAD, UNK, BOS)  # tokens that a translation never holds, unless asked otherwise


def divisors(normalization: Normalization, longest: int) -> Floats:
    """What log-probabilities are divided by to give scores, for each length up to the longest.

    The entry at a number of tokens, eos counted, is its divisor (longest + 1,). It never falls with
    length; the beam's early stop rests on that.
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
    """The most tokens of each translation (B,): ``max_ratio * length + max_extra``, rounded down.

    Lengths do not count eos.
    """
    lengths = np.asarray(source_lengths, dtype=np.float64)
    return np.floor(max_ratio * lengths + max_extra).astype(np.int64)


def coverage_penalties(attended_NS: Floats, lengths_N: Ints) -> Floats:
    """How much of its source each translation leaves out (Wu et al. 2016, equation 14).

    It is the sum over a source's positions, so many with eos, of ``log(min(attended, 1))``, which
    is 0 or below; what each got is summed over all steps. An attention of exactly 0 counts as the
    least float32, so that the penalty stays finite.
    """
    penalty_NS = np.log(np.clip(attended_NS, np.finfo(np.float32).tiny, 1.0))
    real_NS = np.arange(attended_NS.shape[1]) < lengths_N[:, None]
    # One after another, unlike sum: to the last bit the same, whatever the padding.
    return np.asarray(np.where(real_NS, penalty_NS, 0.0).cumsum(axis=1)[:, -1])


def checked_caps(max_lengths: npt.ArrayLike, sentences: int) -> Ints:
    """The length caps that a search was given, as an array (B,); refused if they do not fit."""
    caps = np.asarray(max_lengths, dtype=np.int64)
    if caps.shape != (sentences,):
        raise Seq2SeqError(
            f"max_lengths has the shape {caps.shape}, but needs one length for each of "
            f"{sentences} sentences: ({sentences},)"
        )
    if (caps < 0).any():
        raise Seq2SeqError(f"max_lengths holds {caps.min()}; lengths of 0 or more are allowed")
    return caps
