from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support.models import (
    cell_variants,
    make_batch,
    model_options,
    random_model,
    random_pairs,
    random_tensor,
    randomize,
    variant_name,
)
from support.toys import Series, SquaredLoss, Toy
from torch import nn

from seq2seq.inspection.gradients import StateGradients, aligned, state_gradients
from seq2seq.models.loss import Losses
from seq2seq.tasks import PaddedBatch


def series(*lengths: int, size: int = 2) -> Series:
    x_BTE = random_tensor(len(lengths), max(lengths), size, seed=1)
    return Series(x_BTE, torch.tensor(lengths), random_tensor(len(lengths), 1, seed=2))


def measured(model: Toy, batch: Series) -> list[StateGradients]:
    return state_gradients(SquaredLoss(model), model, batch)  # type: ignore[arg-type]


def test_an_lstm_has_the_gradients_of_torchs_own() -> None:
    """Those that autograd keeps for each step of ``nn.LSTMCell`` with the same weights."""
    toy = Toy({"kind": "lstm"}).double()
    randomize(toy)
    own = nn.LSTMCell(2, 3).double()
    with torch.no_grad():
        for name, weight in own.named_parameters():
            weight.copy_(toy.stack.first()[0].get_parameter(name))
    batch = series(6, 6)
    h = c = torch.zeros(2, 3, dtype=torch.float64)
    states = []
    for t in range(6):
        h, c = own(batch.x_BTE[:, t], (h, c))
        h.retain_grad()
        c.retain_grad()
        states.append((h, c))
    (toy.readout(h) - batch.y_B1).square().sum().backward()
    for found, part in zip(measured(toy, batch), (0, 1), strict=True):
        wanted = [float(state[part].grad.norm()) / math.sqrt(2) for state in states]
        assert found.norms_T == pytest.approx(wanted, rel=1e-12)
        assert found.lines_T.tolist() == [2] * 6
        assert found.label == f"stack {'hc'[part]}"


def test_a_plain_rnn_has_the_gradient_that_is_derived_by_hand() -> None:
    """d L / d h_(t-1) = U' diag(1 - h_t^2) d L / d h_t, from d L / d h_T = 2 (y' - y) w."""
    toy = Toy({"kind": "rnn"}).double()
    randomize(toy)
    batch = series(7)
    (cell,) = toy.stack.first()
    U, W, b, c = (
        cell.get_parameter(name).detach().numpy()
        for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
    )
    w, d = toy.readout.weight.detach().numpy()[0], toy.readout.bias.item()
    states = [np.zeros(3)]
    for x in batch.x_BTE[0].numpy():
        states.append(np.tanh(W @ x + b + U @ states[-1] + c))
    gradient = 2 * (w @ states[-1] + d - batch.y_B1.item()) * w
    wanted = []
    for h in reversed(states[1:]):
        wanted.insert(0, np.linalg.norm(gradient))
        gradient = U.T @ ((1 - h**2) * gradient)
    (found,) = measured(toy, batch)
    assert found.norms_T == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.2])
def test_the_factor_of_a_scaled_identity_is_its_scale(scale: float) -> None:
    """An IRNN (Le et al. 2015) that reads positive numbers is linear."""
    toy = Toy({"kind": "rnn", "activation": "relu"}).double()
    (cell,) = toy.stack.first()
    with torch.no_grad():
        cell.reset_parameters("identity")
        cell.get_parameter("weight_hh").mul_(scale)
        cell.get_parameter("weight_ih").fill_(0.1)
    batch = series(100, 100)
    (found,) = measured(toy, Series(batch.x_BTE.abs() + 0.1, batch.lengths_B, batch.y_B1))
    assert found.factor == pytest.approx(scale, rel=1e-12)
    assert found.norms_T[0] / found.norms_T[-1] == pytest.approx(scale**99, rel=1e-9)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_lines_of_unequal_length_are_aligned_at_their_ends(kind: str) -> None:
    toy = Toy({"kind": kind}, hidden=4, layers=2, bidirectional=True).double()
    randomize(toy)
    both = measured(toy, batch := series(6, 3))
    halves = zip(*(measured(toy, one) for one in batch.halves()), strict=True)
    for found, (long, short) in zip(both, halves, strict=True):
        assert found.lines_T.tolist() == [1, 1, 1, 2, 2, 2]
        alone = np.array([long.norms_T, [0, 0, 0, *short.norms_T[-3:]]])
        wanted = np.sqrt((alone**2).sum(0) / found.lines_T)
        assert found.norms_T == pytest.approx(wanted, rel=1e-9)
        assert found.place.label.startswith("stack ")
    assert [one.place.label for one in both if one.part == "h"] == [
        "stack 1 forward",
        "stack 1 backward",
        "stack 2 forward",
        "stack 2 backward",
    ]


def test_steps_without_a_gradient_at_the_end_are_left_out() -> None:
    norms, lines = aligned(np.array([[1.0, 2.0, 4.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0] * 4]))
    assert norms == pytest.approx([1.0, math.sqrt(4 / 2), math.sqrt((16 + 9) / 2)])
    assert lines.tolist() == [1, 2, 2]
    assert aligned(np.zeros((2, 3)))[0].size == 0
    assert aligned(np.array([]))[1].size == 0


def test_numbers_that_overflow_or_vanish_do_not_count() -> None:
    place = measured(Toy({"kind": "rnn"}).double(), series(2))[0].place
    norms = np.array([0.0, 0.25, 0.5, 1.0, np.inf])
    found = StateGradients(place, "h", norms, np.ones(5, dtype=np.int64))
    assert found.factor == pytest.approx(0.5)
    assert found.record()["norms"] == [0.0, 0.25, 0.5, 1.0, None]
    assert found.record()["steps"] == [-4, -3, -2, -1, 0]
    alone = StateGradients(place, "h", norms[:2], np.ones(2, dtype=np.int64))
    assert alone.factor is None


@pytest.mark.parametrize("options", cell_variants(), ids=variant_name)
def test_every_cell_has_gradients_in_every_part_of_its_state(options: dict[str, Any]) -> None:
    toy = Toy(options, size=3, hidden=6, layers=2).double()
    with torch.no_grad():
        for cell in toy.stack.layers:
            cell[0].reset_parameters("orthogonal")
    randomize(toy.readout)
    found = measured(toy, series(8, 5, size=3))
    assert [one.place.layer for one in found] == [
        layer for layer in (1, 2) for _ in range(toy.stack.parts)
    ]
    outputs = [one for one in found if one.part == "h"]
    assert all(one.norms_T.size == 8 and np.isfinite(one.norms_T).all() for one in outputs)
    assert all(one.norms_T[-1] > 0 for one in outputs)


def test_a_cell_that_does_not_learn_has_gradients_too() -> None:
    toy = Toy({"kind": "gru"}).double()
    randomize(toy)
    learned = [one.norms_T.tolist() for one in measured(toy, series(5))]
    toy.stack.requires_grad_(False)
    assert [one.norms_T.tolist() for one in measured(toy, series(5))] == learned


def test_nothing_of_a_model_is_changed() -> None:
    toy = Toy({"kind": "lstm"}, layers=2, dropout=0.5).double()
    randomize(toy)
    toy.readout.eval()
    before = {name: one.clone() for name, one in toy.state_dict().items()}
    random = torch.random.get_rng_state()
    found = measured(toy, series(4, 2))
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(one, before[name]) for name, one in toy.state_dict().items())
    assert all(one.grad is None for one in toy.parameters())
    assert (toy.training, toy.readout.training) == (True, False)
    assert not any("step" in vars(cell) or "sequence" in vars(cell) for cell in toy.modules())
    again = [one.norms_T.tolist() for one in measured(toy, series(4, 2))]
    assert again == [one.norms_T.tolist() for one in found]  # no dropout


@pytest.mark.parametrize("feeding", ["none", "input", "upper"])
def test_a_translation_model_has_an_encoder_and_a_decoder(feeding: str) -> None:
    options = model_options(
        {"directions": "both"}, {"layers": 2, "attention": "general", "feeding": feeding}
    )
    model = random_model(options)
    batch: PaddedBatch = make_batch(random_pairs([(4, 5), (6, 2)]))
    found = state_gradients(Losses(model, 0.1), model, batch)
    assert [one.label for one in found] == [
        *(f"encoder {way} {part}" for way in ("forward", "backward") for part in "hc"),
        *(f"decoder {layer} {part}" for layer in (1, 2) for part in "hc"),
    ]
    assert {len(one.norms_T) for one in found if one.place.stack == "encoder"} == {7}
    assert {len(one.norms_T) for one in found if one.place.stack == "decoder"} == {6}
    assert all((one.norms_T > 0).all() for one in found)


def test_what_the_loss_does_not_depend_on_has_no_gradient() -> None:
    model = random_model(model_options({}, {}, bridge="zero"))
    batch = make_batch(random_pairs([(4, 5)]))
    by_label = {one.label: one for one in state_gradients(Losses(model, 0.0), model, batch)}
    assert by_label["encoder forward h"].norms_T.size == 0
    assert by_label["encoder forward h"].factor is None
    assert by_label["decoder h"].norms_T.size == 6
