"""Batches that do not fit into memory: halved, tried first, told clearly."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.ragged import ragged
from support.tiny import tiny_recipe
from support.told import Told
from torch import Tensor

from seq2seq.cli.console import message_of
from seq2seq.data.batching import POOL, BatchOrder, Bounds
from seq2seq.data.collate import Batch, collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import ModelError, TrainingError, is_out_of_memory
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.tasks import task_for, translation
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.monitoring import Silent
from seq2seq.training.optim.first_order import FirstOrder
from seq2seq.training.session import train
from seq2seq.training.updater import BatchObjective, TooLargeError, Updater

NO_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 512 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("memory")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", prepared


def recipe_of(corpus: tuple[Path, PreparedData], *assignments: str) -> Recipe:
    still = ("model.encoder.dropout=0.0", "model.decoder.dropout=0.0")
    return load_recipe(str(corpus[0]), ["training.precision=float32", *still, *assignments])


def small_memory(
    monkeypatch: pytest.MonkeyPatch, rows: int = 10**6, numbers: int = 10**6
) -> list[int]:
    """Larger batches fail, after they have left a part of their gradient behind."""
    real: Callable[..., Tensor] = BatchObjective._backward
    failed: list[int] = []

    def backward(self: BatchObjective, pairs: Batch) -> Tensor:
        found = real(self, pairs)
        size = pairs.source_BS.numel() + pairs.labels_BT.numel()
        if len(pairs.source_lengths_B) > rows or size > numbers:
            failed.append(len(pairs.source_lengths_B))
            raise RuntimeError(NO_MEMORY)
        return found

    monkeypatch.setattr(BatchObjective, "_backward", backward)
    return failed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError(NO_MEMORY), True),
        (RuntimeError("std::bad_alloc"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a memory object"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("could not create a primitive descriptor for the matmul primitive"), False),
        (RuntimeError("could not create a primitive attr"), False),
        (RuntimeError("could not create a memory descriptor"), False),
        (RuntimeError("could not execute a primitive: bad argument"), False),
        (RuntimeError("the kernel must not run out of memory bounds"), False),
        (OSError("a server said: out of memory"), False),
        (np.zeros, False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ModelError("a model about running out of memory"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(error: object, expected: bool) -> None:
    assert is_out_of_memory(error) is expected  # type: ignore[arg-type]


def test_the_real_allocator_s_words_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_command_line_says_so_with_exit_code_1() -> None:
    told, code = message_of(RuntimeError(NO_MEMORY))
    assert told.endswith("out of memory: use a smaller batch, or fewer processes at a time")
    assert code == 1


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_halves_are_batches_of_their_own(rows: int) -> None:
    random = np.random.default_rng(rows)
    sources, targets = (
        [list(random.integers(4, 99, random.integers(0, 9))) for _ in range(rows)] for _ in range(2)
    )
    middle = rows // 2
    found = collate(ragged(sources), ragged(targets)).halves()
    for part, cut in zip(found, (slice(0, middle), slice(middle, rows)), strict=True):
        expected = collate(ragged(sources[cut]), ragged(targets[cut]))
        for name in Batch.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_gradient_of_halved_batches_is_that_of_the_whole(
    corpus: tuple[Path, PreparedData], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    prepared = corpus[1]
    updater = Updater(recipe_of(corpus), prepared.tokenizers)
    pairs = [collate(*prepared.train.ids(np.arange(*r))) for r in ((0, 4), (4, 24))]
    whole = updater.objective(pairs, 1).gradient()
    expected = [parameter.grad.clone() for parameter in updater.model.parameters()]
    failed = small_memory(monkeypatch, rows)
    halved = updater.objective(pairs, 1).gradient()
    assert halved.halved == len(failed) > 0
    assert halved.tokens == whole.tokens
    assert halved.loss == pytest.approx(whole.loss, rel=1e-6)
    assert halved.norm == pytest.approx(whole.norm, rel=1e-5)
    for parameter, gradient in zip(updater.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_a_single_pair_that_does_not_fit_is_named(
    corpus: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = corpus[1]
    updater = Updater(recipe_of(corpus), prepared.tokenizers)
    pairs = [collate(*prepared.train.ids(np.arange(5))) for _ in range(2)]
    longest = collate(*prepared.train.ids(np.array([3]))).source_BS.shape[1]
    real = BatchObjective._backward

    def backward(self: BatchObjective, some: Batch) -> Tensor:
        if len(some.where_M) == 5 or some.source_BS.shape[1] >= longest:
            raise RuntimeError(NO_MEMORY)
        return real(self, some)

    monkeypatch.setattr(BatchObjective, "_backward", backward)
    with pytest.raises(TooLargeError) as caught:
        updater.objective(pairs, 1).gradient()
    found = collate(*prepared.train.ids(np.array([caught.value.row])))
    assert caught.value.batch == 0
    assert found.source_BS.shape[1] >= longest
    small_memory(monkeypatch, 0)
    recipe = recipe_of(corpus, "training.updates=3")
    with pytest.raises(TrainingError) as stopped:
        train(recipe, tmp_path / "r", data=prepared.folder, threads=1, monitor=Silent())
    order = BatchOrder(prepared.train, Bounds(400, pieces=256), recipe.seed)
    pair = order.largest()[0].indices[[0]]
    source, target = (len(ids.values) for ids in prepared.train.ids(pair))
    assert str(stopped.value) == (
        "training stopped at update 0: out of memory: even one pair does not fit, "
        f"line {prepared.train.lines(pair)[0]} of the training text ({source} and {target} "
        "pieces); nothing was saved; a lower training.max_pieces leaves such pairs out, a smaller "
        "model needs less"
    )
    assert stopped.value.exit_code == 1


def test_trying_the_largest_batch_changes_nothing(
    corpus: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, prepared = load_recipe(str(corpus[0]), ["training.updates=5"]), corpus[1]
    updater = Updater(recipe, prepared.tokenizers)
    torch.manual_seed(7)
    before = [one.clone() for one in updater.model.parameters()], torch.random.get_rng_state()
    assert updater.rehearse(collate(*prepared.train.ids(np.arange(9)))) == 0
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert not updater.rule.state()
    for now, then in zip(updater.model.parameters(), before[0], strict=True):
        assert torch.equal(now, then)
        assert now.grad is None
    train(recipe, tmp_path / "with", data=prepared.folder, threads=1, monitor=Silent())
    monkeypatch.setattr(BatchOrder, "largest", lambda _: [])
    train(recipe, tmp_path / "without", data=prepared.folder, threads=1, monitor=Silent())
    for name in ("model", "optimizer"):
        one, other = (
            (tmp_path / which / f"last/{name}.safetensors").read_bytes()
            for which in ("with", "without")
        )
        assert one == other


def test_training_goes_on_in_halves_and_says_so(
    corpus: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = small_memory(monkeypatch, numbers=600)
    told, recipe = Told(), recipe_of(corpus, "training.updates=6")
    result = train(recipe, tmp_path / "r", data=corpus[1].folder, threads=1, monitor=told)
    assert result.finished
    assert 0 < result.halved <= len(failed)
    assert sum("the largest batches" in line for line in told.lines) >= 1
    assert sum("out of memory at update" in line for line in told.lines) == 1


def test_validation_takes_fewer_at_a_time(
    corpus: tuple[Path, PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, prepared = recipe_of(corpus), corpus[1]
    updater = Updater(recipe, prepared.tokenizers)
    evaluator = Evaluator(task_for(recipe), recipe, prepared.tokenizers, torch.float32)
    found = evaluator.evaluate(updater.model, prepared.val)
    real, sizes = Batch.to, []

    def to(pairs: Batch, device: torch.device) -> Batch:
        if len(pairs.source_lengths_B) > 4:
            raise RuntimeError(NO_MEMORY)
        return real(pairs, device)

    translate = translation.Translator.translate

    def translated(self: object, lines: list[str], *, batch_size: int, **more: int) -> list[str]:
        sizes.append(batch_size)
        if batch_size > 16:
            raise MemoryError
        return translate(self, lines, batch_size=batch_size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Batch, "to", to)
    monkeypatch.setattr(translation.Translator, "translate", translated)
    again = evaluator.evaluate(updater.model, prepared.val)
    assert math.isclose(found.loss, again.loss, rel_tol=1e-6)
    assert found.metrics == again.metrics
    assert sizes == [128, 64, 32, 16]


def test_out_of_memory_elsewhere_stops_with_the_reason(
    corpus: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(FirstOrder, "apply", apply)
    with pytest.raises(TrainingError) as caught:
        train(recipe_of(corpus), tmp_path / "r", data=corpus[1].folder, monitor=Silent())
    assert str(caught.value) == (
        "training stopped at update 0: out of memory; nothing was saved; a lower "
        "training.batch_tokens or a smaller model needs less"
    )


def test_the_largest_batches_hold_the_longest_pairs_and_the_most_tokens(
    corpus: tuple[Path, PreparedData],
) -> None:
    dataset = corpus[1].train
    assert len(dataset) < POOL
    source, target = dataset.lengths(0, len(dataset))
    widths = np.maximum(source, target)
    for pieces in (None, int(np.sort(widths)[-20])):
        order = BatchOrder(dataset, Bounds(400, pieces=pieces), 3)
        longest, fullest = (one.indices for one in order.largest())
        allowed = widths if pieces is None else widths[widths <= pieces]
        assert sorted(widths[longest]) == sorted(np.sort(allowed)[-len(longest) :])
        assert len(longest) == 400 // (allowed.max() + 1)
        counts = []
        for batch, place in order.drawn():
            counts.append(len(batch) * (source[batch.indices].max() + target[batch.indices].max()))
            if place.epoch:
                break
        assert len(fullest) * (source[fullest].max() + target[fullest].max()) == max(counts)
    assert BatchOrder(dataset, Bounds(400, pieces=1), 3).largest() == []
