"""The k best of many, exactly, faster than a partition of whole rows."""

from __future__ import annotations

from math import isqrt

import numpy as np

from seq2seq.search.model import Floats32, Ints


def best_of(scores_NV: Floats32, k: int) -> tuple[Floats32, Ints]:
    """The k greatest of each row, greatest first, equal ones in the order of their columns.

    Partitioning whole rows would take longer than the matrix product that made them. So columns
    are dealt to groups, each row's k groups with the greatest maxima hold its k greatest, and only
    their members are looked at.

    Values and columns come as (N, k) each; k is at most V.
    """
    size = scores_NV.shape[1]
    if k == 1:
        tokens_N1 = scores_NV.argmax(axis=1)[:, None]
        return np.take_along_axis(scores_NV, tokens_N1, axis=1), tokens_N1
    values_Nk, tokens_Nk = _some_best(scores_NV, min(k + 1, size))
    if size == k:
        return values_Nk, tokens_Nk
    # Which of equal ones were taken is known only if none of them was left out.
    tied_N = (values_Nk[:, k] == values_Nk[:, k - 1]) & (values_Nk[:, k] > -np.inf)
    values_Nk, tokens_Nk = values_Nk[:, :k], tokens_Nk[:, :k]
    if tied_N.any():
        tied_MV = scores_NV[tied_N]
        tokens_Mk = np.argsort(-tied_MV, axis=1, kind="stable")[:, :k]
        tokens_Nk[tied_N] = tokens_Mk
        values_Nk[tied_N] = np.take_along_axis(tied_MV, tokens_Mk, axis=1)
    return values_Nk, tokens_Nk


def _some_best(scores_NV: Floats32, k: int) -> tuple[Floats32, Ints]:
    """As ``best_of``, but of those equal to the last, any may be taken."""
    rows, size = scores_NV.shape
    groups = isqrt(k * size)
    members = size // groups
    column_NC = np.broadcast_to(np.arange(size), (rows, size))
    if groups > k and members > 1:
        dealt = groups * members  # column c goes to group c % groups; what is over, to all
        maximum_NG = scores_NV[:, :dealt].reshape(rows, members, groups).max(axis=1)
        group_Nk = np.argpartition(maximum_NG, groups - k, axis=1)[:, groups - k :]
        column_NM = (group_Nk[:, :, None] + np.arange(0, dealt, groups)).reshape(rows, -1)
        column_NC = np.concatenate([column_NM, column_NC[:, dealt:]], axis=1)
        scores_NV = np.take_along_axis(scores_NV, column_NC, axis=1)
    last = scores_NV.shape[1] - k
    place_Nk = np.argpartition(scores_NV, last, axis=1)[:, last:]
    best_Nk = np.take_along_axis(scores_NV, place_Nk, axis=1)
    tokens_Nk = np.take_along_axis(column_NC, place_Nk, axis=1)
    order_Nk = np.lexsort((tokens_Nk, -best_Nk), axis=1)
    return (
        np.take_along_axis(best_Nk, order_Nk, axis=1),
        np.take_along_axis(tokens_Nk, order_Nk, axis=1),
    )
