"""The encoder: source tokens to a memory and a final state.

Shapes: B batch, S source length, E embedding, D output size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.models.embedding import TokenEmbedding
from seq2seq.nn.attention import Memory
from seq2seq.nn.cells import State
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.nn.rows import reverse_within
from seq2seq.recipe import model as recipe


@dataclass(frozen=True)
class Encoded:
    """What the encoder knows of a batch of sources."""

    memory: Memory  # its outputs at every position, for an attention
    final: tuple[State, ...]  # of each layer after the last token, both directions joined, (B, D)


class Encoder(nn.Module):
    """A stack of recurrent layers over the source."""

    def __init__(self, options: recipe.Encoder, table: nn.Embedding) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(
            table, options.dropout, options.word_dropout, variational=options.variational_dropout
        )
        self.stack = RecurrentStack(
            options.cell,
            options.embedding,
            options.hidden,
            layers=options.layers,
            dropout=options.dropout,
            variational=options.variational_dropout,
            recurrent_dropout=options.recurrent_dropout,
            bidirectional=options.directions == "both",
            residual=options.residual,
        )
        self.reverse = options.reverse

    def forward(self, source_BS: Tensor, lengths_B: Tensor) -> Encoded:
        """Encodes a right-padded batch; each row ends with eos, and padding changes nothing.

        With ``reverse`` the source is read backwards (Sutskever et al. 2014), and the memory's
        positions are still those of ``source_BS``.
        """
        if self.reverse:
            source_BS = reverse_within(source_BS, lengths_B)
        embedded_BSE = self.embedding(source_BS)
        with self.stack.for_sequences():
            outputs_BSD, final = self.stack(embedded_BSE, lengths_B)
        if self.reverse:
            outputs_BSD = reverse_within(outputs_BSD, lengths_B)
            embedded_BSE = reverse_within(embedded_BSE, lengths_B)
        times_S = torch.arange(source_BS.shape[1], device=source_BS.device)
        mask_BS = times_S < lengths_B.to(source_BS.device).unsqueeze(1)
        return Encoded(Memory(outputs_BSD, mask_BS, words_BSE=embedded_BSE), final)
