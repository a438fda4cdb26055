"""Translation: pairs of texts, a loss for each target token, BLEU, chrF of greedy translations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from seq2seq.data import Progress
from seq2seq.data.batching import Ints
from seq2seq.data.collate import Batch, collate
from seq2seq.data.dataset import Dataset, PreparedData, Ragged
from seq2seq.data.preparing.prepare import prepare
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.export import published_graphs
from seq2seq.inference.translator import Translator
from seq2seq.metrics import CHRF_SIGNATURE, Choice, bleu, bleu_signature, chrf, tokenizer_for
from seq2seq.models.loss import Losses
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.cells import check_first_values
from seq2seq.recipe import Recipe
from seq2seq.recipe.registry import CELLS
from seq2seq.recipe.training import MinimumRisk
from seq2seq.tasks import Json, Metric, Network, ReportSection, TaskReport, Validation, Words
from seq2seq.tasks.examples import ExamplesShape, Translations, examples_of
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

BLEU, CHRF = "bleu", "chrf"
_LOOKED_AT = 10_000  # references, to choose BLEU's tokenizer


class TranslationTask:
    """See ``Task``."""

    words = Words()
    examples_shape: ClassVar[type[BaseModel]] = ExamplesShape

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._target: Tokenizer | None = None  # of the model that was built

    # -- data and model ---------------------------------------------------------------------

    def prepare(self, folder: Path, *, progress: Progress | None = None) -> PreparedData:
        return prepare(self.recipe, folder, progress=progress)

    def open(self, folder: Path) -> PreparedData:
        return PreparedData.open(folder)

    def collate(self, source: Ragged, target: Ragged) -> Batch:
        return collate(source, target, backwards=self.recipe.model.decoder.reverse)

    def build_model(self, tokenizers: Tokenizers) -> TranslationModel:
        source, target = tokenizers.source, tokenizers.target
        self._target = target
        model = TranslationModel(self.recipe.model, source.size, target.size)
        check_first_values(model)
        return model

    @property
    def leaves_weights_unused(self) -> bool:
        """Whether some weights get no gradient.

        The encoder's, if nothing of it reaches the decoder; the bridge's, of a part of the state
        that the decoder's cell does not read.
        """
        model = self.recipe.model
        decoder = model.decoder
        blind = model.bridge == "zero" and decoder.attention == "none" and not decoder.state_feeding
        return blind or CELLS.load(decoder.cell.kind).unread_parts > 0

    def loss(self, model: TranslationModel, *, twice_differentiable: bool = False) -> nn.Module:
        """Teacher forcing, with the recipe's label smoothing and what it adds; see ``Losses``.

        Or ``MinimumRisk``, where that is the recipe's method.
        """
        training = self.recipe.training
        losses = Losses(
            model,
            training.label_smoothing,
            twice_differentiable=twice_differentiable,
            rdrop=training.rdrop,
            sampling=training.scheduled_sampling,
        )
        if isinstance(training.method, MinimumRisk):
            from seq2seq.tasks import minimum_risk

            assert self._target is not None, "the model is built before its loss"
            return minimum_risk.MinimumRisk(losses, self._target, self.recipe)
        return losses

    # -- validation -------------------------------------------------------------------------

    @property
    def metrics(self) -> Sequence[Metric]:
        """BLEU, and chrF where it decides which validation is best."""
        signature = f"greedy, {bleu_signature(self.recipe.training.validation.tokenize)}"
        found = [Metric(BLEU, "BLEU", "BLEU of the validation set, greedy", signature=signature)]
        if self._wants_chrf:
            title = "chrF of the validation set, greedy"
            found.append(Metric(CHRF, "chrF", title, signature=f"greedy, {CHRF_SIGNATURE}"))
        return found

    @property
    def _wants_chrf(self) -> bool:
        return self.recipe.training.early_stopping.metric == CHRF

    @property
    def predicts(self) -> bool:
        """Whether the recipe wants BLEU or chrF."""
        return self.recipe.training.validation.bleu or self._wants_chrf

    def predict(self, network: Network, dataset: Dataset, rows: Ints, batch_size: int) -> list[str]:
        """Translates the sources of some pairs greedily."""
        sources, _ = dataset.texts(rows)
        translator = Translator(
            _engine(network),
            network.tokenizers,
            self.recipe.translation,
            backwards=self.recipe.model.decoder.reverse,
        )
        return translator.translate(sources, beam=1, batch_size=batch_size)

    def measure(self, predictions: Sequence[str], dataset: Dataset) -> dict[str, float]:
        """BLEU and chrF (cased) of translations of a data set's first lines, as far as wanted."""
        _, references = dataset.texts(np.arange(len(predictions)))
        validation = self.recipe.training.validation
        found = {}
        if validation.bleu:
            found[BLEU] = bleu(predictions, references, validation.tokenize)
        if self._wants_chrf:
            found[CHRF] = chrf(predictions, references)
        return found

    def value(self, found: Validation) -> float:
        """The negated loss, BLEU or chrF; a BLEU below 1 is chance, and counts as 0."""
        metric = self.recipe.training.early_stopping.metric
        if metric == "loss":
            return -found.loss if math.isfinite(found.loss) else -math.inf
        score = found.metrics[metric]
        assert score is not None  # the recipe is checked for this
        return 0.0 if metric == BLEU and score < 1 else score

    def solved(self, found: Validation) -> bool | None:
        """Nobody can say."""
        return None

    def remark(self, found: Validation) -> str:
        """Nothing."""
        return ""

    # -- what people see --------------------------------------------------------------------

    def graphs(self, weights: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
        """The ONNX graphs, as far as the network can be exported."""
        return published_graphs(self.recipe.model, weights)

    def examples(
        self, network: Network, dataset: Dataset, predictions: Sequence[str]
    ) -> Json | None:
        """The best and the worst translations, and what was attended to."""
        texts = dataset.texts(np.arange(len(predictions)))
        return examples_of(
            Translations(*texts, predictions),
            _engine(network),
            network.tokenizers,
            backwards=self.recipe.model.decoder.reverse,
        )

    def card(self, record: Json, examples: Json | None) -> Json:
        """The validation with its chrF, where that was computed, and both signatures."""
        found = examples or {}  # perhaps kept in a file, which may say anything
        score = {CHRF: found[CHRF]} if isinstance(found.get(CHRF), float) else {}
        signatures = {f"{one.key}_signature": one.signature for one in self.metrics}
        if "signature" in found:
            signatures["chrf_signature"] = f"greedy, {found['signature']}"
        return {"validation": {**record, **score}, **signatures}

    def report(self, card: Json, examples: Json | None) -> TaskReport:
        """Best and worst translations, and where the decoder looked."""
        best = card.get("validation") or {}
        figures: list[tuple[str, float]] = []
        notes: list[str] = []
        if isinstance(best.get(BLEU), int | float):
            figures.append(("BLEU, validation", best[BLEU]))
            notes.append(f"BLEU: {card.get('bleu_signature', 'greedy')}")
        if self._wants_chrf and isinstance(best.get(CHRF), int | float):
            figures.append(("chrF, validation", best[CHRF]))
            notes.append(str(card.get("chrf_signature", "chrF: greedy")))
        elif examples:
            figures.append(("chrF, validation", examples["chrf"]))
            other = examples["update"] != best.get("update")
            of = f", of update {examples['update']:,}" if other else ""
            notes.append(f"{examples['signature']}, greedy{of}")
        sections = [_section("translations", "Best and worst translations", examples)]
        if self.recipe.model.decoder.attention != "none":
            sections.append(_section("attention", "Attention", examples))
        return TaskReport(figures, notes, sections)


def fitting_tokenizer(recipe: Recipe, val: Dataset) -> Choice:
    """The tokenizer that fits the references of the validations, for BLEU."""
    count = min(len(val), recipe.training.validation.lines or _LOOKED_AT, _LOOKED_AT)
    return tokenizer_for(val.texts(np.arange(count))[1])


def _engine(network: Network) -> TorchEngine:
    model: Any = network.model
    return TorchEngine(model, network.precision)


def _section(name: str, heading: str, examples: Json | None) -> ReportSection:
    template = files("seq2seq.tasks") / f"templates/{name}.html.j2"
    text = template.read_text(encoding="utf-8")
    return ReportSection(name, name.capitalize(), heading, text, {"examples": examples})
