"""The decoder: target tokens so far, to what is needed to choose the next.

Two ways through, one result. ``forward`` is teacher forcing: the whole target is known, so each
layer runs over all steps in one call and attention looks from all positions at once. ``step`` is
one step at a time: translation uses it, and training too where the attention's output is fed back
into the first layer ("input feeding"), which cannot be parallel over time.

Shapes: B batch, N rows, T target length, E embedding, H hidden, D memory size, F features
(E, or more in a lexical model).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.models.embedding import TokenEmbedding
from seq2seq.nn.attention import Memory
from seq2seq.nn.cells import State
from seq2seq.nn.dropout import Dropout, same_masks
from seq2seq.nn.heads import make_attention
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.nn.rows import chosen_rows
from seq2seq.recipe import model as recipe

Attend = Callable[[Tensor, Memory], tuple[Tensor, Tensor]]
"""From queries (N, H) and a memory to contexts (N, D) and weights (N, S)."""


@dataclass(frozen=True)
class DecoderState:
    """All that a decoder remembers between steps. A value: rows are chosen, never changed."""

    layers: tuple[State, ...]  # a state a layer, each part (N, H)
    fed: Tensor | None = None  # the last output (N, E), with input feeding
    summary: Tensor | None = None  # the encoder's final output (N, D), with state feeding

    def select(self, index_N: Tensor) -> DecoderState:
        """Reorders, repeats or drops rows: which old row each new row is."""
        return DecoderState(
            tuple(tuple(part[index_N] for part in state) for state in self.layers),
            None if self.fed is None else self.fed[index_N],
            None if self.summary is None else self.summary[index_N],
        )


class Decoder(nn.Module):
    """A stack of recurrent layers over the target, with an attention where the recipe has one.

    Its output, the readout, is of the embedding's size, so that the output layer can be the
    embedding table: readout = tanh(W [h; context; summary]) (Luong et al. 2015, equation 5).

    In a lexical model the features for the output layer are the readout and, behind it, what the
    source's words give: tanh(W f) + f, of f = tanh(the embeddings, weighed as the memory is)
    (Nguyen and Chiang 2018, equations 10 and 11); ``words`` is the size of those embeddings.
    """

    def __init__(
        self, options: recipe.Decoder, table: nn.Embedding, memory_size: int, words: int = 0
    ) -> None:
        super().__init__()
        variational = options.variational_dropout
        self.embedding = TokenEmbedding(
            table, options.dropout, options.word_dropout, variational=variational
        )
        self.feeding = options.feeding
        self.state_feeding = options.state_feeding
        self.attention = make_attention(options, memory_size)
        summary = memory_size if options.state_feeding else 0
        self.stack = RecurrentStack(
            options.cell,
            options.embedding + (options.embedding if self.feeding == "input" else 0) + summary,
            options.hidden,
            layers=options.layers,
            dropout=options.dropout,
            variational=variational,
            recurrent_dropout=options.recurrent_dropout,
            residual=options.residual,
            extra_size=memory_size if self.feeding == "upper" else 0,
        )
        context = memory_size if self.attention is not None else 0
        self.readout = nn.Linear(options.hidden + context + summary, options.embedding)
        self.lexical = nn.Linear(words, words, bias=False) if words else None
        self.dropout = Dropout(options.dropout, variational=variational)

    def start(self, layers: tuple[State, ...], summary: Tensor) -> DecoderState:
        """The state before the first token.

        ``layers`` is what the bridge carried over, ``summary`` the encoder's final output (N, D).
        """
        fed = None
        if self.feeding == "input":
            fed = summary.new_zeros(summary.shape[0], self.readout.out_features)
        return DecoderState(layers, fed, summary if self.state_feeding else None)

    def forward(
        self, target_BT: Tensor, state: DecoderState, memory: Memory, where: Tensor
    ) -> Tensor:
        """Teacher forcing over whole targets, each row beginning with bos.

        The state is from ``start``, the memory has keys. ``where`` are flat indices (M,) into (B x
        T) of the positions whose features are wanted. It gives these (M, F): nothing is computed
        for padding that only padding would use.
        """
        with same_masks(self.embedding, self.dropout), self.stack.for_sequences():
            if self.feeding == "input":
                features_BTF = self._forward_stepwise(target_BT, state, memory)
                return chosen_rows(features_BTF.flatten(0, 1), where)
            return self._forward_at_once(target_BT, state, memory, where)

    def _forward_at_once(
        self, target_BT: Tensor, state: DecoderState, memory: Memory, where: Tensor
    ) -> Tensor:
        row_M = where // target_BT.shape[1]
        x_BTE = self.embedding(target_BT)
        if state.summary is not None:
            spread = state.summary.unsqueeze(1).expand(-1, x_BTE.shape[1], -1)
            x_BTE = torch.cat([x_BTE, spread], dim=-1)
        found = self._layers(x_BTE, state, memory)
        outputs, context, words = (
            None if one is None else chosen_rows(one.flatten(0, 1), where) for one in found
        )
        summary = None if state.summary is None else state.summary[row_M]
        return self._features((outputs, context, summary), words, row_M)

    def _layers(
        self, x_BTE: Tensor, state: DecoderState, memory: Memory
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Top outputs (B, T, H), contexts (B, T, D) and words of all steps."""
        outputs, _ = self.stack.layer(0, x_BTE, state=state.layers[0])
        context, words = None, None
        if self.attention is not None and self.feeding == "upper":
            context, words = self._cut(self.attention(outputs, memory)[0])
        for layer in range(1, len(self.stack.layers)):
            outputs, _ = self.stack.layer(
                layer, outputs, state=state.layers[layer], extra_BTX=context
            )
        if self.attention is not None and context is None:
            context, words = self._cut(self.attention(outputs, memory)[0])
        return outputs, context, words

    def _cut(self, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """What an attention gives: the context, and behind it the words of a lexical model."""
        if self.lexical is None:
            return context, None
        words = self.lexical.in_features
        return context[..., :-words], context[..., -words:]

    def _forward_stepwise(self, target_BT: Tensor, state: DecoderState, memory: Memory) -> Tensor:
        found = []
        for t in range(target_BT.shape[1]):
            features, state, _ = self.step(target_BT[:, t], state, memory)
            found.append(features)
        return torch.stack(found, dim=1)

    def step(
        self, token_N: Tensor, state: DecoderState, memory: Memory, attend: Attend | None = None
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """One step: feeds the last token of each row.

        The memory has keys and N rows. ``attend`` attends from the N rows where it is not laid out
        so; None: from each row to its own row of it. It gives the features (N, F), the state after,
        and the attention's weights (N, S).
        """
        attend = self._attend if attend is None else attend
        inputs = [self.embedding(token_N)]
        if state.fed is not None:
            inputs.append(state.fed.to(inputs[0].dtype))
        if state.summary is not None:
            inputs.append(state.summary.to(inputs[0].dtype))
        x_NE = torch.cat(inputs, dim=-1) if len(inputs) > 1 else inputs[0]
        outputs, first = self.stack.step(0, x_NE, state.layers[0])
        layers = [first]
        context, words, weights = None, None, None
        if self.feeding == "upper":
            both, weights = attend(outputs, memory)
            context, words = self._cut(both)
        for layer in range(1, len(self.stack.layers)):
            outputs, after = self.stack.step(layer, outputs, state.layers[layer], context)
            layers.append(after)
        if self.attention is not None and context is None:
            both, weights = attend(outputs, memory)
            context, words = self._cut(both)
        features = self._features((outputs, context, state.summary), words)
        fed = features[:, : self.readout.out_features] if self.feeding == "input" else None
        return features, DecoderState(tuple(layers), fed, state.summary), weights

    def _attend(self, query_NH: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        assert self.attention is not None
        context, weights = self.attention(query_NH.unsqueeze(1), memory)
        return context.squeeze(1), weights.squeeze(1)

    def _features(
        self,
        reads: tuple[Tensor | None, ...],
        words: Tensor | None,
        row_M: Tensor | None = None,
    ) -> Tensor:
        """What the output layer gets of steps, in the rows of the batch told; None: their own."""
        parts = [part for part in reads if part is not None]
        joined = torch.cat([part.to(parts[0].dtype) for part in parts], dim=-1)
        readout: Tensor = self.dropout(torch.tanh(self.readout(joined)), row_M)
        if self.lexical is None or words is None:
            return readout
        seen = torch.tanh(words)
        said = torch.tanh(self.lexical(seen)) + seen
        return torch.cat([readout, said.to(readout.dtype)], dim=-1)
