"""Alignment: Model 1, links and phrases against plain loops; what is found in a made-up text."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import seq2seq.data.preparing.alignment as module
from seq2seq.data.preparing.alignment import (
    Aligner,
    Prior,
    Side,
    consistent,
    diagonal,
    grown,
    word_pairs,
)

Lines = list[list[str]]


def lines(seed: int, letters: str, count: int = 25) -> Lines:
    random = np.random.default_rng(seed)
    return [list(random.choice(list(letters), random.integers(1, 6))) for _ in range(count)]


def flat(given: int, made: int) -> np.ndarray:
    return np.ones((given + 1, made))


def model_1(
    given: Lines, made: Lines, prior: Prior, iterations: int
) -> dict[tuple[str, str], float]:
    """t(made | given), by the formulas of Brown et al. (1993), a sum at a time; "" is no word."""
    chance = {(e, f): 1.0 for x, y in zip(given, made, strict=True) for e in ["", *x] for f in y}
    for _ in range(iterations):
        count = dict.fromkeys(chance, 0.0)
        for x, y in zip(given, made, strict=True):
            weight = prior(len(x), len(y))
            for j, f in enumerate(y):
                parts = [weight[i, j] * chance[e, f] for i, e in enumerate(["", *x])]
                for e, part in zip(["", *x], parts, strict=True):
                    count[e, f] += part / sum(parts)
        total = {e: sum(c for (one, _), c in count.items() if one == e) for e, _ in count}
        chance = {(e, f): c / total[e] for (e, f), c in count.items()}
    return chance


@pytest.mark.parametrize("prior", [flat, diagonal])
def test_the_chances_are_those_of_the_formula(prior: Prior) -> None:
    texts = lines(1, "abcd"), lines(2, "stuvwx")
    sides = tuple(Side(" ".join(line) for line in text) for text in texts)
    aligner = Aligner((sides[0], sides[1]), prior)
    names = [["", "?", *side.words] for side in sides]  # each once, in their order
    key_K = aligner._grouped()[1]
    for direction in (0, 1):
        expected = model_1(texts[direction], texts[1 - direction], prior, module._ITERATIONS)
        seen = 0
        for pair, chance in zip(
            zip(*np.divmod(key_K, sides[1].size), strict=True),
            aligner.chances[direction],
            strict=True,
        ):
            one, other = (names[side][pair[side]] for side in (direction, 1 - direction))
            assert chance == pytest.approx(expected.get((one, other), 0.0), abs=1e-12)
            seen += (one, other) in expected
        assert seen == len(expected)


def test_the_diagonal_is_a_distribution_that_prefers_it() -> None:
    for given, made in product(range(1, 9), repeat=2):
        prior = diagonal(given, made)
        assert prior.shape == (given + 1, made)
        assert prior.sum(axis=0) == pytest.approx(np.ones(made))
        assert (prior[0] == module._NOTHING).all()
    assert (diagonal(7, 7)[1:].argmax(axis=0) == np.arange(7)).all()


def directions(seed: int, size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What two directions could say: of each target word a source word or none, and the reverse."""
    random = np.random.default_rng(seed)
    n, s, t = size
    one, other = np.zeros((2, *size), dtype=np.bool_)
    for row in range(n):
        for j in range(t):
            if (i := random.integers(-1, s)) >= 0:
                one[row, i, j] = True
        for i in range(s):
            if (j := random.integers(-1, t)) >= 0:
                other[row, i, j] = True
    return one, other


def grown_slowly(one: np.ndarray, other: np.ndarray, axes: tuple[int, ...]) -> set[tuple[int, int]]:
    said, also = (set(zip(*map(list, np.nonzero(x)), strict=True)) for x in (one, other))
    links, either = said & also, said | also
    links = links | {(i, j) for i, j in either if all(i != a and j != b for a, b in links)}
    for _ in range(2):
        if 1 in axes:
            beside = {(i, j) for i, j in either if {(i - 1, j), (i + 1, j)} & links}
            links = links | {(i, j) for i, j in beside if all(i != a for a, _ in links)}
        if 2 in axes:
            beside = {(i, j) for i, j in either if {(i, j - 1), (i, j + 1)} & links}
            links = links | {(i, j) for i, j in beside if all(j != b for _, b in links)}
    return links


@pytest.mark.parametrize("size", [(40, 1, 1), (40, 3, 5), (40, 6, 4)])
@pytest.mark.parametrize("axes", [(2,), (1, 2)])
def test_links_grow_as_loops_grow_them(size: tuple[int, int, int], axes: tuple[int, ...]) -> None:
    one, other = directions(3, size)
    links = grown(one, other, axes)
    assert (links >= (one & other)).all()
    assert (links <= (one | other)).all()
    for row in range(size[0]):
        found = set(zip(*map(list, np.nonzero(links[row])), strict=True))
        assert found == grown_slowly(one[row], other[row], axes)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_phrases_are_those_of_the_definition(width: int) -> None:
    """No word of either side is linked outside; no shorter span of the target has all links."""
    links = np.random.default_rng(width).random((300, 5, 6)) < 0.15
    first, length = consistent(links, width)
    assert first.shape == length.shape == (300, 6 - width)
    some = 0
    for row, begin in product(range(300), range(6 - width)):
        inside = range(begin, begin + width)
        expected = [
            (low, high - low)
            for low in range(6)
            for high in range(low + 1, 7)
            if links[row, begin : begin + width].any(axis=1).all()
            and all((i in inside) == (low <= j < high) for i, j in np.argwhere(links[row]))
        ]
        shortest = min(expected, key=lambda one: one[1], default=None)
        some += shortest is not None
        assert length[row, begin] == (0 if shortest is None else shortest[1])
        if shortest is not None:
            assert first[row, begin] == shortest[0]
    assert some > 20


NOUNS = {"dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum", "river": "Fluss",
         "suitcase": "großer Koffer", "ship's": "Schiff", "ice-cream": "Eis"}  # fmt: skip
VERBS = {"sees": "sieht", "likes": "mag", "draws": "zeichnet"}
ADVERBS = {"often": "oft", "never": "nie"}


def made_up(count: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(5)
    pairs = []
    for _ in range(count):
        one, other = random.choice(list(NOUNS), 2, replace=False)
        verb = random.choice(list(VERBS))
        how = random.choice(list(ADVERBS))
        source, target = (
            f"One {one} {verb}, {how}, {other}.",
            f"{NOUNS[one]} {VERBS[verb]} {ADVERBS[how]} {NOUNS[other]}!",
        )
        pairs.append((source, target))
    sources, targets = zip(*pairs, strict=True)
    return list(sources), list(targets)


def test_what_is_found_in_a_made_up_text() -> None:
    sources, targets = made_up(300)
    found = word_pairs(sources, targets, 10**6)
    known = {pair.source: pair.target for pair in found}
    assert len(known) == len(found)
    words = {source: target for source, target in known.items() if " " not in source}
    assert words == {**NOUNS, **VERBS, **ADVERBS}
    for noun, verb in product(NOUNS.keys() - {"suitcase"}, VERBS):
        assert known[f"{noun} {verb}"] == f"{NOUNS[noun]} {VERBS[verb]}"
    assert [pair.count for pair in found] == sorted((pair.count for pair in found), reverse=True)
    for pair in found:
        with_both = [
            n for n in range(300) if pair.source in sources[n] and pair.target in targets[n]
        ]
        assert pair.row in with_both
        assert 0.4 * len(with_both) <= pair.count <= len(with_both)
    assert word_pairs(sources, targets, 7) == found[:7]


def test_a_word_stands_as_it_is_written_most_often_and_where_it_is_translated_so() -> None:
    sources, targets = made_up(300)
    for n in range(300):
        if n % 3:
            sources[n] = sources[n].replace("dog", "Dog")
        targets[n] = targets[n].replace("Katze", ["Katze", "Mieze", "Kater", "Tier"][n % 4])
    known = {pair.source: pair.target for pair in word_pairs(sources, targets, 10**6)}
    assert known["Dog"] == "Hund"
    assert "dog" not in known
    assert "cat" not in known  # none of four translations is usual


@pytest.mark.parametrize(
    "pair",
    [([], []), (["", ""], ["", "x"]), (["我喜歡狗"] * 9, ["犬が好き"] * 9), (["1, 2"] * 9,) * 2],
)
def test_where_there_is_nothing_to_be_found(pair: tuple[list[str], list[str]]) -> None:
    assert [one for one in word_pairs(*pair, 10**6) if " " in one.source] == []


def test_of_too_much_text_pairs_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = made_up(2000)
    monkeypatch.setattr(module, "_MOST_CELLS", 20_000)
    aligner = Aligner((Side(sources), Side(targets)))
    assert 18_000 < sum(group.cell_NIJ.size for group in aligner.groups) <= 22_000
    rows = [
        np.searchsorted(Side(sources).ends, group.source_NS[:, 0], "right")
        for group in aligner.groups
    ]
    assert np.histogram(np.concatenate(rows), 4, (0, 2000))[0].std() < 20
    assert {"dog": "Hund"}.items() <= {
        one.source: one.target for one in word_pairs(sources, targets, 10**6)
    }.items()
    long = ["dog " * 101] * 9
    assert word_pairs(long, long, 9) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A dog's T-shirt, isn't it?", ["A", "dog's", "T-shirt", ",", "isn't", "it", "?"]),
        ("„Ja“, sagte ’n Mann …", ["„", "Ja", "“", ",", "sagte", "’", "n", "Mann", "…"]),
        ("हिन्दी पढ़ना।", ["हिन्दी", "पढ़ना", "।"]),
        ("the U.S. (3.5 %)", ["the", "U.S", ".", "(", "3.5", "%", ")"]),
        ("l’eau\u2028froide", ["l’eau", "froide"]),
        (" ", []),
    ],
)  # fmt: skip
def test_words_of_a_line(line: str, words: list[str]) -> None:
    side = Side([line, line])
    assert side.words == words
    assert side.lengths.tolist() == [len(words)] * 2
