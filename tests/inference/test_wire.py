from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.request import Request, make_request, search_options
from seq2seq.inference.results import Note, ScoredTranslation
from seq2seq.inference.wire import (
    json_line,
    read_job,
    score_object,
    translations_object,
)
from seq2seq.recipe import Translation
from seq2seq.search import Sampling, SearchOptions, Wish

RECIPE = Translation(beam=3)


def job(**content: Any) -> Any:
    return read_job(json.dumps(content), RECIPE, "the request", most_lines=3)


def test_a_request_is_what_translate_takes() -> None:
    found = job(text="a dog")
    assert found.lines == ("a dog",)
    assert found.constraints is None
    assert found.request == make_request(search_options(RECIPE), RECIPE)
    found = job(
        text=["a dog", "a cat"],
        constraints=[{"prefix": "Der", "avoid": ["Hund"]}, {}],
        options={"beam": 4, "n_best": 2, "no_repeat_ngram": 3, "max_ratio": 3},
        mbr="chrf",
        long="keep",
        batch_size=2,
        details=True,
    )
    options = SearchOptions(
        beam=4,
        n_best=2,
        no_repeat_ngram=3,
        max_ratio=3.0,
        normalization=search_options(RECIPE).normalization,
    )
    assert found.request == Request(options, 2, "chrf", "keep", details=True)
    assert found.constraints == (Wish("Der", (), ("Hund",)), Wish())
    nothing = dict.fromkeys(("constraints", "options", "mbr", "long", "batch_size", "details"))
    assert job(text="a dog", **nothing) == job(text="a dog")
    sampled = job(text="a", options={"n_best": 5, "sampling": {"seed": 7, "top_p": 0.9}})
    assert sampled.request.options.sampling == Sampling(seed=7, top_p=0.9)
    same = job(text=["a", "b"], constraints={"force": ["x"]})
    assert same.constraints == (Wish(forced=("x",)),) * 2
    chosen = job(text=["a", "b"], constraints={"force": ["x", ["y", "z"]]})
    assert chosen.constraints == (Wish(forced=("x", ("y", "z"))),) * 2


def test_normalization_is_as_in_a_recipe() -> None:
    for written in ("length", "none", {"kind": "gnmt", "alpha": 0.5}):
        found = job(text="a", options={"normalization": written})
        recipe = Translation.model_validate({"normalization": written})
        assert found.request.options.normalization == recipe.normalization


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    half, given = "\ud800 abc", {"prefix": "\ud800", "force": ["x\udc00"], "avoid": ["\udfff"]}
    found = job(text=[half, "\U0001f600"], constraints=given)
    assert found.lines == ("\ufffd abc", "\U0001f600")
    assert found.constraints == (Wish("\ufffd", ("x\ufffd",), ("\ufffd",)),) * 2
    assert json.loads(json_line({half: [half]}).encode()) == {"\ufffd abc": ["\ufffd abc"]}
    for wrong in ({"text": "a", half: 1}, {"text": "a", "constraints": {"force": [half, 1]}}):
        with pytest.raises(Seq2SeqError) as error:
            job(**wrong)
        assert str(error.value).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "text must be a string or a list of strings"),
        ({"text": ["a", 1]}, "text must be a string or a list of strings"),
        ({"text": ["a"] * 4}, "has 4 lines; at most 3 are allowed"),
        ({"text": "a\nb"}, "a text has a line end in it: give a list of lines"),
        ({"text": "a", "constraints": [{}, {}]}, "has 2 constraints for 1 line: give one a line"),
        ({"text": "a", "constraints": 1}, "constraints: not an object"),
        (
            {"text": "a", "constraints": {"forced": []}},
            "constraints: unknown name 'forced' (did you mean 'force'?); "
            "allowed: prefix, force, avoid",
        ),
        ({"text": "a", "options": {"beam": 0}}, "beam is 0; 1 (greedy) or more is allowed"),
        (
            {"text": "a", "options": {"beam": "two"}},
            "options.beam: Input should be a valid integer",
        ),
        ({"text": "a", "options": {"beam": "5"}}, "options.beam: Input should be a valid integer"),
        ({"text": "a", "options": {"beam": True}}, "options.beam: Input should be a valid integer"),
        (
            {"text": "a", "options": {"beam": 5000}},
            "options: beam is 5,000; at most 100 is allowed",
        ),
        (
            {"text": "a", "options": {"min_length": 5000}},
            "options: min_length is 5,000; at most 1,000 is allowed",
        ),
        (
            {"text": "a", "options": {"max_ratio": 1e300}},
            "options: max_ratio is 1e+300; at most 10 is allowed",
        ),
        (
            {"text": "a", "batch_size": 10**18},
            f"batch_size is {10**18}; at most 100,000 is allowed",
        ),
        ({"text": "a" * 60_000}, "a text has 60,000 characters; at most 20,000 are allowed"),
        (
            {"text": "a", "constraints": {"prefix": "word " * 5000}},
            "constraints: the prefix has 25,000 characters; at most 1,000 are allowed",
        ),
        (
            {"text": "a", "constraints": {"avoid": ["a" * 1001]}},
            "constraints: a phrase has 1,001 characters; at most 1,000 are allowed",
        ),
        (
            {"text": "a", "constraints": {"avoid": ["a"] * 30, "force": [["b"] * 20, "c"]}},
            "constraints: 51 phrases; at most 50 are allowed for a line",
        ),
        ({"text": "a", "options": 5}, "options: not an object"),
        (
            {"text": "a", "options": {"normalization": "nope"}},
            "options.normalization: Input tag 'nope' found using 'kind' does not match any of the "
            "expected tags: 'none', 'length', 'gnmt'",
        ),
        (
            {"text": "a", "options": {"normalization": {"alpha": 1}}},
            'options.normalization: has no kind, as in {"kind": "length"}',
        ),
        ({"text": "a", "batch_size": "2"}, "batch_size: Input should be a valid integer"),
        ({"text": "a", "long": "cut"}, "long: unknown name 'cut'; allowed: split, truncate, keep"),
        ({"text": "a", "mbr": "ter"}, "mbr: unknown name 'ter'; allowed: chrf, bleu"),
    ],
)
def test_what_is_wrong_with_a_request(content: dict[str, Any], told: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        job(**content)
    assert str(error.value) == f"the request: {told}"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes"),
        ("[]", "not an object"),
        ('{"text": "a", "text": "b"}', "has the key 'text' twice"),
        ('{"txt": "a"}', "unknown name 'txt' (did you mean 'text'?); allowed: text, constraints"),
    ],
)
def test_what_is_no_request(written: str, told: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        read_job(written, RECIPE, "the request", most_lines=1)
    assert str(error.value).startswith(f"the request: {told}")


def test_translations_are_written_with_their_notes() -> None:
    weights = np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32)
    one = ScoredTranslation(
        "ein", -0.5, -math.inf, True, ("\u2581ein",), (-1.0, -math.inf), ("\u2581a",), weights,
        (Note("cut", "it was cut off at the length cap"),),
    )  # fmt: skip
    line = json_line(translations_object("a", [one]))
    assert json.loads(line) == {
        "source": "a",
        "source_tokens": ["\u2581a"],
        "hypotheses": [
            {
                "text": "ein",
                "score": -0.5,
                "log_prob": None,
                "tokens": ["\u2581ein"],
                "token_log_probs": [-1.0, None],
                "alignment": [[0, 0]],
                "truncated": True,
                "notes": [{"kind": "cut", "text": "it was cut off at the length cap"}],
            }
        ],
    }
    scored = score_object("a", one, math.inf)
    assert (scored["perplexity"], scored["text"]) == (None, "ein")
