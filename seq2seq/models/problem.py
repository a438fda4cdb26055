"""The model of a problem: a recurrent network that reads numbers, and a linear output layer.

Shapes: B sequences, T steps, E inputs, H hidden, C steps that count, M = B x C, F features, K
outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.data.problems.batch import ProblemBatch
from seq2seq.models.weights import initialize
from seq2seq.nn.cells import State
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.recipe import model as recipe


class ProblemModel(nn.Module):
    """The recipe's encoder over E inputs, and K outputs of each step's state.

    Args:
        options: The recipe's tables on the network: its encoder, and how first weights are drawn.
        inputs: E.
        outputs: K.
        reads_inputs: Whether the output layer reads a step's input beside the state.
        window: Gradients go back to the beginning of the window of so many steps that a step is in
            (truncated backpropagation through time, Williams and Peng 1990). None: all the way.
    """

    def __init__(
        self,
        options: recipe.Model,
        inputs: int,
        outputs: int,
        *,
        reads_inputs: bool = False,
        window: int | None = None,
    ) -> None:
        super().__init__()
        encoder = options.encoder
        self.both = encoder.directions == "both"
        self.reads_inputs, self.window = reads_inputs, window
        self.encoder = RecurrentStack(
            encoder.cell,
            inputs,
            encoder.hidden,
            layers=encoder.layers,
            dropout=encoder.dropout,
            variational=encoder.variational_dropout,
            recurrent_dropout=encoder.recurrent_dropout,
            bidirectional=self.both,
            residual=encoder.residual,
        )
        self.output = nn.Linear(encoder.hidden + (inputs if reads_inputs else 0), outputs)
        initialize(self, options.recurrent_init)
        if options.output_std:
            nn.init.normal_(self.output.weight, std=options.output_std)

    def forward(self, batch: ProblemBatch) -> Tensor:
        """Outputs (M, K) at the steps that count."""
        outputs: Tensor = self.output(self.features(batch))
        return outputs

    def features(self, batch: ProblemBatch) -> Tensor:
        """What the output layer reads (M, F) at the steps that count."""
        begin = batch.width - batch.targets_BC.shape[1]
        with self.encoder.for_sequences():
            found = self._states(batch.inputs_BTE)[:, begin:]
        if self.reads_inputs:
            found = torch.cat([found, batch.inputs_BTE[:, begin:]], dim=-1)
        return found.flatten(0, 1)

    def _states(self, inputs_BTE: Tensor) -> Tensor:
        """The top layer's states (B, T, H)."""
        if self.window is None:
            rows, steps, _ = inputs_BTE.shape
            lengths_B = inputs_BTE.new_full((rows,), steps, dtype=torch.long) if self.both else None
            states_BTH: Tensor = self.encoder(inputs_BTE, lengths_B)[0]
            return states_BTH
        found: list[Tensor] = []
        before: tuple[State, ...] | None = None
        for window_BTE in torch.split(inputs_BTE, self.window, dim=1):
            states_BTH, after = self.encoder(window_BTE, None, before)
            found.append(states_BTH)
            before = tuple(tuple(part.detach() for part in layer) for layer in after)
        return torch.cat(found, dim=1)


class ProblemLosses(nn.Module):
    """A problem's model and its loss as one module: from sequences to both sums.

    The loss is the mean over outputs of the squared error, or the cross-entropy of a class.
    """

    def __init__(self, model: ProblemModel, *, numbers: bool) -> None:
        super().__init__()
        self.model = model
        self.numbers = numbers

    def forward(self, batch: ProblemBatch) -> tuple[Tensor, Tensor]:
        """The sums over a batch's targets: to be minimized, and to be shown."""
        return self.sums(self.outputs(batch), batch)

    def outputs(self, batch: ProblemBatch) -> Tensor:
        """The outputs (M, K): numbers, or logits."""
        outputs: Tensor = self.model(batch)
        return outputs

    def sums(self, outputs: Tensor, batch: ProblemBatch) -> tuple[Tensor, Tensor]:
        """The two sums from the outputs (M, K); they are equal."""
        if self.numbers:
            loss = (outputs - batch.labels()).square().mean(-1).sum()
        else:
            loss = functional.cross_entropy(outputs, batch.labels(), reduction="sum")
        return loss, loss.detach()

    def products(self, batch: ProblemBatch) -> tuple[Tensor, Tensor, Tensor]:
        """What decides a linear regression of numbers, in float64; and the loss's sum.

        The sums of products of what the output layer reads, with a 1 after it, with itself
        (F + 1, F + 1) and with the targets (F + 1, K).
        """
        read_MF = self.model.features(batch)
        loss, _ = self.sums(self.model.output(read_MF), batch)
        read_MF, labels_MK = functional.pad(read_MF.double(), (0, 1), value=1.0), batch.labels()
        return read_MF.t() @ read_MF, read_MF.t() @ labels_MK.double(), loss.double()
