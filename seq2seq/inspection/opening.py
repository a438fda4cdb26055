"""Opens what is looked into: a run's model, or the untrained one of a recipe; and what it reads.

A recipe has no tokenizer before its text was read, and its model needs none for its gradients: it
reads random tokens of vocabularies as large as the recipe asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn

from seq2seq.data.dataset import Ragged
from seq2seq.errors import Seq2SeqError, number_of
from seq2seq.ids import EOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.model_folder import CardShape, ModelFolder, read_published
from seq2seq.inference.plain import PlainReader
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import built_with
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import read_recipe_text, recipe_from_toml
from seq2seq.search import SourceBatch, length_caps
from seq2seq.search.greedy import greedy
from seq2seq.storage import checked_json
from seq2seq.storage.layout import CARD, RECIPE, TOKENIZERS, WEIGHTS
from seq2seq.tasks import PaddedBatch, Task, task_for
from seq2seq.tasks.translation import TranslationTask
from seq2seq.text.sampling import SPACE
from seq2seq.text.tokenizer import Tokenizers

_USUAL_SIZE = 8000  # of a vocabulary that the recipe leaves to the amount of text


@dataclass(frozen=True)
class Opened:
    """A model in float64, so that no gradient is too small; ``name`` is what people call it.

    Without a run there is no tokenizer yet.
    """

    name: str
    recipe: Recipe
    task: Task
    model: nn.Module
    tokenizers: Tokenizers | None

    @property
    def translates(self) -> bool:
        """Whether it reads text, and not the numbers of a problem."""
        return isinstance(self.model, TranslationModel)


@dataclass(frozen=True)
class Pair:
    """A line and its translation in the network's pieces, without bos and eos."""

    source: list[int]
    target: list[int]


@dataclass(frozen=True)
class Drawn:
    """A sequence of a problem's training data, by its number from 1."""

    number: int


def open_run(path: str) -> Opened:
    """Opens the model of a run's folder; a ``ModelError`` says what is wrong with it."""

    def read() -> tuple[Recipe, Task, nn.Module, Tokenizers]:
        folder = _folder_of_problem(path) or ModelFolder.open(path)
        weights = folder.weights(load)
        # The weights take the place of the first ones; orthogonal ones take seconds to draw.
        options = folder.recipe.model.model_copy(update={"recurrent_init": "uniform"})
        task = task_for(folder.recipe.model_copy(update={"model": options}))
        build = partial(task.build_model, folder.tokenizers)
        model = built_with(build, weights, folder.file(WEIGHTS))
        return folder.recipe, task, model, folder.tokenizers

    recipe, task, model, tokenizers = read_published(path, read)
    return Opened(path, recipe, task, model.double().eval(), tokenizers)


def _folder_of_problem(path: str) -> ModelFolder | None:
    """The folder of a model that reads no text, and has no tokenizer; None: of another."""
    folder = Path(path)
    if not (folder / RECIPE).is_file() or any((folder / name).exists() for name in TOKENIZERS):
        return None
    recipe = recipe_from_toml(read_recipe_text(str(folder / RECIPE)), path, cells=False)
    if isinstance(task_for(recipe), TranslationTask):
        return None
    card = folder / CARD
    about = checked_json.read(card, CardShape) if card.is_file() else {}
    none: Any = None
    return ModelFolder(folder, recipe, none, about)


def open_recipe(name: str, recipe: Recipe) -> Opened:
    """Makes the model that a training by a recipe begins with; the recipe has all its sizes."""
    sizes = [size or _USUAL_SIZE for size in recipe.tokenizer.sizes]
    sides: Any = SimpleNamespace(**{
        side: SimpleNamespace(size=size)
        for side, size in zip(("source", "target"), sizes, strict=True)
    })  # fmt: skip
    task = task_for(recipe)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        model = task.build_model(sides)
    return Opened(name, recipe, task, model.double().eval(), None)


def random_batch(opened: Opened, length: int, lines: int) -> PaddedBatch:
    """Lines of random tokens, each of ``length`` on both sides, the end counted; or a problem's.

    The recipe's seed decides them. A problem's rows are as long as its recipe says.
    """
    if not opened.translates:
        return _sequences(opened, range(lines))
    model: Any = opened.model
    sizes = model.encoder.embedding.table.num_embeddings, model.output.out_features
    draw = np.random.default_rng(opened.recipe.seed)
    rows = [draw.integers(EOS + 1, size, (lines, length - 1)).tolist() for size in sizes]
    return opened.task.collate(*map(Ragged.of, rows))


def _sequences(opened: Opened, places: Sequence[int]) -> PaddedBatch:
    """A problem's sequences by their places, those that there are, in float64.

    It is a ``Seq2SeqError`` if none of them is there.
    """
    with TemporaryDirectory() as folder:
        train = opened.task.prepare(Path(folder, "data")).train
        there = [place for place in places if place < len(train)]
        if not there:
            raise Seq2SeqError(
                f"{opened.name}: its problem has {number_of(len(train), 'training sequence')}: "
                f"there is no sequence {places[0] + 1:,} (--line)"
            )
        batch: Any = opened.task.collate(*train.ids(np.array(there)))
    exact = {
        one.name: value.double()
        for one in fields(batch)
        if isinstance(value := getattr(batch, one.name), Tensor) and value.is_floating_point()
    }
    drawn: PaddedBatch = replace(batch, **exact)
    return drawn


def batch_of(opened: Opened, lines: Sequence[Pair | Drawn]) -> PaddedBatch:
    """The batch of some pairs, or of some sequences of a problem."""
    pairs = [one for one in lines if isinstance(one, Pair)]
    if len(pairs) < len(lines):
        return _sequences(opened, [one.number - 1 for one in lines if isinstance(one, Drawn)])
    sides = [one.source for one in pairs], [one.target for one in pairs]
    return opened.task.collate(*map(Ragged.of, sides))


def read_pairs(
    opened: Opened, sources: Sequence[str], targets: Sequence[str] | None = None
) -> list[Pair]:
    """Reads lines as the network does, with their translations: those given, or its own, greedy.

    It is a ``Seq2SeqError`` if the model reads no text. A line may have nothing to read.
    """
    if not opened.translates or opened.tokenizers is None:
        if not opened.translates:
            raise Seq2SeqError(
                f"{opened.name}: a problem's model reads its problem's sequences, and no text: "
                "leave out INPUT"
            )
        raise Seq2SeqError(
            f"{opened.name}: a recipe, which has no tokenizer, so that it cannot read a text: give "
            "the run of a translation model, or look at its gradients alone ('inspect gradients' "
            "without INPUT)"
        )
    reader = PlainReader(opened.tokenizers.source, opened.recipe.text)
    rows = [plain.row for plain in reader.read(sources)]
    if targets is None:
        return [Pair(*pair) for pair in zip(rows, _translated(opened, rows), strict=True)]
    given = opened.tokenizers.target.encode(targets)
    return [Pair(*pair) for pair in zip(rows, given, strict=True)]


def _translated(opened: Opened, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    model: Any = opened.model
    batch = SourceBatch.from_rows([[*row, EOS] for row in rows])
    options = opened.recipe.translation
    caps = length_caps(batch.lengths - 1, options.max_ratio, options.max_extra)
    found = greedy(TorchEngine(model), batch, max_lengths=caps)
    turned = opened.recipe.model.decoder.reverse
    return [list((one.backwards() if turned else one).tokens) for one in found]


def step_labels(batch: PaddedBatch) -> list[str]:
    """What is read at each step of a problem's first sequence, behind the step's number, from 1.

    That is numbers, or which symbol it is, from 0.
    """
    drawn: Any = batch
    return [f"{step}: {_shown(one)}" for step, one in enumerate(drawn.inputs_BTE[0], 1)]


def labels_of(opened: Opened, pair: Pair) -> tuple[list[str], list[str]]:
    """What the encoder and the decoder read of a line, piece by piece, as people read it."""
    assert opened.tokenizers is not None
    source = opened.tokenizers.source.pieces(pair.source)
    target = opened.tokenizers.target.pieces(pair.target)
    read, said = ([one.replace(SPACE, "_") for one in side] for side in (source, target))
    if opened.recipe.model.decoder.reverse:
        said.reverse()
    return [*read, "</s>"], ["<s>", *said]


def _shown(inputs_E: Tensor) -> str:
    numbers: list[float] = inputs_E.tolist()
    if len(numbers) > 2 and sorted(numbers) == [0.0] * (len(numbers) - 1) + [1.0]:
        return str(numbers.index(1.0))
    return " ".join(f"{one:.2g}" for one in numbers)
