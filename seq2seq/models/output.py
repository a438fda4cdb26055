"""The output layer: from what the decoder has read to a logit for each target token.

Shapes: M target tokens, E embedding, W size of source words, F = E or E + W, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.recipe import model as recipe
from seq2seq.recipe.model import SHORTEST


class Output(nn.Linear):
    """A linear layer, whose weights may be the embedding table.

    Features are readouts (E), followed in a lexical model by what its words give (W), which have a
    matrix of their own (Nguyen and Chiang 2018, section 4). With a radius each part of a token's
    weights, and of the features, has this length whatever it was, so that no token is said more
    often only because its vector has grown (section 3).
    """

    def __init__(self, options: recipe.Model, target_size: int) -> None:
        super().__init__(options.decoder.embedding, target_size)
        self.radius = options.output.radius if options.output.kind == "fixnorm" else None
        self.words: nn.Linear | None = None
        if options.lexical:
            self.words = nn.Linear(options.encoder.embedding, target_size, bias=False)

    def forward(self, features_MF: Tensor) -> Tensor:
        """Logits (M, V)."""
        return functional.linear(self.scaled(features_MF), self.matrix(), self.bias)

    def scaled(self, features_MF: Tensor) -> Tensor:
        """The features as they meet the matrix."""
        if self.radius is None:
            return features_MF
        sizes = [self.in_features, features_MF.shape[-1] - self.in_features]
        parts = torch.split(features_MF, sizes, dim=-1)
        return torch.cat([_of_length(part, self.radius) for part in parts], dim=-1)

    def matrix(self) -> Tensor:
        """The weights (V, F)."""
        parts = [self.weight] if self.words is None else [self.weight, self.words.weight]
        if self.radius is not None:
            parts = [_of_length(part, self.radius) for part in parts]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _of_length(x: Tensor, radius: float) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # bfloat16 is coarse for a sum
    return (radius * functional.normalize(wide, dim=-1, eps=SHORTEST)).to(x.dtype)
