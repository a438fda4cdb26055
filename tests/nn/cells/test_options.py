"""Options of cells: what they begin with, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.models import cell_options, random_tensor
from torch import nn

from seq2seq.errors import ModelError, RecipeError
from seq2seq.nn.cells import Cell, make_cell
from seq2seq.recipe.files import load_recipe


def drawn(options: dict[str, Any], rule: str = "orthogonal", hidden: int = 4) -> Cell:
    torch.manual_seed(1)
    cell = make_cell(cell_options(options), 3, hidden)
    with torch.no_grad():
        cell.reset_parameters(rule)
    return cell


@pytest.mark.parametrize(
    ("kind", "gates", "bias"),
    [("lstm", 4, [0.0, 1.0, 0.0, 0.0]), ("gru", 3, [0.0] * 3), ("rnn", 1, [0.0])],
)
def test_without_options_first_weights_are_those_that_they_always_were(
    kind: str, gates: int, bias: list[float]
) -> None:
    cell = drawn({"kind": kind})
    torch.manual_seed(1)
    weight_ih, weight_hh = torch.empty(4 * gates, 3), torch.empty(4 * gates, 4)
    for block in weight_ih.chunk(gates):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.chunk(gates):
        nn.init.orthogonal_(block)
    expected = {
        "weight_ih": weight_ih,
        "weight_hh": weight_hh,
        "bias_ih": torch.tensor(bias).repeat_interleave(4),
        "bias_hh": torch.zeros(4 * gates),
    }
    found = cell.state_dict()
    assert [*found] == [*expected]
    assert all(torch.equal(found[name], one) for name, one in expected.items())


def test_the_irnn_adds_up_what_it_reads() -> None:
    """Le et al. 2015: identity weights, no biases, ReLU; so h' = ReLU(W x + h)."""
    cell = drawn({"kind": "rnn", "activation": "relu"}, "identity")
    assert torch.equal(cell.weight_hh, torch.eye(4))
    assert not cell.bias_ih.any()
    assert not cell.bias_hh.any()
    x_BTE = random_tensor(2, 5, 3, dtype=torch.float32)
    hidden = torch.zeros(2, 4)
    for t in range(5):
        hidden = torch.relu(x_BTE[:, t] @ cell.weight_ih.T + hidden)
    outputs, _ = cell.sequence(x_BTE, cell.initial_state(2, x_BTE))
    torch.testing.assert_close(outputs[:, -1], hidden)


@pytest.mark.parametrize(
    ("options", "more", "rows"),
    [
        ({}, {}, 16),
        ({"peephole": True}, {"peepholes": (3, 4)}, 16),
        ({"coupled": True}, {}, 12),
        ({"coupled": True, "peephole": True}, {"peepholes": (2, 4)}, 12),
        (
            {"layer_norm": True},
            {"gain_ih": (16,), "gain_hh": (16,), "gain_memory": (4,), "bias_memory": (4,)},
            16,
        ),
    ],
)
def test_an_lstm_has_the_parameters_that_its_options_ask_for(
    options: dict[str, Any], more: dict[str, tuple[int, ...]], rows: int
) -> None:
    usual = {"weight_ih": (rows, 3), "weight_hh": (rows, 4), "bias_ih": (rows,), "bias_hh": (rows,)}
    cell = drawn({"kind": "lstm", **options})
    assert {name: tuple(one.shape) for name, one in cell.state_dict().items()} == {**usual, **more}
    forget = cell.bias_ih.view(-1, 4)[0 if "coupled" in options else 1]
    assert torch.equal(forget, torch.ones(4))
    assert cell.bias_ih.count_nonzero() == 4


def test_with_peepholes_an_untrained_lstm_is_the_usual_one() -> None:
    plain, peeping = drawn({"kind": "lstm"}), drawn({"kind": "lstm", "peephole": True})
    x_BTE = random_tensor(2, 5, 3, dtype=torch.float32)
    found, expected = (one.sequence(x_BTE, one.initial_state(2, x_BTE)) for one in (peeping, plain))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("coupled", [False, True])
def test_chrono_biases_are_spread_over_the_dependencies(coupled: bool) -> None:
    """Tallec and Ollivier 2018: a unit that keeps sigmoid(b) forgets in about e^b + 1 steps.

    So these times, less 1, are uniform from 1 to 99: by quarters, within 5 standard deviations.
    """
    cell = drawn({"kind": "lstm", "chrono": 100, "coupled": coupled}, "uniform", 4000)
    gates = cell.bias_ih.view(-1, 4000)
    forget = gates[0 if coupled else 1]
    times = forget.double().exp()
    assert 1.0 <= times.min() < 1.5
    assert 98.5 < times.max() <= 99.0 + 1e-4
    quarters = torch.histc(times, 4, 1.0, 99.0)
    assert (quarters - 1000).abs().max() < 5 * math.sqrt(4000 * 0.25 * 0.75)
    if not coupled:
        assert torch.equal(gates[0], -forget)
    assert not gates[1 if coupled else 2 :].any()
    assert not cell.bias_hh.any()


def test_gates_of_a_minimal_lstm_that_are_both_shut_still_share_one() -> None:
    """Else f / (f + i) is 0 / 0, from -104 on in float32."""
    cell = drawn({"kind": "minlstm"})
    with torch.no_grad():
        cell.bias_ih[:8] = -1000.0
        cell.bias_ih[:4] += 1.0
        cell.weight_ih[:8] = 0.0
    gates = cell.gate_values(cell.project(torch.zeros(1, 3)), (torch.zeros(1, 4),))
    share = torch.full((1, 4), 1.0).sigmoid()
    torch.testing.assert_close(gates, {"input": 1 - share, "forget": share})


LSTM, ECHO = 'model.encoder.cell={kind="lstm", ', 'model.encoder.cell={kind="echo", '
REFUSED = {
    LSTM + "chrono=2}": "model.encoder.cell: chrono = 2 must be at least 3, or 0 for none",
    LSTM + "chrono=50, forget_bias=2.0}": (
        "model.encoder.cell: chrono = 50 draws the forget gate's biases, so that forget_bias = 2.0 "
        "has no effect: leave one of them out"
    ),
    LSTM + "peephole=1}": "model.encoder.cell.peephole: must be true or false, not 1",
    'model.encoder.cell={kind="gru", reset="never"}': (
        "model.encoder.cell.reset: unknown value 'never'; allowed: after, before"
    ),
    'model.encoder.cell={kind="rnn", activation="sin"}': (
        "model.encoder.cell.activation: unknown value 'sin'; allowed: tanh, relu, sigmoid"
    ),
    ECHO + "spectral_radius=0.0}": (
        "model.encoder.cell.spectral_radius: must be above 0 and at most 100, not 0.0"
    ),
    ECHO + "input_scale=-1.0}": (
        "model.encoder.cell.input_scale: must be above 0 and at most 100, not -1.0"
    ),
    ECHO + "leak=1.5}": "model.encoder.cell.leak: must be above 0 and at most 1, not 1.5",
    ECHO + "connections=0}": "model.encoder.cell.connections: must be at least 1, not 0",
}


@pytest.mark.parametrize(("setting", "words"), REFUSED.items())
def test_options_that_make_no_sense_are_refused(setting: str, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", [setting])
    assert words in str(error.value)


def test_a_recipe_with_every_option_is_read_as_it_was_written() -> None:
    """A run stores all keys, those that were left out too."""
    setting = LSTM + "chrono=50, peephole=true}"
    stored = load_recipe("quickstart", [setting]).model.encoder.cell
    assert stored.model_dump() == {
        "kind": "lstm",
        "forget_bias": 1.0,
        "chrono": 50,
        "peephole": True,
        "coupled": False,
        "layer_norm": False,
    }
    assert cell_options(stored.model_dump()).options().chrono == 50


def test_a_reservoir_of_one_unit_is_refused() -> None:
    with pytest.raises(ModelError) as error:
        drawn({"kind": "echo"}, hidden=1)
    assert str(error.value) == (
        "the cell 'echo' needs at least 2 units a direction, as a unit reads others, and has 1: "
        "set hidden to 2 or more, with both directions to 4"
    )
