"""The laws of translation, on weights that were trained and with both engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import score
from support.ragged import ragged
from support.tiny import tiny_recipe

import seq2seq
from seq2seq.data.collate import collate
from seq2seq.ids import EOS
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.search import Hypothesis, SourceBatch, beam_search, greedy, length_caps
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.monitoring import Silent

MODELS = {
    "lstm": ["model.decoder.state_feeding=true", "training.epochs=8"],
    "attention": [
        "model.decoder.attention=general",
        "model.decoder.layers=2",
        "model.decoder.feeding=upper",
        "training.epochs=8",
    ],
    "input feeding": [
        "model.encoder.cell=gru",
        "model.decoder.attention=additive",
        "model.decoder.feeding=input",
        "training.epochs=4",
    ],
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    settings = [*MODELS[request.param], "translation.max_ratio=1.5", "training.precision=float32"]
    settings += ["training.validation.every=150"]
    recipe = tiny_recipe(folder, settings, count=600)
    return seq2seq.train(recipe, folder / "run", threads=1, monitor=Silent()).run


@pytest.fixture(scope="module")
def lines(run: Path) -> list[str]:
    sources = (run.parent / "val.en").read_text(encoding="utf-8").split("\n")[:-1]
    sources += (run.parent / "train.en").read_text(encoding="utf-8").split("\n")[:60]
    return [*sources, "", "x", " ".join(["the dog sees the cat"] * 9), "\u2028", "\x00 dog"]


def found_in(
    translator: seq2seq.Translator, sources: list[list[int]], beam: int, n_best: int = 1
) -> list[list[Hypothesis]]:
    batch = SourceBatch.from_rows([[*ids, EOS] for ids in sources])
    caps = length_caps(batch.lengths - 1, 1.5, 2)
    norm = translator.options.normalization
    if beam == 1:
        best = greedy(translator.model, batch, max_lengths=caps, normalization=norm)
        return [[one] for one in best]
    return beam_search(
        translator.model, batch, beam=beam, n_best=n_best, max_lengths=caps, normalization=norm
    )


def test_the_batch_does_not_change_a_translation(run: Path, lines: list[str]) -> None:
    translator = seq2seq.Translator.load(run)
    alone = translator.translate_nbest(lines, n_best=1, beam=4, batch_size=1)
    assert len(alone) == len(lines)
    for size in (7, 64):
        together = translator.translate_nbest(lines, n_best=1, beam=4, batch_size=size)
        assert [one[0].text for one in together] == [one[0].text for one in alone]
        for one, other in zip(together, alone, strict=True):
            assert one[0].log_prob == pytest.approx(other[0].log_prob, abs=1e-4)
    turned = translator.translate(lines[::-1], beam=4, batch_size=7)
    assert turned[::-1] == [one[0].text for one in alone]


def test_reported_scores_are_those_of_forced_scoring(run: Path, lines: list[str]) -> None:
    recipe = recipe_from_toml((run / "recipe.toml").read_text(encoding="utf-8"), "the run's")
    tokenizers = Tokenizers.load(run)
    model = load_model(ModelFolder(run, recipe, tokenizers))
    translator = seq2seq.Translator.load(run)
    sources = tokenizers.source.encode(lines[:20])
    hypotheses = found_in(translator, sources, beam=4, n_best=3)
    for source, found in zip(sources, hypotheses, strict=True):
        assert len(found) == 3
        pairs = collate(ragged([source] * 3), ragged([list(one.tokens) for one in found]))
        with torch.no_grad():
            forced = score(model, pairs)
        reported = [one.log_prob for one in found]
        np.testing.assert_allclose(forced.numpy(), reported, rtol=1e-6, atol=1e-4)


def test_beam_one_is_greedy(run: Path, lines: list[str]) -> None:
    translator = seq2seq.Translator.load(run)
    sources = [ids for ids in translator.tokenizers.source.encode(lines[:40]) if ids]
    batch = SourceBatch.from_rows([[*ids, EOS] for ids in sources])
    caps = length_caps(batch.lengths - 1, 1.5, 2)
    norm = translator.options.normalization
    narrow = beam_search(
        translator.model, batch, beam=1, n_best=1, max_lengths=caps, normalization=norm
    )
    best = found_in(translator, sources, beam=1)
    assert [one[0].tokens for one in narrow] == [one[0].tokens for one in best]


def test_a_wider_beam_scores_no_worse_on_average(run: Path, lines: list[str]) -> None:
    translator = seq2seq.Translator.load(run)
    sources = [ids for ids in translator.tokenizers.source.encode(lines[:40]) if ids]
    narrow = found_in(translator, sources, beam=1)
    wide = found_in(translator, sources, beam=8)
    gains = [w[0].score - n[0].score for n, w in zip(narrow, wide, strict=True)]
    assert float(np.mean(gains)) >= 0.0
