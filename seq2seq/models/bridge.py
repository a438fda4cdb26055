"""The bridge: the encoder's final state becomes the decoder's first.

In a model without attention all that is known of the source goes through here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.errors import ModelError
from seq2seq.nn.cells import State
from seq2seq.nn.recurrence import RecurrentStack


class Bridge(nn.Module):
    """Maps a state a layer of the encoder to a state a layer of the decoder.

    With as many layers on both sides, layer i initialises layer i; else every decoder layer starts
    from the encoder's top one. A decoder whose state has more parts than the encoder's (GRU to
    LSTM) takes the missing ones from the encoder's output part.

    The kind is "copy" (sizes must agree, else it is a ``ModelError``), "linear" (a linear map and
    tanh for each layer and part, as in Cho et al. 2014), "auto" (copy where it can be, else linear)
    or "zero" (the decoder starts blind: for ablation).
    """

    def __init__(self, kind: str, encoder: RecurrentStack, decoder: RecurrentStack) -> None:
        super().__init__()
        fits = encoder.hidden_size == decoder.hidden_size and encoder.parts >= decoder.parts
        if kind == "copy" and not fits:
            raise ModelError(
                f"model.bridge = 'copy' needs states of one size: the encoder's has "
                f"{encoder.parts} x {encoder.hidden_size}, the decoder's {decoder.parts} x "
                f"{decoder.hidden_size}; set model.bridge to 'auto' or 'linear'"
            )
        self.kind = ("copy" if fits else "linear") if kind == "auto" else kind
        self.layers = len(decoder.layers)
        self.parts = decoder.parts
        self.size = decoder.hidden_size
        if self.kind == "linear":
            self.maps = nn.ModuleList(
                nn.ModuleList(nn.Linear(encoder.hidden_size, self.size) for _ in range(self.parts))
                for _ in range(self.layers)
            )

    def forward(self, final: tuple[State, ...]) -> tuple[State, ...]:
        """Carries the states over: the encoder's, each part (B, D), to the decoder's (B, H)."""
        return tuple(self._layer(layer, final) for layer in range(self.layers))

    def _layer(self, layer: int, final: tuple[State, ...]) -> State:
        below = final[layer] if len(final) == self.layers else final[-1]
        sources = [below[part] if part < len(below) else below[0] for part in range(self.parts)]
        if self.kind == "zero":
            return tuple(part.new_zeros(part.shape[0], self.size) for part in sources)
        if self.kind == "copy":
            return tuple(sources)
        return tuple(self._mapped(layer, part, source) for part, source in enumerate(sources))

    def _mapped(self, layer: int, part: int, source: Tensor) -> Tensor:
        maps = self.maps[layer]
        assert isinstance(maps, nn.ModuleList)
        return torch.tanh(maps[part](source))
