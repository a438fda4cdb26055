"""One update of the weights, top to bottom: from its batches to the next weights.

The calls of an update, in their order (``Trainer._update`` makes the first):

1. ``Updater.update(batches, ...)`` makes a ``BatchObjective``: the loss of these batches, divided
   by the target tokens of all processes.
2. ``UpdateRule.evaluate`` (``optim``) asks it for its ``gradient``, once for SGD and Adam.
3. ``gradient`` goes through the batches. For each, ``_backward`` runs the network and its loss
   (``models.loss.Losses``: teacher forcing, then summed cross-entropy) and the backward pass. One
   that does not fit into memory is halved, and the evaluation begins again.
4. The last backward pass sums the gradients over all processes (DistributedDataParallel).
5. ``gradient`` clips them by their norm, and gathers losses and counts from all processes. If the
   loss or the norm is not finite, the update ends here and nothing has changed.
6. ``UpdateRule.apply`` moves the weights; then the moving average, if there is one, follows them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.data.preparing.statistics import peak_memory
from seq2seq.errors import ModelError, is_out_of_memory
from seq2seq.models.weights import load_tensors, tensors_of
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import Ema
from seq2seq.tasks import PaddedBatch, Scheduled, task_for
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.curvature import linearized
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.monitoring.metrics import Movement, gpu_memory
from seq2seq.training.optim import LossAndGradient, NotFiniteError, UpdateRule, build_rule
from seq2seq.training.precision import (
    DROPOUT,
    precision_of,
    stream_seed,
)
from seq2seq.training.run.checkpoint import Tensors


@dataclass(frozen=True)
class Update:
    """What an update has found and done."""

    found: LossAndGradient  # not finite where the update was skipped
    movement: dict[str, float] = field(default_factory=dict)  # where asked for; see ``Movement``


class Updater:
    """The tensors of a training, and how they change.

    The recipe's seed decides the first weights; without a group this process trains alone.
    """

    def __init__(
        self, recipe: Recipe, tokenizers: Tokenizers, group: ProcessGroup | None = None
    ) -> None:
        self.options, self.seed = recipe.training, recipe.seed
        self.group = group or ProcessGroup()
        self.device = self.group.device
        self.precision = precision_of(recipe, self.device)
        torch.manual_seed(recipe.seed)
        self.task = task_for(recipe)
        self.model = self.task.build_model(tokenizers).to(self.device)
        self.evaluated = self.model  # the weights that validation sees
        self.average: MovingAverage | None = None
        if isinstance(self.options.average, Ema):
            self.evaluated = copy.deepcopy(self.model)
            self.average = MovingAverage(self.model, self.evaluated, self.options.average.decay)
        self.own_loss = self.task.loss(self.model)
        self.shared_loss = self.group.data_parallel(
            self.own_loss, unused_parameters=self.task.leaves_weights_unused
        )
        self.rule: UpdateRule = build_rule(self.options, self.model)

    def update(
        self, batches: list[PaddedBatch], number: int, rate: float, *, measured: bool = False
    ) -> Update:
        """Moves the weights, and the average after them; not where numbers are not finite.

        The update's number, from 1, and the recipe's seed decide dropout. What is found is the same
        in all processes. Raises ``TooLargeError`` if a single pair does not fit into memory, and
        ``Interrupted`` if a signal came to a process alone; then nothing has changed.
        """
        if isinstance(self.own_loss, Scheduled):
            self.own_loss.begin(number)
        objective = self.objective(
            batches, stream_seed(self.seed, DROPOUT, number - 1, self.group.rank)
        )
        try:
            with self.group.interruptible_if_alone():
                self.rule.evaluate(objective, rate)
        except NotFiniteError as error:
            return Update(error.evaluation)
        movement = Movement(self.model) if measured else None
        self.rule.apply(rate)
        if self.average is not None:
            self.average.update(number)
        assert objective.first is not None, "an update rule must ask for a gradient"
        return Update(objective.first, movement.ratios() if movement else {})

    def objective(self, batches: list[PaddedBatch], seed: int) -> BatchObjective:
        """The loss of an update's batches, divided by the target tokens of all processes."""
        tokens = self.group.all_gather([sum(one.targets for one in batches)]).sum()
        return BatchObjective(self, batches, seed, int(tokens))

    def rehearse(self, batch: PaddedBatch) -> int:
        """Finds out how often a batch must be halved to fit into memory, and changes nothing.

        Raises ``TooLargeError`` if a single pair does not fit.
        """
        state = torch.random.get_rng_state()
        reserved: list[Tensor] = []
        try:
            copies = self.rule.pending_copies  # the first update will need memory for them
            reserved = [torch.ones_like(p) for p in self.model.parameters() for _ in range(copies)]
            with self.group.no_sync(self.shared_loss):
                return BatchObjective(self, [batch], 0, batch.targets).rehearse()
        finally:
            reserved.clear()
            torch.random.set_rng_state(state)
            self.free_gradients()

    def free_gradients(self) -> None:
        """Drops gradients, and gives back the memory that they took."""
        self.model.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def tensors(self) -> dict[str, Tensors]:
        """All tensors, by the file of a checkpoint that holds them."""
        groups = {"model": tensors_of(self.model), "optimizer": self.rule.state()}
        if self.average is not None:
            groups["average"] = tensors_of(self.evaluated)
        return groups

    def restore(self, groups: dict[str, Tensors], origin: Path) -> None:
        """Puts back what ``tensors`` gave; ``origin`` is where they are from, for messages.

        Raises ``ModelError`` if they do not fit the recipe.
        """
        wanted = {"model", "optimizer", *(() if self.average is None else ("average",))}
        if missing := wanted - groups.keys():
            names = ", ".join(f"{name}.safetensors" for name in sorted(missing))
            raise ModelError(f"{origin}: the checkpoint has no {names}: it is of another recipe")
        load_tensors(self.model, groups["model"], origin)
        if self.average is not None:
            load_tensors(self.evaluated, groups["average"], origin)
        try:
            self.rule.load_state(groups["optimizer"])
        except (LookupError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{origin}: the optimizer's tensors do not fit the recipe: {reason}"
            ) from error

    def with_weights(self, weights: Tensors, origin: Path) -> nn.Module:
        """A copy of the model with other weights."""
        model = copy.deepcopy(self.model)
        load_tensors(model, weights, origin)
        return model


class BatchObjective:
    """The loss of an update's batches as a function of the weights; see ``Objective``.

    A batch that does not fit into memory is halved, and the evaluation begun again: being a sum,
    the gradient is the same, but for what dropout draws. Later evaluations begin with the halves.
    ``tokens`` counts the targets of all processes, ``first`` is what the first call of ``gradient``
    found.
    """

    def __init__(
        self, updater: Updater, batches: list[PaddedBatch], seed: int, tokens: int
    ) -> None:
        self.parameters = [one for one in updater.model.parameters() if one.requires_grad]
        self.first: LossAndGradient | None = None
        self._updater, self._group, self._device = updater, updater.group, updater.device
        self._parts = [Microbatch(batch, number, 0) for number, batch in enumerate(batches)]
        self._batches, self._seed, self._tokens = len(batches), seed, tokens
        self._others_wait = False  # in the midst of a backward pass with this process

    def loss(self) -> float:
        """See ``Objective``."""
        sums, _ = self._sums(self._forward)
        return float(self._group.all_gather([sums]).sum()) / self._tokens

    def gradient(self, *, clipped: bool = True) -> LossAndGradient:
        """See ``Objective``."""
        self._updater.model.zero_grad(set_to_none=True)
        loss, nll = self._sums(self._backward)
        limit = (self._updater.options.clip_norm or math.inf) if clipped else math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        memory, gpu = peak_memory(children=False), gpu_memory(self._device)
        halved = len(self._parts) - self._batches
        everyone = self._group.all_gather([loss, nll, halved, float(norm), memory, gpu or 0])
        sums, most = everyone.sum(0).tolist(), everyone.max(0).tolist()
        found = LossAndGradient(
            loss=sums[0] / self._tokens,
            nll=sums[1],
            tokens=self._tokens,
            norm=most[3],
            halved=int(sums[2]),
            memory=int(most[4]),
            gpu_memory=None if gpu is None else int(most[5]),
        )
        if not found.finite:
            raise NotFiniteError(found)
        self.first = self.first or found
        return found

    def gauss_newton(
        self, structural: float = 0.0, batches: int | None = None
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """See ``Objective``. Of a batch that was halved to fit, all parts are held at once."""
        updater = self._updater
        twin = updater.task.loss(updater.model, twice_differentiable=True)
        torch.manual_seed(self._seed)
        updater.model.train()
        used = [one.batch for one in self._parts if batches is None or one.number < batches]
        tokens = int(self._group.all_gather([sum(one.targets for one in used)]).sum())
        parts = [
            linearized(twin, self.parameters, one.to(self._device), structural) for one in used
        ]

        def product(direction: Sequence[Tensor]) -> list[Tensor]:
            total = [torch.zeros_like(one) for one in self.parameters]
            for part in parts:
                part.add_product(direction, total)
            torch._foreach_div_(total, max(1, tokens))
            self._group.add_up(total)
            return total

        return product

    def products(self) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        loss_module: Any = self._updater.own_loss
        found: list[tuple[Tensor, Tensor]] = []

        @torch.no_grad()
        def products_of(batch: PaddedBatch) -> Tensor:
            with self._autocast():
                gram, cross, loss = loss_module.products(batch.to(self._device))
            found.append((gram, cross))
            return torch.stack([loss, loss])

        # An evaluation that began again, since a batch was halved, has summed its first ones twice.
        loss, nll = self._sums(products_of)
        found = found[-len(self._parts) :]
        sums = self._group.all_gather([loss, nll]).sum(0).tolist()
        evaluated = LossAndGradient(
            loss=sums[0] / self._tokens,
            nll=sums[1],
            tokens=self._tokens,
            norm=0.0,
            halved=len(self._parts) - self._batches,
            memory=peak_memory(children=False),
        )
        if not evaluated.finite:
            raise NotFiniteError(evaluated)
        self.first = self.first or evaluated
        gram, cross = (torch.stack(parts).sum(0) for parts in zip(*found, strict=True))
        self._group.add_up([gram, cross])
        return gram, cross

    @contextmanager
    def trial(self) -> Iterator[None]:
        """See ``Objective``."""
        before = [parameter.detach().clone() for parameter in self.parameters]
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, before, strict=True):
                    parameter.copy_(value)

    def rehearse(self) -> int:
        """Runs forward and backward in this process alone; returns how often a batch was halved."""
        self._updater.model.zero_grad(set_to_none=True)
        self._sums(self._backward)
        return len(self._parts) - self._batches

    def _sums(self, work: Callable[[PaddedBatch], Tensor]) -> tuple[float, float]:
        """Sums both losses over the parts; a part that does not fit into memory is halved first."""
        while True:
            torch.manual_seed(self._seed)
            self._updater.model.train()
            self._others_wait = False
            total = torch.zeros(2, device=self._device)
            for index, part in enumerate(self._parts):
                last = index == len(self._parts) - 1  # with it the processes add up their gradients
                try:
                    with nullcontext() if last else self._group.no_sync(self._updater.shared_loss):
                        total += work(part.batch)
                except Exception as error:
                    if self._others_wait or not is_out_of_memory(error):
                        raise
                    failed = index
                    break
            else:
                loss, nll = total.tolist()
                return loss, nll
            self._updater.free_gradients()  # not in the except block: its traceback holds tensors
            self._parts[failed : failed + 1] = self._parts[failed].halves()

    def _forward(self, batch: PaddedBatch) -> Tensor:
        with torch.no_grad(), self._autocast():
            losses = self._updater.own_loss(batch.to(self._device))
        return torch.stack(losses)

    def _backward(self, batch: PaddedBatch) -> Tensor:
        """Runs forward and backward, and adds to the gradients of the mean loss."""
        batch = batch.to(self._device)
        with self._autocast():
            loss, nll = self._updater.shared_loss(batch)
        self._others_wait = self._group.will_sync(self._updater.shared_loss)
        # The processes' gradients are averaged, not added up.
        (loss / (self._tokens / self._group.world_size)).backward()
        return torch.stack([loss.detach(), nll])

    def _autocast(self) -> AbstractContextManager[None]:
        precision = self._updater.precision
        return torch.autocast(self._device.type, precision, enabled=precision != torch.float32)


class MovingAverage:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992).

    Early on the average forgets faster than ``decay``, so that it does not lag behind the first,
    quick progress. Buffers of integers are copied. ``copy``, of the model's make, holds it.
    """

    def __init__(self, model: nn.Module, copy: nn.Module, decay: float) -> None:
        own, others = tensors_of(copy), tensors_of(model)
        self._pairs = [(own[name], others[name]) for name in own]
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the weights that update ``step``, from 1, has made."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, current in self._pairs:
            if average.is_floating_point():
                average.lerp_(current, 1.0 - decay)
            else:
                average.copy_(current)


class TooLargeError(Exception):
    """A single pair, a row of one of the update's batches, that does not fit into memory."""

    def __init__(self, batch: int, row: int) -> None:
        super().__init__()
        self.batch = batch
        self.row = row


@dataclass(frozen=True)
class Microbatch:
    """Some rows of a batch, and where they are in it."""

    batch: PaddedBatch
    number: int
    row: int

    def halves(self) -> list[Microbatch]:
        """Both halves; a single pair has none."""
        rows = len(self.batch)
        if rows == 1:
            raise TooLargeError(self.number, self.row)
        first, second = self.batch.halves()
        return [
            Microbatch(first, self.number, self.row),
            Microbatch(second, self.number, self.row + rows // 2),
        ]
