"""Forced phrases: what comes out holds them, as SentencePiece decodes it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references import length_alpha, ngrams
from support.scripted import ScriptedModel, random_script, sources
from support.tokenizers import KINDS, WORDS, tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import LengthNormalization, NoNormalization
from seq2seq.search import (
    Hypothesis,
    Sampling,
    SearchOptions,
    SourceBatch,
    Wish,
    beam_search,
    run_search,
)
from seq2seq.search.constraints import restore_prefix
from seq2seq.search.constraints.phrases import ForcedPhrases, PhraseMatcher
from seq2seq.search.constraints.pieces import PieceTable

TABLES = {kind: PieceTable.of(tokenizer(*kind)) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
BEAMS = st.sampled_from([(1, 1), (2, 1), (2, 2), (3, 1), (5, 1), (6, 3)])


def holds(text: str, phrase: str) -> bool:
    """As whole words: no word that the phrase begins or ends with may go on outside of it."""
    begin = r"(?<!\w)" if re.match(r"\w", phrase) else ""
    end = r"(?!\w)" if re.search(r"\w$", phrase) else ""
    return re.search(begin + re.escape(phrase) + end, text) is not None


def talking(pieces: PieceTable, seed: int, eos: float) -> ScriptedModel:
    """A model that likes to go on with words, so that phrases become other words."""
    script = random_script(pieces.size, seed=seed, eos=eos)

    @cache
    def going_on(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = script(source, prefix) + np.where(pieces.continues_V, 2.0, 0.0)
        total = np.log(np.exp(log_probs.astype(np.float64)).sum())
        return (log_probs - total).astype(np.float32)

    return ScriptedModel(pieces.size, going_on)


def texts(pieces: PieceTable, hypotheses: Sequence[Hypothesis]) -> list[str]:
    return pieces.tokenizer.decode([one.tokens for one in hypotheses])


def plainly_held(pieces: PieceTable, phrase: Sequence[int], tokens: Sequence[int]) -> bool:
    def is_word(place: int) -> bool:
        """Whether there is no space or sign between a piece and the one before it."""
        text = b"".join(pieces.spelling_V[t] for t in tokens[:place]).decode("utf-8", "replace")
        return bool(re.search(r"\w$", text)) and bool(pieces.continues_V[tokens[place]])

    for start in range(len(tokens) - len(phrase) + 1):
        end = start + len(phrase)
        if list(tokens[start:end]) == list(phrase):
            ends = end == len(tokens) or not is_word(end)
            begins = not start or not is_word(start)
            if begins and ends:
                return True
    return False


@every_kind
@given(st.lists(phrases, min_size=1, max_size=3), st.data())
def test_matching_is_looking_through_the_tokens(
    kind: tuple[str, bool], wanted: list[str], data: st.DataObject
) -> None:
    pieces = TABLES[kind]
    split = pieces.tokenizer.encode(wanted)
    matcher = PhraseMatcher(split, pieces)
    likely = st.sampled_from(sorted({t for phrase in split for t in phrase} | {EOS + 1, EOS + 9}))
    tokens = data.draw(st.lists(likely, max_size=14))
    matched, last = matcher.start, None
    for token in tokens:
        matched, last = matcher.step(matched, last, token), token
    held = [plainly_held(pieces, phrase, tokens) for phrase in split]
    assert matcher.is_met(matched) == all(held)
    assert (matcher.missing(matched) == 0) == all(held)
    assert matcher.met(matched) + matcher.missing(matched) == matcher.total
    after = matcher.missing_after(matched, last)
    for token in range(4, pieces.size):
        then = matcher.missing(matcher.step(matched, last, token))
        assert after[token] == then <= matcher.total
    allowed = len(tokens) + matcher.missing(matched)
    while not matcher.is_met(matched):  # so many tokens are enough
        after = matcher.missing_after(matched, last)
        token = (matcher.continuations(matched) or matcher.next_tokens(matched, last))[0]
        matched, last = matcher.step(matched, last, token), token
        tokens.append(token)
        assert matcher.missing(matched) == after[token] <= allowed - len(tokens)


@every_kind
@settings(max_examples=12, deadline=None)
@given(
    forced=st.lists(phrases, min_size=1, max_size=3),
    beam=BEAMS,
    eos=st.sampled_from([-3.0, 2.0, 5.0]),
    seed=st.integers(0, 999),
    more=st.sampled_from([{}, {"no_repeat_ngram": 1}, {"min_length": 12}, {"max_extra": 0}]),
)
def test_no_phrase_is_lost(
    kind: tuple[str, bool],
    forced: list[str],
    beam: tuple[int, int],
    eos: float,
    seed: int,
    more: dict[str, int],
) -> None:
    pieces = TABLES[kind]
    options = SearchOptions(
        beam=beam[0], groups=beam[1], n_best=beam[0], max_ratio=1.0, max_extra=3
    )
    options = replace(options, **more)
    rows = sources(2, seed=seed, longest=4)
    wishes = [Wish(forced=forced), Wish()]
    model = talking(pieces, seed, eos)
    source = SourceBatch.from_rows(rows)
    found, free = run_search(model, source, options, constraints=wishes, pieces=pieces)
    needed = sum(len(pieces.tokenizer.encode([phrase])[0]) for phrase in set(forced))
    for one, text in zip(found, texts(pieces, found), strict=True):
        assert all(holds(text, phrase) for phrase in forced), text
        assert one.log_prob > -np.inf
        assert options.min_length <= len(one.tokens)
        cap = max(len(rows[0]) - 1 + options.max_extra, options.min_length, needed)
        assert len(one.tokens) <= cap
        assert one.log_prob == pytest.approx(model.log_prob(rows[0], one.tokens), abs=1e-6)
    # Who wished for nothing gets what comes without wishes.
    assert free == run_search(model, source, options)[1]


@every_kind
@settings(max_examples=12, deadline=None)
@given(
    prefix=st.lists(st.sampled_from([*WORDS, "Hu"]), max_size=3).map(" ".join),
    forced=st.lists(phrases, min_size=1, max_size=2),
    avoided=st.lists(st.sampled_from(WORDS), max_size=2),
    beam=BEAMS,
    seed=st.integers(0, 999),
)
def test_with_prefixes_and_avoided_words(
    kind: tuple[str, bool],
    prefix: str,
    forced: list[str],
    avoided: list[str],
    beam: tuple[int, int],
    seed: int,
) -> None:
    pieces = TABLES[kind]
    avoided = [word for word in avoided if not any(holds(t, word) for t in (prefix, *forced))]
    wish = Wish(prefix=prefix, forced=forced, avoided=avoided)
    options = SearchOptions(beam=beam[0], groups=beam[1], n_best=beam[0], max_ratio=1, max_extra=4)
    source = SourceBatch.from_rows([[5, 6, EOS]])
    model = talking(pieces, seed, 1.0)
    (found,) = run_search(model, source, options, constraints=[wish], pieces=pieces)
    for one, text in zip(found, texts(pieces, found), strict=True):
        assert one.log_prob > -np.inf
        assert restore_prefix(text, prefix, one.tokens, pieces).startswith(prefix)
        assert all(holds(text, phrase) for phrase in forced), (text, wish)
        assert not any(holds(text, word) for word in avoided), (text, wish)


def test_a_beam_as_wide_as_the_space_is_brute_force() -> None:
    pieces = TABLES[KINDS[0]]
    letters = [t for t in range(4, pieces.size) if pieces.spelling_V[t] == b" "][:1]
    letters += [t for t in range(4, pieces.size) if pieces.continues_V[t]][:2]
    script = random_script(pieces.size, seed=4)
    allowed = np.full(pieces.size, -np.inf, dtype=np.float32)
    allowed[[*letters, EOS]] = 0.0
    model = ScriptedModel(pieces.size, lambda source, prefix: script(source, prefix) + allowed)
    matcher = PhraseMatcher([letters[:2], letters[::2]], pieces)

    every = []
    for length in range(6):
        for tokens in itertools.product(letters, repeat=length):
            if all(plainly_held(pieces, p, tokens) for p in (letters[:2], letters[::2])):
                score = model.log_prob([5, EOS], tokens) / length_alpha(1.0)(length + 1)
                every.append((score, tokens))
    every.sort(reverse=True)
    assert 5 < len(every) < 200
    held = ForcedPhrases([matcher], np.array([5]))
    (found,) = beam_search(
        model,
        SourceBatch.from_rows([[5, EOS]]),
        beam=400,
        n_best=400,
        max_lengths=[5],
        normalization=LengthNormalization(alpha=1.0),
        rules=[held],
        phrases=held,
    )
    assert [one.tokens for one in found] == [tokens for _, tokens in every]
    np.testing.assert_allclose([one.score for one in found], [score for score, _ in every])


@every_kind
def test_a_phrase_wins_against_repetition(kind: tuple[str, bool]) -> None:
    pieces = TABLES[kind]
    phrase = " ".join([WORDS[0]] * 3)  # repeats itself
    options = SearchOptions(beam=3, n_best=3, no_repeat_ngram=1, max_extra=4)
    source = SourceBatch.from_rows([[5, 6, EOS]])
    wishes = [Wish(forced=[phrase])]
    (found,) = run_search(
        talking(pieces, 1, 0.0), source, options, constraints=wishes, pieces=pieces
    )
    for one, text in zip(found, texts(pieces, found), strict=True):
        assert holds(text, phrase)
        assert len(set(ngrams(one.tokens, 1))) < len(one.tokens)


def test_batch_and_order_do_not_matter() -> None:
    pieces = TABLES[KINDS[0]]
    model = talking(pieces, 3, 1.0)
    rows = sources(8, longest=5)
    wishes = [Wish(forced=[WORDS[n % len(WORDS)]] if n % 3 else []) for n in range(8)]
    for beam, groups in ((1, 1), (4, 1), (4, 2)):
        options = SearchOptions(beam=beam, groups=groups, n_best=beam)

        def search(chosen: Sequence[int], options: SearchOptions = options) -> list[object]:
            source = SourceBatch.from_rows([rows[n] for n in chosen])
            return list(
                run_search(
                    model, source, options, constraints=[wishes[n] for n in chosen], pieces=pieces
                )
            )

        alone = [search([n])[0] for n in range(8)]
        order = [3, 7, 0, 2, 6, 1, 5, 4]
        assert search(order) == [alone[n] for n in order]


@pytest.mark.parametrize(
    ("wish", "options", "message"),
    [
        (
            Wish(forced=["☃☃"]),
            SearchOptions(),
            "the forced phrase '☃☃' has characters that the model's tokenizer does not know",
        ),
        (
            Wish(forced=[WORDS[0]], avoided=[WORDS[0]]),
            SearchOptions(),
            f"the forced phrase {WORDS[0]!r} holds {WORDS[0]!r}, which is to be avoided: "
            "leave one of them out",
        ),
        (
            Wish(forced=[f"{WORDS[0]} {WORDS[1]}"]),
            SearchOptions(max_length=1),
            "max_length is 1, but prefix and forced phrases have {needed} pieces: "
            "allow max_length = {needed} or more",
        ),
    ],
)
def test_wishes_that_cannot_be(wish: Wish, options: SearchOptions, message: str) -> None:
    pieces = TABLES["unigram", False]
    source = SourceBatch.from_rows([[5, EOS]])
    needed = len(pieces.tokenizer.encode([f"{WORDS[0]} {WORDS[1]}"])[0])
    with pytest.raises(Seq2SeqError) as error:
        run_search(talking(pieces, 1, 0.0), source, options, constraints=[wish], pieces=pieces)
    assert str(error.value) == message.format(needed=needed)


@every_kind
@pytest.mark.parametrize("no_repeat", [0, 1])
def test_samples_hold_phrases(kind: tuple[str, bool], no_repeat: int) -> None:
    pieces = TABLES[kind]
    source = SourceBatch.from_rows(sources(3, seed=4, longest=4))
    options = SearchOptions(
        n_best=6, sampling=Sampling(), max_ratio=1.0, max_extra=9, no_repeat_ngram=no_repeat
    )
    wishes = [Wish(forced=["Hund"]), Wish(forced=["kleine Katze", "Hund"]), Wish()]
    found = run_search(talking(pieces, 2, 2.0), source, options, constraints=wishes, pieces=pieces)
    for several, wish in zip(found, wishes, strict=True):
        assert len(several) == 6
        for text in texts(pieces, several):
            assert all(holds(text, phrase) for phrase in wish.forced)
    free = run_search(talking(pieces, 2, 2.0), source, options)
    assert found[2] == free[2]
    assert len({one.tokens for one in found[0]}) > 1


@pytest.mark.parametrize("words", ["Hund", "Wiese", "der Hund"])
def test_repetition_is_allowed_only_where_there_is_no_other_way(words: str) -> None:
    """Against every translation of few pieces that has the text and no piece twice."""
    pieces, seed, beam = TABLES[KINDS[0]], 3, 40
    split = pieces.tokenizer.encode([words])[0]
    model, row, most = talking(pieces, seed, 0.0), [7, EOS], len(split) + 1
    wanted = pieces.prefix(words)
    every: dict[tuple[int, ...], float] = {}

    def extend(tokens: tuple[int, ...], log_prob: float) -> None:
        if log_prob <= max(every.values(), default=-np.inf):
            return  # it can only become less likely
        text = pieces.spell(tokens)
        log_probs = model.script(tuple(row), tokens)
        if text.startswith(wanted):
            every[tokens] = log_prob + float(log_probs[EOS])
        if len(tokens) == most:
            return
        for token in sorted(range(4, pieces.size), key=lambda token: -log_probs[token]):
            longer = text + pieces.spelling_V[token]
            may_be = longer.startswith(wanted) or wanted.startswith(longer)
            if may_be and token not in tokens and log_probs[token] > -np.inf:
                extend((*tokens, token), log_prob + float(log_probs[token]))

    extend((), 0.0)
    assert every
    options = SearchOptions(
        beam=beam,
        normalization=NoNormalization(),
        max_length=most,
        max_ratio=0.0,
        max_extra=most,
        no_repeat_ngram=1,
    )
    wish = Wish(prefix=words)
    source = SourceBatch.from_rows([row])
    (found,) = run_search(model, source, options, constraints=[wish], pieces=pieces)
    assert len(set(found[0].tokens)) == len(found[0].tokens)
    best = max(every, key=lambda tokens: every[tokens])
    assert found[0].log_prob == pytest.approx(every[best], abs=1e-4)
