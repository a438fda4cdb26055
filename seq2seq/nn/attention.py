"""Attention. One of your own is a class with a name in :mod:`seq2seq.recipe.registry`.

Shapes: B batch, S source length, T target length, D memory size, Q query size, K key size, E
embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq.errors import ModelError


@dataclass(frozen=True)
class Memory:
    """What a decoder may attend to."""

    outputs_BSD: Tensor  # the encoder's
    mask_BS: Tensor  # True where a source token is
    keys_BSK: Tensor | None = None  # what the attention makes of the outputs, once a source
    words_BSE: Tensor | None = None  # the source's embeddings, for a lexical model

    def select(self, index_N: Tensor) -> Memory:
        """Rows by index: which row of this memory each new row is."""
        return self._each(lambda one: one[index_N])

    def narrow(self, width: int) -> Memory:
        """A view of the first positions."""
        return self._each(lambda one: one[:, :width])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Memory:
        keys, words = (
            None if one is None else change(one) for one in (self.keys_BSK, self.words_BSE)
        )
        return Memory(change(self.outputs_BSD), change(self.mask_BS), keys, words)


class Attention(nn.Module, ABC):
    """Weighs the source's positions for each target position and returns their weighted mean.

    The module keeps no state: what depends on the source alone lives in the memory.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.query_size = query_size
        self.memory_size = memory_size

    def prepare(self, memory: Memory) -> Memory:
        """Adds the keys to a memory, once a source."""
        return replace(memory, keys_BSK=self.keys(memory.outputs_BSD))

    def keys(self, outputs_BSD: Tensor) -> Tensor:
        """What the scores need of the memory, (B, S, K)."""
        return outputs_BSD

    @abstractmethod
    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        """How well each source position fits each query, (B, T, S); of n heads (B, n, T, S).

        The scores are not normalized, and the caller masks padding.
        """

    def forward(self, query_BTQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attends from all target positions at once; the memory has keys (see ``prepare``).

        It gives contexts (B, T, D) and weights (B, T, S), which sum to 1 and are 0 at padding. With
        words in the memory, their weighted mean stands behind each context, (B, T, D + E).
        """
        assert memory.keys_BSK is not None, "prepare(memory) comes first"
        scores_BTS = self.scores(query_BTQ, memory.keys_BSK)
        weights_BTS = normalized(scores_BTS, memory.mask_BS.unsqueeze(1))
        context_BTD = torch.bmm(weights_BTS.to(memory.outputs_BSD.dtype), memory.outputs_BSD)
        return with_words(context_BTD, weights_BTS, memory), weights_BTS


def with_words(context_BTD: Tensor, weights_BTS: Tensor, memory: Memory) -> Tensor:
    """Contexts with the words of the memory, if it has them, weighed likewise."""
    if memory.words_BSE is None:
        return context_BTD
    words_BTE = torch.bmm(weights_BTS.to(memory.words_BSE.dtype), memory.words_BSE)
    return torch.cat([context_BTD, words_BTE.to(context_BTD.dtype)], dim=-1)


def normalized(scores: Tensor, mask: Tensor) -> Tensor:
    """The softmax of scores (..., S); at padding, where the mask is False, it gives 0."""
    if scores.dtype == torch.bfloat16:  # too coarse for a softmax
        scores = scores.float()
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)


class DotAttention(Attention):
    """q . m (Luong et al. 2015); query and memory are of one size."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise ModelError(
                f"model.decoder.attention = 'dot' needs states of one size: the encoder's has "
                f"{memory_size}, the decoder's {query_size}; set model.decoder.attention to "
                "'general'"
            )

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        return torch.bmm(query_BTQ.to(keys_BSK.dtype), keys_BSK.transpose(1, 2))


class GeneralAttention(Attention):
    """q . W m (Luong et al. 2015)."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, outputs_BSD: Tensor) -> Tensor:
        keys_BSK: Tensor = self.key(outputs_BSD)
        return keys_BSK

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        return torch.bmm(query_BTQ.to(keys_BSK.dtype), keys_BSK.transpose(1, 2))


class AdditiveAttention(Attention):
    """v . tanh(U q + W m) (Bahdanau et al. 2015)."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.key = nn.Linear(memory_size, query_size, bias=False)
        self.query = nn.Linear(query_size, query_size, bias=True)
        self.energy = nn.Linear(query_size, 1, bias=False)

    def keys(self, outputs_BSD: Tensor) -> Tensor:
        keys_BSK: Tensor = self.key(outputs_BSD)
        return keys_BSK

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        query_BT1K = self.query(query_BTQ).unsqueeze(2)
        scores_BTS: Tensor = self.energy(torch.tanh(query_BT1K + keys_BSK.unsqueeze(1))).squeeze(-1)
        return scores_BTS
