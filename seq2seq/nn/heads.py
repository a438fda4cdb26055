"""Attention with several heads: each scores the source by weights of its own.

Head h of ``heads`` weighs every ``heads``-th number of the memory, from the h-th on, so that each
sees both directions of an encoder; together their contexts are one of the memory's size. Nothing is
lost by giving them no further matrices for that (Vaswani et al. 2017 have one for the values): the
encoder learns what it puts where, and whatever reads the context has a matrix of its own.

Shapes: B batch, S source length, T target length, D memory size, Q query size, K = Q, n heads, k =
K / n.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.errors import ModelError
from seq2seq.nn.attention import Attention, Memory, normalized, with_words
from seq2seq.recipe import model as recipe
from seq2seq.recipe.registry import ATTENTIONS

_NUMBERS = 2**18
"""Hidden units that are held at a time: they stay in a processor's cache."""
_GPU_NUMBERS = 2**26


class HeadsAttention(Attention):
    """What both scores have in common; the weights that are given back are the heads' mean."""

    def __init__(self, query_size: int, memory_size: int, heads: int) -> None:
        super().__init__(query_size, memory_size)
        if query_size % heads or memory_size % heads:
            raise ModelError(
                f"model.decoder.attention_heads = {heads} must divide both sides' hidden sizes: "
                f"the encoder's is {memory_size}, the decoder's {query_size}"
            )
        self.heads = heads
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, outputs_BSD: Tensor) -> Tensor:
        keys_BSK: Tensor = self.key(outputs_BSD)
        return keys_BSK

    @abstractmethod
    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        """How well each source position fits each query, by each head, (B, n, T, S)."""

    def forward(self, query_BTQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        assert memory.keys_BSK is not None, "prepare(memory) comes first"
        scores_BnTS = self.scores(query_BTQ, memory.keys_BSK)
        weights_BnTS = normalized(scores_BnTS, memory.mask_BS[:, None, None])
        values_BnSd = _cut(memory.outputs_BSD, -1, self.heads).permute(0, 3, 1, 2)
        context_BnTd = torch.matmul(weights_BnTS.to(values_BnSd.dtype), values_BnSd)
        context_BTD, weights_BTS = context_BnTd.permute(0, 2, 3, 1).flatten(2), weights_BnTS.mean(1)
        return with_words(context_BTD, weights_BTS, memory), weights_BTS


class GeneralHeads(HeadsAttention):
    """(U q) . (W m) / sqrt(k) in each head (Vaswani et al. 2017)."""

    def __init__(self, query_size: int, memory_size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, heads)
        self.query = nn.Linear(query_size, query_size, bias=False)

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        size = self.query_size // self.heads
        query_BnTk = _cut(self.query(query_BTQ), self.heads, size).transpose(1, 2)
        keys_BnkS = _cut(keys_BSK, self.heads, size).permute(0, 2, 3, 1)
        return torch.matmul(query_BnTk.to(keys_BnkS.dtype), keys_BnkS) / math.sqrt(size)


class AdditiveHeads(HeadsAttention):
    """v . tanh(U q + W m) in each head (Bahdanau et al. 2015; in heads: Chen et al. 2018).

    Each has k of the K hidden units, so that more heads cost no more.
    """

    def __init__(self, query_size: int, memory_size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, heads)
        self.query = nn.Linear(query_size, query_size, bias=True)
        self.energy = nn.Linear(query_size // heads, heads, bias=False)

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        query_BTK = self.query(query_BTQ)
        with torch.autocast(query_BTQ.device.type, enabled=False):
            exact = torch.promote_types(self.energy.weight.dtype, torch.float32)
            inputs = (one.to(exact) for one in (query_BTK, keys_BSK, self.energy.weight))
            scores: Tensor = _Additive.apply(*inputs)  # type: ignore[no-untyped-call]
        return scores


class _Additive(torch.autograd.Function):
    """v . tanh(a + b) for each a of a target position and b of a source position, in heads.

    The hidden units (B, T, S, K) are far more than all other numbers of an attention. They are made
    a piece at a time, once forward and once more backward, and never kept.
    """

    @staticmethod
    def forward(ctx: Any, query_BTK: Tensor, keys_BSK: Tensor, energy_nk: Tensor) -> Tensor:
        ctx.save_for_backward(query_BTK, keys_BSK, energy_nk)
        energy_nK = _beside(energy_nk)
        scores_BnTS = query_BTK.new_empty(
            len(query_BTK), len(energy_nk), query_BTK.shape[1], keys_BSK.shape[1]
        )
        for rows, times, hidden_BTSK in _pieces(query_BTK, keys_BSK):
            found = torch.mm(energy_nK, hidden_BTSK.flatten(0, 2).t())
            found = found.view(-1, *hidden_BTSK.shape[:3])
            scores_BnTS[rows, :, times] = found.transpose(0, 1)
        return scores_BnTS

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        query_BTK, keys_BSK, energy_nk = inputs = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: in operations that have derivatives
            scores = _additive(*inputs)
            found: tuple[Tensor, ...] = torch.autograd.grad(
                scores, inputs, grads[0], create_graph=True
            )
            return found
        energy_nK = _beside(energy_nk)
        grad_query, grad_keys = torch.empty_like(query_BTK), torch.zeros_like(keys_BSK)
        grad_energy = torch.zeros_like(energy_nK)
        for rows, times, hidden_BTSK in _pieces(query_BTK, keys_BSK):
            along = grads[0][rows, :, times].permute(0, 2, 3, 1).flatten(0, 2)
            hidden = hidden_BTSK.flatten(0, 2)
            grad_energy.addmm_(along.t(), hidden)
            torch.ops.aten.tanh_backward.grad_input(along @ energy_nK, hidden, grad_input=hidden)
            torch.sum(hidden_BTSK, 2, out=grad_query[rows, times])
            grad_keys[rows] += hidden_BTSK.sum(1)
        return grad_query, grad_keys, _cut(grad_energy, *energy_nk.shape).diagonal().t()


def _beside(energy_nk: Tensor) -> Tensor:
    """The energies of all heads as one matrix (n, K): each in its own columns, zeros elsewhere."""
    ones = torch.eye(len(energy_nk), dtype=energy_nk.dtype, device=energy_nk.device)
    return (ones.unsqueeze(2) * energy_nk).flatten(1)


def _cut(x: Tensor, *sizes: int) -> Tensor:
    """Makes two axes of the last."""
    return x.reshape(*x.shape[:-1], *sizes)


def _pieces(query_BTK: Tensor, keys_BSK: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Hidden units, piece by piece, with the rows and target positions that they are of.

    All are made in the same memory.
    """
    query, keys = query_BTK.unsqueeze(2), keys_BSK.unsqueeze(1)
    (batch, time, size), width = query_BTK.shape, keys_BSK.shape[1]
    most = _NUMBERS if query_BTK.device.type == "cpu" else _GPU_NUMBERS
    times = min(max(1, most // (width * size)), time)
    rows = min(max(1, most // (times * width * size)), batch) if times == time else 1
    memory = query_BTK.new_empty(rows * times * width * size)
    for row in range(0, batch, rows):
        for t in range(0, time, times):
            some, which = slice(row, row + rows), slice(t, t + times)
            shape = (*query[some, which].shape[:2], width, size)
            piece = memory[: math.prod(shape)].view(shape)
            yield some, which, torch.add(query[some, which], keys[some], out=piece).tanh_()


def _additive(query_BTK: Tensor, keys_BSK: Tensor, energy_nk: Tensor) -> Tensor:
    """The same in operations of autograd's."""
    hidden_BTSK = torch.tanh(query_BTK.unsqueeze(2) + keys_BSK.unsqueeze(1))
    return torch.einsum("btsnk,nk->bnts", _cut(hidden_BTSK, *energy_nk.shape), energy_nk)


_WITH_HEADS = {"general": GeneralHeads, "additive": AdditiveHeads}


def make_attention(options: recipe.Decoder, memory_size: int) -> Attention | None:
    """Builds the attention of a recipe's decoder; None where it has none."""
    if options.attention == "none":
        return None
    if options.attention_heads > 1:
        kind = _WITH_HEADS[options.attention]
        return kind(options.hidden, memory_size, options.attention_heads)
    made: Attention = ATTENTIONS.load(options.attention)(options.hidden, memory_size)
    return made
