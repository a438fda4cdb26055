"""Models that write from right to left: users see nothing of it, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import make_batch
from support.saved import LINES, save_tiny_model

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.glossary import Glossary
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.postprocess import end_of_first
from seq2seq.inference.scoring import Scorer
from seq2seq.inference.translator import Translator
from seq2seq.search import Constraints, Hypothesis, SearchOptions
from seq2seq.tasks.examples import attention_map


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same weights, as of a model that writes forwards, and of one that writes backwards."""
    found = []
    for name, reverse in (("forwards", False), ("backwards", True)):
        path = tmp_path_factory.mktemp(name)
        found.append(save_tiny_model(path, reverse=reverse))
    return found[0], found[1]


@pytest.fixture(scope="module", params=["onnx", "torch"])
def turned(folders: tuple[Path, Path], request: pytest.FixtureRequest) -> Translator:
    return Translator.load(folders[1], engine=request.param)


def options(**more: object) -> SearchOptions:
    return SearchOptions(beam=4, attention=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("beam", [1, 4])
def test_what_it_writes_is_turned_round(
    folders: tuple[Path, Path], turned: Translator, beam: int
) -> None:
    forwards = Translator.load(folders[0])
    ahead, back = (
        one.translate_nbest(LINES[:5], beam=beam, n_best=beam, options=options())
        for one in (forwards, turned)
    )
    # Scores are of a text's usual pieces, which may not be those that were found: of no text where
    # both directions found the usual ones.
    compared = 0
    for one, other in zip(ahead, back, strict=True):
        known = {two.tokens[::-1]: two for two in one}
        for two in other:
            if (three := known.get(two.tokens)) is None:
                continue
            compared += 1
            assert two.score == pytest.approx(three.score, abs=1e-4)
            steps = two.token_log_probs
            assert steps[-2::-1] == pytest.approx(three.token_log_probs[:-1], abs=1e-4)
            assert steps[-1] == pytest.approx(three.token_log_probs[-1], abs=1e-4)
            assert two.attention is not None
            assert three.attention is not None
            np.testing.assert_allclose(two.attention[-2::-1], three.attention[:-1], atol=1e-4)
            np.testing.assert_allclose(two.attention[-1], three.attention[-1], atol=1e-4)
    assert compared >= 3


def test_scores_are_teacher_forcing_of_the_turned_pieces(
    folders: tuple[Path, Path], turned: Translator
) -> None:
    model, tokenizers = load_model(ModelFolder.open(folders[1])), turned.tokenizers
    pairs = list(zip(LINES[:6], LINES[3:9], strict=True))
    for (source, target), found in zip(pairs, Scorer(turned).score(pairs), strict=True):
        ids, said = tokenizers.source.encode([source])[0], tokenizers.target.encode([target])[0]
        batch = make_batch([(ids, said[::-1])])
        with torch.no_grad():
            rows = torch.log_softmax(model.output(model(batch)), -1)
        steps = rows[torch.arange(len(rows)), batch.labels()].tolist()
        assert found.log_prob == pytest.approx(sum(steps), abs=1e-3)
        assert found.token_log_probs == pytest.approx([*steps[-2::-1], steps[-1]], abs=1e-4)
        assert found.tokens == tuple(tokenizers.target.pieces(said))


def test_what_it_translates_it_scores_as_it_did(turned: Translator) -> None:
    found = turned.translate_nbest(LINES[:6], n_best=3, options=options(), long="keep")
    pairs = [
        (line, one.tokens) for line, several in zip(LINES, found, strict=False)
        for one in several
    ]  # fmt: skip
    scored = Scorer(turned).score(pairs)
    for one, again in zip((one for several in found for one in several), scored, strict=True):
        if not one.truncated:
            assert again.score == pytest.approx(one.score, abs=1e-4)


def test_attention_maps_have_the_words_in_the_text_s_order(turned: Translator) -> None:
    found = attention_map(LINES[0], LINES[1], turned.model, turned.tokenizers, backwards=True)
    (scored,) = Scorer(turned, attention=True).score([(LINES[0], LINES[1])])
    assert found is not None
    assert scored.attention is not None
    assert found["target"][:-1] == LINES[1].split()
    pieces = turned.tokenizers.target.encode([LINES[1].split()[0]])[0]
    first = scored.attention[: len(pieces)].mean(axis=0)
    assert sum(found["weights"][0]) == pytest.approx(first.sum(), abs=5e-3)
    last = turned.tokenizers.source.encode([LINES[0].split()[0]])[0]
    assert found["weights"][0][0] == pytest.approx(first[: len(last)].sum(), abs=2e-3)


def test_a_hypothesis_turned_twice_is_itself() -> None:
    weights = np.arange(8, dtype=np.float32).reshape(4, 2)
    one = Hypothesis((7, 8, 9), -6.0, -1.5, True, (-1.0, -2.0, -3.0, -0.5), weights)
    turned = one.backwards()
    assert turned == Hypothesis((9, 8, 7), -6.0, -1.5, True, (-3.0, -2.0, -1.0, -0.5))
    assert turned.attention is not None
    np.testing.assert_array_equal(turned.attention, weights[[2, 1, 0, 3]])
    assert turned.backwards() == one
    empty = Hypothesis((), -0.5, -0.5, False, (-0.5,), weights[:1])
    assert empty.backwards() == empty
    assert Hypothesis((3, 4), -1.0, -1.0, False).backwards().token_log_probs == ()


def test_a_loop_is_cut_between_words_from_where_it_was_written() -> None:
    """A word of two pieces, 1 2, was written 2 1, again and again; 7 is another word."""
    written = [7, 2, 1, 2, 1, 2, 1, 2]
    assert end_of_first(written, lambda token: token in (1, 7), backwards=True) == 3
    assert written[:3][::-1] == [1, 2, 7]


def test_constraints_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    end = (
        ", which a model that writes from right to left (model.decoder.reverse) cannot keep to: "
        "leave that out, or translate with a model that writes from left to right"
    )
    ours = Translator.load(folders[1])
    with pytest.raises(Seq2SeqError) as caught:
        ours.translate(LINES[:2], constraints=[Constraints(), Constraints(forced=["two"])])
    assert str(caught.value) == f"line 2: has constraints{end}"
    assert ours.translate(LINES[:1], constraints=[Constraints()])
    (tmp_path / "terms.tsv").write_text("letter\tbook\n", encoding="utf-8")
    glossary = Glossary.load(tmp_path / "terms.tsv")
    with pytest.raises(Seq2SeqError) as caught:
        ours.translate(LINES[:1], glossary=glossary)
    assert str(caught.value) == f"{glossary.name}: is a glossary{end}"


def test_an_ensemble_of_both_directions_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError) as caught:
        Translator.load(folders)
    assert str(caught.value) == (
        f"{folders[1]}: it writes from right to left, and {folders[0]} from left to right "
        "(model.decoder.reverse): models that write in different directions cannot take steps "
        "together: have one translate with n-best lists, and the other score them"
    )
    twice = Translator.load([folders[1], folders[1]])
    assert twice.translate(LINES[:3]) == Translator.load(folders[1]).translate(LINES[:3])
