"""Wishes under every search: kept whatever else is asked for, and scored by the model alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import ScriptedModel, random_script, sources
from support.tokenizers import KINDS, WORDS, tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.search import Hypothesis, Sampling, SearchOptions, SourceBatch, Wish, run_search
from seq2seq.search.constraints import check_constraints, restore_prefix
from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.greedy import force

TABLES = {kind: PieceTable.of(tokenizer(*kind)) for kind in KINDS}
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {"beam": 1},
    "beam": {"beam": 4, "n_best": 2},
    "groups": {"beam": 4, "n_best": 4, "groups": 2},
    "samples": {"sampling": Sampling(top_p=0.9), "n_best": 3},
}


def leaning_script(pieces: PieceTable, seed: int, wish: Wish) -> Any:
    """Likes the pieces of what is to be avoided, so that it would come without the rule."""
    liked = "".join(f" {phrase} " for phrase in wish.avoided).encode()
    bonus = np.array([2.0 * (0 < len(one) <= 6 and one in liked) for one in pieces.spelling_V])
    plain = random_script(pieces.size, seed=seed, spread=1.0, eos=1.0)

    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        logits = plain(source, prefix).astype(np.float64) + bonus
        found: np.ndarray = (logits - np.log(np.exp(logits).sum())).astype(np.float32)
        return found

    return script


def holds(text: str, phrase: str) -> bool:
    text = " ".join(text.split(" "))
    while "  " in text:
        text = text.replace("  ", " ")
    start = text.find(phrase)
    while start >= 0:
        around = text[start - 1 : start] if start else "", text[start + len(phrase) :][:1]
        edges = phrase[0], phrase[-1]
        if not any(
            near and is_word_character(near) and is_word_character(edge)
            for near, edge in zip(around, edges, strict=True)
        ):
            return True
        start = text.find(phrase, start + 1)
    return False


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join)
wishes = st.builds(
    Wish,
    prefix=st.one_of(
        st.just(""),
        words,
        words.map(lambda text: text[:-1]),
        words.map(lambda text: f"{text} "),
        st.just("☃ Hu"),
    ),
    avoided=st.lists(st.one_of(words, st.sampled_from("e . n".split())), max_size=2),
    forced=st.lists(words, max_size=2),
)


@pytest.mark.parametrize("search", SEARCHES)
@given(
    kind=st.sampled_from(KINDS),
    wish=wishes,
    seed=st.integers(0, 99),
    more=st.sampled_from(
        [{}, {"no_repeat_ngram": 1}, {"min_length": 6}, {"max_ratio": 0.0, "max_extra": 3}]
    ),
)
def test_wishes_are_kept(
    search: str, kind: tuple[str, bool], wish: Wish, seed: int, more: dict[str, Any]
) -> None:
    pieces = TABLES[kind]
    if search == "samples":
        wish = replace(wish, forced=())
    try:
        check_constraints(wish, pieces)
    except Seq2SeqError:
        return
    model = ScriptedModel(pieces.size, leaning_script(pieces, seed, wish))
    options = SearchOptions(**{"max_ratio": 1.0, "max_extra": 6} | SEARCHES[search] | more)
    batch = SourceBatch.from_rows([[5, 6, EOS]])
    (found,) = run_search(model, batch, options, constraints=[wish], pieces=pieces)
    assert found
    for one in found:
        (text,) = pieces.tokenizer.decode([one.tokens])
        assert one.log_prob > -math.inf
        assert restore_prefix(text, wish.prefix, one.tokens, pieces).startswith(wish.prefix)
        if "☃" not in wish.prefix:
            assert text.startswith(wish.prefix)
        for phrase in wish.avoided:
            assert not holds(text, phrase), (text, phrase)
        for phrase in wish.forced:
            assert holds(text, phrase), (text, phrase)
    again = SourceBatch.from_rows([[5, 6, EOS]] * len(found))
    forced = force(model, again, [one.tokens for one in found], normalization=options.normalization)
    assert [one.score for one in found] == pytest.approx([one.score for one in forced], abs=1e-5)


@pytest.mark.parametrize("search", SEARCHES)
def test_other_sentences_of_the_batch_are_as_without_wishes(search: str) -> None:
    pieces = TABLES["bpe", False]
    model = ScriptedModel(pieces.size, random_script(pieces.size, seed=1, spread=1.0, eos=2.0))
    rows = sources(6)
    options = SearchOptions(**SEARCHES[search])
    mixed = [Wish(), Wish(prefix="der Hu"), Wish(avoided=["Hund"]), Wish(), Wish(), Wish()]

    def found(chosen: list[int], some: list[Wish] | None) -> list[list[Hypothesis]]:
        batch = SourceBatch.from_rows([rows[i] for i in chosen])
        return run_search(model, batch, options, constraints=some, pieces=pieces)

    together = found([0, 1, 2, 3, 4, 5], mixed)
    plain = found([0, 1, 2, 3, 4, 5], None)
    for number, wish in enumerate(mixed):
        assert together[number] == found([number], [wish])[0]
        assert wish or together[number] == plain[number]
    assert together[1] != plain[1]
