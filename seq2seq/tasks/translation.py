"""Translation: pairs of texts, a loss for each target token, BLEU of greedy translations."""

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
from seq2seq.metrics import bleu
from seq2seq.models.loss import Losses
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.cells import Cell, check_first_values
from seq2seq.recipe import Recipe
from seq2seq.tasks import Json, Metric, Network, ReportSection, TaskReport, Validation, Words
from seq2seq.tasks.examples import ExamplesShape, Translations, examples_of
from seq2seq.text.tokenizer import Tokenizers

BLEU = Metric("bleu", "BLEU", "BLEU of the validation set, greedy")
_SIGNATURE = "greedy, sacreBLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"


class TranslationTask:
    """See ``Task``."""

    metrics: Sequence[Metric] = (BLEU,)
    words = Words()
    examples_shape: ClassVar[type[BaseModel]] = ExamplesShape

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    # -- data and model ---------------------------------------------------------------------

    def prepare(self, folder: Path, *, progress: Progress | None = None) -> PreparedData:
        return prepare(self.recipe, folder, progress=progress)

    def open(self, folder: Path) -> PreparedData:
        return PreparedData.open(folder)

    def collate(self, source: Ragged, target: Ragged) -> Batch:
        return collate(source, target)

    def build_model(self, tokenizers: Tokenizers) -> TranslationModel:
        source, target = tokenizers.source, tokenizers.target
        model = TranslationModel(self.recipe.model, source.size, target.size)
        for module in model.modules():
            if isinstance(module, Cell):
                check_first_values(module)
        return model

    @property
    def leaves_weights_unused(self) -> bool:
        """Whether nothing of the encoder reaches the decoder, so that it gets no gradient."""
        model = self.recipe.model
        decoder = model.decoder
        return model.bridge == "zero" and decoder.attention == "none" and not decoder.state_feeding

    def loss(self, model: TranslationModel, *, twice_differentiable: bool = False) -> nn.Module:
        """Teacher forcing, with the recipe's label smoothing; see ``Losses``."""
        smoothing = self.recipe.training.label_smoothing
        return Losses(model, smoothing, twice_differentiable=twice_differentiable)

    # -- validation -------------------------------------------------------------------------

    @property
    def predicts(self) -> bool:
        """Whether the recipe wants BLEU."""
        return self.recipe.training.validation.bleu

    def predict(self, network: Network, dataset: Dataset, rows: Ints, batch_size: int) -> list[str]:
        """Translates the sources of some pairs greedily."""
        sources, _ = dataset.texts(rows)
        translator = Translator(_engine(network), network.tokenizers, self.recipe.translation)
        return translator.translate(sources, beam=1, batch_size=batch_size)

    def measure(self, predictions: Sequence[str], dataset: Dataset) -> dict[str, float]:
        """BLEU (13a, cased) of translations of a data set's first lines."""
        _, references = dataset.texts(np.arange(len(predictions)))
        return {BLEU.key: bleu(predictions, references)}

    def value(self, found: Validation) -> float:
        """The negated loss, or BLEU; a BLEU below 1 is chance, and counts as 0."""
        if self.recipe.training.early_stopping.metric == "bleu":
            score = found.metrics[BLEU.key]
            assert score is not None  # the recipe is checked for this
            return score if score >= 1 else 0.0
        return -found.loss if math.isfinite(found.loss) else -math.inf

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
        return examples_of(Translations(*texts, predictions), _engine(network), network.tokenizers)

    def card(self, record: Json, examples: Json | None) -> Json:
        """The validation with its chrF, where that was computed, and both signatures."""
        found = examples or {}  # perhaps kept in a file, which may say anything
        chrf = {"chrf": found["chrf"]} if isinstance(found.get("chrf"), float) else {}
        signed = {"chrf_signature": f"greedy, {found['signature']}"} if "signature" in found else {}
        return {"validation": {**record, **chrf}, "bleu_signature": _SIGNATURE, **signed}

    def report(self, card: Json, examples: Json | None) -> TaskReport:
        """Best and worst translations, and where the decoder looked."""
        best = card.get("validation") or {}
        figures: list[tuple[str, float]] = []
        notes: list[str] = []
        if isinstance(best.get(BLEU.key), int | float):
            figures.append(("BLEU, validation", best[BLEU.key]))
            notes.append(f"BLEU: {card.get('bleu_signature', 'greedy')}")
        if examples:
            figures.append(("chrF, validation", examples["chrf"]))
            other = examples["update"] != best.get("update")
            of = f", of update {examples['update']:,}" if other else ""
            notes.append(f"{examples['signature']}, greedy{of}")
        sections = [_section("translations", "Best and worst translations", examples)]
        if self.recipe.model.decoder.attention != "none":
            sections.append(_section("attention", "Attention", examples))
        return TaskReport(figures, notes, sections)


def _engine(network: Network) -> TorchEngine:
    model: Any = network.model
    return TorchEngine(model, network.precision)


def _section(name: str, heading: str, examples: Json | None) -> ReportSection:
    template = files("seq2seq.tasks") / f"templates/{name}.html.j2"
    text = template.read_text(encoding="utf-8")
    return ReportSection(name, name.capitalize(), heading, text, {"examples": examples})
