"""A vocabulary shortlist: which target pieces a source sentence may need at all.

The output layer is the widest matrix of a small network. A list of target pieces for each source
piece, and of those that are frequent everywhere, leaves a few hundred of its columns (L'Hostis et
al. 2016). Each sentence has its own list, over which its probabilities are normalized, so its
translation does not depend on the sentences beside it.

Shapes: B sentences, S source length, N rows, E readout size, V target vocabulary, X source
vocabulary, M pieces for each source piece, F frequent ones, L tokens of a sentence's list, U tokens
of a batch's lists, k candidates a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from seq2seq.errors import ModelError
from seq2seq.ids import EOS, UNK
from seq2seq.search.model import Bools, Floats32, Ints, top_k
from seq2seq.storage import atomic
from seq2seq.storage.whole import read_bytes

# Rows whose logits are made at once: few enough to stay in the cache until their best are found.
_ROWS_AT_ONCE = 64

_FORMAT = "seq2seq shortlist 1"


@dataclass(frozen=True, eq=False)
class Shortlist:
    """Target pieces by source piece, of ``target_size`` in all (V).

    ``likely_XM`` has those that each source piece is most often translated by, best first (where
    there are fewer than M, eos fills up), ``frequent_F`` those that every sentence may need.
    """

    likely_XM: npt.NDArray[np.int32]
    frequent_F: npt.NDArray[np.int32]
    target_size: int

    @property
    def source_size(self) -> int:
        """How many source pieces there are."""
        return len(self.likely_XM)

    @classmethod
    def load(cls, path: Path) -> Shortlist:
        """Reads a shortlist."""
        path = Path(path)
        try:
            content = read_bytes(path)
            arrays = load(content)
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file (a vocabulary shortlist)") from None
        except (SafetensorError, OSError, LookupError) as error:
            raise ModelError(f"{path} is damaged or no safetensors file: {error}") from None
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        size = str((json.loads(header).get("__metadata__") or {}).get(_FORMAT, ""))
        if not {"likely", "frequent"} <= arrays.keys() or not re.fullmatch(r"[0-9]{1,9}", size):
            raise ModelError(f"{path}: not a vocabulary shortlist of this version; export it again")
        likely, frequent = arrays["likely"], arrays["frequent"]
        if likely.ndim != 2 or frequent.ndim != 1 or not _are_ids(likely, frequent, int(size)):
            raise ModelError(f"{path}: damaged: its pieces are not of the vocabulary")
        return cls(likely, frequent, int(size))

    def save(self, path: Path) -> None:
        """Writes the shortlist, all of it or nothing."""
        about = {_FORMAT: str(self.target_size)}  # more keys would be in another order each time
        arrays = {
            "likely": np.ascontiguousarray(self.likely_XM, dtype=np.int32),
            "frequent": np.ascontiguousarray(self.frequent_F, dtype=np.int32),
        }
        try:
            atomic.write_bytes(Path(path), save(arrays, metadata=about))
        except OSError as error:
            raise ModelError(f"{path}: cannot be written: {error.strerror}") from None

    def check_fits(self, source_size: int, target_size: int) -> None:
        """Refuses (``ModelError``) a shortlist that is not one for a model."""
        ours, theirs = (self.source_size, self.target_size), (source_size, target_size)
        if ours != theirs:
            raise ModelError(
                f"the vocabulary shortlist is from {ours[0]} source to {ours[1]} target pieces, "
                f"but the model has {theirs[0]} and {theirs[1]}: they do not belong together; "
                "export the model again"
            )

    def allowed(self, source_ids_BS: Ints, lengths_B: Ints) -> tuple[Ints, Bools]:
        """Which tokens the sentences may produce; unk and eos are always among them."""
        real_BS = np.arange(source_ids_BS.shape[1]) < lengths_B[:, None]
        row_R = np.nonzero(real_BS)[0]
        likely_RM = self.likely_XM[source_ids_BS[real_BS]]
        used_V = np.zeros(self.target_size, dtype=np.bool_)
        used_V[self._always] = True
        used_V[likely_RM] = True
        union_U = np.flatnonzero(used_V)
        column_V = np.cumsum(used_V) - 1
        mask_BU = np.zeros((len(lengths_B), len(union_U)), dtype=np.bool_)
        mask_BU[:, column_V[self._always]] = True
        mask_BU[row_R[:, None], column_V[likely_RM]] = True
        return union_U, mask_BU

    @cached_property
    def _always(self) -> Ints:
        return np.union1d(self.frequent_F, (UNK, EOS)).astype(np.int64)


class ShortlistHead(NamedTuple):
    """An output layer, a row a token, of which each sentence uses some columns."""

    output_VE: Floats32
    bias_V: Floats32
    shortlist: Shortlist

    def select(self, source_ids_BS: Ints, lengths_B: Ints) -> SelectedHead:
        """Takes the columns that the sentences of a batch may need: once a batch."""
        union_U, mask_BU = self.shortlist.allowed(source_ids_BS, lengths_B)
        return SelectedHead(self.output_VE, self.bias_V, union_U, mask_BU)


class SelectedHead:
    """The output layer of a batch's sentences: those columns that some of them may produce.

    The columns of all sentences' tokens (``union_U``, ascending) are multiplied, and each row takes
    those of its own list (``mask_BU``) from the product. Columns for each sentence by themselves
    would be a smaller product, but ten times as many numbers to fetch: 64 sentences with lists of
    500 have 3,000 different tokens.
    """

    def __init__(
        self, output_VE: Floats32, bias_V: Floats32, union_U: Ints, mask_BU: Bools
    ) -> None:
        self._weight_EU = np.ascontiguousarray(output_VE[union_U].T)
        self._vocab_size = len(bias_V)
        self._sizes_B = mask_BU.sum(axis=1)
        real_BL = np.arange(int(self._sizes_B.max())) < self._sizes_B[:, None]
        column_BL = np.zeros(real_BL.shape, dtype=np.int64)
        column_BL[real_BL] = np.nonzero(mask_BU)[1]
        self._tokens_BL = union_U[column_BL]
        # Behind a list's end there is nothing to choose.
        self._bias_BL = np.where(real_BL, bias_V[self._tokens_BL], np.float32(-np.inf))
        self._column_BL = column_BL if len(mask_BU) > 1 else None  # one list is the whole union

    def best(
        self, readout_NE: Floats32, sentence_N: Ints, k: int, suppress: Sequence[int] = ()
    ) -> tuple[Floats32, Ints]:
        """The log-probabilities of each row's k best tokens, best first, and the tokens, (N, k).

        Where a row's list has fewer than k, tokens outside it follow, with -inf; so do suppressed
        ones.
        """
        if k > self._sizes_B[sentence_N].min():
            log_probs_NV = self.log_probs(readout_NE, sentence_N)
            log_probs_NV[:, list(suppress)] -= np.inf
            return top_k(log_probs_NV, k)
        values_Nk = np.empty((len(readout_NE), k), dtype=np.float32)
        tokens_Nk = np.empty((len(readout_NE), k), dtype=np.int64)
        for start in range(0, len(readout_NE), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            sentence_R = sentence_N[rows]
            logits_RL = self._logits(readout_NE[rows], sentence_R)
            total_R1 = _log_total(logits_RL)
            barred_BL = np.isin(self._tokens_BL[:, : logits_RL.shape[1]], suppress)
            logits_RL[barred_BL[sentence_R]] -= np.inf
            best_Rk, place_Rk = top_k(logits_RL, k)
            values_Nk[rows] = best_Rk - total_R1
            tokens_Nk[rows] = self._tokens_BL[sentence_R[:, None], place_Rk]
        return values_Nk, tokens_Nk

    def log_probs(self, readout_NE: Floats32, sentence_N: Ints) -> Floats32:
        """All tokens' log-probabilities."""
        shape = (len(readout_NE), self._vocab_size)
        log_probs_NV = np.full(shape, -np.inf, dtype=np.float32)
        logits_NL = self._logits(readout_NE, sentence_N)
        logits_NL -= _log_total(logits_NL)
        for row_V, row_L, sentence in zip(log_probs_NV, logits_NL, sentence_N, strict=True):
            size = self._sizes_B[sentence]
            row_V[self._tokens_BL[sentence, :size]] = row_L[:size]
        return log_probs_NV

    def _logits(self, readout_NE: Floats32, sentence_N: Ints) -> Floats32:
        """A column a place on the row's own list, with -inf behind its end."""
        logits: Floats32 = readout_NE @ self._weight_EU
        width = int(self._sizes_B[sentence_N].max())
        if self._column_BL is not None:
            logits = np.take_along_axis(logits, self._column_BL[sentence_N, :width], axis=1)
        logits += self._bias_BL[sentence_N, :width]
        return logits


def _log_total(logits_NL: Floats32) -> Floats32:
    """The logarithm of the sum of each row's exponentials, (N, 1)."""
    highest_N1 = logits_NL.max(axis=1, keepdims=True)
    shifted_NL = logits_NL - highest_N1
    np.exp(shifted_NL, out=shifted_NL)
    total_N1: Floats32 = np.log(shifted_NL.sum(axis=1, keepdims=True))
    total_N1 += highest_N1
    return total_N1


def _are_ids(likely: npt.NDArray[np.int32], frequent: npt.NDArray[np.int32], size: int) -> bool:
    return all(
        array.dtype == np.int32 and array.min(initial=0) >= 0 and array.max(initial=0) < size
        for array in (likely, frequent)
    )
