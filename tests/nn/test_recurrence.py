"""Stacks of cells against torch's multi-layer, bidirectional modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import cell_options, cell_variants, random_tensor, randomize, variant_name
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.errors import ModelError
from seq2seq.nn.cells import State
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.nn.rows import reverse_within

KINDS = [
    {"kind": "lstm"},
    {"kind": "gru"},
    {"kind": "rnn", "activation": "tanh"},
    {"kind": "rnn", "activation": "relu"},
]
every_kind = pytest.mark.parametrize("options", KINDS, ids=variant_name)


def stack_of(options: dict[str, Any], **more: Any) -> RecurrentStack:
    stack = RecurrentStack(cell_options(options), 3, 4, **more).double()
    randomize(stack)
    return stack


def twin(ours: RecurrentStack, options: dict[str, Any]) -> nn.RNNBase:
    """torch's module with our stack's weights."""
    make: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[options["kind"]]
    more = {"nonlinearity": options["activation"]} if "activation" in options else {}
    directions = len(ours.layers[0])
    theirs: nn.RNNBase = make(
        3,
        4 // directions,
        num_layers=len(ours.layers),
        bidirectional=directions == 2,
        batch_first=True,
        **more,
    ).double()
    state = {}
    for name, value in ours.state_dict().items():
        _, layer, direction, parameter = name.split(".")
        state[f"{parameter}_l{layer}{'_reverse' if direction == '1' else ''}"] = value
    theirs.load_state_dict(state)
    return theirs


def run_twin(
    theirs: nn.RNNBase, x_BTE: Tensor, lengths_B: Tensor, initial: tuple[State, ...] | None
) -> tuple[Tensor, tuple[State, ...]]:
    """Packed; states cut and joined as our stack has them."""
    directions = 2 if theirs.bidirectional else 1

    def cut(part: int) -> Tensor:
        """(layers x directions, B, D) from (B, H) a layer."""
        assert initial is not None
        return torch.stack([piece for s in initial for piece in s[part].chunk(directions, dim=-1)])

    before: Any = None
    if initial is not None:
        before = tuple(cut(part) for part in range(len(initial[0])))
        before = before if len(before) > 1 else before[0]
    packed = pack_padded_sequence(x_BTE, lengths_B, batch_first=True, enforce_sorted=False)
    packed, after = theirs(packed, before)
    outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=x_BTE.shape[1])
    parts = after if isinstance(after, tuple) else (after,)
    joined = [part.unflatten(0, (theirs.num_layers, directions)) for part in parts]
    finals = tuple(
        tuple(torch.cat(tuple(part[layer]), dim=-1) for part in joined)
        for layer in range(theirs.num_layers)
    )
    return outputs, finals


def assert_like_twin(
    ours: RecurrentStack, options: dict[str, Any], initial: tuple[State, ...] | None
) -> None:
    theirs = twin(ours, options)
    lengths_B = torch.tensor([3, 6, 1, 5])
    real = (torch.arange(6) < lengths_B[:, None])[..., None]
    x_BTE = random_tensor(4, 6, 3).requires_grad_()
    found = []
    for outputs, finals in (
        ours(x_BTE, lengths_B, initial),
        run_twin(theirs, x_BTE, lengths_B, initial),
    ):
        shown = torch.where(real, outputs, 0.0)
        parts = [part for state in finals for part in state]
        loss = (shown * random_tensor(*shown.shape, seed=3)).sum()
        loss = loss + sum((k + 2) * part.pow(2).sum() for k, part in enumerate(parts))
        module = ours if not found else theirs
        gradients = torch.autograd.grad(loss, [x_BTE, *module.parameters()])
        names = ["x", *(name for name, _ in module.named_parameters())]
        found.append((shown, parts, dict(zip(names, gradients, strict=True))))
    (shown, parts, mine), (expected, after, others) = found
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(parts, after, rtol=0, atol=1e-11)
    torch.testing.assert_close(list(mine.values()), list(others.values()), rtol=0, atol=1e-10)


@every_kind
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_torch_packed(options: dict[str, Any], layers: int, bidirectional: bool) -> None:
    assert_like_twin(stack_of(options, layers=layers, bidirectional=bidirectional), options, None)


@every_kind
def test_an_initial_state_is_split_between_the_directions(options: dict[str, Any]) -> None:
    ours = stack_of(options, layers=2, bidirectional=True)
    initial = tuple(
        tuple(random_tensor(4, 4, seed=10 * layer + part) for part in range(ours.parts))
        for layer in range(2)
    )
    assert_like_twin(ours, options, initial)


@every_kind
def test_residual_connections_add_a_layer_s_input(options: dict[str, Any]) -> None:
    """Layer by layer with torch's modules, the sums written out."""
    ours = stack_of(options, layers=3, residual=True)
    lengths_B, x_BTE = torch.tensor([4, 2]), random_tensor(2, 4, 3)
    real = (torch.arange(4) < lengths_B[:, None])[..., None]
    expected, states = x_BTE, []
    for layer in range(3):
        one = RecurrentStack(cell_options(options), expected.shape[-1], 4).double()
        one.layers[0] = ours.layers[layer]
        make: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[options["kind"]]
        more = {"nonlinearity": options["activation"]} if "activation" in options else {}
        theirs = make(expected.shape[-1], 4, batch_first=True, **more).double()
        weights = ours.layers[layer][0].state_dict()
        theirs.load_state_dict({f"{name}_l0": value for name, value in weights.items()})
        outputs, (state,) = run_twin(theirs, expected, lengths_B, None)
        expected = outputs if layer == 0 else expected + outputs
        states.append(state)
    outputs, finals = ours(x_BTE, lengths_B)
    torch.testing.assert_close(torch.where(real, outputs, 0.0), torch.where(real, expected, 0.0))
    torch.testing.assert_close(finals, tuple(states))


@every_kind
@pytest.mark.parametrize("residual", [False, True])
def test_layer_and_step_are_twins(options: dict[str, Any], residual: bool) -> None:
    """With a second input from the side, as the decoder gives its upper layers."""
    ours = stack_of(options, layers=2, residual=residual, extra_size=2)
    below, side = random_tensor(3, 5, 4), random_tensor(3, 5, 2, seed=1)
    state = tuple(random_tensor(3, 4, seed=20 + part) for part in range(ours.parts))
    outputs, final = ours.layer(1, below, state=state, extra_BTX=side)
    for t in range(5):
        output, state = ours.step(1, below[:, t], state, side[:, t])
        torch.testing.assert_close(output, outputs[:, t], rtol=0, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-12)


def test_dropout_falls_between_layers_only() -> None:
    one, two = (
        stack_of({"kind": "gru"}, dropout=0.9),
        stack_of({"kind": "gru"}, layers=2, dropout=0.9),
    )
    x_BTE = random_tensor(2, 5, 3)
    torch.testing.assert_close(one.train()(x_BTE), one.eval()(x_BTE))
    assert not torch.equal(two.train()(x_BTE)[0], two.eval()(x_BTE)[0])
    torch.testing.assert_close(two.train()(x_BTE)[1][0], two.eval()(x_BTE)[1][0])


@st.composite
def padded_rows(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    width = draw(st.integers(1, 7))
    row = st.lists(st.integers(-9, 9), min_size=width, max_size=width)
    rows = draw(st.lists(row, min_size=1, max_size=5))
    size = st.lists(st.integers(1, width), min_size=len(rows), max_size=len(rows))
    return rows, draw(size)


@given(padded_rows())
@settings(deadline=None)
def test_rows_are_turned_around_within_their_lengths(
    given_rows: tuple[list[list[int]], list[int]],
) -> None:
    rows, lengths = given_rows
    turned = reverse_within(torch.tensor(rows), torch.tensor(lengths))
    expected = [
        row[:length][::-1] + row[length:] for row, length in zip(rows, lengths, strict=True)
    ]
    assert turned.tolist() == expected
    assert reverse_within(turned, torch.tensor(lengths)).tolist() == rows


def test_vectors_are_turned_around_as_wholes() -> None:
    x_BTE = random_tensor(2, 4, 3)
    turned = reverse_within(x_BTE, torch.tensor([4, 3]))
    assert torch.equal(turned[0], x_BTE[0].flip(0))
    assert torch.equal(turned[1, :3], x_BTE[1, :3].flip(0))
    assert torch.equal(turned[1, 3], x_BTE[1, 3])


def dropping(options: dict[str, Any], **more: Any) -> RecurrentStack:
    made = RecurrentStack(cell_options(options), 3, 4, recurrent_dropout=0.5, **more).double()
    randomize(made)
    return made


LEARNING = ("rnn", "gru", "lstm", "mgu", "transition")
RECURRENT = [one for one in cell_variants() if one["kind"] in LEARNING]


@pytest.mark.parametrize("options", RECURRENT, ids=variant_name)
def test_weights_from_state_to_state_are_dropped_once_a_batch(options: dict[str, Any]) -> None:
    """The fused way, the way by steps, and a cell whose weights were set to those that remain."""
    stack, x_BTE = dropping(options), random_tensor(2, 5, 3, seed=1)
    (cell,) = stack.cells()
    names = [one for one in ("weight_hh", "weight_hh_deep") if hasattr(cell, one)]
    whole = {name: getattr(cell, name) for name in names}
    before = {name: one.detach().clone() for name, one in whole.items()}
    with stack.for_sequences():
        found, _ = stack.layer(0, x_BTE)
        state, steps = cell.initial_state(2, x_BTE), []
        for x_BE in x_BTE.unbind(1):
            output, state = stack.step(0, x_BE, state)
            steps.append(output)
        remaining = {name: getattr(cell, name) for name in names}
    torch.testing.assert_close(torch.stack(steps, 1), found, rtol=0, atol=1e-12)
    found.sum().backward()
    by_hand = dropping(options).eval()
    (other,) = by_hand.cells()
    for name, weight in whole.items():
        assert getattr(cell, name) is weight
        assert torch.equal(weight, before[name])
        kept = remaining[name] != 0
        assert 0 < int(kept.sum()) < kept.numel()
        torch.testing.assert_close(remaining[name][kept], 2.0 * weight[kept], rtol=0, atol=1e-12)
        assert weight.grad is not None
        assert not weight.grad[~kept].any()
        assert weight.grad[kept].any()
        with torch.no_grad():
            getattr(other, name).copy_(remaining[name])
    torch.testing.assert_close(by_hand(x_BTE)[0], found, rtol=0, atol=1e-12)


def test_nothing_is_dropped_out_of_training_or_of_its_context() -> None:
    stack, x_BTE = dropping({"kind": "lstm"}, layers=2), random_tensor(2, 5, 3)
    plain = stack(x_BTE)[0]
    with stack.for_sequences():
        assert not torch.equal(stack(x_BTE)[0], plain)
    assert torch.equal(stack(x_BTE)[0], plain)
    with stack.eval().for_sequences():
        assert torch.equal(stack(x_BTE)[0], plain)


@pytest.mark.parametrize("kind", ["sru", "echo"])
def test_cells_without_such_weights_are_refused(kind: str) -> None:
    with pytest.raises(ModelError) as caught:
        dropping({"kind": kind})
    assert str(caught.value).startswith(f"the cell {kind!r} (seq2seq.nn.cells.")
    assert str(caught.value).endswith(
        "learns no weights from state to state (weight_hh) that could be dropped: set its side's "
        "recurrent_dropout to 0"
    )


def test_each_layer_has_variational_masks_of_its_own() -> None:
    options = cell_options({"kind": "gru"})
    stack = RecurrentStack(options, 3, 40, layers=3, dropout=0.5, variational=True)
    randomize(stack)
    seen: list[Tensor] = []
    for one in stack.dropouts:
        one.register_forward_hook(lambda _, given, found: seen.append(found == 0))
    with stack.for_sequences():
        stack(torch.ones(2, 4, 3))
    first, second = seen
    for mask in seen:
        assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert not torch.equal(first, second)
