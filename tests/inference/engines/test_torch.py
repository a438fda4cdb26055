"""The torch engine, step by step, against the model's teacher forcing."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.engines import onnx_engine
from support.models import make_batch, model_options, random_model, randomize, score

from seq2seq import recipe
from seq2seq.errors import ModelError
from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.torch import TorchEngine, load_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import load_tensors
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import NoNormalization
from seq2seq.search import beam_search, greedy
from seq2seq.search.model import SourceBatch
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

V = 9
SOURCES = [[5, 6, 7], [4], [8, 4, 4, 6, 5]]
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain lstm": ({}, {}),
    "state feeding": ({"cell": "gru"}, {"cell": "gru", "state_feeding": True}),
    "attention": ({"directions": "both"}, {"attention": "general"}),
    "input feeding": ({}, {"attention": "additive", "feeding": "input", "state_feeding": True}),
    "upper feeding": ({"layers": 2}, {"layers": 2, "attention": "dot", "feeding": "upper"}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def engine_of(kind: str, precision: torch.dtype = torch.float32) -> TorchEngine:
    return TorchEngine(random_model(model_options(*KINDS[kind])).float(), precision)


def batch_of(sources: list[list[int]]) -> SourceBatch:
    return SourceBatch.from_rows([[*source, EOS] for source in sources])


@torch.no_grad()
def forced(engine: TorchEngine, source: list[int], prefix: list[int]) -> np.ndarray:
    """Log-probabilities (V) of the token after a prefix, by teacher forcing of the pair alone."""
    readouts = engine.model(make_batch([(source, prefix)]))
    log_probs: np.ndarray = torch.log_softmax(engine.model.output(readouts), dim=-1)[-1].numpy()
    return log_probs


@torch.no_grad()
def forced_attention(engine: TorchEngine, source: list[int], prefix: list[int]) -> np.ndarray:
    """The weights (S) of the token after a prefix, by teacher forcing of the pair alone."""
    attention = engine.model.decoder.attention
    assert attention is not None
    seen: list[torch.Tensor] = []
    hook = attention.register_forward_hook(lambda _, given, found: seen.append(found[1]))
    engine.model(make_batch([(source, prefix)]))
    hook.remove()
    weights: np.ndarray = torch.cat(seen, dim=1)[0, -1].numpy()
    return weights


def spread(tokens: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
    """All candidates by token (N, V)."""
    full = np.full((len(tokens), V), np.nan, dtype=np.float32)
    np.put_along_axis(full, tokens, log_probs, axis=1)
    return full


@every_kind
def test_rows_moved_at_will_are_their_own_prefixes(kind: str) -> None:
    """Rows repeat, vanish, change places and sentences; each goes on from what it was fed."""
    engine, random = engine_of(kind), np.random.default_rng(4)
    state = engine.start(batch_of(SOURCES))
    rows = [(source, list[int]()) for source in SOURCES]
    parent_N, token_N = np.arange(3), np.full(3, BOS)
    for size in (3, 5, 5, 2, 6, 1, 1, 4):
        candidates, state = engine.step(state, parent_N, token_N, V)
        found = spread(candidates.tokens, candidates.log_probs)
        expected = np.stack([forced(engine, *row) for row in rows])
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
        parent_N = random.integers(0, len(rows), size=size)
        token_N = random.integers(4, V, size=size)
        rows = [
            (rows[parent][0], [*rows[parent][1], token])
            for parent, token in zip(parent_N.tolist(), token_N.tolist(), strict=True)
        ]


@pytest.mark.parametrize("reverse", [False, True])
@every_kind
def test_a_distribution_is_that_of_teacher_forcing(kind: str, reverse: bool) -> None:
    """All tokens' chances and the attention, of rows that move; both engines alike."""
    encoder, decoder = KINDS[kind]
    options = model_options(
        {**encoder, "reverse": reverse and "directions" not in encoder}, decoder
    )
    model = random_model(options).float()
    torch_engine = TorchEngine(model)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    for engine in (torch_engine, onnx_engine(options, weights)):
        state: Any = engine.start(batch_of(SOURCES))
        rows = [(source, list[int]()) for source in SOURCES]
        parent_N, token_N = np.arange(3), np.full(3, BOS)
        # Towards the end the longest source has no row any more.
        for parents in ([0, 1, 2], [2, 0, 0, 1], [0, 3, 1, 1], [3, 1], [0]):
            found, after = engine.distribution(state, parent_N, token_N)
            assert found.log_probs.dtype == np.float32
            expected = np.stack([forced(torch_engine, *row) for row in rows])
            np.testing.assert_allclose(found.log_probs, expected, rtol=0, atol=5e-6)
            if decoder.get("attention") is None:
                assert found.attention is None
            else:
                assert found.attention is not None
                assert found.attention.shape == (len(rows), 6)
                np.testing.assert_allclose(found.attention.sum(axis=1), 1.0, atol=1e-6)
                for weights_S, row in zip(found.attention, rows, strict=True):
                    expected = forced_attention(torch_engine, *row)
                    np.testing.assert_allclose(weights_S[: len(expected)], expected, atol=2e-6)
                    assert not weights_S[len(expected) :].any()
            found.log_probs[:] = np.nan  # the caller's own: nothing that follows is touched
            again, _ = engine.distribution(state, parent_N, token_N)
            np.testing.assert_allclose(again.log_probs.sum(), sum_of(torch_engine, rows), rtol=1e-5)
            state, parent_N, token_N = after, np.array(parents), np.arange(len(parents)) + 4
            rows = [
                (rows[parent][0], [*rows[parent][1], token])
                for parent, token in zip(parents, token_N.tolist(), strict=True)
            ]


def sum_of(engine: TorchEngine, rows: list[tuple[list[int], list[int]]]) -> float:
    return float(sum(forced(engine, *row).sum() for row in rows))


@every_kind
def test_a_step_gives_the_best_of_the_distribution(kind: str) -> None:
    engine = engine_of(kind)
    question = (engine.start(batch_of(SOURCES)), np.array([0, 2, 1]), np.array([BOS, 5, 4]))
    every, state = engine.distribution(*question)
    best, same = engine.step(*question, V)
    np.testing.assert_allclose(
        spread(best.tokens, best.log_probs), every.log_probs, rtol=0, atol=2e-6
    )
    assert best.attention is every.attention is None or np.array_equal(
        best.attention, every.attention
    )
    follow = (np.array([1]), np.array([6]))
    one, two = (engine.distribution(after, *follow)[0].log_probs for after in (state, same))
    np.testing.assert_array_equal(one, two)


@every_kind
def test_finished_rows_leave(kind: str) -> None:
    engine = engine_of(kind)
    state = engine.start(batch_of(SOURCES))
    _, state = engine.step(state, np.arange(3), np.full(3, BOS), 1)
    _, state = engine.step(state, np.array([0, 2]), np.array([4, 5]), 1)
    candidates, _ = engine.step(state, np.array([1]), np.array([6]), V)
    found = spread(candidates.tokens, candidates.log_probs)[0]
    np.testing.assert_allclose(found, forced(engine, SOURCES[2], [5, 6]), rtol=0, atol=2e-6)


@every_kind
def test_a_state_is_a_value(kind: str) -> None:
    """The same state can be asked again, whatever was asked in between."""
    engine = engine_of(kind)
    start = engine.start(batch_of(SOURCES))
    _, state = engine.step(start, np.arange(3), np.full(3, BOS), 2)
    question = (state, np.array([2, 0, 0]), np.array([4, 5, 6]), 3)
    first, after = engine.step(*question)
    engine.step(state, np.array([1, 1]), np.array([7, 8]), 1)
    engine.step(after, np.array([0]), np.array([7]), 1)
    again, _ = engine.step(*question)
    assert (first.tokens == again.tokens).all()
    assert (first.log_probs == again.log_probs).all()


@pytest.mark.parametrize("k", [1, 2, 5, V])
def test_the_best_come_first(k: int) -> None:
    engine = engine_of("attention")
    state = engine.start(batch_of(SOURCES))
    candidates, _ = engine.step(state, np.arange(3), np.full(3, BOS), k)
    assert candidates.tokens.shape == candidates.log_probs.shape == (3, k)
    assert candidates.tokens.dtype == np.int64
    assert candidates.log_probs.dtype == np.float32
    for row, source in enumerate(SOURCES):
        log_probs = forced(engine, source, [])
        best = np.argsort(-log_probs)[:k]
        assert candidates.tokens[row].tolist() == best.tolist()
        np.testing.assert_allclose(candidates.log_probs[row], log_probs[best], rtol=0, atol=2e-6)


@pytest.mark.parametrize("k", [1, 2, 7, 500])
def test_equal_ones_come_in_the_order_of_their_tokens(k: int) -> None:
    engine = engine_of("plain lstm")
    logits = torch.randint(0, 4, (500,), generator=torch.Generator().manual_seed(k)).float()
    engine.model.output = torch.nn.Linear(engine.model.output.in_features, 500)
    with torch.no_grad():
        engine.model.output.weight.zero_()
        engine.model.output.bias.copy_(logits)
    state = engine.start(batch_of(SOURCES))
    candidates, _ = engine.step(state, np.arange(3), np.full(3, BOS), k)
    order = np.argsort(-logits.numpy(), kind="stable")[:k]
    assert candidates.tokens.tolist() == [order.tolist()] * 3
    expected = torch.log_softmax(logits, dim=-1)[order]
    np.testing.assert_allclose(candidates.log_probs, [expected.numpy()] * 3, rtol=0, atol=2e-6)


@pytest.mark.parametrize("k", [1, 3, V])
def test_suppressing_forbids_and_changes_no_other_probability(k: int) -> None:
    engine = engine_of("attention")
    state = engine.start(batch_of(SOURCES))
    parent_N, token_N = np.arange(3), np.full(3, BOS)
    plain = np.stack([forced(engine, source, []) for source in SOURCES])
    for forbidden in ([0, 1, 2], [int(plain[1].argmax()), 3], []):
        candidates, _ = engine.step(state, parent_N, token_N, k, forbidden)
        expected = plain.copy()
        expected[:, forbidden] = -np.inf
        order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(expected, order, axis=1)
        np.testing.assert_allclose(candidates.log_probs, best, rtol=0, atol=2e-6)
        possible = best > -np.inf
        assert (candidates.tokens[possible] == order[possible]).all()
        assert (np.sort(spread(candidates.tokens, candidates.log_probs)) >= -1e30).sum() == (
            possible.sum()
        )


@every_kind
def test_greedy_is_taking_the_best_of_teacher_forcing(kind: str) -> None:
    engine, caps = engine_of(kind), [6, 4, 8]
    found = greedy(engine, batch_of(SOURCES), max_lengths=caps)
    for source, cap, hypothesis in zip(SOURCES, caps, found, strict=True):
        prefix: list[int] = []
        total = 0.0
        while True:
            log_probs = forced(engine, source, prefix)
            allowed = [EOS] if len(prefix) == cap else [EOS, *range(4, V)]
            best = max(allowed, key=lambda token: log_probs[token])
            total += float(log_probs[best])
            if best == EOS:
                break
            prefix.append(best)
        assert list(hypothesis.tokens) == prefix
        assert hypothesis.log_prob == pytest.approx(total, abs=1e-5)


@every_kind
def test_scores_of_a_beam_are_the_model_s(kind: str) -> None:
    engine = engine_of(kind)
    found = beam_search(
        engine,
        batch_of(SOURCES),
        beam=4,
        n_best=3,
        max_lengths=[5, 5, 5],
        normalization=NoNormalization(),
    )
    for source, hypotheses in zip(SOURCES, found, strict=True):
        assert len(hypotheses) == 3
        with torch.no_grad():
            scores = score(engine.model, make_batch([(source, h.tokens) for h in hypotheses]))
        assert [h.log_prob for h in hypotheses] == pytest.approx(scores.tolist(), abs=1e-4)


@every_kind
def test_a_batch_is_its_sentences(kind: str) -> None:
    engine = engine_of(kind)
    options: dict[str, Any] = {"beam": 3, "normalization": NoNormalization()}
    together = beam_search(engine, batch_of(SOURCES), max_lengths=[6] * 3, **options)
    for source, hypotheses in zip(SOURCES, together, strict=True):
        (alone,) = beam_search(engine, batch_of([source]), max_lengths=[6], **options)
        assert [h.tokens for h in alone] == [h.tokens for h in hypotheses]
        assert [h.score for h in alone] == pytest.approx([h.score for h in hypotheses], abs=1e-5)


def test_bfloat16_is_near_float32() -> None:
    exact, near = engine_of("input feeding"), engine_of("input feeding", torch.bfloat16)
    found = []
    for engine in (exact, near):
        state = engine.start(batch_of(SOURCES))
        for token in (BOS, 5, 7):
            candidates, state = engine.step(state, np.arange(3), np.full(3, token), V)
        assert candidates.log_probs.dtype == np.float32
        found.append(spread(candidates.tokens, candidates.log_probs))
    np.testing.assert_allclose(*found, rtol=0.05, atol=0.05)
    assert np.exp(found[1]).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_engine_turns_dropout_off_and_knows_its_size() -> None:
    model = TranslationModel(model_options({"dropout": 0.5}, {"dropout": 0.5}), 12, 7).train()
    engine = TorchEngine(model)
    assert engine.vocab_size == 7
    one, two = (greedy(engine, batch_of(SOURCES), max_lengths=[5] * 3) for _ in range(2))
    assert one == two
    assert not model.training


# -- weights --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    words = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(words, size=6)) for _ in range(300)]
    return train_tokenizers(recipe.Tokenizer(vocab_size=40), lines, lines)


@pytest.fixture(scope="module")
def small() -> Recipe:
    options = model_options({}, {"attention": "general"}, tie="all")
    return Recipe(name="small", model=options)


@pytest.fixture
def folder(tmp_path: Path, small: Recipe) -> Path:
    model = TranslationModel(small.model, 40, 40)
    randomize(model)
    save_file(dict(model.named_parameters()), tmp_path / "weights.safetensors")
    return tmp_path


def test_weights_come_back_to_the_bit(folder: Path, small: Recipe, tokenizers: Tokenizers) -> None:
    model = load_model(ModelFolder(folder, small, tokenizers))
    assert not model.training
    stored = load_file(folder / "weights.safetensors")
    parameters = dict(model.named_parameters())
    assert parameters.keys() == stored.keys()
    assert all(torch.equal(parameters[name], stored[name]) for name in stored)
    assert model.output.weight is model.encoder.embedding.table.weight


def failure(folder: Path, small: Recipe, tokenizers: Tokenizers) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(ModelFolder(folder, small, tokenizers))
    return str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's threads do not wait so")
def test_how_threads_wait_is_watched_as_long_as_there_is_an_engine(
    folder: Path, small: Recipe, tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[int | str] = []

    class Noted:
        def __init__(self, threads: int) -> None:
            happened.append(threads)

        def end(self) -> None:
            happened.append("end")

    monkeypatch.setattr("seq2seq.inference.engines.torch.Waits", Noted)
    engine = TorchEngine.load(ModelFolder(folder, small, tokenizers))
    assert happened == [torch.get_num_threads()]
    del engine
    gc.collect()
    assert happened == [torch.get_num_threads(), "end"]


def test_missing_weights(folder: Path, small: Recipe, tokenizers: Tokenizers) -> None:
    (folder / "weights.safetensors").unlink()
    assert failure(folder, small, tokenizers) == (
        f"{folder}: no weights.safetensors: this is a prepared corpus, or a run that has not "
        "reached its first validation; train first: seq2seq train"
    )


@pytest.mark.parametrize("kept", [0, 3, 60, -1])
def test_truncated_weights(folder: Path, small: Recipe, tokenizers: Tokenizers, kept: int) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    text = failure(folder, small, tokenizers)
    assert text.startswith(f"{file} is damaged or no safetensors file: ")
    assert "\n" not in text


def test_weights_that_are_something_else(
    folder: Path, small: Recipe, tokenizers: Tokenizers
) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(b"PK\x03\x04 no tensors here, but a pickle in a zip perhaps" * 9)
    assert failure(folder, small, tokenizers).startswith(
        f"{file} is damaged or no safetensors file: "
    )
    file.unlink()
    file.mkdir()
    assert failure(folder, small, tokenizers).startswith(
        f"{file} is damaged or no safetensors file: "
    )


def test_weights_of_another_vocabulary(folder: Path, small: Recipe, tokenizers: Tokenizers) -> None:
    file = folder / "weights.safetensors"
    save_file(dict(TranslationModel(small.model, 50, 50).named_parameters()), file)
    assert failure(folder, small, tokenizers) == (
        f"{file}: encoder.embedding.table.weight is (50, 3), recipe and tokenizer ask for "
        "(40, 3); recipe.toml, tokenizer and weights must come from the same run"
    )


def test_weights_of_another_recipe(folder: Path, small: Recipe, tokenizers: Tokenizers) -> None:
    file = folder / "weights.safetensors"
    weights = load_file(file)
    weights["foreign"] = weights.pop("decoder.attention.key.weight")
    save_file(weights, file)
    assert failure(folder, small, tokenizers) == (
        f"{file} does not fit the recipe: it lacks decoder.attention.key.weight and has foreign "
        "besides; recipe.toml and weights must come from the same run"
    )


def test_weights_are_copied_all_or_none(small: Recipe) -> None:
    model = TranslationModel(small.model, 40, 40)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    weights = {name: value + 1 for name, value in before.items()}
    weights["output.bias"] = torch.zeros(41)
    with pytest.raises(ModelError) as caught:
        load_tensors(model, weights, Path("there"))
    assert str(caught.value) == (
        "there: output.bias is (41,), recipe and tokenizer ask for (40,); "
        "recipe.toml, tokenizer and weights must come from the same run"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
