"""Token embeddings with the two dropouts that recurrent models live on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.ids import EOS, UNK
from seq2seq.nn.dropout import Dropout


class TokenEmbedding(nn.Module):
    """Looks tokens up in a table; in training hides whole tokens, and single values.

    ``dropout`` is the chance that a value is zeroed, ``word_dropout`` that a token is read as
    unknown (Bowman et al. 2016): the decoder then has to trust its state, not the last word.
    ``variational`` drops the same values of all tokens of a sequence.
    """

    def __init__(
        self,
        table: nn.Embedding,
        dropout: float,
        word_dropout: float,
        *,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.table = table
        self.dropout = Dropout(dropout, variational=variational)
        self.word_dropout = word_dropout

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeds tokens: the shape of ``tokens`` with E appended."""
        if self.training and self.word_dropout > 0.0:
            hidden = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            tokens = torch.where(hidden & (tokens > EOS), UNK, tokens)
        embedded: Tensor = self.dropout(self.table(tokens))
        return embedded
