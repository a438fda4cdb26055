from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu.metrics.chrf import CHRF
from support.quickstart import pairs
from support.tiny import tiny_recipe

from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.tasks.examples import Translations, attention_map, examples_of
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers


@pytest.fixture(scope="module")
def lines() -> tuple[list[str], list[str]]:
    found = [pair for pair, _ in zip(pairs("val"), range(60), strict=False)]
    return [source for source, _ in found], [target for _, target in found]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_recipe(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def both(recipe: Recipe, lines: tuple[list[str], list[str]]) -> Tokenizers:
    return train_tokenizers(recipe.tokenizer, *lines)


def engine(recipe: Recipe, both: Tokenizers, attention: str) -> TorchEngine:
    torch.manual_seed(5)
    options = recipe.model.model_copy(
        update={"decoder": recipe.model.decoder.model_copy(update={"attention": attention})}
    )
    model = TranslationModel(options, both.source.size, both.target.size).eval()
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(4.0)  # sharper than right after initialization
    return TorchEngine(model)


def chosen(translations: Translations, model: TorchEngine, both: Tokenizers) -> Any:
    found = examples_of(translations, model, both)
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_best_and_the_worst_by_sentence_chrf(recipe, both, lines) -> None:
    sources, references = lines
    hypotheses = [reference[: (7 * i) % 23] for i, reference in enumerate(references)]
    found = chosen(
        Translations(sources, references, hypotheses),
        engine(recipe, both, "none"),
        both,
    )
    metric = CHRF()
    scores = [
        metric.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)
    ]
    ordered = sorted(scores, reverse=True)
    assert [one["chrf"] for one in found["best"]] == pytest.approx(ordered[:12], abs=0.005)
    assert [one["chrf"] for one in found["worst"]] == pytest.approx(ordered[:-13:-1], abs=0.005)
    for one in (*found["best"], *found["worst"]):
        i = one["line"] - 1
        assert (one["source"], one["reference"]) == (sources[i], references[i])
        assert one["hypothesis"] == hypotheses[i]
    assert found["chrf"] == CHRF().corpus_score(hypotheses, [references]).score
    assert sum(found["histogram"]) == found["lines"] == 60
    assert found["histogram"][-1] == sum(score >= 95 for score in scores)
    assert found["attention"] == []
    signature = str(CHRF_SIGNED.get_signature()).rpartition("|version")[0]
    assert found["signature"] == f"chrF2, sacreBLEU {signature}"


CHRF_SIGNED = CHRF()
CHRF_SIGNED.corpus_score(["a"], [["a"]])


@pytest.mark.parametrize(
    ("count", "best", "worst"), [(1, 1, 0), (2, 1, 1), (5, 3, 2), (24, 12, 12)]
)
def test_few_lines_are_shown_once(recipe, both, lines, count: int, best: int, worst: int) -> None:
    sources, references = (side[:count] for side in lines)
    found = chosen(
        Translations(sources, references, references),
        engine(recipe, both, "none"),
        both,
    )
    shown = [one["line"] for one in (*found["best"], *found["worst"])]
    assert (len(found["best"]), len(found["worst"])) == (best, worst)
    assert len(set(shown)) == len(shown)


def test_lines_without_a_reference_are_not_judged(recipe, both) -> None:
    found = chosen(
        Translations(["a", "b", "c"], ["x", " ", ""], ["x", "y", ""]),
        engine(recipe, both, "none"),
        both,
    )
    assert [one["line"] for one in found["best"]] == [1]
    assert found["worst"] == []


@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_the_map_is_the_attention_of_teacher_forcing(recipe, both, lines, attention: str) -> None:
    """Steps of the engine against the weights of all positions at once, pieces joined by hand."""
    model = engine(recipe, both, attention)
    source, target = lines[0][3], lines[1][3]
    found = attention_map(source, target, model, both)
    assert found is not None
    read, said = both.source.encode([source])[0], both.target.encode([target])[0]
    network = model.model
    seen: list[torch.Tensor] = []
    network.decoder.attention.register_forward_hook(lambda *io: seen.append(io[2][1]))
    with torch.no_grad():
        state, memory = network.start(torch.tensor([[*read, EOS]]), torch.tensor([len(read) + 1]))
        ids = torch.tensor([[BOS, *said]])
        network.decoder(ids, state, memory, torch.arange(len(said) + 1))
    weights = seen[0][0].numpy()

    def owners(ids: list[int], tokenizer: Any) -> list[int]:
        number, of = -1, []
        for piece in tokenizer.pieces(ids):
            number += piece.startswith("▁")
            of.append(max(number, 0))
        return [*of, max(of) + 1]

    columns, rows = owners(read, both.source), owners(said, both.target)
    wanted = np.zeros((rows[-1] + 1, columns[-1] + 1))
    for t, row in enumerate(rows):
        for s, column in enumerate(columns):
            wanted[row, column] += weights[t, s] / rows.count(row)
    assert np.abs(np.array(found["weights"]) - wanted).max() < 1e-3
    assert found["source"] == [*source.split(), "∎"]
    assert found["target"] == [*target.split(), "∎"]


def test_maps_are_of_some_sentences_good_and_bad(recipe, both, lines) -> None:
    sources, references = lines
    hypotheses = [
        reference if i % 2 else " ".join(reversed(reference.split()))
        for i, reference in enumerate(references)
    ]
    model = engine(recipe, both, "dot")
    found = chosen(Translations(sources, references, hypotheses), model, both)
    assert len(found["attention"]) == 6
    for one in found["attention"]:
        assert one["source"][:-1] == sources[one["line"] - 1].split()
        assert np.shape(one["weights"]) == (len(one["target"]), len(one["source"]))
        assert np.abs(np.sum(one["weights"], axis=1) - 1).max() < 0.02
