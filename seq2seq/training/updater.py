"""What learns: the network, its optimizer, and the average of its weights."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seq2seq.errors import is_out_of_memory
from seq2seq.models.weights import load_tensors
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import Ema
from seq2seq.tasks import PaddedBatch, task_for
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.averaging import MovingAverage
from seq2seq.training.distributed.group import ProcessGroup
from seq2seq.training.monitoring.metrics import gpu_memory, memory
from seq2seq.training.optim.optimizers import (
    build_optimizer,
    optimizer_copies,
    optimizer_tensors,
    restore_optimizer,
)
from seq2seq.training.precision import resolve_precision
from seq2seq.training.run.checkpoint import Tensors


@dataclass(frozen=True)
class Gradient:
    """What is known of an update before the weights move.

    Attributes:
        loss: The smoothed loss, in nats a target token.
        nll: The sum of the negative log-likelihood, in nats.
        tokens: Target tokens.
        norm: The gradient's norm, before clipping.
        halved: How often a batch had to be halved to fit into memory.
        memory: The most bytes that a process has held.
        gpu_memory: The most bytes that tensors have taken on a GPU; None where there is none.
    """

    loss: float
    nll: float
    tokens: int
    norm: float
    halved: int = 0
    memory: int = 0
    gpu_memory: int | None = None

    @property
    def finite(self) -> bool:
        """Whether the weights may move by it."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class TooLargeError(Exception):
    """A single pair that does not fit into memory.

    Args:
        batch: Which of the update's batches it is in.
        row: Which row of that batch it is.
    """

    def __init__(self, batch: int, row: int) -> None:
        super().__init__()
        self.batch = batch
        self.row = row


class _NoMemory(Exception):  # noqa: N818 (it is handled, never told)
    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


@dataclass(frozen=True)
class Part:
    """Some rows of a batch, and where they are in it."""

    pairs: PaddedBatch
    batch: int
    row: int

    @property
    def tokens(self) -> int:
        """Target tokens."""
        return self.pairs.targets

    def halves(self) -> list[Part]:
        """Both halves; a single pair has none."""
        rows = len(self.pairs)
        if rows == 1:
            raise TooLargeError(self.batch, self.row)
        first, second = self.pairs.halves()
        return [
            Part(first, self.batch, self.row),
            Part(second, self.batch, self.row + rows // 2),
        ]


class Learner:
    """The tensors of a training.

    Args:
        recipe: The recipe; its seed decides the first weights.
        tokenizers: They give the vocabulary sizes.
        group: The processes that learn together; None: this one alone.
    """

    def __init__(
        self, recipe: Recipe, tokenizers: Tokenizers, group: ProcessGroup | None = None
    ) -> None:
        self.options = recipe.training
        self.group = group or ProcessGroup()
        self.device = self.group.device
        self.precision = resolve_precision(self.options.precision, self.device)
        torch.manual_seed(recipe.seed)
        self.task = task_for(recipe)
        self.model = self.task.build_model(tokenizers).to(self.device)
        self.judged = self.model  # the weights that validation sees
        self.average: MovingAverage | None = None
        if isinstance(self.options.average, Ema):
            self.judged = copy.deepcopy(self.model)
            self.average = MovingAverage(self.model, self.judged, self.options.average.decay)
        unused = self.task.leaves_weights_unused
        self.losses = self.group.data_parallel(self.task.loss(self.model), unused_parameters=unused)
        self._waited_for = False  # whether the others are in the midst of a pass backward with us
        self.names = [name for name, _ in self.model.named_parameters()]
        self.optimizer = build_optimizer(self.options, self.model)

    def gradient(self, pairs: list[PaddedBatch], seed: int) -> Gradient:
        """Leaves the clipped gradient of the mean loss over all target tokens of an update.

        A batch that does not fit into memory is halved, and the update begun again: being a sum,
        the gradient is the same.

        Args:
            pairs: This process's batches.
            seed: Decides dropout.

        Returns:
            The figures, of all processes together.

        Raises:
            TooLargeError: If a single pair does not fit into memory.
        """
        tokens = int(self.group.all_gather([sum(one.targets for one in pairs)]).sum())
        # The processes' gradients are averaged, not added up.
        parts, *losses = self._halving(pairs, seed, tokens / self.group.world_size)
        limit = self.options.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        taken = gpu_memory(self.device)
        found = [*losses, len(parts) - len(pairs), float(norm), memory(), taken or 0]
        sums = (everyone := self.group.all_gather(found)).sum(0).tolist()
        most = everyone.max(0).tolist()
        return Gradient(
            loss=sums[0] / tokens,
            nll=sums[1],
            tokens=tokens,
            norm=most[3],
            halved=int(sums[2]),
            memory=int(most[4]),
            gpu_memory=None if taken is None else int(most[5]),
        )

    def rehearse(self, pairs: PaddedBatch) -> int:
        """Finds out whether a batch fits into memory, and changes nothing.

        Args:
            pairs: The batch.

        Returns:
            How often it had to be halved.

        Raises:
            TooLargeError: If a single pair does not fit.
        """
        state = torch.random.get_rng_state()
        reserved: list[Tensor] = []
        try:
            if not self.optimizer.state:  # it takes its memory at the first update
                copies = optimizer_copies(self.optimizer)
                weights = self.model.parameters()
                reserved = [torch.ones_like(one) for one in weights for _ in range(copies)]
            with self.group.no_sync(self.losses):
                return len(self._halving([pairs], 0, pairs.targets)[0]) - 1
        finally:
            reserved.clear()
            torch.random.set_rng_state(state)
            self._give_back()

    def _halving(
        self, pairs: list[PaddedBatch], seed: int, tokens: float
    ) -> tuple[list[Part], float, float]:
        """Adds up gradients, of ever smaller parts until they fit; the parts, and both losses."""
        parts = [Part(one, number, 0) for number, one in enumerate(pairs)]
        while True:
            try:
                return parts, *self._accumulate(parts, seed, tokens)
            except _NoMemory as error:
                failed = error.index
            self._give_back()  # not in the except block, whose traceback holds tensors
            parts[failed : failed + 1] = parts[failed].halves()

    def _give_back(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _accumulate(self, parts: list[Part], seed: int, tokens: float) -> tuple[float, float]:
        """Adds up the gradients of all parts, divided by a count; the sums of both losses."""
        torch.manual_seed(seed)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(2, device=self.device)
        self._waited_for = False
        for index, part in enumerate(parts):
            last = index == len(parts) - 1  # with it the processes add up what all have gathered
            try:
                with nullcontext() if last else self.group.no_sync(self.losses):
                    total += self._backward(part.pairs, tokens)
            except Exception as error:
                if is_out_of_memory(error) and not self._waited_for:
                    raise _NoMemory(index) from error
                raise
        return float(total[0]), float(total[1])

    def _backward(self, pairs: PaddedBatch, tokens: float) -> Tensor:
        batch = self.task.tensors(pairs, self.device)
        with self._autocast():
            loss, nll = self.losses(batch)
        self._waited_for = self.group.will_sync(self.losses)
        (loss / tokens).backward()
        return torch.stack([loss.detach(), nll])

    def _autocast(self) -> AbstractContextManager[None]:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled)

    def step(self, rate: float, update: int) -> None:
        """Moves the weights along the gradient, and the average after them.

        Args:
            rate: The learning rate.
            update: Its number, from 1.
        """
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update(update)

    def groups(self) -> dict[str, Tensors]:
        """All tensors, by the file of a checkpoint that holds them.

        Returns:
            "model", "optimizer", and "average" where there is one.
        """
        groups: dict[str, Tensors] = {
            "model": dict(self.model.named_parameters()),
            "optimizer": optimizer_tensors(self.optimizer, self.names),
        }
        if self.average is not None:
            groups["average"] = dict(self.judged.named_parameters())
        return groups

    def restore(self, groups: dict[str, Tensors], origin: Path) -> None:
        """Puts back what ``groups`` gave.

        Args:
            groups: The tensors.
            origin: Where they are from, for messages.

        Raises:
            ModelError: If they do not fit the recipe.
        """
        load_tensors(self.model, groups["model"], origin)
        if self.average is not None:
            load_tensors(self.judged, groups["average"], origin)
        restore_optimizer(self.optimizer, self.names, groups["optimizer"])

    def with_weights(self, weights: Tensors, origin: Path) -> nn.Module:
        """A copy of the model with other weights.

        Args:
            weights: By parameter name.
            origin: Where they are from, for messages.

        Returns:
            The copy.
        """
        model = copy.deepcopy(self.model)
        load_tensors(model, weights, origin)
        return model
