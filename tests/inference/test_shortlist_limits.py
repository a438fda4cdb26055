"""Exported models with a shortlist: what it cannot be combined with, and what it can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.saved import LINES, save_tiny_model

from seq2seq.cli.app import app
from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference.export import export_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.scoring import Scorer
from seq2seq.inference.shortlist import Shortlist
from seq2seq.inference.translator import Translator
from seq2seq.search import Sampling, SearchOptions, Wish


def exported(folder: Path, name: str, *, kept: int, seed: int = 3) -> Path:
    """A model of which each source piece leads to the first ``kept`` target pieces."""
    (folder / f"run-{name}").mkdir()
    run = save_tiny_model(folder / f"run-{name}", seed=seed)
    sizes = ModelFolder.open(run).tokenizers
    likely = np.broadcast_to(np.arange(kept, dtype=np.int32), (sizes.source.size, kept))
    shortlist = Shortlist(np.array(likely), np.zeros(0, np.int32), sizes.target.size)
    return export_model(run, folder / name, shortlist=shortlist).path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "one": exported(folder, "one", kept=20),
        "another": exported(folder, "another", kept=20, seed=4),
        "shorter": exported(folder, "shorter", kept=15),
    }


@pytest.fixture(scope="module")
def translator(models: dict[str, Path]) -> Translator:
    return Translator.load(models["one"], shortlist=True, threads=1)


@pytest.mark.parametrize(
    ("wish", "what"),
    [(Wish(prefix="the"), "a prefix"), (Wish(forced=["old"]), "a forced phrase")],
)
def test_texts_that_may_lack_pieces(translator: Translator, wish: Wish, what: str) -> None:
    with pytest.raises(Seq2SeqError) as caught:
        translator.translate(LINES[:3], wishes=[Wish(), wish, Wish()], batch_size=2)
    assert str(caught.value) == (
        f"line 2: has {what}, but a shortlist may lack its pieces: translate without the shortlist"
    )
    assert caught.value.exit_code == 2


def test_scoring(translator: Translator) -> None:
    with pytest.raises(Seq2SeqError) as caught:
        Scorer(translator)
    assert str(caught.value) == (
        "given translations may have pieces that a shortlist lacks: score them without the "
        "shortlist"
    )


def test_ensembles_need_the_same_shortlist(models: dict[str, Path]) -> None:
    paths = [models["one"], models["shorter"]]
    with pytest.raises(ModelError) as caught:
        Translator.load(paths, shortlist=True, threads=1)
    assert str(caught.value) == (
        f"{models['shorter']}: its shortlist is not that of {models['one']}: models translate "
        "together only with the same one: leave the shortlist out, or export them with one from "
        "the same model"
    )
    assert caught.value.exit_code == 2
    together = Translator.load([models["one"], models["another"]], shortlist=True, threads=1)
    assert all(np.isfinite(one[0].log_prob) for one in together.translate_nbest(LINES))
    assert len(Translator.load(paths, threads=1).translate(LINES)) == len(LINES)


@pytest.mark.parametrize(
    "words",
    [
        ["translate", "MODEL", "in", "--shortlist", "--prefix", "in"],
        ["translate", "MODEL", "in", "--shortlist", "--prefix", "in", "--processes", "1"],
        ["translate", "MODEL", "in", "--shortlist", "--with", "OTHER"],
        ["score", "--model", "MODEL", "--shortlist", "in", "in"],
        ["inspect", "attention", "MODEL", "in", "in", "-o", "pictures", "--shortlist"],
    ],
    ids=" ".join,
)
def test_the_command_line_says_so_in_one_line(
    words: list[str],
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("the old man\n", encoding="utf-8")
    paths = {"MODEL": str(models["one"]), "OTHER": str(models["shorter"])}
    with pytest.raises(SystemExit) as ended:
        app([paths.get(word, word) for word in words])
    assert ended.value.code == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert "shortlist" in told.err
    assert told.err.count("\n") == 1


def test_searches_and_avoided_words(translator: Translator) -> None:
    wishes = [Wish(avoided=["the"])] * len(LINES)
    tried = [
        translator.translate_nbest(LINES, options=SearchOptions(beam=4, n_best=2), mbr="chrf"),
        translator.translate_nbest(LINES, options=SearchOptions(n_best=3, sampling=Sampling())),
        translator.translate_nbest(LINES, beam=3, wishes=wishes),
    ]
    pieces = set(translator.tokenizers.target.pieces(range(20))) | {"</s>", "<unk>"}
    for found in tried:
        assert all(set(one.tokens) <= pieces for several in found for one in several)
        assert all(np.isfinite(one.log_prob) for several in found for one in several)
