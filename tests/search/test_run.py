"""The door to every search: what is asked for is done, or refused with a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.scripted import ScriptedModel, random_attention, random_script, sources
from support.tokenizers import tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import UNK
from seq2seq.inference.request import make_request
from seq2seq.recipe import Translation
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import (
    Sampling,
    SearchOptions,
    SourceBatch,
    Wish,
    check_options,
    run_search,
)
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.model import top_k


def model_of(vocab_size: int = 12, *, eos: float = 0.0) -> ScriptedModel:
    return ScriptedModel(vocab_size, random_script(vocab_size, seed=1, eos=eos))


def lengths_under(options: SearchOptions, eos: float) -> list[list[int]]:
    rows = sources(6)
    found = run_search(model_of(eos=eos), SourceBatch.from_rows(rows), options)
    return [
        [len(row) - 1, *(len(one.tokens) for one in several)]
        for row, several in zip(rows, found, strict=True)
    ]


@pytest.mark.parametrize("beam", [1, 3])
def test_lengths_are_within_their_bounds(beam: int) -> None:
    asked = SearchOptions(beam=beam, n_best=beam)
    for source, *found in lengths_under(replace(asked, max_ratio=0.5, max_extra=1), eos=-9.0):
        assert max(found) == source // 2 + 1
    assert max(max(f) for _, *f in lengths_under(replace(asked, max_length=4), eos=-9.0)) == 4
    for source, *found in lengths_under(replace(asked, min_ratio=1.5), eos=9.0):
        assert min(found) == -(-3 * source // 2)
    for _, *found in lengths_under(replace(asked, min_length=7), eos=9.0):
        assert min(found) == 7
    # The least length raises a cap by ratio, and is lowered by an absolute one.
    for _, *found in lengths_under(replace(asked, min_length=30, max_extra=0), eos=9.0):
        assert min(found) == max(found) == 30
    for _, *found in lengths_under(replace(asked, min_ratio=9.0, max_length=5), eos=9.0):
        assert min(found) == max(found) == 5


def test_a_product_that_is_a_little_too_high_is_not_rounded_up() -> None:
    assert 0.28 * 25 > 7
    source = SourceBatch.from_rows([[5] * 25 + [3]])
    options = SearchOptions(beam=1, min_ratio=0.28)
    assert len(run_search(model_of(eos=99.0), source, options)[0][0].tokens) == 7


@pytest.mark.parametrize("beam", [1, 3])
def test_the_engine_chooses_where_no_rule_needs_all_tokens(beam: int) -> None:
    model = ScriptedModel(12, random_script(12, seed=1), attend=random_attention(2))
    source = SourceBatch.from_rows(sources(3))
    plain = SearchOptions(beam=beam, coverage=0.1, attention=True, max_length=9)
    run_search(model, source, plain, constraints=[Wish()] * 3)
    assert model.widths
    assert not model.distributions
    model.widths.clear()
    for rule in ({"min_length": 2}, {"no_repeat_ngram": 3}, {"repetition_penalty": 1.1}):
        run_search(model, source, replace(plain, **rule))
        assert model.distributions
        assert not model.widths


@pytest.mark.parametrize("sampling", [None, Sampling()])
def test_the_unknown_piece_comes_only_if_allowed(sampling: Sampling | None) -> None:
    for allowed in (False, True):
        options = SearchOptions(
            beam=5, n_best=5, min_length=5, allow_unknown=allowed, sampling=sampling
        )
        found = run_search(model_of(6), SourceBatch.from_rows(sources(9)), options)
        tokens = {token for several in found for one in several for token in one.tokens}
        assert (UNK in tokens) is allowed
        assert not tokens & {0, 2}


def test_nothing_gives_nothing() -> None:
    assert run_search(model_of(), SourceBatch.from_rows([]), SearchOptions(), constraints=[]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beam": 0}, "beam is 0; 1 (greedy) or more is allowed"),
        ({"groups": 2}, "groups is 2, which does not divide a beam of 5; allowed are 1, 5"),
        ({"groups": 0}, "groups is 0, which does not divide a beam of 5; allowed are 1, 5"),
        ({"coverage": -0.1}, "coverage is -0.1; 0 or more is allowed"),
        ({"coverage": float("nan")}, "coverage is nan; 0 or more is allowed"),
        ({"min_length": -1}, "min_length is -1; 0 or more is allowed"),
        ({"max_length": -1}, "max_length is -1; 0 or more is allowed"),
        ({"min_ratio": -1.0}, "min_ratio is -1.0; 0 or more is allowed"),
        ({"max_ratio": float("inf")}, "max_ratio is inf; at most 1,000 is allowed"),
        ({"max_ratio": 1e300}, "max_ratio is 1e+300; at most 1,000 is allowed"),
        ({"max_extra": 2**63 - 1}, f"max_extra is {2**63 - 1}; at most 100,000 is allowed"),
        ({"min_length": 10**21}, f"min_length is {10**21}; at most 100,000 is allowed"),
        ({"min_length": 10**400}, "min_length is a very large number; at most 100,000 is allowed"),
        ({"max_length": 10**6}, "max_length is 1000000; at most 100,000 is allowed"),
        ({"min_ratio": 1e9}, "min_ratio is 1000000000.0; at most 1,000 is allowed"),
        ({"beam": 10**6}, "beam is 1000000; at most 1,000 is allowed"),
        ({"beam": 2.0}, "beam is 2.0; a whole number is needed"),
        ({"beam": True}, "beam is True; a whole number is needed"),
        ({"coverage": "1"}, "coverage is '1'; a number is needed"),
        ({"repetition_penalty": 1e-9}, "repetition_penalty is 1e-09; 0.01 or more is allowed"),
        (
            {"repetition_penalty": math.nan},
            "repetition_penalty is nan; numbers above 0 are allowed (1: no penalty, above 1: less "
            "repetition)",
        ),
        (
            {"normalization": LengthNormalization.model_construct(alpha=math.inf)},
            "alpha is inf; at most 10 is allowed",
        ),
        ({"n_best": 10**6, "sampling": Sampling()}, "n_best is 1000000; at most 1,000 is allowed"),
        (
            {"sampling": Sampling(seed=2**64)},
            f"seed is {2**64}; at most 9,223,372,036,854,775,807 is allowed",
        ),
        (
            {"sampling": Sampling(temperature=1e9)},
            "temperature is 1000000000.0; at most 1,000 is allowed",
        ),
        ({"max_extra": -1}, "max_extra is -1; 0 or more is allowed"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1; 0 or more is allowed"),
        ({"diversity": -1.0}, "diversity is -1.0; 0 or more is allowed"),
        (
            {"repetition_penalty": 0.0},
            "repetition_penalty is 0.0; numbers above 0 are allowed (1: no penalty, above 1: less "
            "repetition)",
        ),
        (
            {"min_length": 9, "max_length": 8},
            "min_length is 9, but max_length 8: no translation has both",
        ),
        (
            {"sampling": Sampling(), "groups": 5},
            "groups is 5, which is of a beam; with sampling only 1 is allowed",
        ),
        (
            {"sampling": Sampling(), "coverage": 0.2},
            "coverage is 0.2, which is of a beam; with sampling only 0.0 is allowed",
        ),
        (
            {"coverage": 0.2},
            "this model has no attention, which coverage, alignments and attention matrices need: "
            "leave them out, or use a model with model.decoder.attention",
        ),
    ],
)
def test_options_that_do_not_fit(wrong: dict[str, object], message: str) -> None:
    source = SourceBatch.from_rows(sources(2))
    with pytest.raises(Seq2SeqError) as error:
        run_search(model_of(), source, replace(SearchOptions(), **wrong))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(top_k=0), "top_k is 0; 1 or more is allowed"),
        (
            Sampling(top_p=1.5),
            "top_p is 1.5; numbers above 0 and up to 1 are allowed (1: all tokens)",
        ),
        (
            Sampling(temperature=0.0),
            "temperature is 0; numbers above 0 are allowed (for the best token at each step, "
            "search with a beam of 1 instead)",
        ),
    ],
)
def test_sampling_is_checked_before_any_line_is_read(sampling: Sampling, message: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        check_options(SearchOptions(sampling=sampling))
    assert str(error.value) == message
    with pytest.raises(Seq2SeqError) as error:
        run_search(model_of(), SourceBatch.from_rows([]), SearchOptions(sampling=sampling))
    assert str(error.value) == message
    with pytest.raises(Seq2SeqError) as error:
        make_request(SearchOptions(), Translation(), options=SearchOptions(sampling=sampling))
    assert str(error.value) == message


def test_constraints_that_do_not_fit() -> None:
    source = SourceBatch.from_rows(sources(2))
    pieces = PieceTable.of(tokenizer("unigram", False))
    model = model_of(pieces.size)
    needs_pieces = (
        "constraints need a table of the target's pieces: pass pieces=PieceTable.of(tokenizer), "
        "with the tokenizer that the model was trained with"
    )
    wish = Wish(forced=["Hund"])
    with pytest.raises(Seq2SeqError) as error:
        run_search(model, source, SearchOptions(), constraints=[wish], pieces=pieces)
    assert str(error.value) == "there are constraints for 1 sentences, but 2 sentences"
    with pytest.raises(Seq2SeqError) as error:
        run_search(model, source, SearchOptions(), constraints=[wish] * 2)
    assert str(error.value) == needs_pieces
    with pytest.raises(Seq2SeqError) as error:
        run_search(model_of(), source, SearchOptions(), constraints=[wish] * 2, pieces=pieces)
    assert str(error.value) == needs_pieces


def test_a_cap_too_low_for_the_phrase_is_raised() -> None:
    pieces = PieceTable.of(tokenizer("unigram", False))
    model = model_of(pieces.size)
    options = SearchOptions(beam=2, max_ratio=0.0, max_extra=0)
    (found,) = run_search(
        model,
        SourceBatch.from_rows([[5, 3]]),
        options,
        constraints=[Wish(forced=["kleine Katze"])],
        pieces=pieces,
    )
    assert pieces.tokenizer.decode([found[0].tokens]) == ["kleine Katze"]


@pytest.mark.parametrize("k", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("values", [2, 9, 10**6])
def test_the_best_of_equal_ones_are_those_with_the_lowest_numbers(k: int, values: int) -> None:
    scores = np.random.default_rng(k).integers(0, values, (20, 300)).astype(np.float32)
    scores[scores == 0] = -1.0
    best, columns = top_k(scores.copy(), k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))
