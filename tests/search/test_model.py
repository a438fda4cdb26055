from __future__ import annotations

import numpy as np

from seq2seq.search import SourceBatch
from seq2seq.search.trace import History


def test_source_batch_pads_on_the_right() -> None:
    batch = SourceBatch.from_rows([[7, 8, 3], [3], [9, 3]])
    assert batch.ids.tolist() == [[7, 8, 3], [3, 0, 0], [9, 3, 0]]
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.ids.dtype == batch.lengths.dtype == np.int64
    assert len(batch) == 3


def test_history_follows_the_parents() -> None:
    history = History()
    history.append(np.array([0, 0, 1]), np.array([10, 11, 12]), np.array([-1.0, -2.0, -3.0]))
    history.append(np.array([2, 0]), np.array([20, 21]), np.array([-4.0, -5.0]))
    history.append(np.array([1]), np.array([30]), np.array([-6.0]))
    for rows in (2, 3, 2, 1):
        history.attend(np.arange(rows, dtype=np.float32)[:, None] * np.ones(4, dtype=np.float32))
    found = history.trace([3, 2, 2, 1, 0], [0, 0, 1, 1, 1])
    assert found == [
        ([10, 21, 30], [-1.0, -5.0, -6.0], [0, 0, 1, 0]),
        ([12, 20], [-3.0, -4.0], [1, 2, 0]),
        ([10, 21], [-1.0, -5.0], [0, 0, 1]),
        ([11], [-2.0], [0, 1]),
        ([], [], [1]),
    ]
    assert history.trace([], []) == []
    attention = history.attention_of([1, 2, 0], 3)
    assert attention is not None
    assert attention.tolist() == [[1.0] * 3, [2.0] * 3, [0.0] * 3]
    assert History().attention_of([0], 3) is None
