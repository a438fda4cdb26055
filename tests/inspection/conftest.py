from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.models import model_options, randomize

from seq2seq import recipe
from seq2seq.inspection.opening import Opened
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.tasks import task_for
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

WORDS = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()

Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def tokenizers() -> Tokenizers:
    lines = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 20
    return train_tokenizers(recipe.Tokenizer(vocab_size=40), lines, lines)


@pytest.fixture
def make(tokenizers: Tokenizers) -> Open:
    """Opens a small model whose every weight matters, with the options of a recipe's model."""

    def opened(encoder: dict[str, Any], decoder: dict[str, Any], **more: Any) -> Opened:
        options = model_options(encoder, decoder, **more)
        sizes = tokenizers.source.size, tokenizers.target.size
        model = TranslationModel(options, *sizes).double().eval()
        randomize(model)
        of = Recipe(model=options)
        return Opened("small", of, task_for(of), model, tokenizers)

    return opened
