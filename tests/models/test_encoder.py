"""The encoder's memory: which positions it speaks of, and where each looks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.models import model_options, padded, random_model
from torch import Tensor

from seq2seq.ids import EOS
from seq2seq.models.encoder import Encoded, Encoder

ROWS = [[5, 6, 7, 8, EOS], [4, 6, EOS]]


def encode(rows: list[list[int]], **options: Any) -> tuple[Encoder, Encoded]:
    encoder = random_model(model_options(options, {})).encoder
    source_BS = padded(rows, max(map(len, rows)))
    return encoder, encoder(source_BS, torch.tensor([len(row) for row in rows]))


def changed_positions(position: int, **options: Any) -> list[bool]:
    """At which positions of the first row the memory changes with one of its tokens."""
    other = [list(row) for row in ROWS]
    other[0][position] = 4
    _, before = encode(ROWS, **options)
    _, after = encode(other, **options)
    difference: Tensor = (before.memory.outputs_BSD - after.memory.outputs_BSD).abs().sum(-1)
    assert not difference[1].any()
    return (difference[0] > 1e-9).tolist()


@pytest.mark.parametrize("position", range(4))
def test_each_way_of_reading_sees_its_side_of_a_position(position: int) -> None:
    before = [place < position for place in range(5)]
    after = [place > position for place in range(5)]
    itself = [place == position for place in range(5)]
    forward = changed_positions(position, directions="forward")
    backward = changed_positions(position, directions="forward", reverse=True)
    assert forward == [a or b for a, b in zip(itself, after, strict=True)]
    assert backward == [a or b for a, b in zip(itself, before, strict=True)]
    assert all(changed_positions(position, directions="both"))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_final_state_is_that_of_the_last_token_read(reverse: bool) -> None:
    _, encoded = encode(ROWS, directions="forward", reverse=reverse)
    for row, tokens in enumerate(ROWS):
        last = 0 if reverse else len(tokens) - 1
        output = encoded.memory.outputs_BSD[row, last]
        torch.testing.assert_close(encoded.final[-1][0][row], output, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_both_directions_end_at_opposite_ends(reverse: bool) -> None:
    _, encoded = encode(ROWS, directions="both", layers=2, reverse=reverse)
    for row, tokens in enumerate(ROWS):
        first, last = encoded.memory.outputs_BSD[row, [0, len(tokens) - 1]]
        if reverse:
            first, last = last, first
        expected = torch.cat([last[:2], first[2:]])
        torch.testing.assert_close(encoded.final[-1][0][row], expected, rtol=0, atol=1e-12)


def test_the_mask_is_true_at_tokens() -> None:
    _, encoded = encode(ROWS)
    assert encoded.memory.mask_BS.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert encoded.memory.keys_BSK is None
