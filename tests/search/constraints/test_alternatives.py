"""Forced phrases with alternatives: one of them comes, as often as it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references import length_alpha
from support.scripted import ScriptedModel, random_script, sources
from support.tokenizers import KINDS, WORDS, tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import (
    Constraints,
    Sampling,
    SearchOptions,
    SourceBatch,
    beam_search,
    run_search,
)
from seq2seq.search.constraints.phrases import ForcedPhrases, PhraseMatcher
from seq2seq.search.constraints.pieces import PieceTable, is_word_character

TABLES = {kind: PieceTable.of(tokenizer(*kind)) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join)
choices = st.lists(st.lists(phrases, min_size=1, max_size=3), min_size=1, max_size=2)
Tokens = Sequence[int]


def counted(pieces: PieceTable, choice: Sequence[Tokens], tokens: Tokens) -> int:
    """How many phrases of a choice stand in tokens as whole words, one after another."""

    def parts(place: int) -> bool:
        if place in (0, len(tokens)):
            return True
        text = pieces.spell(tokens[:place]).decode("utf-8", "replace")
        within = bool(text) and is_word_character(text[-1])
        return not (within and pieces.continues_V[tokens[place]])

    count = begin = 0
    for end in range(1, len(tokens) + 1):
        lengths = [len(one) for one in choice if list(tokens[:end][-len(one) :]) == list(one)]
        if parts(end) and any(end - size >= begin and parts(end - size) for size in lengths):
            count, begin = count + 1, end
    return count


@every_kind
@given(choices, st.integers(1, 2), st.lists(phrases, max_size=1), st.data())
def test_matching_is_looking_through_the_tokens(
    kind: tuple[str, bool],
    asked: list[list[str]],
    times: int,
    plain: list[str],
    data: st.DataObject,
) -> None:
    pieces = TABLES[kind]
    wanted = [pieces.tokenizer.encode(one) for one in asked]
    fixed = pieces.tokenizer.encode(plain) if plain else []
    matcher = PhraseMatcher(fixed, pieces, wanted * times)
    likely = sorted({t for choice in wanted for one in choice for t in one} | {EOS + 1, EOS + 9})
    tokens = data.draw(st.lists(st.sampled_from(likely), max_size=12))
    matched, last = matcher.start, None
    for token in tokens:
        matched, last = matcher.step(matched, last, token), token

    def needed(choice: Sequence[Tokens]) -> int:
        same = {tuple(one) for one in choice}
        return times * sum({tuple(one) for one in other} == same for other in wanted)

    def is_held() -> bool:
        held = all(counted(pieces, choice, tokens) >= needed(choice) for choice in wanted)
        return held and all(counted(pieces, [one], tokens) for one in fixed)

    assert matcher.is_met(matched) == (matcher.missing(matched) == 0) == is_held()
    assert matcher.met(matcher.start) == 0
    assert (matcher.met(matched) == matcher.total) == is_held()
    allowed = len(tokens) + matcher.missing(matched)
    while not matcher.is_met(matched):  # so many tokens are enough
        after = matcher.missing_after(matched, last)
        assert max(after) <= matcher.missing_at_worst(matched)
        token = min(matcher.next_tokens(matched, last), key=lambda token: after[token])
        matched, last = matcher.step(matched, last, token), token
        tokens.append(token)
        assert matcher.missing(matched) == after[token] <= allowed - len(tokens)
    assert is_held()


@pytest.mark.parametrize("times", [1, 2])
def test_a_beam_as_wide_as_the_space_is_brute_force(times: int) -> None:
    pieces = TABLES[KINDS[0]]
    letters = [t for t in range(4, pieces.size) if pieces.spelling_V[t] == b" "][:1]
    letters += [t for t in range(4, pieces.size) if pieces.continues_V[t]][:2]
    space, one, two = letters
    script = random_script(pieces.size, seed=4)
    allowed = np.full(pieces.size, -np.inf, dtype=np.float32)
    allowed[[*letters, EOS]] = 0.0
    model = ScriptedModel(pieces.size, lambda source, prefix: script(source, prefix) + allowed)
    choice = [[space, one], [space, one, two], [two, space, two]]
    matcher = PhraseMatcher([], pieces, [choice] * times)
    every = []
    for length in range(7):
        for tokens in itertools.product(letters, repeat=length):
            if counted(pieces, choice, tokens) >= times:
                score = model.log_prob([5, EOS], tokens) / length_alpha(1.0)(length + 1)
                every.append((score, tokens))
    every.sort(reverse=True)
    assert len(every) > 20
    held = ForcedPhrases([matcher], np.array([6]))
    (found,) = beam_search(
        model,
        SourceBatch.from_rows([[5, EOS]]),
        beam=1500,
        n_best=1500,
        max_lengths=[6],
        normalization=LengthNormalization(alpha=1.0),
        rules=[held],
        phrases=held,
    )
    assert [hypothesis.tokens for hypothesis in found] == [tokens for _, tokens in every]
    np.testing.assert_allclose([hypothesis.score for hypothesis in found], [s for s, _ in every])


def talking(pieces: PieceTable, seed: int, eos: float) -> ScriptedModel:
    return ScriptedModel(pieces.size, random_script(pieces.size, seed=seed, eos=eos))


def encoded(pieces: PieceTable, forms: Sequence[str]) -> list[list[int]]:
    return pieces.tokenizer.encode(list(forms))


@every_kind
@settings(max_examples=12, deadline=None)
@given(
    asked=choices,
    times=st.integers(1, 2),
    search=st.sampled_from([(1, 1), (3, 1), (10, 1), (6, 3), None]),
    eos=st.sampled_from([-3.0, 2.0, 5.0]),
    seed=st.integers(0, 99),
    more=st.sampled_from([{}, {"no_repeat_ngram": 1}, {"max_extra": 0}]),
)
def test_one_of_them_comes(
    kind: tuple[str, bool],
    asked: list[list[str]],
    times: int,
    search: tuple[int, int] | None,
    eos: float,
    seed: int,
    more: dict[str, int],
) -> None:
    pieces = TABLES[kind]
    how = {"sampling": Sampling(), "n_best": 3} if search is None else {}
    if search is not None:
        how = {"beam": search[0], "groups": search[1], "n_best": search[0]}
    options = SearchOptions(**{"max_ratio": 1.0, "max_extra": 3} | how | more)  # type: ignore[arg-type]
    wishes = [Constraints(forced=tuple(map(tuple, asked)) * times), Constraints()]
    source = SourceBatch.from_rows(sources(2, seed=seed, longest=4))
    model = talking(pieces, seed, eos)
    found, free = run_search(model, source, options, constraints=wishes, pieces=pieces)
    for one in found:
        text = pieces.tokenizer.decode([one.tokens])[0]
        for forms in asked:
            assert counted(pieces, encoded(pieces, forms), one.tokens) >= times, text
        assert one.log_prob > -np.inf
    assert free == run_search(model, source, options)[1]


@every_kind
def test_one_alternative_is_a_phrase(kind: tuple[str, bool]) -> None:
    pieces, source = TABLES[kind], SourceBatch.from_rows(sources(4, longest=4))
    plain = [Constraints(forced=["Hund", "kleine Katze"])] * 4
    chosen = [Constraints(forced=[("Hund",), ("kleine Katze", "kleine Katze")])] * 4
    for options in (SearchOptions(beam=1), SearchOptions(beam=4, n_best=4, no_repeat_ngram=1)):
        ours, theirs = (
            run_search(talking(pieces, 2, 1.0), source, options, constraints=one, pieces=pieces)
            for one in (plain, chosen)
        )
        assert ours == theirs


@pytest.mark.parametrize("beam", [5, 10])
def test_the_model_chooses_the_form_that_it_likes(beam: int) -> None:
    """A model that says one form by itself: it comes as if nothing were demanded."""
    pieces = TABLES["bpe", False]
    source = SourceBatch.from_rows([[5, EOS]])
    for form in ("Hund", "Hunde", "Hundehütte"):
        said = [*pieces.tokenizer.encode([f"der {form} läuft"])[0], EOS]

        def script(_: Tokens, prefix: Tokens, said: Tokens = said) -> np.ndarray:
            log_probs = np.full(pieces.size, -9.0, dtype=np.float32)
            log_probs[said[len(prefix)] if list(prefix) == said[: len(prefix)] else EOS] = -0.01
            return log_probs

        wish = Constraints(forced=[("Hund", "Hunde", "Hundehütte")])
        (found,) = run_search(
            ScriptedModel(pieces.size, script),
            source,
            SearchOptions(beam=beam),
            constraints=[wish],
            pieces=pieces,
        )
        assert [*found[0].tokens] == said[:-1]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            Constraints(forced=[("Hund", "☃☃")]),
            "the forced phrase '☃☃' has characters that the model's tokenizer does not know",
        ),
        (
            Constraints(forced=[("Hund", "Wiese")], avoided=["Wiese"]),
            "the forced phrase 'Wiese' holds 'Wiese', which is to be avoided: leave one of them "
            "out",
        ),
        (
            Constraints(forced=["Hund", ()]),
            "a forced phrase has no alternatives: give one or more, or leave it out",
        ),
    ],
)
def test_wishes_that_cannot_be(wish: Constraints, message: str) -> None:
    pieces = TABLES["unigram", False]
    source, model = SourceBatch.from_rows([[5, EOS]]), talking(TABLES["unigram", False], 1, 0.0)
    with pytest.raises(Seq2SeqError) as error:
        run_search(model, source, SearchOptions(), constraints=[wish], pieces=pieces)
    assert str(error.value) == message


def test_the_cap_has_to_hold_the_shortest() -> None:
    pieces = TABLES["unigram", False]
    forms = ["Hund", "Hundehütte über Wiesen"]
    by_size = sorted(zip(map(len, encoded(pieces, forms)), forms, strict=True))
    (size, shortest), (longer, _) = by_size
    assert 1 < size < longer
    source, model = SourceBatch.from_rows([[5, EOS]]), talking(pieces, 1, 0.0)
    wish = Constraints(forced=[tuple(forms)])
    options = SearchOptions(max_length=size)
    (found,) = run_search(model, source, options, constraints=[wish], pieces=pieces)
    assert pieces.tokenizer.decode([found[0].tokens]) == [shortest]
    options = SearchOptions(max_length=size - 1)
    with pytest.raises(Seq2SeqError, match=f"allow max_length = {size} or more"):
        run_search(model, source, options, constraints=[wish], pieces=pieces)
