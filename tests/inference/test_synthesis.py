"""Synthetic pairs, made by a translator whose answers are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu import sentence_bleu, sentence_chrf

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.request import Request
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.synthesis import (
    BLANK,
    BackTranslation,
    Distillation,
    Plan,
    check_plan,
    nearest,
    noisy,
    synthesize,
)
from seq2seq.search import SearchOptions
from seq2seq.storage.unfinished import UnfinishedLines

SOURCES = [f"line {i} of the text" for i in range(40)]
TARGETS = [f"Zeile {i} im Text" for i in range(40)]
MODELS = [{"path": "runs/a", "sha256": {"weights.safetensors": "0" * 64}}]
REQUEST = Request(SearchOptions(n_best=3), batch_size=1)  # 16 lines are kept at a time


class Known:
    """Answers each line with its letters turned round, and two more; breaks after some lines."""

    def __init__(self, breaks: int | None = None) -> None:
        self.breaks = breaks
        self.asked: list[str] = []

    def run(
        self, lines: Iterable[str], request: Request, *, advance: Callable[[float], None]
    ) -> Iterator[list[ScoredTranslation]]:
        for line in lines:
            if len(self.asked) == self.breaks:
                raise KeyboardInterrupt
            self.asked.append(line)
            texts = [line[::-1], line.upper(), line.replace("line", "Zeile")]
            yield [ScoredTranslation(text, -i, -i, False) for i, text in enumerate(texts)]
            advance(1)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("a.en", SOURCES), ("a.de", TARGETS), ("short.de", TARGETS[:-1])):
        Path(name).write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    return tmp_path


def make(plan: Plan, known: Known | None = None, **more: Any) -> dict[str, Any]:
    asked = {"models": MODELS, "request": REQUEST, **more}
    return synthesize(plan, Path("out"), known or Known(), **asked)  # type: ignore[arg-type]


def made() -> list[tuple[str, str]]:
    sides = (
        Path("out", f"{one}.txt").read_text("utf-8").split("\n") for one in ("source", "target")
    )
    pairs = [*zip(*sides, strict=True)]
    assert pairs.pop() == ("", "")
    return pairs


DISTILLED = Distillation("a.en", "a.de")


def test_targets_become_the_teachers(files: Path) -> None:
    make(DISTILLED)
    assert made() == [(line, line[::-1]) for line in SOURCES]
    assert sorted(one.name for one in files.iterdir()) == ["a.de", "a.en", "out", "short.de"]


def test_original_pairs_follow(files: Path) -> None:
    record = make(replace(DISTILLED, keep_original=True))
    assert made() == [(line, line[::-1]) for line in SOURCES] + [
        *zip(SOURCES, TARGETS, strict=True)
    ]
    assert (record["pairs"], record["translated"]) == (80, 40)


def test_sources_become_the_models(files: Path) -> None:
    make(BackTranslation("a.de", tag="<BT>"))
    assert made() == [(f"<BT> {line[::-1]}", line) for line in TARGETS]


def test_an_empty_translation_stays_empty(files: Path) -> None:
    """With a tag or noise, too: ``prepare`` is to drop the pair."""
    (files / "a.de").write_text("Hund\n\n \nKatze\n", encoding="utf-8")
    record = make(BackTranslation("a.de", tag="<BT>", noise=0.1))
    assert [source == "" for source, _ in made()] == [False, True, False, False]
    assert record["empty"] == 1


@pytest.mark.usefixtures("files")
def test_the_nearest_of_one_is_refused() -> None:
    one = replace(REQUEST, options=SearchOptions(beam=1))
    assert make(DISTILLED, request=one)["pairs"] == 40
    with pytest.raises(Seq2SeqError) as error:
        make(replace(DISTILLED, choose="chrf"), request=one)
    assert str(error.value) == (
        "choose = 'chrf' needs several translations of a line: draw 2 samples or more, or use a "
        "beam of 2 or more"
    )


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("name", "score"), [("bleu", sentence_bleu), ("chrf", sentence_chrf)])
def test_the_nearest_is_sacrebleus(name: str, score: Any) -> None:
    make(replace(DISTILLED, choose=name))
    for (source, target), reference in zip(made(), TARGETS, strict=True):
        texts = [source[::-1], source.upper(), source.replace("line", "Zeile")]
        assert target == max(texts, key=lambda one: score(one, [reference]).score)


@pytest.mark.parametrize(("name", "score"), [("bleu", sentence_bleu), ("chrf", sentence_chrf)])
def test_the_nearest_of_random_texts(name: str, score: Any) -> None:
    random = np.random.default_rng(1)
    words = "der Hund läuft über die grüne Wiese , und dann schläft er .".split()

    def text() -> str:
        return " ".join(random.choice(words, random.integers(0, 9)))

    several = [[text() for _ in range(random.integers(1, 6))] for _ in range(60)]
    references = [text() for _ in several]
    best = [
        max(one, key=lambda text: score(text, [line]).score)
        for one, line in zip(several, references, strict=True)
    ]
    assert nearest(several, references, name, "13a") == best


def test_the_record_has_counts_and_sums(files: Path) -> None:
    record = make(DISTILLED, running={"precision": "int8"})
    written = json.loads(Path("out", "synthetic.json").read_bytes())
    assert {key: written[key] for key in record} == record

    def about(path: str) -> dict[str, Any]:
        content = (files / path).read_bytes()
        return {"lines": content.count(b"\n"), "sha256": sha256(content).hexdigest()}

    assert written["inputs"] == {
        "source": {"path": "a.en", **about("a.en")},
        "target": {"path": "a.de", **about("a.de")},
    }
    assert written["outputs"] == {
        name: about(f"out/{name}") for name in ("source.txt", "target.txt")
    }
    assert written["models"] == MODELS
    options = written["options"]
    assert (options["choose"], options["beam"], options["precision"]) == ("best", 5, "int8")


@pytest.mark.parametrize("plan", [DISTILLED, BackTranslation("a.en", noise=0.3)])
def test_a_stopped_one_goes_on(files: Path, plan: Plan) -> None:
    make(plan)
    whole = {one.name: one.read_bytes() for one in (files / "out").iterdir()}
    for one in (files / "out").iterdir():
        one.unlink()
    asked = []
    for breaks in (5, 20, 15):
        with pytest.raises(KeyboardInterrupt):
            make(plan, first := Known(breaks))
        asked.append(first.asked[:16] if breaks == 20 else [])
    told: list[str] = []
    make(plan, last := Known(), say=told.append)
    assert [*asked[1], *last.asked] == SOURCES
    assert told == ["going on after 16 of 40 lines that are translated already"]
    assert {one.name: one.read_bytes() for one in (files / "out").iterdir()} == whole
    assert not Path("out.unfinished").exists()


def test_one_that_is_done_is_left_as_it_is(files: Path) -> None:
    first, told = make(DISTILLED), []
    before = (files / "out" / "target.txt").stat()
    assert make(DISTILLED, known := Known(), say=told.append) == first
    assert (known.asked, told) == ([], ["out was made of the same before, and is left as it is"])
    with pytest.raises(Seq2SeqError) as error:
        make(replace(DISTILLED, choose="bleu"))
    assert str(error.value) == "out: already exists: name another folder, or remove it"
    assert (files / "out" / "target.txt").stat() == before


def test_a_kill_right_after_the_output_appeared(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(UnfinishedLines, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            make(DISTILLED)
    assert Path("out", "synthetic.json").exists()
    assert Path("out.unfinished").exists()
    make(DISTILLED, known := Known())
    assert known.asked == []
    assert not Path("out.unfinished").exists()


@pytest.mark.usefixtures("files")
def test_other_options_and_inputs_are_refused() -> None:
    with pytest.raises(KeyboardInterrupt):
        make(DISTILLED, Known(20))
    for plan, more, words in (
        (replace(DISTILLED, choose="bleu"), {}, 'options.choose "best", which is "bleu" now'),
        (DISTILLED, {"request": replace(REQUEST, long="keep")}, 'options.long "split", which is'),
        (DISTILLED, {"running": {"combine": "log"}}, "options.combine null, which is"),
        (DISTILLED, {"models": MODELS * 2}, "models.2.weights.safetensors null, which is"),
        (BackTranslation("a.en"), {}, 'verb "distil", which is "backtranslate" now'),
    ):
        with pytest.raises(Seq2SeqError) as error:
            make(plan, **more)
        assert str(error.value).startswith(f"out.unfinished: was begun with {words}")
    with Path("a.de").open("a", encoding="utf-8") as file:
        file.write("one more\n")
    with Path("a.en").open("a", encoding="utf-8") as file:
        file.write("one more\n")
    with pytest.raises(Seq2SeqError, match=r"was begun with sha256\.source"):
        make(DISTILLED)


def test_an_input_that_changes_meanwhile(files: Path) -> None:
    class Changing(Known):
        def run(self, *asked: Any, **more: Any) -> Iterator[list[ScoredTranslation]]:
            yield from super().run(*asked, **more)
            Path("a.de").write_text("x\n" * 40, encoding="utf-8")

    with pytest.raises(Seq2SeqError) as error:
        make(DISTILLED, Changing())
    assert str(error.value) == (
        "a.de: has changed since its translation began: remove out.unfinished to begin anew"
    )
    assert not Path("out").exists()


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            Distillation("a.en", "short.de"),
            "a.en has 40 lines but short.de has 39 lines: line n of one must belong to line n of "
            "the other",
        ),
        (Distillation("a.en", "nowhere"), "nowhere: no such file"),
        (BackTranslation("nowhere"), "nowhere: no such file"),
        (
            Distillation("a.en", "a.de", "blue"),
            "choose: unknown name 'blue' (did you mean 'bleu'?); allowed: best, bleu, chrf",
        ),
        (BackTranslation("a.de", "a tag"), "tag is 'a tag'; it must be one word, such as <BT>"),
        (
            BackTranslation("a.de", noise=1.0),
            "noise is 1.0; it must be at least 0 and below 1",
        ),
    ],
)
def test_bad_plans(plan: Plan, message: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        check_plan(plan, Path("out"))
    assert str(error.value) == message


def test_an_output_that_is_something_else(files: Path) -> None:
    for output in (Path("a.en"), files):
        with pytest.raises(Seq2SeqError, match="already exists: name another folder, or remove it"):
            check_plan(DISTILLED, output)


def test_noise_is_as_it_was_published() -> None:
    """Words go, or are blanked, as often as it says; none moves more than three places."""
    random = np.random.default_rng(5)
    counts: Counter[str] = Counter()
    farthest = moved = 0
    for _ in range(400):
        words = [str(i) for i in range(20)]
        found = noisy(" ".join(words), 0.1, random).split()
        counts["left"] += len(found)
        counts["blank"] += found.count(BLANK)
        order = [int(one) for one in found if one != BLANK]
        moved += order != sorted(order)
        found = noisy(" ".join(words), 0.0, random).split()
        assert sorted(found) == sorted(words)
        farthest = max(farthest, *(abs(int(one) - i) for i, one in enumerate(found)))
    assert counts["left"] / 8000 == pytest.approx(0.9, abs=0.02)
    assert counts["blank"] / counts["left"] == pytest.approx(0.1, abs=0.02)
    assert (farthest, moved > 380) == (3, True)
    assert noisy("", 0.5, random) == ""
    assert noisy("word", 0.99, random) in ("word", BLANK)
