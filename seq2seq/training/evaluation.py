"""Validation: the loss of the references, and BLEU of greedy translations."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from seq2seq.data.batching import Bounds, in_length_order
from seq2seq.data.collate import PaddedPairs, collate, halves
from seq2seq.data.dataset import PairDataset
from seq2seq.errors import is_out_of_memory
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.translator import Translator
from seq2seq.metrics import bleu
from seq2seq.models.loss import Losses
from seq2seq.models.translation import Batch, TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.batches.prepared import Share
from seq2seq.training.distributed.group import ProcessGroup
from seq2seq.training.monitoring.examples import Translations


@dataclass(frozen=True)
class Forgetting:
    """What became of the validation set of the run that a model is fine-tuned from.

    Attributes:
        now: What was found on it.
        loss_before: The loss before the first update.
        bleu_before: BLEU then, or None where it was not asked for.
    """

    now: Validated
    loss_before: float | None
    bleu_before: float | None

    def record(self) -> dict[str, Any]:
        """The figures as ``metrics.jsonl`` has them.

        Returns:
            Plain values.
        """
        loss = self.now.loss
        return {
            "loss": loss if math.isfinite(loss) else None,
            "bleu": self.now.bleu,
            "seconds": self.now.seconds,
        }

    def line(self) -> str:
        """The figures in words, with those of the beginning.

        Returns:
            One line.
        """
        before = "" if self.loss_before is None else f"{self.loss_before:.3f} -> "
        told = f"old validation set: loss {before}{self.now.loss:.3f}"
        if self.now.bleu is None:
            return told
        before = "" if self.bleu_before is None else f"{self.bleu_before:.2f} -> "
        return f"{told}  BLEU {before}{self.now.bleu:.2f}  {self.now.seconds:.1f} s"


@dataclass(frozen=True)
class Validated:
    """What a validation found.

    Attributes:
        loss: Negative log-likelihood a target token, in nats, without smoothing.
        bleu: BLEU of greedy translations (13a, cased), or None where it was not asked for.
        seconds: How long it took.
        translations: What BLEU was computed of, or None.
        old: Of a fine-tuned model: what was found on the old validation set; else None.
    """

    loss: float
    bleu: float | None
    seconds: float
    translations: Translations | None = None
    old: Forgetting | None = None

    def beside(self, now: Validated, first: dict[str, Any] | None) -> Validated:
        """Adds what was found on the old validation set.

        Args:
            now: It.
            first: The record of what was found there before the first update; None: this is it.

        Returns:
            All of it.
        """
        before = first or {}
        return replace(self, old=Forgetting(now, before.get("loss"), before.get("bleu")))

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.loss, 700.0))

    def value(self, metric: str) -> float:
        """The early-stopping metric, larger being better.

        Args:
            metric: "loss" or "bleu".

        Returns:
            BLEU, 0 where it is below 1: which of such translations is the better one is chance.
            Or the negative loss.
        """
        if metric == "bleu":
            assert self.bleu is not None
            return self.bleu if self.bleu >= 1 else 0.0
        return -self.loss if math.isfinite(self.loss) else -math.inf


def to_batch(pairs: PaddedPairs, device: torch.device) -> Batch:
    """A batch as tensors.

    Args:
        pairs: As numpy matrices.
        device: Where the tensors go.

    Returns:
        The batch.
    """
    arrays = (getattr(pairs, name) for name in Batch.__dataclass_fields__)
    return Batch(*(torch.from_numpy(array) for array in arrays)).to(device)


@torch.no_grad()
def validation_loss(
    model: TranslationModel,
    dataset: PairDataset,
    tokens: int,
    precision: torch.dtype,
    share: Share,
) -> tuple[float, int]:
    """Negative log-likelihood of a data set's targets.

    Args:
        model: The model, put into evaluation mode.
        dataset: The pairs; all of them count.
        tokens: Bound of padded tokens a batch.
        precision: The type for matrix products.
        share: Which of the batches are taken: every ``world``-th.

    Returns:
        The sum, in nats, and how many tokens they are.
    """
    model.eval()
    losses = Losses(model, 0.0)
    device = model.output.weight.device
    total, count = 0.0, 0
    batches = in_length_order(dataset, Bounds(tokens))
    for indices in islice(batches, share.rank, None, share.world):
        waiting = [collate(*dataset.ids(indices))]
        while waiting:
            pairs = waiting.pop()
            try:
                batch = to_batch(pairs, device)
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    _, nll = losses(batch)
                total += float(nll)
                count += batch.tokens
            except Exception as error:
                if not is_out_of_memory(error) or len(pairs.source_lengths_B) == 1:
                    raise
                waiting += halves(pairs)
    return total, count


def validate(
    model: TranslationModel,
    dataset: PairDataset,
    tokenizers: Tokenizers,
    recipe: Recipe,
    precision: torch.dtype,
    group: ProcessGroup | None = None,
) -> Validated:
    """Measures a model on the validation set.

    Args:
        model: The model.
        dataset: The validation set.
        tokenizers: Both sides' tokenizers.
        recipe: For what is to be measured, and how long translations may get.
        precision: The type for matrix products.
        group: The processes that share the work; all get the same figures. None: this one alone.

    Returns:
        The figures.
    """
    begun = time.monotonic()
    group = group or ProcessGroup()
    tokens = max(recipe.training.batch_tokens, 4096)
    found = None
    with group.interruptible_together():
        own = validation_loss(model, dataset, tokens, precision, group.share)
        if recipe.training.validation.bleu:
            engine = TorchEngine(model, precision)
            found = translated(engine, dataset, tokenizers, recipe, group.share)
    loss, count = group.all_gather(own).sum(0).tolist()
    score, translations = None, None
    if found is not None:
        translations = _together(found, group)
        score = bleu(translations.hypotheses, translations.references)
    return Validated(loss / max(count, 1), score, time.monotonic() - begun, translations)


def _together(found: Translations, group: ProcessGroup) -> Translations:
    """The translations of all processes, line by line."""
    hypotheses = list(found.references)
    for rank, told in enumerate(group.all_gather_text(json.dumps(found.hypotheses))):
        hypotheses[rank :: group.world_size] = json.loads(told)
    return replace(found, hypotheses=hypotheses)


def translated(
    engine: TorchEngine,
    dataset: PairDataset,
    tokenizers: Tokenizers,
    recipe: Recipe,
    share: Share | None = None,
) -> Translations:
    """Translates the validation set greedily.

    Args:
        engine: The model.
        dataset: The validation set.
        tokenizers: Both sides' tokenizers.
        recipe: For how many lines, and how long translations may get.
        share: Which of the lines are translated: every ``world``-th. None: all.

    Returns:
        Sources, references, and the translations of those lines.
    """
    share = share or Share()
    count = min(len(dataset), recipe.training.validation.lines or len(dataset))
    sources, references = dataset.texts(np.arange(count))
    translator = Translator(engine, tokenizers, recipe.translation)
    size = 128
    while True:
        try:
            own = sources[share.rank :: share.world]
            hypotheses = translator.translate(own, beam=1, batch_size=size)
            return Translations(sources, references, hypotheses)
        except Exception as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        size //= 2
