from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.inspection.gates import gates_of
from seq2seq.inspection.opening import Opened, labels_of, read_pairs
from seq2seq.inspection.tables import as_lines, gates_table
from seq2seq.models.translation import TranslationModel

TEXT, SAID = "zwei Kinder spielen", "ein Hund"


def by_hand(opened: Opened, cell: Any, ids: list[int]) -> tuple[list[Any], list[Any]]:
    """Gates and memory of an LSTM, one step after the other, from the published formulas."""
    assert isinstance(opened.model, TranslationModel)
    table = opened.model.encoder.embedding.table.weight.detach().numpy()
    names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    W, U, b, d = (cell.get_parameter(name).detach().numpy() for name in names)
    h = c = np.zeros(cell.hidden_size)
    gates, memories = [], []
    for token in ids:
        i, f, g, o = np.split(W @ table[token] + b + U @ h + d, 4)
        i, f, o = (1 / (1 + np.exp(-one)) for one in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        gates.append({"input": i, "forget": f, "output": o})
        memories.append(c)
    return gates, memories


@pytest.mark.parametrize("reverse", [False, True])
def test_an_lstm_has_the_gates_of_the_formulas_in_the_order_of_the_pieces(make, reverse) -> None:
    opened = make({"reverse": reverse}, {})
    (pair,) = read_pairs(opened, [TEXT], [SAID])
    forward, backward, decoder = gates_of(opened, pair)
    ids = [*pair.source, 3]
    for found, turned in ((forward, reverse), (backward, not reverse)):
        cell = opened.model.encoder.stack.first()[found is backward]
        order = slice(None, None, -1 if turned else 1)
        gates, memories = by_hand(opened, cell, ids[order])
        for name in ("input", "forget", "output"):
            wanted = np.array([one[name] for one in gates])[order]
            assert found.gates[name] == pytest.approx(wanted, rel=1e-9)
        assert found.memory_TH == pytest.approx(np.array(memories)[order], rel=1e-9)
        assert list(found.pieces) == labels_of(opened, pair)[0]
    assert decoder.pieces[0] == "<s>"
    assert len(decoder.pieces) == len(pair.target) + 1 == len(decoder.memory_TH)
    assert (forward.place.label, decoder.place.label) == ("encoder forward", "decoder")


def test_what_is_told_of_gates_and_memory(make) -> None:
    opened = make({"cell": {"kind": "gru"}, "directions": "forward"}, {"layers": 2})
    (pair,) = read_pairs(opened, [TEXT], [SAID])
    cells = gates_of(opened, pair)
    assert [one.place.label for one in cells] == ["encoder", "decoder 1", "decoder 2"]
    first = cells[0].record()
    json.dumps(first, allow_nan=False)
    gates = cells[0].gates["update"]
    assert list(first["gates"]) == ["reset", "update"]
    assert first["gates"]["update"]["mean"] == pytest.approx(gates.mean(axis=1))
    assert first["gates"]["update"]["shut"] == pytest.approx((gates < 0.1).mean(axis=1))
    assert first["gates"]["update"]["open"] == pytest.approx((gates > 0.9).mean(axis=1))
    memory = cells[0].memory_TH
    assert first["memory"]["state"] == "h"
    assert first["memory"]["size"] == pytest.approx(np.linalg.norm(memory, axis=1) / 2)  # 4 units
    assert first["memory"]["saturated"] == pytest.approx((abs(memory) > 0.9).mean(axis=1))
    last = cells[2]
    assert last.saturated == pytest.approx((abs(np.tanh(last.memory_TH)) > 0.9).mean(axis=1))
    head, *lines = as_lines(gates_table(cells))
    assert head.split()[:7] == ["cell", "piece", "reset", "update", "input", "forget", "output"]
    assert len(lines) == sum(len(one.pieces) for one in cells)


def test_cells_without_gates_are_left_out_or_refused(make) -> None:
    mixed = make({"cell": {"kind": "rnn"}}, {})
    (pair,) = read_pairs(mixed, [TEXT], [SAID])
    assert [one.place.label for one in gates_of(mixed, pair)] == ["decoder"]
    plain = make({"cell": {"kind": "rnn"}}, {"cell": {"kind": "rnn"}})
    with pytest.raises(Seq2SeqError) as told:
        gates_of(plain, pair)
    assert str(told.value) == (
        "small: its cells (rnn) have no gates to look at: 'inspect gradients' and 'inspect "
        "states' work with every cell"
    )
