"""Lines of several sentences: each is translated by itself, but by models of such lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from support.saved import save_tiny_model
from support.scripted import ScriptedModel

from seq2seq import recipe
from seq2seq.data.preparing.statistics import PrepareReport, Sentences, Side, Split
from seq2seq.errors import ModelError
from seq2seq.ids import EOS
from seq2seq.inference.trained_on import KEY, TrainedOn, figures
from seq2seq.inference.translator import Translator
from seq2seq.search import Constraints, SearchOptions
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

SENTENCES = ["the man sleeps.", "two dogs run.", "a woman reads a book."]


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    return train_tokenizers(recipe.Tokenizer(vocab_size=26), SENTENCES * 20, SENTENCES * 20)


def forgetful(tokenizers: Tokenizers) -> ScriptedModel:
    """Copies the first sentence of a source and stops, as a model of single sentences does."""
    stop = tokenizers.target.encode(["the man sleeps."])[0][-1]

    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        done = bool(prefix) and (prefix[-1] == stop or len(prefix) >= len(source) - 1)
        wanted = EOS if done else source[len(prefix)]
        log_probs = np.full(tokenizers.target.size, -9.0, dtype=np.float32)
        log_probs[wanted] = -0.01
        return log_probs

    return ScriptedModel(tokenizers.target.size, script)


def translator(tokenizers: Tokenizers, sentences: int | None = 1) -> Translator:
    taken = TrainedOn(longest=100, sentences=sentences)
    return Translator(forgetful(tokenizers), tokenizers, recipe.Translation(), trained_on=taken)


def kinds(found: Iterable[object]) -> list[str]:
    return [note.kind for note in found]  # type: ignore[attr-defined]


def test_every_sentence_is_translated(tokenizers: Tokenizers) -> None:
    lines = [" ".join(SENTENCES), SENTENCES[1], "  ".join(SENTENCES[:2]), ""]
    ours = translator(tokenizers)
    expected = [" ".join(line.split()) for line in lines]
    assert ours.translate(lines) == expected
    whole = translator(tokenizers, sentences=None).translate(lines)
    assert whole == [SENTENCES[0], SENTENCES[1], SENTENCES[0], ""]
    assert ours.translate(lines, long="keep") == whole
    (found,) = ours.translate_nbest(lines[:1])
    assert [(note.kind, note.text) for note in found[0].notes] == [
        (
            "split",
            "3 sentences, but the model has seen 1 a line: it was translated in 3 parts",
        )
    ]
    assert found[0].log_prob == pytest.approx(
        sum(several[0].log_prob for several in ours.translate_nbest(SENTENCES))
    )
    assert [several[0].notes for several in ours.translate_nbest(SENTENCES)] == [()] * 3


def test_a_model_of_several_sentences_gets_as_many(tokenizers: Tokenizers) -> None:
    line = " ".join(SENTENCES)
    assert translator(tokenizers, sentences=3).translate([line]) == [SENTENCES[0]]
    two = translator(tokenizers, sentences=2).translate([line])
    assert two == [f"{SENTENCES[0]} {SENTENCES[2]}"]


def test_a_prefix_of_two_sentences_begins_two(tokenizers: Tokenizers) -> None:
    line, ours = " ".join(SENTENCES), translator(tokenizers)
    for prefix, text in (
        ("the man sle", line),
        ("the man sleeps.", line),
        ("the man sleeps. two", "the man sleeps. two dogs run. a woman reads a book."),
    ):
        (found,) = ours.translate([line], constraints=[Constraints(prefix=prefix)])
        assert found == text


def test_what_is_left_out_is_told(tokenizers: Tokenizers) -> None:
    line, whole = " ".join(SENTENCES), translator(tokenizers, sentences=None)
    ((best,),) = whole.translate_nbest([line])
    assert kinds(best.notes) == ["incomplete"]
    forced = translator(tokenizers).translate_nbest(
        [line], constraints=[Constraints(forced=["dogs"])], options=SearchOptions(beam=4)
    )
    assert kinds(forced[0][0].notes)[0] == "whole"


# ---------------------------------------------------------------------------------------------
# What a model has seen


def report(p99: int, longest: int, sentences: Sentences | None) -> PrepareReport:
    source = Side(1000, 0, 10, 20, p99, longest)
    target = Side(1500, 0, 10, 20, 30, 40)
    split = Split(
        "train",
        read=1,
        dropped=(),
        kept=1,
        replaced=0,
        replaced_line=None,
        source=source,
        target=target,
        sentences=sentences,
    )
    return PrepareReport((split,), 1.0, 1)


def opened(folder: Path, known: object) -> Translator:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card[KEY] = known
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return Translator.load(folder, threads=1)


@pytest.mark.parametrize(
    ("p99", "longest", "sentences", "expected"),
    [
        (30, 58, Sentences(0.02, 2), TrainedOn(58, 1, "de", 1.5)),
        (30, 90, Sentences(0.5, 4), TrainedOn(60, 4, "de", 1.5)),
        (200, 300, None, TrainedOn(256, 1, "de", 1.5)),
    ],
)
def test_what_training_keeps_decides(
    tmp_path: Path, p99: int, longest: int, sentences: Sentences | None, expected: TrainedOn
) -> None:
    folder = save_tiny_model(tmp_path)
    assert Translator.load(folder, threads=1).trained_on == TrainedOn(
        256, 1, ratio=0.0
    )  # as version 0.3 has
    ours = recipe.Recipe.model_validate({"data": {"train": ["train.de", "train.en"]}})
    known = figures(ours, report(p99, longest, sentences))
    assert opened(folder, json.loads(json.dumps(known))).trained_on == expected


@pytest.mark.parametrize("known", [3, {"p99": -1}, {"p99": "x", "longest": 3}, []])
def test_a_damaged_card_is_refused(tmp_path: Path, known: object) -> None:
    folder = save_tiny_model(tmp_path)
    with pytest.raises(ModelError) as error:
        opened(folder, known)
    assert str(error.value) == (
        f"{folder / 'card.json'}: damaged: 'trained_on' is not what a training writes there"
    )


def test_models_together_take_what_all_take() -> None:
    several = [TrainedOn(20, 3, "de", 1.5), TrainedOn(30, 1), TrainedOn()]
    assert TrainedOn.together(several) == TrainedOn(20, 1, "de", 1.5)
