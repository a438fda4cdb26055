"""What a recipe leaves out, chosen by the amount of data: sizes, rates, lengths and the warm-up.

A run stores what was chosen, and goes on with it. The first five rows of ``CHOICES`` were tried on
100, 1,000, 3,000, 10,000 and 29,000 pairs of Multi30k and on 50,000 of English and Japanese: small
batches at a high rate learn most. docs/training.md has the scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from seq2seq.recipe import Recipe, Section
from seq2seq.recipe.base import left_out
from seq2seq.recipe.model import Decoder
from seq2seq.recipe.training import Cosine, InverseSqrt, Ridge, Training, Validation

S = TypeVar("S", bound=Section)

WARMUP_SHARE = 10
"""A warm-up that is left out is at most a tenth of the training."""
VALIDATIONS = 12
"""Validations where neither they nor the length is given; each takes as long as some updates."""
PROBLEM_ROWS, PROBLEM_VALIDATIONS = 64, 20
"""Sequences of a problem in a batch, and validations, where the recipe does not say."""
FINE_TUNED = 0.2
"""The rate and the length of fine-tuning, as shares of those of a training from nothing.

Tried on 1,000 pairs and the model of 3,000 others. Of the same kind, no rate or length helps:
without the old pairs, what they taught is lost. Of another domain, a higher rate learns and
forgets more.
"""
FEWEST_EPOCHS = 3


class Choice(NamedTuple):
    """The values for up to so many pairs."""

    pairs: float
    hidden: int
    embedding: int
    dropout: float
    batch_tokens: int
    learning_rate: float
    updates: int

    def sizes(self) -> dict[str, Any]:
        """The keys of an encoder or a decoder."""
        return {"hidden": self.hidden, "embedding": self.embedding, "dropout": self.dropout}


CHOICES = (
    Choice(300, 128, 128, 0.3, 256, 5e-3, 1000),
    Choice(2_000, 128, 128, 0.3, 512, 5e-3, 2000),
    Choice(6_000, 256, 128, 0.3, 512, 3e-3, 3000),
    Choice(20_000, 256, 192, 0.3, 1024, 3e-3, 6000),
    Choice(100_000, 384, 256, 0.3, 2048, 2e-3, 9000),
    Choice(1_000_000, 512, 256, 0.2, 4096, 1e-3, 20_000),
    Choice(math.inf, 512, 256, 0.1, 4096, 1e-3, 100_000),
)


def choice_for(pairs: float) -> Choice:
    """The values for so many pairs."""
    return next(choice for choice in CHOICES if pairs <= choice.pairs)


def kept(recipe: S, stored: Section) -> S:
    """The recipe of a run that goes on: what it leaves out is as it is ``stored`` there.

    Who now gives other ``updates`` than the run had, and no epochs, is not bound by its epochs.
    """
    if type(recipe) is not type(stored):
        return recipe
    keys = [key for key in type(stored).model_fields if key not in left_out(stored)]
    if isinstance(recipe, Decoder) and "attention" not in recipe.model_fields_set:
        # Left out, it was "none" in version 0.3.
        recipe = recipe.model_copy(update={"attention": getattr(stored, "attention", "none")})
    if isinstance(recipe, Validation) and "tokenize" in left_out(stored) & left_out(recipe):
        recipe = recipe.model_copy(update={"tokenize": "13a"})  # of version 0.5 or older
    if isinstance(recipe, Training) and isinstance(stored, Training):
        other = recipe.updates not in (None, stored.updates)
        if other and "epochs" in left_out(recipe):
            recipe = recipe.model_copy(update={"epochs": None})
    return filled(recipe, {key: getattr(stored, key) for key in keys})


def filled(section: S, values: Mapping[str, Any]) -> S:
    """The section with values for those of its keys that are left out and may be chosen.

    A value for a section within is a mapping or a section like it.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        here = getattr(section, key)
        if key in left_out(section):
            found[key] = value
        elif isinstance(here, Section):
            inner = filled(here, value) if isinstance(value, dict) else kept(here, value)
            if inner is not here:
                found[key] = inner
    return section.model_copy(update=found) if found else section


def with_sizes(recipe: Recipe, pairs: float, *, fine_tuned: bool = False) -> Recipe:
    """The recipe with sizes and the learning rate for so many pairs; infinite: of a stream."""
    choice = choice_for(pairs)
    model, training = recipe.model, recipe.training
    sides = {"encoder": choice.sizes(), "decoder": choice.sizes()}
    for name, other in (("encoder", model.decoder), ("decoder", model.encoder)):
        if model.tie == "all" and "embedding" in other.model_fields_set:
            sides[name]["embedding"] = other.embedding
        if model.decoder.attention == "dot" and "hidden" in other.model_fields_set:
            sides[name]["hidden"] = other.hidden
    rate = choice.learning_rate * (FINE_TUNED if fine_tuned else 1.0)
    chosen = {
        "batch_tokens": choice.batch_tokens,
        "learning_rate": rate,
        "keep_checkpoints": training.keep_checkpoints,
    }
    return filled(recipe, {"model": sides, "training": chosen})


def with_problem_sizes(recipe: Recipe, steps: int) -> Recipe:
    """The recipe of a problem with sizes and the learning rate, where a sequence has so many steps.

    They are Martens and Sutskever's 100 units, and what Adam learns most of the problems with.
    """
    encoder = {"hidden": 100, "dropout": 0.0}
    chosen = {"batch_tokens": PROBLEM_ROWS * (steps + 1), "learning_rate": 1e-3}
    kept_at = recipe.training.keep_checkpoints
    return filled(
        recipe,
        {"model": {"encoder": encoder}, "training": {**chosen, "keep_checkpoints": kept_at}},
    )


def with_problem_length(recipe: Recipe, per_epoch: int) -> Recipe:
    """The recipe of a problem with a length, validations and a warm-up; one epoch by itself."""
    options = recipe.training
    epochs = None if options.updates is not None else 1
    recipe = filled(recipe, {"training": {"epochs": epochs}})
    every = None
    if not isinstance(options.method, Ridge):  # which has but one result, at the end
        every = math.ceil((updates_of(recipe, per_epoch) or per_epoch) / PROBLEM_VALIDATIONS)
    return _with_warmup(filled(recipe, {"training": {"validation": {"every": every}}}), per_epoch)


def with_length(
    recipe: Recipe, pairs: float, per_epoch: int | None, *, fine_tuned: bool = False
) -> Recipe:
    """The recipe with a length, validations and a warm-up, where an epoch has so many updates.

    A stream has no epochs: None. Who gives ``updates`` alone asks for no epochs.
    """
    options = recipe.training
    chosen: dict[str, Any] = {"epochs": None, "validation": {"every": None}}
    if per_epoch is not None and options.updates is None:
        wanted = choice_for(pairs).updates * (FINE_TUNED if fine_tuned else 1.0)
        chosen["epochs"] = max(FEWEST_EPOCHS, math.ceil(wanted / per_epoch))
        if "epochs" not in options.model_fields_set:
            every = math.ceil(chosen["epochs"] * per_epoch / VALIDATIONS)
            chosen["validation"] = {"every": every}
    return _with_warmup(filled(recipe, {"training": chosen}), per_epoch)


def _with_warmup(recipe: Recipe, per_epoch: int | None) -> Recipe:
    """The recipe with a warm-up of at most a tenth of the training."""
    schedule = recipe.training.schedule
    if isinstance(schedule, Cosine | InverseSqrt):
        share = (updates_of(recipe, per_epoch) or math.inf) // WARMUP_SHARE
        warmup = {"warmup": int(max(1, min(schedule.warmup, share)))}
        recipe = filled(recipe, {"training": {"schedule": warmup}})
    return recipe


def updates_of(recipe: Recipe, per_epoch: int | None) -> int | None:
    """How many updates a training has at most; None: nobody knows."""
    options = recipe.training
    ends = [options.updates]
    if options.epochs is not None and per_epoch is not None:
        ends.append(options.epochs * per_epoch)
    return min((end for end in ends if end is not None), default=None)
