from __future__ import annotations

import math

import numpy as np
import pytest
from support.references import Divisor, brute_force, gnmt, length_alpha, none, plain_beam
from support.scripted import ScriptedModel, random_script, sources, table_script

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search import Hypothesis, Normalization, SourceBatch, beam_search, greedy

NORMALIZATIONS: list[tuple[Normalization, Divisor]] = [
    (NoNormalization(), none),
    (LengthNormalization(alpha=1.0), length_alpha(1.0)),
    (LengthNormalization(alpha=0.4), length_alpha(0.4)),
    (LengthNormalization(alpha=0.0), none),
    (GnmtNormalization(alpha=0.6), gnmt(0.6)),
    (GnmtNormalization(alpha=2.0), gnmt(2.0)),
]
every_normalization = pytest.mark.parametrize(("normalization", "divisor"), NORMALIZATIONS)


def same(left: Hypothesis, right: Hypothesis) -> bool:
    return (
        left.tokens == right.tokens
        and left.truncated == right.truncated
        and math.isclose(left.log_prob, right.log_prob, abs_tol=1e-9)
        and math.isclose(left.score, right.score, abs_tol=1e-9)
    )


@every_normalization
@pytest.mark.parametrize(("vocab_size", "cap"), [(6, 4), (7, 3), (8, 2), (5, 6), (6, 1), (6, 0)])
def test_a_beam_as_wide_as_the_space_is_brute_force(
    normalization: Normalization, divisor: Divisor, vocab_size: int, cap: int
) -> None:
    model = ScriptedModel(vocab_size, random_script(vocab_size, seed=vocab_size))
    rows = sources(3)
    every = [brute_force(model, row, cap, divisor) for row in rows]
    beam = len(every[0])
    found = beam_search(
        model,
        SourceBatch.from_rows(rows),
        beam=beam,
        n_best=beam,
        max_lengths=[cap] * 3,
        normalization=normalization,
    )
    for ours, theirs in zip(found, every, strict=True):
        assert [hypothesis.tokens for hypothesis in ours] == [tokens for _, tokens in theirs]
        np.testing.assert_allclose([h.score for h in ours], [score for score, _ in theirs])


@every_normalization
@pytest.mark.parametrize("grain", [0.0, 1.0])
@pytest.mark.parametrize(("beam", "n_best"), [(1, 1), (2, 1), (2, 2), (3, 2), (5, 5), (9, 4)])
def test_it_is_beam_search_by_its_definition(
    normalization: Normalization, divisor: Divisor, beam: int, n_best: int, grain: float
) -> None:
    """Stopping early, dropping rows and the k of a row never change what is found; nor do ties."""
    for vocab_size, eos in ((5, 0.0), (7, 1.5), (12, 3.0)):
        script = random_script(vocab_size, seed=beam, eos=eos, grain=grain)
        model = ScriptedModel(vocab_size, script)
        rows = sources(8, seed=beam)
        caps = [len(row) + 2 for row in rows]
        found = beam_search(
            model,
            SourceBatch.from_rows(rows),
            beam=beam,
            n_best=n_best,
            max_lengths=caps,
            normalization=normalization,
        )
        for row, cap, ours in zip(rows, caps, found, strict=True):
            theirs = plain_beam(model, row, beam=beam, n_best=n_best, cap=cap, divisor=divisor)
            assert len(ours) == len(theirs)
            assert all(map(same, ours, theirs)), (ours, theirs)


@pytest.mark.parametrize("grain", [0.0, 1.0])
@pytest.mark.parametrize("eos", [-2.0, 0.0, 3.0])
def test_beam_1_is_greedy(eos: float, grain: float) -> None:
    model = ScriptedModel(30, random_script(30, seed=4, eos=eos, grain=grain))
    source = SourceBatch.from_rows(sources(40))
    caps = 2 * source.lengths
    normalization = GnmtNormalization()
    beams = beam_search(model, source, beam=1, max_lengths=caps, normalization=normalization)
    assert beams == [
        [one] for one in greedy(model, source, max_lengths=caps, normalization=normalization)
    ]


@every_normalization
def test_reported_numbers_are_the_models(normalization: Normalization, divisor: Divisor) -> None:
    model = ScriptedModel(40, random_script(40, seed=1, eos=3.0))
    rows = sources(20)
    found = beam_search(
        model,
        SourceBatch.from_rows(rows),
        beam=6,
        n_best=6,
        max_lengths=[9] * 20,
        normalization=normalization,
    )
    for row, hypotheses in zip(rows, found, strict=True):
        assert len(hypotheses) == 6
        assert len({hypothesis.tokens for hypothesis in hypotheses}) == 6
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        for hypothesis in hypotheses:
            log_prob = model.log_prob(row, hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-9)
            score = log_prob / divisor(len(hypothesis.tokens) + 1)
            assert hypothesis.score == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_sentence_does_not_depend_on_its_batch(batch: int) -> None:
    model = ScriptedModel(30, random_script(30, seed=3, eos=2.0, grain=0.5))
    rows = sources(64)
    caps = np.array([2 * len(row) for row in rows])

    def translate(chosen: np.ndarray) -> list[list[Hypothesis]]:
        return beam_search(
            model,
            SourceBatch.from_rows([rows[i] for i in chosen]),
            beam=4,
            n_best=3,
            max_lengths=caps[chosen],
            normalization=LengthNormalization(),
        )

    alone = [translate(np.array([i]))[0] for i in range(64)]
    order = np.random.default_rng(batch).permutation(64)
    for start in range(0, 64, batch):
        chosen = order[start : start + batch]
        assert translate(chosen) == [alone[i] for i in chosen]  # to the last bit


def test_rows_of_finished_sentences_leave() -> None:
    # Sentence i ends for sure after i tokens: its row must be gone in the step after.
    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(6, -np.inf, dtype=np.float32)
        log_probs[4 if len(prefix) < len(source) - 1 else EOS] = 0.0
        return log_probs

    rows = [[5] * length + [EOS] for length in (3, 0, 1, 5)]
    model = ScriptedModel(6, script)
    found = beam_search(
        model,
        SourceBatch.from_rows(rows),
        beam=3,
        max_lengths=[9] * 4,
        normalization=NoNormalization(),
    )
    assert [len(hypotheses[0].tokens) for hypotheses in found] == [3, 0, 1, 5]
    assert model.sizes == [4, 3, 2, 2, 1, 1]


def test_a_sentence_stops_when_nothing_can_replace_its_best() -> None:
    # After one step: finished log(0.9); live log(0.1), which can only fall.
    table = {(): {EOS: 0.9, 4: 0.1}, (4,): {4: 1.0}, (4, 4): {4: 1.0}}
    model = ScriptedModel(6, table_script(6, table))
    source = SourceBatch.from_rows([[5, EOS]])

    def steps(normalization: Normalization, n_best: int, cap: int) -> int:
        model.sizes.clear()
        beam_search(
            model,
            source,
            beam=2,
            n_best=n_best,
            max_lengths=[cap],
            normalization=normalization,
        )
        return len(model.sizes)

    assert steps(NoNormalization(), 1, 2) == 1
    assert steps(NoNormalization(), 2, 2) > 1  # one translation is still wanted
    assert steps(LengthNormalization(), 1, 2) == 1  # log(0.1) / 3 < log(0.9) / 1
    # log(0.1) / 22 > log(0.9): with room for 21 tokens the live one could still win.
    assert math.log(0.1) / 21 < math.log(0.9) < math.log(0.1) / 22
    assert steps(LengthNormalization(), 1, 20) == 1
    assert steps(LengthNormalization(), 1, 21) > 1


def test_hopeless_ends_do_not_push_out_the_translation() -> None:
    # Sure of 4 4 4 4 4 eos; at each step eos, with hardly a chance, is among the beam of 2. Two of
    # those are finished long before the translation is.
    sure, hardly = 1 - 1e-6, 1e-6
    table = {(4,) * n: {4: sure, EOS: hardly} for n in range(5)} | {(4,) * 5: {EOS: 1.0}}
    for normalization, _ in NORMALIZATIONS:
        found = beam_search(
            ScriptedModel(6, table_script(6, table)),
            SourceBatch.from_rows([[5, EOS]]),
            beam=2,
            max_lengths=[9],
            normalization=normalization,
        )
        assert found[0][0].tokens == (4,) * 5


@every_normalization
def test_asking_for_more_does_not_change_the_best(
    normalization: Normalization, divisor: Divisor
) -> None:
    del divisor
    model = ScriptedModel(12, random_script(12, seed=6, eos=2.0))
    source = SourceBatch.from_rows(sources(60))
    found = [
        beam_search(
            model,
            source,
            beam=5,
            n_best=n_best,
            max_lengths=source.lengths,
            normalization=normalization,
        )
        for n_best in (1, 2, 5)
    ]
    for one, two, five in zip(*found, strict=True):
        assert one == two[:1] == five[:1]
        assert two == five[:2]


def test_a_step_asks_for_no_more_than_it_needs() -> None:
    for vocab_size, beam, k in ((40, 5, 6), (6, 5, 6), (5, 7, 5)):
        model = ScriptedModel(vocab_size, random_script(vocab_size, seed=0))
        beam_search(
            model,
            SourceBatch.from_rows(sources(3)),
            beam=beam,
            max_lengths=[4] * 3,
            normalization=NoNormalization(),
        )
        assert set(model.widths) <= {k, 1}  # 1: eos alone, forced at the cap


def test_the_cap_forces_eos_and_says_so() -> None:
    table = {(): {4: 0.9, EOS: 0.1}, (4,): {4: 0.9, EOS: 0.1}, (4, 4): {EOS: 0.6, 4: 0.4}}
    model = ScriptedModel(6, table_script(6, table))
    expected = {0: (math.log(0.1), True), 1: (math.log(0.09), True), 2: (math.log(0.486), False)}
    for cap, (log_prob, truncated) in expected.items():
        found = beam_search(
            model,
            SourceBatch.from_rows([[5, EOS]]),
            beam=1,
            max_lengths=[cap],
            normalization=NoNormalization(),
        )[0][0]
        assert found.tokens == (4,) * cap
        assert found.log_prob == pytest.approx(log_prob, abs=1e-6)
        assert found.truncated is truncated


def test_suppressed_tokens_are_never_produced() -> None:
    model = ScriptedModel(12, random_script(12, seed=8, eos=-1.0))
    found = beam_search(
        model,
        SourceBatch.from_rows(sources(30)),
        beam=5,
        n_best=5,
        max_lengths=[8] * 30,
        normalization=NoNormalization(),
        suppress=(0, 1, 2, 7, 9),
    )
    produced = {token for hypotheses in found for one in hypotheses for token in one.tokens}
    assert produced == {4, 5, 6, 8, 10, 11}


def test_without_suppression_every_token_may_come() -> None:
    model = ScriptedModel(6, random_script(6, seed=8, eos=-1.0))
    found = beam_search(
        model,
        SourceBatch.from_rows(sources(30)),
        beam=5,
        n_best=5,
        max_lengths=[8] * 30,
        normalization=NoNormalization(),
        suppress=(),
    )
    produced = {token for hypotheses in found for one in hypotheses for token in one.tokens}
    assert produced == {0, 1, 2, 4, 5}


def test_fewer_translations_than_the_beam() -> None:
    table = {(): {4: 0.5, 5: 0.5}, (4,): {EOS: 1.0}, (5,): {EOS: 0.25, 4: 0.75}}
    model = ScriptedModel(6, table_script(6, table))
    found = beam_search(
        model,
        SourceBatch.from_rows([[5, EOS]]),
        beam=4,
        n_best=4,
        max_lengths=[9],
        normalization=NoNormalization(),
    )
    # (5, 4) leads nowhere: it is no translation, and not a reason to fail.
    assert [one.tokens for one in found[0]] == [(4,), (5,)]


@pytest.mark.parametrize("beam", [1, 3])
def test_where_nothing_is_possible_the_prefix_is_returned(beam: int) -> None:
    model = ScriptedModel(6, table_script(6, {(): {4: 0.9, 5: 0.1}, (4,): {5: 1.0}}))
    nothing = ScriptedModel(6, table_script(6, {}))
    source = SourceBatch.from_rows([[5, EOS]])

    def search(model: ScriptedModel, cap: int) -> list[Hypothesis]:
        return beam_search(
            model,
            source,
            beam=beam,
            n_best=beam,
            max_lengths=[cap],
            normalization=LengthNormalization(),
        )[0]

    for asked, cap, tokens in (
        (model, 9, (4, 5)),
        (model, 2, (4, 5)),
        (model, 1, (4,)),
        (nothing, 9, ()),
        (nothing, 0, ()),
    ):
        (found,) = search(asked, cap)
        assert found.tokens == tokens
        assert found.log_prob == found.score == found.token_log_probs[-1] == -math.inf
        assert found.truncated


def test_ties_go_to_the_better_parent_then_to_the_lower_token() -> None:
    table = {
        (): {4: 0.5, 5: 0.5},
        (4,): {4: 0.5, 5: 0.5},
        (5,): {4: 0.5, 5: 0.5},
        **{(first, second): {EOS: 1.0} for first in (4, 5) for second in (4, 5)},
    }
    found = beam_search(
        ScriptedModel(6, table_script(6, table)),
        SourceBatch.from_rows([[5, EOS]]),
        beam=4,
        n_best=4,
        max_lengths=[9],
        normalization=NoNormalization(),
    )
    assert [one.tokens for one in found[0]] == [(4, 4), (4, 5), (5, 4), (5, 5)]


def test_no_sentences() -> None:
    model = ScriptedModel(6, table_script(6, {}))
    source = SourceBatch.from_rows([])
    assert beam_search(model, source, beam=2, max_lengths=[], normalization=NoNormalization()) == []
    assert greedy(model, source, max_lengths=[]) == []


def test_broken_numbers_are_an_error() -> None:
    model = ScriptedModel(6, lambda source, prefix: np.full(6, np.nan, dtype=np.float32))
    with pytest.raises(ModelError, match=r"not numbers \(NaN\)"):
        beam_search(
            model,
            SourceBatch.from_rows([[5, EOS]]),
            beam=2,
            max_lengths=[3],
            normalization=NoNormalization(),
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beam": 0}, "beam is 0; 1 (greedy) or more is allowed"),
        ({"n_best": 0}, "n_best is 0; 1 or more is allowed"),
        (
            {"n_best": 3},
            "n_best is 3, but beam is 2: --n-best 3 needs --beam 3 or more",
        ),
        (
            {"max_lengths": [3]},
            "max_lengths has the shape (1,), but needs one length for each of 2 sentences: (2,)",
        ),
        ({"max_lengths": [3, -1]}, "max_lengths holds -1; lengths of 0 or more are allowed"),
        ({"suppress": (6,)}, "suppress holds [6]; token ids from 0 to 5 are allowed"),
    ],
)
def test_wishes_that_do_not_fit(wrong: dict[str, object], message: str) -> None:
    wishes = {"beam": 2, "max_lengths": [3, 3], "normalization": NoNormalization(), **wrong}
    model = ScriptedModel(6, random_script(6, seed=0))
    with pytest.raises(Seq2SeqError) as error:
        beam_search(model, SourceBatch.from_rows(sources(2)), **wishes)
    assert str(error.value) == message
