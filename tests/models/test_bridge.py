"""The bridge: what of the encoder's final state reaches the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.models import cell_options, random_tensor, randomize

from seq2seq.errors import ModelError
from seq2seq.models.bridge import Bridge
from seq2seq.nn.cells import State
from seq2seq.nn.recurrence import RecurrentStack


def stack(cell: str, hidden: int = 4, layers: int = 1, **more: Any) -> RecurrentStack:
    return RecurrentStack(cell_options({"kind": cell}), 3, hidden, layers=layers, **more).double()


def bridge(kind: str, encoder: RecurrentStack, decoder: RecurrentStack) -> Bridge:
    built = Bridge(kind, encoder, decoder).double()
    randomize(built)
    return built


def final_of(encoder: RecurrentStack) -> tuple[State, ...]:
    return tuple(
        tuple(random_tensor(2, encoder.hidden_size, seed=10 * i + k) for k in range(encoder.parts))
        for i in range(len(encoder.layers))
    )


def assert_same(ours: tuple[State, ...], theirs: tuple[State, ...]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", ["copy", "auto"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_of_one_size_are_copied_layer_by_layer(
    kind: str, cell: str, bidirectional: bool
) -> None:
    encoder = stack(cell, layers=2, bidirectional=bidirectional)
    built = bridge(kind, encoder, stack(cell, layers=2))
    final = final_of(encoder)
    assert_same(built(final), final)
    assert not list(built.parameters())


@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(1, 3), (3, 1), (3, 2)])
def test_the_top_layer_serves_all_where_layers_differ(
    encoder_layers: int, decoder_layers: int
) -> None:
    encoder = stack("lstm", layers=encoder_layers)
    final = final_of(encoder)
    built = bridge("copy", encoder, stack("lstm", layers=decoder_layers))
    assert_same(built(final), (final[-1],) * decoder_layers)


def test_a_decoder_with_a_smaller_state_takes_the_output_part() -> None:
    encoder = stack("lstm")
    final = final_of(encoder)
    assert_same(bridge("auto", encoder, stack("gru"))(final), ((final[0][0],),))


@pytest.mark.parametrize(
    ("kind", "encoder", "decoder"),
    [
        ("linear", stack("lstm", layers=2), stack("lstm", layers=2)),
        ("auto", stack("lstm", 6, layers=2), stack("lstm", layers=2)),
        ("auto", stack("gru"), stack("lstm")),
        ("auto", stack("rnn", 6), stack("lstm", layers=2)),
        ("linear", stack("lstm", 6), stack("gru", layers=2)),
    ],
)
def test_a_linear_bridge_is_a_map_and_tanh_of_its_own_a_layer_and_part(
    kind: str, encoder: RecurrentStack, decoder: RecurrentStack
) -> None:
    built = bridge(kind, encoder, decoder)
    final = final_of(encoder)
    found = built(final)
    assert len(found) == len(decoder.layers)
    for layer, state in enumerate(found):
        assert len(state) == decoder.parts
        below = final[layer] if len(final) == len(found) else final[-1]
        for part, value in enumerate(state):
            source = below[part] if part < len(below) else below[0]
            weights = dict(built.named_parameters(prefix=""))
            weight = weights[f"maps.{layer}.{part}.weight"]
            bias = weights[f"maps.{layer}.{part}.bias"]
            expected = torch.tanh(source @ weight.t() + bias)
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)
    assert len(list(built.parameters())) == 2 * len(decoder.layers) * decoder.parts


def test_the_zero_bridge_carries_nothing() -> None:
    encoder = stack("gru", 6)
    built = bridge("zero", encoder, stack("lstm", layers=2))
    found = built(final_of(encoder))
    assert [[part.shape for part in state] for state in found] == [[(2, 4)] * 2] * 2
    assert not any(part.any() for state in found for part in state)
    assert not list(built.parameters())


@pytest.mark.parametrize(
    ("encoder", "decoder", "shapes"),
    [
        (stack("lstm", 6), stack("lstm"), "the encoder's has 2 x 6, the decoder's 2 x 4"),
        (stack("gru"), stack("lstm"), "the encoder's has 1 x 4, the decoder's 2 x 4"),
    ],
)
def test_a_copy_that_cannot_be_is_an_error(
    encoder: RecurrentStack, decoder: RecurrentStack, shapes: str
) -> None:
    with pytest.raises(ModelError) as caught:
        Bridge("copy", encoder, decoder)
    assert str(caught.value) == (
        f"model.bridge = 'copy' needs states of one size: {shapes}; "
        "set model.bridge to 'auto' or 'linear'"
    )
