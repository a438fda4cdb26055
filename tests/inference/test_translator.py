from __future__ import annotations

import logging
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.saved import save_tiny_model
from support.scripted import ScriptedModel, copying_script, random_script
from support.tokenizers import save

from seq2seq import recipe
from seq2seq.errors import ModelError, RecipeError, Seq2SeqError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.inference.request import request_and_constraints
from seq2seq.inference.scoring import Scorer
from seq2seq.inference.translator import ScoredTranslation, Translator
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.search import Constraints, SearchOptions
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

WORDS = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()


def corpus(lines: int, seed: int = 0, longest: int = 12) -> list[str]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, longest + 1, size=lines)
    return [" ".join(rng.choice(WORDS, size=size)) for size in sizes]


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    lines = corpus(300)
    return train_tokenizers(recipe.Tokenizer(vocab_size=40), lines, lines)


@pytest.fixture
def copier(tokenizers: Tokenizers) -> ScriptedModel:
    return ScriptedModel(tokenizers.target.size, copying_script(tokenizers.target.size))


@pytest.fixture
def dreamer(tokenizers: Tokenizers) -> ScriptedModel:
    """Says something random, which depends on the whole source."""
    size = tokenizers.target.size
    return ScriptedModel(size, random_script(size, seed=5, eos=3.0))


def translator(model: ScriptedModel, tokenizers: Tokenizers, **options: object) -> Translator:
    return Translator(model, tokenizers, recipe.Translation.model_validate(options))


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_lines_come_back_in_order(
    copier: ScriptedModel, tokenizers: Tokenizers, beam: int, batch_size: int
) -> None:
    lines = corpus(150, seed=1)
    lines[3] = lines[77] = ""
    lines[78] = lines[149] = " \t\u3000"
    expected = [line.strip() for line in lines]
    ours = translator(copier, tokenizers).translate(lines, beam=beam, batch_size=batch_size)
    assert ours == expected


@pytest.mark.parametrize("name", ["", "runs/x"])
@pytest.mark.parametrize("force", [(), ("Hund",)])
def test_numbers_that_are_none(tokenizers: Tokenizers, name: str, force: tuple[str, ...]) -> None:
    size = tokenizers.target.size
    broken = ScriptedModel(size, lambda source, prefix: np.full(size, np.nan))
    one = Translator(broken, tokenizers, recipe.Translation(), name=name)
    with pytest.raises(ModelError) as caught:
        one.translate(WORDS, constraints=[Constraints(forced=force)] * len(WORDS))
    assert str(caught.value).startswith(
        f"{name}: the model's probabilities" if name else "the model's probabilities"
    )


def test_a_translation_does_not_depend_on_its_batch(
    dreamer: ScriptedModel, tokenizers: Tokenizers
) -> None:
    lines = corpus(130, seed=2)
    lines[5] = ""
    ours = translator(dreamer, tokenizers, beam=3, max_extra=3, max_ratio=0.5)
    alone = ours.translate_nbest(lines, n_best=2, batch_size=1)
    assert ours.translate_nbest(lines, n_best=2, batch_size=7) == alone
    assert ours.translate_nbest(lines[::-1], n_best=2, batch_size=64) == alone[::-1]
    assert [best[0].text for best in alone] == ours.translate(lines)


def test_batches_hold_lines_of_about_equal_length(
    copier: ScriptedModel, tokenizers: Tokenizers
) -> None:
    lines = corpus(64, seed=3)
    translator(copier, tokenizers).translate(lines, beam=1, batch_size=8)
    assert copier.starts == [8] * 8
    pieces = sum(len(row) + 1 for row in tokenizers.source.encode(lines))
    # A batch takes as many steps as its longest line has pieces, so little is left to drop.
    assert sum(copier.sizes) == pieces


def test_very_long_lines_make_smaller_batches(
    copier: ScriptedModel, tokenizers: Tokenizers
) -> None:
    lines = [" ".join(["Hund"] * 300)] * 4 + ["Hund"] * 12
    pieces = len(tokenizers.source.encode(lines[:1])[0])
    assert 128 * 8 / 4 < pieces <= 128 * 8 / 3  # the bound at batch size 8: three of them fit
    assert translator(copier, tokenizers).translate(lines, beam=1, batch_size=8) == lines
    assert copier.starts == [8, 4, 3, 1]


def test_memory_is_constant(copier: ScriptedModel, tokenizers: Tokenizers) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "ein Hund"

    ours = translator(copier, tokenizers)
    for batch_size, window in ((1, 1), (4, 64)):
        taken = 0
        stream = ours.stream(endless(), beam=1, batch_size=batch_size)
        assert taken == 0
        for number in range(3 * window):
            assert next(stream)[0].text == "ein Hund"
            assert taken == (number // window + 1) * window


def test_an_empty_line_asks_no_model(copier: ScriptedModel, tokenizers: Tokenizers) -> None:
    ours = translator(copier, tokenizers)
    assert ours.translate(["", "  ", "\u2028", "\n"]) == ["", "", "", ""]
    assert ours.translate_nbest([""], n_best=5) == [[ScoredTranslation("", 0.0, 0.0, False)]]
    assert ours.translate([]) == []
    assert copier.starts == []


def test_nbest_is_best_first_and_scored(dreamer: ScriptedModel, tokenizers: Tokenizers) -> None:
    lines = corpus(20, seed=4)
    ours = translator(dreamer, tokenizers, beam=6, normalization={"kind": "gnmt", "alpha": 0.6})
    found = ours.translate_nbest(lines, n_best=4)
    for line, several in zip(lines, found, strict=True):
        assert len(several) == 4
        assert [one.score for one in several] == sorted((o.score for o in several), reverse=True)
        source = [*tokenizers.source.encode([line])[0], EOS]
        for one in several:
            assert one.score == pytest.approx(
                one.log_prob / ((5 + _length(one, dreamer, source)) / 6) ** 0.6
            )


def _length(one: ScoredTranslation, model: ScriptedModel, source: list[int]) -> int:
    """The tokens of a translation, eos counted: the only length that its score is right for."""
    lengths = [
        n for n in range(1, 60) if math.isclose(one.log_prob / one.score, ((5 + n) / 6) ** 0.6)
    ]
    assert len(lengths) == 1
    return lengths[0]


def test_as_many_translations_as_there_are(tokenizers: Tokenizers) -> None:
    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(tokenizers.target.size, -np.inf, dtype=np.float32)
        log_probs[[EOS] if prefix else [10, 11]] = math.log(1.0 if prefix else 0.5)
        return log_probs

    ours = translator(ScriptedModel(tokenizers.target.size, script), tokenizers)
    assert [len(several) for several in ours.translate_nbest(["ein Hund"], n_best=5)] == [2]


def test_caps_come_from_the_recipe(tokenizers: Tokenizers) -> None:
    def never_ends(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(tokenizers.target.size, -50.0, dtype=np.float32)
        log_probs[10] = 0.0
        return log_probs

    model = ScriptedModel(tokenizers.target.size, never_ends)
    ours = translator(model, tokenizers, max_ratio=1.5, max_extra=2)
    line = "ein Hund läuft"
    pieces = len(tokenizers.source.encode([line])[0])
    for beam in (1, 4):
        model.sizes.clear()
        found = ours.translate_nbest([line], n_best=1, beam=beam)[0][0]
        assert found.truncated
        # One step more asks for the log-probability of eos, if it was not among the candidates.
        assert len(model.sizes) - 1 in {math.floor(1.5 * pieces + 2) + more for more in (0, 1)}
        assert found.log_prob == pytest.approx(-50.0)


def test_a_source_that_is_too_long_is_cut_with_a_warning(
    copier: ScriptedModel, tokenizers: Tokenizers, caplog: pytest.LogCaptureFixture
) -> None:
    line = "ein Hund läuft über die Wiese"
    row = tokenizers.source.encode([line])[0]
    ours = translator(copier, tokenizers, max_source=len(row) - 1, long="truncate")
    with caplog.at_level(logging.WARNING, logger="seq2seq"):
        found = ours.translate(["Hund"] * 40 + [line, "Hund"], beam=1, batch_size=2)
    assert found[40] == tokenizers.target.decode([row[:-1]])[0]
    assert found[41] == "Hund"
    assert [record.getMessage() for record in caplog.records] == [
        f"line 41: {len(row)} pieces, but the model takes at most {len(row) - 1}: "
        "the rest was left out"
    ]


def test_a_line_of_ten_thousand_words(
    copier: ScriptedModel, tokenizers: Tokenizers, caplog: pytest.LogCaptureFixture
) -> None:
    ours = translator(copier, tokenizers, max_source=100)
    lines = ["Hund " * 10_000, "Hund"]
    assert ours.translate(lines, beam=2) == [line.strip() for line in lines]  # in parts
    assert caplog.records == []
    assert ours.translate(lines, beam=2, long="truncate") == [("Hund " * 100).strip(), "Hund"]
    assert len(caplog.records) == 1


def test_an_odd_tokenizer_does_not_break_lines() -> None:
    class Breaking:
        size = 60

        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[10] for _ in texts]

        def decode(self, ids: list[list[int]]) -> list[str]:
            return ["a\nb\r\u2028c" for _ in ids]

    both = Tokenizers(Breaking(), Breaking())  # type: ignore[arg-type]
    model = ScriptedModel(60, copying_script(60))
    ours = Translator(model, both, recipe.Translation())
    assert ours.translate(["x", " \u2009"]) == ["a b\r\u2028c", ""]


def test_odd_characters_are_content(copier: ScriptedModel, tokenizers: Tokenizers) -> None:
    lines = ["Hund\u2028Hund", "Hund\x0bHund", "Hund\rHund", "\x00", "\ud800", "漢字", "🐕"]
    assert len(translator(copier, tokenizers).translate(lines, batch_size=2)) == len(lines)


def test_special_tokens_are_never_said(dreamer: ScriptedModel, tokenizers: Tokenizers) -> None:
    said: list[list[int]] = []
    decode = tokenizers.target.decode

    class Listening:
        size = tokenizers.target.size
        encode = staticmethod(tokenizers.source.encode)
        pieces = staticmethod(tokenizers.source.pieces)

        def decode(self, ids: list[tuple[int, ...]]) -> list[str]:
            said.extend(list(row) for row in ids)
            return decode(ids)

    both = Tokenizers(Listening(), Listening())  # type: ignore[arg-type]
    ours = Translator(dreamer, both, recipe.Translation())
    ours.translate_nbest(corpus(30), n_best=3)
    ours.translate(corpus(30), beam=1)
    tokens = {token for row in said for token in row}
    assert tokens
    assert not tokens & {PAD, UNK, BOS, EOS}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beam": 0}, "beam is 0; 1 (greedy) or more is allowed"),
        ({"beam": -1}, "beam is -1; 1 (greedy) or more is allowed"),
        ({"n_best": 0}, "n_best is 0; 1 or more is allowed"),
        ({"batch_size": 0}, "batch_size is 0; 1 or more is allowed"),
        (
            {"n_best": 6},
            "n_best is 6, but beam is 5: --n-best 6 needs --beam 6 or more",
        ),
    ],
)
def test_wishes_that_do_not_fit(
    copier: ScriptedModel, tokenizers: Tokenizers, wrong: dict[str, int], message: str
) -> None:
    ours = translator(copier, tokenizers)
    with pytest.raises(Seq2SeqError) as error:
        ours.stream(["x"], **wrong)  # at once, not when the first line is wanted
    assert str(error.value) == message
    assert type(error.value) is Seq2SeqError


def test_a_tokenizer_of_another_size(tokenizers: Tokenizers) -> None:
    with pytest.raises(ModelError) as error:
        translator(ScriptedModel(50, copying_script(50)), tokenizers)
    assert str(error.value) == (
        "the model has 50 target pieces, its tokenizer 40: they do not belong together"
    )


class TestLoad:
    """What is wrong with a folder is said before an engine is asked for."""

    def message(self, folder: Path, expected: type[Seq2SeqError] = ModelError) -> str:
        with pytest.raises(Seq2SeqError) as error:
            Translator.load(folder)
        assert type(error.value) is expected
        return str(error.value)

    def test_no_folder(self, tmp_path: Path) -> None:
        assert self.message(tmp_path / "runs") == (
            f"{tmp_path}/runs: no such folder; expected one that seq2seq train or export wrote"
        )

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "weights.safetensors").touch()
        assert self.message(tmp_path / "weights.safetensors") == (
            f"{tmp_path}/weights.safetensors: a file, but a model is a folder: "
            "give the folder that it is in"
        )

    def test_another_folder(self, tmp_path: Path) -> None:
        assert self.message(tmp_path) == (
            f"{tmp_path}: no recipe.toml, so this is not a model: expected a folder that "
            "seq2seq train has written"
        )

    def test_a_damaged_recipe(self, tmp_path: Path) -> None:
        path = tmp_path / "recipe.toml"
        path.write_bytes(b"name = '\xff'\n")
        assert self.message(tmp_path) == f"{path}: damaged: it is not UTF-8 text"
        path.write_bytes(b"nmae = 'x'\n")
        assert str(path) in self.message(tmp_path, RecipeError)
        path.unlink()
        path.mkdir()
        assert self.message(tmp_path) == f"{path}: cannot be read: Is a directory"

    def test_no_tokenizer(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe.Recipe()), encoding="utf-8")
        assert self.message(tmp_path) == (
            f"{tmp_path}: no tokenizer: expected tokenizer.model, or source.model and target.model"
        )

    def test_no_weights_yet(self, tmp_path: Path, tokenizers: Tokenizers) -> None:
        (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe.Recipe()), encoding="utf-8")
        save(tokenizers, tmp_path)
        assert self.message(tmp_path) == (
            f"{tmp_path}: no weights.safetensors: this is a prepared corpus, or a run that has not "
            "reached its first validation; train first: seq2seq train"
        )

    def test_threads(self, tmp_path: Path) -> None:
        with pytest.raises(Seq2SeqError, match=r"^threads is 0; 1 or more is allowed$"):
            Translator.load(tmp_path, threads=0)

    def test_engines(self, tmp_path: Path) -> None:
        with pytest.raises(Seq2SeqError) as error:
            Translator.load(tmp_path, engine="tpu")
        assert str(error.value) == "engine is 'tpu'; allowed: auto, onnx, torch"

    def test_without_torch(self, tmp_path: Path) -> None:
        save_tiny_model(tmp_path)
        printed = _without_torch(
            "from seq2seq.errors import MissingExtraError\n"
            "from seq2seq.inference.translator import Translator\n"
            "try:\n"
            f"    Translator.load({str(tmp_path)!r}, engine='torch')\n"
            "except MissingExtraError as error:\n"
            "    print(error)\n"
        )
        assert printed == (
            "the engine 'torch' needs the package 'torch', which is not installed: "
            "pip install 'seq2seq[train]'\n"
        )


def _without_torch(code: str) -> str:
    """Runs code where torch, datasets and pyarrow cannot be imported."""
    block = "import sys\nfor name in ('torch', 'datasets', 'pyarrow'): sys.modules[name] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", block + code],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_searching_and_translating_need_no_torch() -> None:
    code = "import seq2seq.search, seq2seq.inference.translator\nprint('fine')\n"
    assert _without_torch(code) == "fine\n"


def test_constraints_go_by_their_name_of_before_too() -> None:
    some, base = [Constraints("Der")], SearchOptions()
    for name in ("constraints", "wishes"):
        request, found = request_and_constraints(base, recipe.Translation(), beam=2, **{name: some})
        assert found is some
        assert request.options.beam == 2
    with pytest.raises(TypeError, match="unexpected keyword"):
        request_and_constraints(base, recipe.Translation(), constraint=some)  # type: ignore[call-arg]


def test_constraints_go_by_one_of_their_names() -> None:
    both = {"constraints": [Constraints(prefix="a")], "wishes": [Constraints(prefix="b")]}
    with pytest.raises(Seq2SeqError, match="both constraints and wishes are given, which are one"):
        request_and_constraints(SearchOptions(), recipe.Translation(), **both)  # type: ignore[misc]


def test_progress_is_told_while_lines_are_translated(
    copier: ScriptedModel, tokenizers: Tokenizers
) -> None:
    told: list[float] = []
    ours = translator(copier, tokenizers, max_source=50)
    lines = ["Hund " * 1000, "", "Hund"]
    request, _ = request_and_constraints(ours.search_options, ours.options, beam=1, batch_size=2)
    found = ours.run(lines, request, advance=told.append)
    assert len(list(found)) == 3
    assert sum(told) == pytest.approx(3)
    assert len(told) > 5  # the long line has parts
    told.clear()
    list(ours.run(["", " "], request, advance=told.append))
    assert told == [2]


def spacious(tokenizers: Tokenizers) -> ScriptedModel:
    """Likes a lone space before each word of the source, which the tokenizer never makes."""
    lone = tokenizers.target.vocabulary.index("\u2581")

    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        at = len(prefix)
        wanted = (lone, *source)[at] if at < len(source) + 1 else EOS
        log_probs = np.full(tokenizers.target.size, -6.0, dtype=np.float32)
        log_probs[wanted], log_probs[source[min(at, len(source) - 1)]] = -0.1, -0.7
        if at and prefix[-1] == EOS:
            log_probs[EOS] = -0.1
        return log_probs

    return ScriptedModel(tokenizers.target.size, script)


def test_scores_are_those_of_the_text_that_is_written(tokenizers: Tokenizers) -> None:
    ours = Translator(spacious(tokenizers), tokenizers, recipe.Translation(), warns=True)
    lines = ["Hund", "ein Hund läuft", "die grüne Wiese"]
    found = list(ours.stream(lines, n_best=3, details=True))
    for line, several in zip(lines, found, strict=True):
        assert [one.score for one in several] == sorted((o.score for o in several), reverse=True)
        for one in several:
            assert "  " not in one.text
            assert one.text == one.text.strip()
            (again,) = Scorer(ours).score([(line, one.text)])
            if not one.truncated:
                assert (again.log_prob, again.score) == pytest.approx((one.log_prob, one.score))
                assert again.tokens == one.tokens
    plain = translator(spacious(tokenizers), tokenizers)  # of a model in training
    assert not any(text != text.strip() or "  " in text for text in plain.translate(lines))


def test_a_prefix_keeps_its_spaces(copier: ScriptedModel, tokenizers: Tokenizers) -> None:
    ours = translator(copier, tokenizers)
    for prefix in ("ein  ", "ein  Hu", " ein"):
        (text,) = ours.translate(["ein Hund"], constraints=[Constraints(prefix=prefix)])
        assert text.startswith(prefix)
        assert "  " not in text[len(prefix) :]


def test_a_prefix_with_a_line_end_gives_one_line(
    copier: ScriptedModel, tokenizers: Tokenizers
) -> None:
    ours = translator(copier, tokenizers)
    (text,) = ours.translate(["ein Hund"], constraints=[Constraints(prefix="ein\nHu")])
    assert text.startswith("ein Hu")
    assert "\n" not in text


def test_what_is_no_list_of_lines(copier: ScriptedModel, tokenizers: Tokenizers) -> None:
    ours = translator(copier, tokenizers)
    for wrong, message in (
        (["a", None], "line 2: must be a string, not NoneType"),
        ([b"a"], "line 1: must be a string, not bytes"),
        (None, "lines is NoneType; give a list of lines: [line]"),
        ("a", "lines is a single string; give a list of lines, also of one: [line]"),
    ):
        with pytest.raises(Seq2SeqError) as error:
            ours.translate(wrong)  # type: ignore[arg-type]
        assert str(error.value) == message


def test_a_translator_says_that_it_cannot_be_pickled(
    copier: ScriptedModel, tokenizers: Tokenizers
) -> None:
    with pytest.raises(TypeError, match=r"^a Translator cannot be pickled"):
        pickle.dumps(translator(copier, tokenizers))
