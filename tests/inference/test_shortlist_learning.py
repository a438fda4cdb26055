"""What a shortlist is learned from, against plain loops over single pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from support.models import make_batch, model_options, random_model, random_pairs
from support.ragged import ragged

from seq2seq import recipe
from seq2seq.data.dataset import PairDataset, Ragged
from seq2seq.errors import DataError, Seq2SeqError
from seq2seq.ids import EOS, UNK
from seq2seq.inference import shortlist_learning
from seq2seq.inference.shortlist import Shortlist
from seq2seq.inference.shortlist_learning import learn_shortlist, piece_weights, same_pieces
from seq2seq.models.translation import TranslationModel
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

V = 40
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "attention": ({"directions": "both"}, {"attention": "general"}),
    "reversed": ({"reverse": True}, {"attention": "dot"}),
    "input feeding": ({}, {"attention": "additive", "feeding": "input"}),
    "upper feeding": ({}, {"layers": 2, "attention": "dot", "feeding": "upper"}),
}
PAIRS = random_pairs([(n % 9, n * 5 % 11) for n in range(40)], vocab=V)


class Corpus:
    """Training pairs in memory."""

    path = Path("train.arrow")

    def __init__(self, pairs: list[tuple[list[int], list[int]]]) -> None:
        self.pairs = pairs
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def ids(self, indices: np.ndarray) -> tuple[Ragged, Ragged]:
        self.read += indices.tolist()
        return tuple(ragged([self.pairs[n][side] for n in indices]) for side in (0, 1))


class Told:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def start(self, task: str, total: int | None) -> None:
        self.events.append((task, total))

    def advance(self, count: int) -> None:
        self.events.append(count)

    def finish(self) -> None:
        self.events.append("finished")


def corpus(pairs: list[tuple[list[int], list[int]]] = PAIRS) -> PairDataset:
    return cast(PairDataset, Corpus(pairs))


def model_of(kind: str) -> TranslationModel:
    return random_model(model_options(*KINDS[kind]), V, V)


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    words = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(words, size=6)) for _ in range(300)]
    return train_tokenizers(recipe.Tokenizer(vocab_size=V), lines, lines)


@torch.no_grad()
def looked_at(model: TranslationModel, source: list[int], target: list[int]) -> np.ndarray:
    """The weights (T, S) of one pair, a step at a time."""
    batch = make_batch([(source, target)])
    state, memory = model.start(batch.source_BS, batch.source_lengths_B)
    rows = []
    for token in batch.inputs_BT[0]:
        _, state, weights = model.decoder.step(token[None], state, memory)
        assert weights is not None
        rows.append(weights[0].numpy())
    return np.stack(rows)


def expected_lists(model: TranslationModel, per_piece: int, frequent: int) -> list[list[int]]:
    """The likely pieces by the book: sums in a table, sorted."""
    weight: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    counts: Counter[int] = Counter()
    for source, target in PAIRS:
        counts.update([*target, EOS])
        for row, label in zip(looked_at(model, source, target), [*target, EOS], strict=True):
            for piece, value in zip([*source, EOS], row.tolist(), strict=True):
                if value >= 0.1:
                    weight[piece][label] += value
    often = sorted(counts, key=lambda token: (-counts[token], token))[:frequent]
    lists = []
    for piece in range(V):
        here = {t: w for t, w in weight[piece].items() if t not in (*often, UNK, EOS)}
        if piece > EOS and piece not in often:
            here[piece] = np.inf  # the vocabulary is joint
        lists.append(sorted(here, key=lambda token: (-here[token], token))[:per_piece])
    return [*lists, sorted(often)]


def as_lists(shortlist: Shortlist) -> list[list[int]]:
    likely = [[token for token in row if token != EOS] for row in shortlist.likely_XM.tolist()]
    return [*likely, shortlist.frequent_F.tolist()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("per_piece", "frequent"), [(4, 6), (1, 0), (50, 3)])
def test_the_lists_are_those_of_a_table(
    kind: str, per_piece: int, frequent: int, tokenizers: Tokenizers, monkeypatch: Any
) -> None:
    model = model_of(kind)
    expected = expected_lists(model, per_piece, frequent)
    # In small batches and with many sums, as a large corpus has them.
    monkeypatch.setattr(shortlist_learning, "_PADDED_PIECES", 30)
    monkeypatch.setattr(shortlist_learning, "_CELLS_AT_ONCE", 50)
    found = learn_shortlist(model, tokenizers, corpus(), per_piece=per_piece, frequent=frequent)
    assert as_lists(found) == expected
    assert (found.source_size, found.target_size) == (V, V)
    assert any(len(row) > 2 for row in expected[:-1]) or per_piece == 1


def test_of_too_many_pairs_of_pieces_the_lightest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("attention")
    full = piece_weights(model, corpus(), 1000, Told())
    monkeypatch.setattr(shortlist_learning, "_MOST_CELLS", 60)
    bounded = piece_weights(model, corpus(), 1000, Told())
    assert len(full.key_C) > 100
    assert len(bounded.key_C) == 60
    heaviest = np.argsort(-full.weight_C)[:60]
    np.testing.assert_array_equal(bounded.key_C, np.sort(full.key_C[heaviest]))
    assert (np.diff(bounded.key_C) > 0).all()


def test_of_many_pairs_some_are_drawn() -> None:
    read = []
    for _ in range(2):
        pairs, told = Corpus(PAIRS), Told()
        piece_weights(model_of("attention"), cast(PairDataset, pairs), 15, told)
        assert told.events[0] == ("learning the shortlist", 15)
        assert told.events[-1] == "finished"
        assert sum(told.events[1:-1]) == 15
        read.append(set(pairs.read))
    assert len(read[0]) == 15
    assert read[0] == read[1]


def test_a_model_without_attention_is_refused(tokenizers: Tokenizers) -> None:
    model = random_model(model_options({}, {}), V, V)
    with pytest.raises(Seq2SeqError) as error:
        learn_shortlist(model, tokenizers, corpus())
    assert str(error.value) == (
        "a vocabulary shortlist is learned from attention, and this model has none "
        "(model.decoder.attention = 'none'): do without the shortlist, or train a model with "
        "attention"
    )


def test_no_pairs_are_refused(tokenizers: Tokenizers) -> None:
    with pytest.raises(DataError, match=r"^train.arrow: no pairs to learn a vocabulary shortlist"):
        learn_shortlist(model_of("attention"), tokenizers, corpus([]))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"per_piece": 0}, "per_piece is 0; 1 or more is allowed"),
        ({"most_pairs": -3}, "most_pairs is -3; 1 or more is allowed"),
        ({"frequent": -1}, "frequent is -1; 0 or more is allowed"),
    ],
)
def test_numbers_that_make_no_sense(
    numbers: dict[str, int], message: str, tokenizers: Tokenizers
) -> None:
    with pytest.raises(Seq2SeqError) as error:
        learn_shortlist(model_of("attention"), tokenizers, corpus(), **numbers)
    assert str(error.value) == message


def test_pieces_are_the_same_by_their_text(tokenizers: Tokenizers) -> None:
    joint = same_pieces(tokenizers)
    assert joint.tolist() == [-1] * 4 + list(range(4, V))
    lines = ["Ein Hund sah die Katze an", "Kinder am Wasser und Wiesen"] * 20
    apart = Tokenizers(
        tokenizers.source, train_tokenizers(recipe.Tokenizer(vocab_size=29), lines, lines).target
    )
    found = same_pieces(apart)
    ours = tokenizers.source.pieces(range(V))
    theirs = apart.target.pieces(range(apart.target.size))
    for number, place in enumerate(found.tolist()):
        if place >= 0:
            assert number > EOS
            assert theirs[place] == ours[number]
        else:
            assert number <= EOS or ours[number] not in theirs[EOS + 1 :]
    assert (found >= 0).sum() > 3
