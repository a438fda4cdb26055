from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from seq2seq.inspection.connectivity import connectivity_of, directions
from seq2seq.inspection.opening import Opened, Pair, batch_of, labels_of, read_pairs
from seq2seq.inspection.tables import as_lines, connectivity_table

TEXT, SAID = "zwei Kinder spielen", "ein Hund läuft"


def jacobians(opened: Opened, pair: Pair, side: str) -> tuple[Tensor, Tensor]:
    """The whole Jacobians (outputs, D, inputs, E) by torch, of encoder and decoder."""
    model = opened.model
    batch = batch_of(opened, [pair])
    embedding = getattr(model, side).embedding

    def outputs(embedded: Tensor) -> tuple[Tensor, Tensor]:
        with embedding.register_forward_hook(lambda *_: embedded):
            memory = model.encoder(batch.source_BS, batch.source_lengths_B).memory.outputs_BSD
            return memory[0], model(batch)

    ids = batch.source_BS if side == "encoder" else batch.inputs_BT
    whole = torch.autograd.functional.jacobian(outputs, embedding(ids).detach())
    return tuple(one.squeeze(2) for one in whole)


@pytest.mark.parametrize("attention", ["general", "none"])
def test_few_outputs_have_the_norms_of_the_whole_jacobian(make, attention: str) -> None:
    opened = make({"layers": 2}, {"attention": attention, "cell": {"kind": "gru"}})
    (pair,) = read_pairs(opened, [TEXT], [SAID])
    encoder, decoder, read = connectivity_of(opened, pair)
    memory, readouts = jacobians(opened, pair, "encoder")
    assert encoder.norms == pytest.approx(memory.norm(dim=(1, 3)).numpy(), rel=1e-9)
    assert decoder.norms == pytest.approx(readouts.norm(dim=(1, 3)).numpy(), rel=1e-9)
    _, readouts = jacobians(opened, pair, "decoder")
    assert read.norms == pytest.approx(readouts.norm(dim=(1, 3)).numpy(), rel=1e-9, abs=1e-15)
    source, inputs = labels_of(opened, pair)
    assert (encoder.rows, encoder.columns) == (source, source)
    assert (decoder.rows, decoder.columns) == ([*inputs[1:], "</s>"], source)
    assert read.columns == inputs
    assert all(one.requires_grad for one in opened.model.parameters())


def test_nothing_depends_on_what_is_read_later(make) -> None:
    options = {"directions": "forward"}, {"attention": "dot", "feeding": "input"}
    opened = make(*options)
    (pair,) = read_pairs(opened, [TEXT], [SAID])
    encoder, _, read = connectivity_of(opened, pair)
    for norms in (encoder.norms, read.norms):
        assert (np.triu(norms, 1) == 0).all()
        assert (norms[np.tril_indices(len(norms))] > 0).all()
    turned = make({"directions": "forward", "reverse": True}, options[1])
    encoder, _, _ = connectivity_of(turned, pair)
    assert (np.tril(encoder.norms, -1) == 0).all()
    assert (np.diag(encoder.norms) > 0).all()


def test_directions_measure_squares_exactly_or_on_average() -> None:
    draw = torch.Generator().manual_seed(1)
    identity = torch.eye(5, dtype=torch.float64)
    whole = directions(8, 5, draw)
    torch.testing.assert_close(whole.T @ whole, identity)
    assert whole.shape == (8, 5)
    mean = sum((one := directions(2, 5, draw)).T @ one for _ in range(4000)) / 4000
    torch.testing.assert_close(mean, identity, atol=0.1, rtol=0)


def test_the_table_names_the_strongest_input(make) -> None:
    opened = make({}, {})
    (pair,) = read_pairs(opened, [TEXT], [SAID])
    blocks = connectivity_of(opened, pair)
    table = connectivity_table(blocks)
    assert table[1][3] == blocks[0].columns[int(blocks[0].norms[0].argmax())]
    assert len(as_lines(table)) == 1 + sum(len(one.rows) for one in blocks)
