from __future__ import annotations

import numpy as np

from seq2seq.search import SourceBatch
from seq2seq.search.history import History


def test_source_batch_pads_on_the_right() -> None:
    batch = SourceBatch.from_rows([[7, 8, 3], [3], [9, 3]])
    assert batch.ids.tolist() == [[7, 8, 3], [3, 0, 0], [9, 3, 0]]
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.ids.dtype == batch.lengths.dtype == np.int64
    assert len(batch) == 3


def test_history_follows_the_parents() -> None:
    history = History()
    history.append(np.array([0, 0, 1]), np.array([10, 11, 12]))
    history.append(np.array([2, 0]), np.array([20, 21]))
    history.append(np.array([1]), np.array([30]))
    lengths = np.array([3, 2, 2, 1, 0])
    rows = np.array([0, 0, 1, 1, 5])
    expected = [(10, 21, 30), (12, 20), (10, 21), (11,), ()]
    assert history.trace(lengths, rows) == expected
    assert history.trace(np.array([], dtype=np.int64), np.array([], dtype=np.int64)) == []
