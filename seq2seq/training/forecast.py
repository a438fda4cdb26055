"""What a training is going to do, told before it begins, and a warning where that cannot work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seq2seq.data.dataset import PreparedData
from seq2seq.data.problems.dataset import VAL_SIZE
from seq2seq.errors import number_of
from seq2seq.metrics import Choice
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import Ema, HessianFree, LastK, MinimumRisk, Plateau, Ridge, Sgd
from seq2seq.tasks import Words, task_for
from seq2seq.tasks.translation import BLEU, fitting_tokenizer
from seq2seq.training.defaults import updates_of
from seq2seq.training.optim import learning_rate

FEW_UPDATES = 300
"""A network that begins with nothing learns next to nothing in fewer."""
FEW_PAIRS = 50
"""So few teach a network that begins with nothing no more than themselves."""
FEW_STEPS = 300
"""Fewer steps of a stream than this tell little of an error or a correlation."""
LOW_RATE = 1e-6
"""A highest rate below this leaves weights of about 0.1 as they are for thousands of updates."""

_LOOKED_AT = 1000  # rates of a warm-up, however long it is


@dataclass(frozen=True)
class Forecast:
    """The figures of a training, as far as they are known before it."""

    updates: int | None
    epochs: int | None
    per_epoch: int | None
    pairs: int | None
    target_tokens: int | None  # an epoch
    usual: int | None  # pieces that at least half of the pairs have on a side, its end counted
    weights: int
    validations: int | None
    held_out: int  # validation pairs, where they are held out of the training pairs
    warmup: int
    rate: float  # what the recipe asks for
    peak: float  # what is reached
    last: float
    disk: int  # bytes at most, while a new checkpoint and a new model are written
    signatures: Mapping[str, str]  # of the metrics in validations, by their keys
    tokenizer: Choice | None  # what fits the validation references, where BLEU is measured

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        prepared: PreparedData,
        per_epoch: int | None,
        weights: int,
    ) -> Forecast:
        """Works the figures out for a network of so many weights."""
        options = recipe.training
        updates = updates_of(recipe, per_epoch)
        every = options.validation.every or per_epoch
        splits = {} if prepared.stored is None else {s.name: s for s in prepared.report.splits}
        train = splits.get("train")
        signatures = {one.key: one.signature for one in task_for(recipe).metrics if one.signature}
        if not options.validation.bleu:
            signatures.pop(BLEU, None)
        return cls(
            updates=updates,
            epochs=options.epochs,
            per_epoch=per_epoch,
            pairs=None if prepared.stored is None else len(prepared.stored),
            target_tokens=train.target.tokens if train else None,
            usual=1 + max(train.source.p50, train.target.p50) if train else None,
            weights=weights,
            validations=math.ceil(updates / every) if updates and every else None,
            held_out=len(prepared.val) if any(s.held_out for s in splits.values()) else 0,
            warmup=options.schedule.warmup,
            rate=options.learning_rate,
            peak=max(_rates(recipe, updates)),
            last=_rate(recipe, updates, updates) if updates else options.learning_rate,
            disk=_disk(recipe, weights),
            signatures=signatures,
            tokenizer=fitting_tokenizer(recipe, prepared.val) if BLEU in signatures else None,
        )

    def lines(self, recipe: Recipe, words: Words | None = None) -> Iterator[str]:
        """The figures in words, a few lines; rows are called as the task's ``words`` say."""
        words = words or Words()
        length = (
            "until it is stopped" if self.updates is None else number_of(self.updates, "update")
        )
        if self.epochs is not None and self.updates is not None and self.per_epoch is not None:
            epochs = self.updates / self.per_epoch
            figure = f"{epochs:.3g}" if epochs < 100 else f"{epochs:,.0f}"
            length += f" ({figure} {'epoch' if epochs == 1 else 'epochs'})"
        of = "of a stream" if self.pairs is None else f"of {number_of(self.pairs, words.row)}"
        if self.target_tokens is not None:
            of += f" with {number_of(self.target_tokens, words.target)}"
        often = "" if self.validations is None else f"; {number_of(self.validations, 'validation')}"
        yield f"plan: {length} {of}{often}"
        if self.held_out:
            held = number_of(self.held_out, "pair")
            yield f"  validation: on {held} held out of the training text"
        chosen = recipe.training.validation.tokenize
        if self.tokenizer is not None and self.tokenizer.name == chosen and self.tokenizer.reason:
            yield f"  BLEU: tokenized by {chosen}: {self.tokenizer.reason}"
        yield f"  network: {self.weights:,} weights; {_network(recipe)}"
        yield _learning(self, recipe)
        yield f"  disk: {_megabytes(self.disk)} at most"

    def warnings(self, recipe: Recipe, *, fine_tuned: bool) -> Iterator[str]:
        """What stands in the way of learning, each with the key to turn."""
        yield from _few_steps(recipe)
        if isinstance(recipe.training.method, Ridge):
            return
        if isinstance(recipe.training.method, MinimumRisk) and not fine_tuned:
            yield (
                "training.method = 'minimum_risk' learns from what the model says, and this one "
                "says nothing yet: train it by 'gradient' first, and go on from there (--init-from)"
            )
        rated = recipe.training.has_learning_rate  # else a few updates may do
        if rated and self.updates is not None and 1 < self.warmup >= self.updates:
            yield (
                f"the learning rate rises for {number_of(self.warmup, 'update')}, and training has "
                f"{self.updates:,}: it reaches {self.peak:.2g} of {self.rate:.2g}; leave "
                f"training.schedule.warmup out, or set it to {max(1, self.updates // 10):,}"
            )
        from_nothing = rated and not fine_tuned
        if self.updates is not None and self.updates < FEW_UPDATES and from_nothing:
            more = "more training.updates"
            if recipe.training.updates is None and self.per_epoch:
                more = f"training.epochs = {math.ceil(FEW_UPDATES / self.per_epoch)} or more"
            few = number_of(self.updates, "update is", "updates are")
            yield (
                f"{few} too few for a network that begins with nothing: set {more}, or a lower "
                "training.batch_tokens"
            )
        of_text = recipe.data.kind is None
        if of_text and self.pairs is not None and self.pairs < FEW_PAIRS and not fine_tuned:
            few = number_of(self.pairs, "pair is", "pairs are")
            yield f"{few} too few to learn from: name more text as data.train"
        if of_text and self.usual is not None and recipe.training.batch_tokens < 2 * self.usual:
            yield (
                f"training.batch_tokens = {recipe.training.batch_tokens:,} leaves most pairs alone "
                f"in a batch, as half of them have {self.usual:,} pieces or more: raise it, or "
                "leave it out"
            )
        tokenizer = recipe.training.validation.tokenize
        if self.tokenizer is not None and (doubt := self.tokenizer.doubt(tokenizer)):
            yield (
                f"training.validation.tokenize: {doubt}; while BLEU is below 1, the loss decides "
                "which weights are best"
            )
        if rated and self.peak < LOW_RATE:
            yield f"a rate of {self.peak:.2g} changes nothing: raise training.learning_rate"

    def record(self) -> dict[str, Any]:
        """The figures as ``metrics.jsonl`` has them."""
        return asdict(self)


def _few_steps(recipe: Recipe) -> Iterator[str]:
    """Says that a stream's figures will say little; they are those of all steps that count."""
    data = recipe.data
    if data.traits is None or not data.traits.stream or data.length is None:
        return
    steps = (data.length - data.first_step) * (data.val_size or VAL_SIZE)
    if steps < FEW_STEPS:
        yield (
            f"{number_of(steps, 'step')} of validation, and so its figures say little: set "
            f"data.length or data.val_size so that {FEW_STEPS:,} or more steps count"
        )


def _learning(plan: Forecast, recipe: Recipe) -> str:
    """How the weights are found."""
    method = recipe.training.method
    batches = f"batches of {number_of(recipe.training.batch_tokens, 'token')}"
    if recipe.data.kind is not None:
        batches = f"batches of {number_of(recipe.training.batch_tokens, 'step')}"
    if isinstance(method, Ridge):
        return (
            f"  the output layer is solved for by ridge regression, penalty {method.penalty:g}; "
            f"{batches}"
        )
    if isinstance(recipe.training.optimizer, HessianFree):
        return f"  learning rate: none, as the optimizer is Hessian-free; {batches}"
    if isinstance(recipe.training.schedule, Plateau):
        end = "and falls where validations are no better"
    else:
        end = f"and is {plan.last:.2g} at the end"
    return (
        f"  learning rate: rises to {plan.peak:.2g} over {number_of(plan.warmup, 'update')} "
        f"{end}; {batches}"
    )


def _rate(recipe: Recipe, update: int, updates: int | None) -> float:
    options = recipe.training
    return learning_rate(
        options.learning_rate,
        options.schedule,
        update=update,
        progress=(update - 1) / updates if updates else 0.0,
        reductions=0,
    )


def _rates(recipe: Recipe, updates: int | None) -> list[float]:
    """The rates among which the highest is, about: every schedule falls after its warm-up."""
    warmup = max(1, recipe.training.schedule.warmup)
    last = warmup if updates is None else min(warmup, updates)
    some = range(last, 0, -max(1, last // _LOOKED_AT))
    return [_rate(recipe, update, updates) for update in some]


def _disk(recipe: Recipe, weights: int) -> int:
    """Bytes of a run at most: checkpoints, one more while it is written, and two models."""
    options = recipe.training
    copies = 1 + (1 if isinstance(options.optimizer, Sgd | HessianFree) else 2)
    copies += isinstance(options.average, Ema)
    validated = options.average.count if isinstance(options.average, LastK) else 0
    checkpoints = max(options.keep_checkpoints, validated) + 2  # the best, and the one to come
    model = 2.5  # weights, and graphs in float32 and in int8
    return int(4 * weights * (copies * checkpoints + 2 * model))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _network(recipe: Recipe) -> str:
    """The sizes; of a problem, the decoder has none."""
    if recipe.data.kind is not None:
        one = recipe.model.encoder
        layers = "" if one.layers == 1 else f"{one.layers} x "
        return f"{one.cell.kind} {layers}{one.hidden}, {one.directions}, dropout {one.dropout:g}"
    sides = []
    for name, side in (("encoder", recipe.model.encoder), ("decoder", recipe.model.decoder)):
        layers = "" if side.layers == 1 else f"{side.layers} x "
        sides.append(
            f"{name} {side.cell.kind} {layers}{side.hidden}, embedding {side.embedding}, "
            f"dropout {side.dropout:g}"
        )
    return "; ".join(sides)
