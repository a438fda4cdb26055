from __future__ import annotations

import numpy as np
import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.search import Hypothesis, SourceBatch
from seq2seq.search.trace import End, Trace


def test_source_batch_pads_on_the_right() -> None:
    batch = SourceBatch.from_rows([[7, 8, 3], [3], [9, 3]])
    assert batch.ids.tolist() == [[7, 8, 3], [3, 0, 0], [9, 3, 0]]
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.ids.dtype == batch.lengths.dtype == np.int64
    assert len(batch) == 3


def test_a_trace_follows_the_parents() -> None:
    trace = Trace(keep_attention=True)
    trace.add(np.array([0, 0, 1]), np.array([10, 11, 12]), np.array([-1.0, -2.0, -3.0]))
    trace.add(np.array([2, 0]), np.array([20, 21]), np.array([-4.0, -5.0]))
    trace.add(np.array([1]), np.array([30]), np.array([-6.0]))
    for rows in (2, 3, 2, 1):
        trace.attend(np.arange(rows, dtype=np.float32)[:, None] * np.ones(4, dtype=np.float32))
    ends = [
        End(-1.0, -8.0, length, row, truncated=row == 0)
        for length, row in ((3, 0), (2, 0), (2, 1), (1, 1), (0, 1))
    ]
    found = trace.hypotheses(ends, [4, 3, 3, 3, 3])
    assert found == [
        Hypothesis((10, 21, 30), -8.0, -1.0, True, (-1.0, -4.0, -1.0, -2.0)),
        Hypothesis((12, 20), -8.0, -1.0, True, (-3.0, -1.0, -4.0)),
        Hypothesis((10, 21), -8.0, -1.0, False, (-1.0, -4.0, -3.0)),
        Hypothesis((11,), -8.0, -1.0, False, (-2.0, -6.0)),
        Hypothesis((), -8.0, -1.0, False, (-8.0,)),
    ]
    attention = [one.attention for one in found if one.attention is not None]
    assert [weights.shape for weights in attention] == [(4, 4), (3, 3), (3, 3), (2, 3), (1, 3)]
    assert [weights[:, 0].tolist() for weights in attention] == [
        [0.0, 0.0, 1.0, 0.0],
        [1.0, 2.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 1.0],
        [1.0],
    ]
    assert trace.hypotheses([], []) == []


def test_attention_is_kept_only_if_it_is_wanted() -> None:
    with pytest.raises(Seq2SeqError, match="this model has no attention"):
        Trace(keep_attention=True).attend(None)
    trace = Trace(keep_attention=False)
    trace.attend(np.ones((1, 2), dtype=np.float32))
    (found,) = trace.hypotheses([End(0.0, 0.0, 0, 0, truncated=False)], [2])
    assert found.attention is None
