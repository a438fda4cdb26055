"""Training's speed: target tokens a second, and how near that is to a bare matrix product."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from benchmarks.model import RECIPE
from seq2seq.data.batching import BatchOrder, Bounds
from seq2seq.data.collate import Batch, collate
from seq2seq.data.dataset import PreparedData
from seq2seq.ids import PAD
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.files import load_recipe
from seq2seq.training.updater import Updater

BATCH_TOKENS = 4096
PRODUCT = 2048  # rows and columns of the bare product


@dataclass
class Cell:
    """One row of the table: what is trained, and what was measured of it, turn by turn.

    Attributes:
        name: What tables call it.
        settings: What it sets in the recipe.
        speed: Target tokens a second.
        share: Model FLOP/s as a share of the bare product's in the same turn.
    """

    name: str
    settings: tuple[str, ...]
    speed: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)

    @property
    def precision(self) -> str:
        """Its type of matrix products."""
        return "bfloat16" if "bfloat16" in self.name else "float32"


def cells() -> list[Cell]:
    """All rows of the table.

    Returns:
        LSTM and GRU, float32 and bfloat16, with and without input feeding.
    """
    return [
        Cell(
            f"{cell.upper()}, {precision}{', input feeding' if feeding == 'input' else ''}",
            (
                f"model.encoder.cell={cell}",
                f"model.decoder.cell={cell}",
                f"model.decoder.feeding={feeding}",
                f"training.precision={precision}",
                f"training.batch_tokens={BATCH_TOKENS}",
            ),
        )
        for cell in ("lstm", "gru")
        for feeding in ("none", "input")
        for precision in ("float32", "bfloat16")
    ]


def forward_products(model: TranslationModel, pairs: Batch) -> int:
    """Counts the multiplications that a batch's forward pass needs, padding left out.

    Args:
        model: The model.
        pairs: The batch.

    Returns:
        Multiply-and-adds of matrix products; a training step is three times as many (the
        gradients of inputs and of weights), and each is two floating-point operations.
    """
    sources_B = pairs.source_lengths_B
    targets_B = (pairs.labels_BT != PAD).sum(dim=1)
    source, target = int(sources_B.sum()), int(targets_B.sum())
    total = model.output.weight.numel() * target
    for name, weight in model.named_parameters():
        if weight.dim() != 2 or "embedding" in name or weight is model.output.weight:
            continue
        if name.startswith("bridge."):
            total += weight.numel() * len(sources_B)
        elif name.startswith(("encoder.", "decoder.attention.key")):
            total += weight.numel() * source
        else:
            total += weight.numel() * target
    if model.decoder.attention is not None:
        attention = model.decoder.attention
        sizes = attention.query_size + attention.memory_size
        total += sizes * int((sources_B * targets_B).sum())
    return total


def bare_flops(precision: str, device: torch.device, seconds: float = 0.5) -> float:
    """Measures what a large matrix product reaches.

    Args:
        precision: "float32" or "bfloat16".
        device: Where.
        seconds: How long, at least.

    Returns:
        Floating-point operations a second.
    """
    kind = getattr(torch, precision)
    left, right = (torch.randn(PRODUCT, PRODUCT, device=device).to(kind) for _ in range(2))
    torch.mm(left, right)
    _wait(device)
    begun, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        torch.mm(left, right)
        _wait(device)
        count += 1
    return 2 * PRODUCT**3 * count / passed


class Bench:
    """A training that is run some updates at a time.

    Args:
        cell: What is trained.
        data: The prepared folder.
        updates: Updates of a turn.
    """

    def __init__(self, cell: Cell, data: Path, updates: int) -> None:
        self.cell, self.updates = cell, updates
        recipe = load_recipe(str(RECIPE), cell.settings)
        prepared = PreparedData.open(data, verify=False)
        self.updater = Updater(recipe, prepared.tokenizers)
        bounds = Bounds(BATCH_TOKENS, None, recipe.training.max_pieces)
        order = BatchOrder(prepared.train, bounds, recipe.seed)
        self.batches: Iterator[Batch] = (
            collate(*prepared.train.ids(batch.indices)) for batch, _ in order.drawn()
        )
        self.done = 0

    def turn(self) -> None:
        """Runs some updates, and writes down their speed beside that of a bare product."""
        device = self.updater.device
        bare = bare_flops(self.cell.precision, device)
        products, tokens = 0, 0
        begun = time.perf_counter()
        for pairs in islice(self.batches, self.updates):
            self.done += 1
            tokens += self.updater.update([pairs], self.done, 1e-3).found.tokens
            products += forward_products(self.updater.model, pairs)
        _wait(device)
        seconds = time.perf_counter() - begun
        self.cell.speed.append(tokens / seconds)
        self.cell.share.append(6 * products / seconds / bare)

    def forget(self) -> None:
        """Drops what was measured so far: it was the warm-up."""
        self.cell.speed.clear()
        self.cell.share.clear()


def measure(rows: Sequence[Cell], data: Path, turns: int, updates: int) -> Iterator[int]:
    """Trains all rows by turns, so that a machine that drifts drifts for all.

    Args:
        rows: What is trained; the figures go into it.
        data: The prepared folder.
        turns: How many turns count; one before them is the warm-up.
        updates: Updates of a turn.

    Yields:
        The number of each turn that is over, 0 being the warm-up.
    """
    benches = [Bench(cell, data, updates) for cell in rows]
    for turn in range(turns + 1):
        for bench in benches:
            bench.turn()
            if turn == 0:
                bench.forget()
        yield turn


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
