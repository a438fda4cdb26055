"""Stacks of cells: layers, directions, dropout and residual connections, over padded batches.

Shapes: B batch, T time, E input size, H a layer's whole output size, D = H / directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from seq2seq.errors import ModelError
from seq2seq.nn.cells import (
    Cell,
    State,
    check_sequence,
    check_state,
    errors_naming,
    make_cell,
)
from seq2seq.nn.dropout import Dropout, same_masks
from seq2seq.nn.recording import standing_in
from seq2seq.nn.rows import reverse_within
from seq2seq.recipe import model as recipe
from seq2seq.recipe.registry import CELLS


class RecurrentStack(nn.Module):
    """Layers of cells, one above the other.

    Two directions run as two separate sequences, the second over the rows turned around: on a CPU
    that keeps both on the fused path, where packing would leave it.

    Args:
        options: The recipe's table for the cell; its kind names it.
        input_size: E of the first layer.
        hidden_size: H of every layer, both directions together.
        layers: How many.
        dropout: Between layers, in training.
        variational: Whether that is the same at all steps (Gal and Ghahramani 2016).
        recurrent_dropout: The share of the weights from state to state that is dropped in training,
            by ``for_sequences``.
        bidirectional: Whether each layer reads both ways.
        residual: Adds a layer's input to its output where sizes agree.
        extra_size: Size of a second input that layers above the first take (see ``extra``).
    """

    def __init__(
        self,
        options: recipe.Cell,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        bidirectional: bool = False,
        residual: bool = False,
        extra_size: int = 0,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        sizes = [input_size] + [hidden_size + extra_size] * (layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                make_cell(options, size, hidden_size // directions) for _ in range(directions)
            )
            for size in sizes
        )
        self.hidden_size = hidden_size
        self.residual = residual
        self.dropouts = nn.ModuleList(Dropout(dropout, variational=variational) for _ in sizes)
        self.recurrent_dropout = Dropout(recurrent_dropout)
        if recurrent_dropout:
            for cell in self.cells():
                _check_recurrent(cell)
        self._checked: set[int] = set()  # layers whose step has given a right state

    @property
    def parts(self) -> int:
        """How many tensors a layer's state has."""
        return self._cell(0).parts

    def _cell(self, layer: int, direction: int = 0) -> Cell:
        cells = self.layers[layer]
        assert isinstance(cells, nn.ModuleList)
        found = cells[direction]
        assert isinstance(found, Cell)
        return found

    def first(self) -> list[Cell]:
        """The cells that read the stack's input, one a direction."""
        return [self._cell(0, direction) for direction in range(len(self.layers[0]))]  # type: ignore[arg-type]

    def cells(self) -> list[Cell]:
        """All cells, layer by layer."""
        return [cell for layer in self.layers for cell in layer.children()]  # type: ignore[misc]

    @contextmanager
    def for_sequences(self) -> Iterator[None]:
        """A context for one batch of sequences, in which what is dropped once a sequence stays so.

        That is the masks of variational dropout, and the weights from state to state (Merity et al.
        2018), which fused layers know nothing of: a cell has other ones for a while.
        """
        rate = self.recurrent_dropout.rate if self.training else 0.0
        with same_masks(self), ExitStack() as undo:
            for cell in self.cells() if rate else ():
                weights = _recurrent_weights(cell).items()
                dropped = {name: self.recurrent_dropout(weight) for name, weight in weights}
                undo.enter_context(standing_in(cell, **dropped))
            yield

    def forward(
        self,
        x_BTE: Tensor,
        lengths_B: Tensor | None = None,
        initial: tuple[State, ...] | None = None,
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Runs all layers over a right-padded batch.

        Args:
            x_BTE: (B, T, E).
            lengths_B: Real steps of each row, (B,); None: all, in one direction only.
            initial: A state a layer, each part (B, H); None: zeros.

        Returns:
            Outputs (B, T, H) of the top layer and every layer's state after each row's last real
            step, both directions joined.
        """
        finals = []
        for layer in range(len(self.layers)):
            state = None if initial is None else initial[layer]
            x_BTE, final = self.layer(layer, x_BTE, lengths_B, state)
            finals.append(final)
        return x_BTE, tuple(finals)

    def layer(
        self,
        layer: int,
        x_BTE: Tensor,
        lengths_B: Tensor | None = None,
        state: State | None = None,
        extra_BTX: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Runs one layer, from 0; dropout and the residual connection are the layer's.

        ``x_BTE`` is what the layer below (or the embedding) gives, ``extra_BTX`` a second input,
        joined to it. Lengths, state and what is returned are as for ``forward``.
        """
        below = x_BTE if layer == 0 else self.dropouts[layer](x_BTE)
        inputs = below if extra_BTX is None else torch.cat([below, extra_BTX], dim=-1)
        runs = []
        for direction in range(len(self.layers[layer])):  # type: ignore[arg-type]
            cell = self._cell(layer, direction)
            with errors_naming(type(cell)):
                before = self._before(cell, inputs, state, direction)
                if direction == 0:
                    found, after = cell.sequence(inputs, before, lengths_B)
                else:
                    assert lengths_B is not None, "reading backwards needs lengths"
                    turned = reverse_within(inputs, lengths_B)
                    found, after = cell.sequence(turned, before, lengths_B)
                    found = reverse_within(found, lengths_B)
                check_sequence(cell, found, after, inputs)
                runs.append((found, after))
        outputs = torch.cat([run[0] for run in runs], dim=-1) if len(runs) > 1 else runs[0][0]
        final = tuple(torch.cat(parts, dim=-1) for parts in zip(*(r[1] for r in runs), strict=True))
        return self._add(below, outputs, layer), final

    def step(
        self, layer: int, x_NE: Tensor, state: State, extra_NX: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One time step of one layer, in one direction: the slow twin of ``layer``.

        It gives the output (N, H) and the state after.
        """
        below = x_NE if layer == 0 else self.dropouts[layer](x_NE)
        inputs = below if extra_NX is None else torch.cat([below, extra_NX], dim=-1)
        cell = self._cell(layer)
        with errors_naming(type(cell)):
            after = cell.step(cell.project(inputs), state)
            if layer not in self._checked:  # once: a step is short
                check_state(cell, after, inputs.shape[0])
                self._checked.add(layer)
        return self._add(below, after[0], layer), after

    def _add(self, below: Tensor, outputs: Tensor, layer: int) -> Tensor:
        # The first layer has no residual: its input is an embedding, not a state.
        return below + outputs if self.residual and layer > 0 else outputs

    def _before(self, cell: Cell, like: Tensor, state: State | None, direction: int) -> State:
        if state is None:
            return cell.initial_state(like.shape[0], like)
        size = cell.hidden_size
        return tuple(part[:, direction * size : (direction + 1) * size] for part in state)


def _recurrent_weights(cell: Cell) -> dict[str, nn.Parameter]:
    """The learned weights from state to state, by their names."""
    own = cell.named_parameters(recurse=False)
    return {name: weight for name, weight in own if name.startswith("weight_hh")}


def _check_recurrent(cell: Cell) -> None:
    if not _recurrent_weights(cell):
        raise ModelError(
            f"{CELLS.described(type(cell))} learns no weights from state to state (weight_hh) that "
            "could be dropped: set its side's recurrent_dropout to 0"
        )
