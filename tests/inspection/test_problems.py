"""Gates and connectivity of models that read the sequences of a problem."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.models import randomize
from torch import Tensor

from seq2seq.errors import Seq2SeqError
from seq2seq.inspection.connectivity import connectivity_of
from seq2seq.inspection.gates import gates_of
from seq2seq.inspection.opening import Drawn, Opened, batch_of, open_recipe
from seq2seq.recipe.files import load_recipe


def opened(problem: str, *settings: str) -> Opened:
    small = ["data.train_size=3", "model.encoder.hidden=6", *settings]
    found = open_recipe(problem, load_recipe(problem, small))
    randomize(found.model)
    return found


def test_gates_are_those_of_the_cell_at_each_step() -> None:
    one = opened("adding", "data.length=10")
    line = Drawn(2)
    (found,) = gates_of(one, line)
    batch: Any = batch_of(one, [line])
    cell: Any = one.model.encoder.layers[0][0]
    first_G = batch.inputs_BTE[0, 0] @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh
    _, forget_H, _, _ = first_G.sigmoid().chunk(4)  # the state before is zero
    np.testing.assert_allclose(found.gates["forget"][0], forget_H.detach().numpy(), atol=1e-12)
    assert {*found.gates} == {"input", "forget", "output"}
    value, mark = batch.inputs_BTE[0, 9].tolist()
    assert found.pieces[9] == f"10: {value:.2g} {mark:.2g}"
    assert len(found.pieces) == len(found.memory_TH) == 10


@pytest.mark.parametrize("problem", ["adding", "copy", "narma10"])
def test_connectivity_is_the_norm_of_the_jacobian_s_blocks(problem: str) -> None:
    more = {"narma10": ["data.length=20", "data.washout=17"], "adding": ["data.length=10"]}
    one = opened(problem, *more.get(problem, ["data.length=3"]))
    line = Drawn(3)
    (found,) = connectivity_of(one, line)
    batch: Any = batch_of(one, [line])
    inputs_TE = batch.inputs_BTE[0]

    def answers(read_TE: Tensor) -> Tensor:
        return one.model(replace(batch, inputs_BTE=read_TE[None]))  # type: ignore[no-any-return]

    jacobian_MKTE = torch.autograd.functional.jacobian(answers, inputs_TE)
    norms_MT = jacobian_MKTE.square().sum((1, 3)).sqrt()
    np.testing.assert_allclose(found.norms, norms_MT.numpy(), rtol=1e-9, atol=1e-12)
    assert list(found.rows) == list(found.columns)[-len(norms_MT) :]
    if problem == "copy":
        symbols = inputs_TE.argmax(-1).tolist()
        assert list(found.columns) == [f"{n}: {one}" for n, one in enumerate(symbols, 1)]


@pytest.mark.parametrize("look", [gates_of, connectivity_of])
def test_a_sequence_is_drawn_once(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, drawn = opened("adding", "data.length=10"), []
    problem: Any = one.task.problem  # type: ignore[attr-defined]
    draw = problem.draw

    def counted(*asked: Any) -> Any:
        drawn.append(asked)
        return draw(*asked)

    monkeypatch.setattr(problem, "draw", counted)
    look(one, Drawn(1))
    assert len(drawn) == 1


def test_a_sequence_that_is_not_there_is_named() -> None:
    with pytest.raises(
        Seq2SeqError,
        match=r"xor: its problem has 3 training sequences: there is no sequence 4 \(--line\)",
    ):
        gates_of(opened("xor"), Drawn(4))
