"""A vocabulary shortlist: its file, its lists, and an engine that keeps to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.engines import (
    SOURCE_SIZE,
    TARGET_SIZE,
    assert_same_steps,
    onnx_engine,
    random_engine,
    sources,
    weights_of,
)
from support.models import model_options

from seq2seq.errors import ModelError
from seq2seq.ids import BOS, EOS, UNK
from seq2seq.inference.shortlist import Shortlist
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import SourceBatch, beam_search, greedy

MODEL = random_engine(
    model_options(
        {"hidden": 8, "embedding": 6},
        {"hidden": 8, "embedding": 6, "attention": "general"},
        tie="none",
    ),
    scale=0.8,
)
OPTIONS, WEIGHTS = MODEL.model.options, weights_of(MODEL)
PLAIN = onnx_engine(OPTIONS, WEIGHTS)


def random_shortlist(per_piece: int = 3, frequent: int = 2, seed: int = 0) -> Shortlist:
    rng = np.random.default_rng(seed)
    return Shortlist(
        rng.integers(4, TARGET_SIZE, (SOURCE_SIZE, per_piece)).astype(np.int32),
        rng.choice(np.arange(4, TARGET_SIZE), frequent, replace=False).astype(np.int32),
        TARGET_SIZE,
    )


def list_of(shortlist: Shortlist, row: list[int]) -> list[int]:
    """One sentence's tokens, one piece after the other."""
    tokens = {UNK, EOS, *shortlist.frequent_F.tolist()}
    for piece in row:
        tokens.update(shortlist.likely_XM[piece].tolist())
    return sorted(tokens)


def rows_of(source: SourceBatch) -> list[list[int]]:
    return [ids[:n].tolist() for ids, n in zip(source.ids, source.lengths, strict=True)]


WHOLE = Shortlist(
    np.full((SOURCE_SIZE, 1), EOS, np.int32), np.arange(TARGET_SIZE, dtype=np.int32), TARGET_SIZE
)


# ---------------------------------------------------------------------------------------------
# The lists


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("per_piece", "frequent"), [(1, 0), (3, 2), (6, 9)])
def test_lists_are_those_of_their_pieces(per_piece: int, frequent: int, seed: int) -> None:
    shortlist = random_shortlist(per_piece, frequent, seed)
    source = sources((4, 1, 7, 2), seed=seed)
    union, mask = shortlist.allowed(source.ids, source.lengths)
    expected = [list_of(shortlist, row) for row in rows_of(source)]
    assert [union[row].tolist() for row in mask] == expected
    assert union.tolist() == sorted(set().union(*expected))
    assert union.dtype == np.int64


def test_padding_asks_for_nothing() -> None:
    shortlist = random_shortlist()
    source = sources((4, 2))
    wide = np.pad(source.ids, ((0, 0), (0, 5)))
    for one, two in zip(
        shortlist.allowed(source.ids, source.lengths),
        shortlist.allowed(wide, source.lengths),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


# ---------------------------------------------------------------------------------------------
# The engine


def test_a_list_of_all_tokens_changes_nothing() -> None:
    assert_same_steps(onnx_engine(OPTIONS, WEIGHTS, shortlist=WHOLE), PLAIN, sources())


@pytest.mark.parametrize("beam", [1, 4])
def test_searches_with_a_list_of_all_tokens_find_the_same(beam: int) -> None:
    source = sources((3, 9, 1, 5, 2), seed=2)
    settings: dict[str, Any] = {
        "beam": beam,
        "max_lengths": source.lengths + 3,
        "normalization": LengthNormalization(),
    }
    ours, theirs = (
        beam_search(engine, source, **settings)
        for engine in (onnx_engine(OPTIONS, WEIGHTS, shortlist=WHOLE), PLAIN)
    )
    assert [[one.tokens for one in found] for found in ours] == [
        [one.tokens for one in found] for found in theirs
    ]


def test_probabilities_are_normalized_over_the_list() -> None:
    shortlist = random_shortlist()
    engine = onnx_engine(OPTIONS, WEIGHTS, shortlist=shortlist)
    source = sources((3, 9, 1, 5), seed=5)
    lists = [list_of(shortlist, row) for row in rows_of(source)]
    rng = np.random.default_rng(7)
    states: list[Any] = [engine.start(source), PLAIN.start(source)]
    sentence_N = parent_N = np.arange(4)
    token_N = np.full(4, BOS)
    for size in (4, 9, 200, 5, 1):  # rows of all sentences in any order, more than a block's
        (ours, after), (plain, plain_after) = (
            one.distribution(state, parent_N, token_N)
            for one, state in zip((engine, PLAIN), states, strict=True)
        )
        assert ours.attention is not None
        np.testing.assert_allclose(ours.attention, plain.attention, atol=1e-6)
        for n, sentence in enumerate(sentence_N):
            chosen = plain.log_probs[n, lists[sentence]].astype(np.float64)
            expected = np.full(TARGET_SIZE, -np.inf)
            expected[lists[sentence]] = chosen - np.log(np.exp(chosen).sum())
            np.testing.assert_allclose(ours.log_probs[n], expected, atol=1e-5)
        states = [after, plain_after]
        parent_N = rng.integers(0, len(parent_N), size)
        sentence_N = sentence_N[parent_N]
        token_N = rng.integers(0, TARGET_SIZE, size)


@pytest.mark.parametrize("k", [1, 4, 9, TARGET_SIZE])
@pytest.mark.parametrize("forbidden", [[], [0, UNK, 2], [EOS, 7, 9]])
def test_a_step_gives_the_best_of_the_list(k: int, forbidden: list[int]) -> None:
    engine = onnx_engine(OPTIONS, WEIGHTS, shortlist=random_shortlist())
    source = sources((3, 9, 1, 5), seed=6)
    state = engine.start(source)
    question = (np.array([2, 0, 0, 3, 1, 0]), np.array([5, 6, 7, 8, 9, 10]))
    every = engine.distribution(state, *question)[0].log_probs
    every[:, forbidden] = -np.inf
    found, _ = engine.step(state, *question, k, forbidden)
    expected = -np.sort(-every, axis=1)[:, :k]
    np.testing.assert_allclose(found.log_probs, expected, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(every, found.tokens, axis=1), expected, atol=1e-6)
    assert all(len(set(row)) == k for row in found.tokens.tolist())


def test_a_sentence_does_not_depend_on_its_batch() -> None:
    shortlist = random_shortlist(2, 1)
    engine = onnx_engine(OPTIONS, WEIGHTS, shortlist=shortlist)
    source = sources((3, 9, 1, 5, 2, 12, 6), seed=8)
    settings: dict[str, Any] = {"beam": 3, "n_best": 2, "normalization": LengthNormalization()}
    together = beam_search(engine, source, max_lengths=np.full(7, 8), **settings)
    said = set()
    for row, found in zip(rows_of(source), together, strict=True):
        alone = beam_search(engine, SourceBatch.from_rows([row]), max_lengths=[8], **settings)[0]
        assert [one.tokens for one in found] == [one.tokens for one in alone]
        assert [one.log_prob for one in found] == pytest.approx(
            [one.log_prob for one in alone], abs=1e-5
        )
        said.update(*(one.tokens for one in found))
        assert {token for one in found for token in one.tokens} <= set(list_of(shortlist, row))
    assert len(said) > 3


def test_greedy_is_a_beam_of_one() -> None:
    engine = onnx_engine(OPTIONS, WEIGHTS, shortlist=random_shortlist())
    source = sources((3, 9, 1, 5), seed=9)
    greedily = greedy(engine, source, max_lengths=np.full(4, 8))
    beams = beam_search(
        engine, source, beam=1, max_lengths=np.full(4, 8), normalization=LengthNormalization()
    )
    assert [one.tokens for one in greedily] == [found[0].tokens for found in beams]


def test_a_shortlist_of_another_model_is_refused() -> None:
    other = Shortlist(WHOLE.likely_XM[:-1], WHOLE.frequent_F, TARGET_SIZE)
    with pytest.raises(ModelError) as error:
        other.check_fits(SOURCE_SIZE, TARGET_SIZE)
    assert str(error.value) == (
        "the vocabulary shortlist is from 18 source to 23 target pieces, but the model has 19 and "
        "23: they do not belong together; export the model again"
    )


# ---------------------------------------------------------------------------------------------
# The file


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    shortlist, path = random_shortlist(), tmp_path / "shortlist.safetensors"
    for _ in range(2):  # the second time, over the first
        shortlist.save(path)
        again = Shortlist.load(path)
        np.testing.assert_array_equal(again.likely_XM, shortlist.likely_XM)
        np.testing.assert_array_equal(again.frequent_F, shortlist.frequent_F)
        assert (again.source_size, again.target_size) == (SOURCE_SIZE, TARGET_SIZE)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def complaint(path: Path) -> str:
    with pytest.raises(ModelError) as error:
        Shortlist.load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "shortlist.safetensors"
    assert complaint(path) == f"{path}: no such file (a vocabulary shortlist)"
    random_shortlist().save(path)
    content = path.read_bytes()
    for damaged in (b"", content[:20], content[:-1], b"text" * 30):
        path.write_bytes(damaged)
        assert complaint(path).startswith(f"{path} is damaged or no safetensors file: ")
    path.unlink()
    path.mkdir()
    assert complaint(path).startswith(f"{path} is damaged or no safetensors file: ")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "shortlist.safetensors"
    arrays = {"likely": WHOLE.likely_XM, "frequent": WHOLE.frequent_F}
    about = {"seq2seq shortlist 1": str(TARGET_SIZE)}
    wrong: list[tuple[dict[str, np.ndarray], dict[str, str] | None]] = [
        (arrays, None),
        (arrays, {"seq2seq shortlist 9": str(TARGET_SIZE)}),
        (arrays, {"seq2seq shortlist 1": "-23"}),
        ({"likely": WHOLE.likely_XM}, about),
    ]
    for tensors, metadata in wrong:
        save_file(tensors, path, metadata)
        assert complaint(path) == (
            f"{path}: not a vocabulary shortlist of this version; export it again"
        )
    header = b'{"__metadata__":null}   '
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert complaint(path) == f"{path}: not a vocabulary shortlist of this version; export it again"


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("likely", np.full((SOURCE_SIZE, 2), TARGET_SIZE, np.int32)),
        ("likely", np.full((SOURCE_SIZE, 2), -1, np.int32)),
        ("likely", np.zeros((SOURCE_SIZE, 2), np.float32)),
        ("likely", np.zeros(SOURCE_SIZE, np.int32)),
        ("frequent", np.array([TARGET_SIZE], np.int32)),
    ],
)
def test_pieces_outside_the_vocabulary(tmp_path: Path, name: str, array: np.ndarray) -> None:
    path = tmp_path / "shortlist.safetensors"
    arrays = {"likely": WHOLE.likely_XM, "frequent": WHOLE.frequent_F, name: array}
    save_file(arrays, path, {"seq2seq shortlist 1": str(TARGET_SIZE)})
    assert complaint(path) == f"{path}: damaged: its pieces are not of the vocabulary"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "shortlist.safetensors"
    with pytest.raises(ModelError, match=r"shortlist.safetensors: cannot be written: No such file"):
        random_shortlist().save(path)
    folder = tmp_path / "shortlist.safetensors"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"cannot be written"):
        random_shortlist().save(folder)
    assert [file.name for file in tmp_path.iterdir()] == [folder.name]
