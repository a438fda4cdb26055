"""Validations measure BLEU by the tokenizer that the text needs, and chrF where it decides."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from support.told import Told

import seq2seq
from seq2seq.errors import ModelError, RecipeError
from seq2seq.inference.translator import Translator
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe, recipe_from_toml
from seq2seq.recipe.training import Validation
from seq2seq.storage import checked_json
from seq2seq.tasks import task_for
from seq2seq.training.defaults import kept
from seq2seq.training.evaluation import Validated

ENGLISH = [
    "red blue old young",
    "cat dog horse bird",
    "sees likes finds hears",
    "fish men tea rice",
]
TARGETS = {
    "zh": ["红 蓝 老 小", "猫 狗 马 鸟", "看见 喜欢 找到 听见", "鱼 人 茶 米"],
    "de": ["rote alte neue junge", "Kuh Uhu Gans Stute", "sieht mag isst hört", "Öl Tee Reis Bier"],
    "th": ["แดง ฟ้า แก่ หนุ่ม", "แมว หมา ม้า นก", "เห็น ชอบ พบ ได้ยิน", "ปลา คน ชา ข้าว"],
}  # fmt: skip
CHRF = "training.early_stopping={metric='chrf'}"


def write_recipe(folder: Path, language: str) -> Path:
    """Writes a corpus of four-word sentences and a recipe for a network that begins to learn it."""
    join = " " if language == "de" else ""
    rows = list(itertools.product(range(4), repeat=4))
    random.Random(4).shuffle(rows)
    for split, some in (("train", rows[:216]), ("val", rows[216:])):
        for name, words, between in (("en", ENGLISH, " "), ("xx", TARGETS[language], join)):
            lines = [
                between.join(words[place].split()[n] for place, n in enumerate(row)) for row in some
            ]
            text = "".join(f"{line}.\n" for line in lines)
            (folder / f"{split}.{name}").write_text(text, encoding="utf-8", newline="\n")
    path = folder / "words.toml"
    path.write_text(
        """
name = "words"
text = {capitals = false}
data = {train = ["train.en", "train.xx"], val = ["val.en", "val.xx"]}
model = {encoder = {embedding = 16, hidden = 32}, decoder = {embedding = 16, hidden = 32}}

[training]
precision = "float32"
updates = 60
batch_tokens = 400
learning_rate = 2e-2
validation = {every = 20}
""",
        encoding="utf-8",
    )
    return path


def trained(recipe: Path | Recipe, run: Path, *settings: str) -> Told:
    told = Told()
    if isinstance(recipe, Path):
        recipe = load_recipe(str(recipe), settings)
    seq2seq.train(recipe, run, threads=1, monitor=told)
    return told


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def card_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "card.json").read_text(encoding="utf-8"))


def stored(run: Path) -> Recipe:
    return recipe_from_toml((run / "recipe.toml").read_text(encoding="utf-8"), "stored")


def greedy(run: Path, folder: Path) -> tuple[list[str], list[str]]:
    """The published model's greedy translations of the validation set, and the references."""
    sides = [
        (folder / f"val.{name}").read_text(encoding="utf-8").splitlines() for name in ("en", "xx")
    ]
    translator = Translator.load(run, engine="torch")
    return translator.translate(sides[0], beam=1), sides[1]


@pytest.mark.parametrize(
    ("language", "tokenizer", "name"), [("zh", "zh", "Chinese"), ("th", "char", "Thai")]
)
def test_a_text_without_spaces_chooses_its_tokenizer(
    tmp_path: Path, language: str, tokenizer: str, name: str
) -> None:
    run = tmp_path / "run"
    told = trained(write_recipe(tmp_path, language), run)
    why = f"100% of the references' letters are {name}, without spaces between words"
    assert f"  BLEU: tokenized by {tokenizer}: {why}" in told.lines
    assert not told.about("warning: training.validation")
    assert stored(run).training.validation.tokenize == tokenizer
    signature = f"greedy, sacreBLEU nrefs:1|case:mixed|eff:no|tok:{tokenizer}|smooth:exp"
    (plan,) = records(run, "plan")
    assert plan["signatures"] == {"bleu": signature}
    assert plan["tokenizer"] == {"name": tokenizer, "reason": why, "unspaced": True}
    card = card_of(run)
    assert card["bleu_signature"] == signature
    assert signature in (run / "report.html").read_text(encoding="utf-8")
    hypotheses, references = greedy(run, tmp_path)
    score = sacrebleu.corpus_bleu(hypotheses, [references], tokenize=tokenizer).score
    assert card["validation"]["bleu"] == pytest.approx(score, abs=1e-9)
    assert score > 1


def test_words_with_spaces_are_measured_by_13a(tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = trained(write_recipe(tmp_path, "de"), run)
    assert not told.about("BLEU: tokenized")
    assert stored(run).training.validation.tokenize == "13a"
    assert "tok:13a" in card_of(run)["bleu_signature"]
    (plan,) = records(run, "plan")
    assert plan["tokenizer"] == {"name": "13a", "reason": "", "unspaced": False}
    assert "chrf" not in records(run, "validation")[0]
    hypotheses, references = greedy(run, tmp_path)
    score = sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert card_of(run)["validation"]["bleu"] == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("bleu", [True, False])
def test_chrf_decides_and_is_shown(tmp_path: Path, bleu: bool) -> None:
    run = tmp_path / "run"
    settings = [CHRF] if bleu else [CHRF, "training.validation.bleu=false"]
    trained(write_recipe(tmp_path, "zh"), run, *settings)
    validations, card = records(run, "validation"), card_of(run)
    best = max(validations, key=lambda one: one["chrf"])
    assert card["update"] == best["update"]
    assert card["validation"]["chrf"] == best["chrf"]
    assert [one["bleu"] is not None for one in validations] == [bleu] * 3
    hypotheses, references = greedy(run, tmp_path)
    score = sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert best["chrf"] == pytest.approx(score, abs=1e-9)
    signature = "greedy, chrF2, sacreBLEU nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no"
    assert card["chrf_signature"] == signature
    (plan,) = records(run, "plan")
    assert plan["signatures"]["chrf"] == signature
    assert ("bleu" in plan["signatures"]) == (plan["tokenizer"] is not None) == bleu
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'aria-label="chrF of the validation set, greedy"' in page
    assert page.count(signature) == 1
    assert ">chrF</th>" in page


@pytest.mark.parametrize(("score", "value"), [(0.0, 0.0), (0.4, 0.4), (55.5, 55.5)])
def test_a_low_chrf_is_no_chance(tmp_path: Path, score: float, value: float) -> None:
    task = task_for(load_recipe(str(write_recipe(tmp_path, "de")), [CHRF]))
    assert task.value(Validated(2.0, {"bleu": None, "chrf": score})) == value
    line = Validated(2.0, {"bleu": 0.5, "chrf": score}, labels={"chrf": "chrF"}).line()
    assert f"  chrF {score:.2f}" in line


def test_a_tokenizer_that_sees_no_words_is_warned_about(tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = trained(
        write_recipe(tmp_path, "zh"),
        run,
        "training.validation.tokenize='13a'",
        "training.updates=1",
    )
    assert told.about("training.validation.tokenize") == [
        "warning: training.validation.tokenize: 13a takes a whole line for one word: 100% of the "
        "references' letters are Chinese, without spaces between words; zh fits; while BLEU is "
        "below 1, the loss decides which weights are best"
    ]
    assert stored(run).training.validation.tokenize == "13a"
    assert "tok:13a" in card_of(run)["bleu_signature"]


@pytest.mark.usefixtures("no_mecab")
@pytest.mark.parametrize("name", ["ja-mecab", "flores200"])
def test_what_is_not_there_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path / "none"))
    recipe, setting = write_recipe(tmp_path, "zh"), f"training.validation.tokenize='{name}'"
    with pytest.raises(RecipeError) as caught:
        trained(recipe, tmp_path / "run", setting)
    begin = f"recipe words: training.validation.tokenize: {name} cannot be used: "
    assert str(caught.value).startswith(begin)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    # Where BLEU is not measured, it is not needed.
    trained(recipe, tmp_path / "run", setting, CHRF, "training.validation.bleu=false")
    assert f"tok:{name}|" in card_of(tmp_path / "run")["bleu_signature"]


def without_tokenize(run: Path) -> None:
    """Makes a run's recipe one of version 0.5, which had no such key."""
    about = checked_json.read(run / "run.json")
    old = about["recipe"].replace('tokenize = "13a"\n', "")
    assert old != about["recipe"]
    checked_json.write(run / "run.json", {**about, "recipe": old})
    (run / "recipe.toml").write_text(old, encoding="utf-8", newline="\n")


@pytest.mark.parametrize("own", [True, False])
def test_a_run_of_an_older_version_keeps_13a(tmp_path: Path, own: bool) -> None:
    """By the recipe that it was begun with, and by the one in its folder."""
    run, recipe = tmp_path / "run", write_recipe(tmp_path, "zh")
    by_13a, more = "training.validation.tokenize='13a'", "training.updates=80"
    trained(recipe, run, by_13a)
    without_tokenize(run)
    trained(run / "recipe.toml" if own else recipe, run, more)
    assert stored(run).training.validation.tokenize == "13a"
    assert len(records(run, "validation")) == 4
    trained(recipe, tmp_path / "whole", by_13a)
    trained(recipe, tmp_path / "whole", by_13a, more)
    scores = [
        [one["bleu"] for one in records(tmp_path / name, "validation")] for name in ("run", "whole")
    ]
    assert scores[0] == scores[1]
    with pytest.raises(ModelError, match=r"validation\.tokenize is '13a' there and 'zh' here"):
        trained(recipe, run, more, "training.validation.tokenize='zh'")


def test_what_a_run_chose_stays(tmp_path: Path) -> None:
    old, new = Validation(), Validation(tokenize="char")
    assert kept(Validation(), new).tokenize == "char"
    assert kept(Validation(), old).model_fields_set == {"tokenize"}
    assert kept(Validation(tokenize="zh"), old).tokenize == "zh"


def test_where_bleu_does_not_decide_its_tokenizer_may_change(tmp_path: Path) -> None:
    run, recipe = tmp_path / "run", write_recipe(tmp_path, "zh")
    trained(recipe, run, CHRF, "training.updates=20")
    trained(recipe, run, CHRF, "training.updates=40", "training.validation.tokenize='char'")
    assert [one["signatures"]["bleu"].split("|")[3] for one in records(run, "plan")] == [
        "tok:zh",
        "tok:char",
    ]
    with pytest.raises(ModelError, match=r"validation\.lines is not given there and 3 here"):
        trained(recipe, run, CHRF, "training.updates=40", "training.validation.lines=3")
