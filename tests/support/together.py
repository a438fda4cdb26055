"""What several processes compute together; the same functions serve one alone.

    torchrun --nproc-per-node N -m support.together RECIPE DATA OUT

Every process writes what it has found into OUT.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from seq2seq.data.batching import Place
from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.models.loss import Losses
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.tasks import task_for
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.distributed.torch_group import process_group
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.precision import DROPOUT, stream_seed
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.state import TrainingState
from seq2seq.training.updater import Updater

STILL = ["training.precision=float32", "model.encoder.dropout=0.0", "model.decoder.dropout=0.0"]
CASES = {
    "pairs": [],
    "two batches": ["training.accumulate=2", "training.clip_norm=0.1"],
    "three batches": ["training.accumulate=3", "training.label_smoothing=0.1"],
    "fewer pairs than processes": ["training.batch_pairs=2"],
    "halved": ["training.accumulate=2"],
    "without sources": ["model.bridge=zero"],
    "gru, dot": [
        'model.encoder.cell="gru"', 'model.decoder.cell="gru"', 'model.decoder.attention="dot"',
        'model.tie="all"',
    ],
    "rnn, general": [
        'model.encoder.cell="rnn"', 'model.decoder.cell="rnn"', 'model.decoder.attention="general"',
        'model.decoder.feeding="input"', "training.batch_pairs=2",
    ],
    "lstm, additive": [
        'model.decoder.attention="additive"', "model.decoder.layers=2",
        'model.decoder.feeding="upper"', 'training.average={kind="ema",decay=0.9}',
    ],
}  # fmt: skip
UPDATES = 3
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 512 bytes."


def of_case(recipe: Path, name: str) -> Recipe:
    return load_recipe(str(recipe), [*STILL, *CASES[name]])


def gradients(
    group: ProcessGroup, recipe: Recipe, prepared: PreparedData
) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """The figures and gradients of some updates, with a step after each."""
    updater = Updater(recipe, prepared.tokenizers, group)
    feed = PreparedBatches(prepared, recipe, collate, group.share)
    for update, work in enumerate(islice(feed.updates(Place()), UPDATES), start=1):
        seed = stream_seed(recipe.seed, DROPOUT, update, group.rank)
        figures = asdict(updater.objective(work.batches, seed).gradient())
        parameters = dict(updater.model.named_parameters())
        yield (
            {name: figures[name] for name in ("loss", "nll", "tokens", "norm", "halved")},
            {name: one.grad.clone() for name, one in parameters.items() if one.grad is not None},
        )
        updater.rule.apply(1e-3)


def curvature(group: ProcessGroup, recipe: Path, prepared: PreparedData) -> dict[str, Tensor]:
    """Gauss-Newton products, and the weights after updates that use them."""
    settings = [*STILL, "training.accumulate=2", 'model.encoder.cell="rnn"']
    table = '{kind="hessian_free", iterations=4, curvature_batches=1}'
    read = load_recipe(str(recipe), [*settings, f"training.optimizer={table}"])
    updater = Updater(read, prepared.tokenizers, group)
    feed = PreparedBatches(prepared, read, collate, group.share)
    found: dict[str, Tensor] = {}
    for number, work in enumerate(islice(feed.updates(Place()), UPDATES), start=1):
        objective = updater.objective(work.batches, number)
        ones = [torch.ones_like(one) for one in objective.parameters]
        for batches in (None, 1):
            product = objective.gauss_newton(0.5, batches)(ones)
            names = (f"{number} {batches} {name}" for name, _ in updater.model.named_parameters())
            found |= dict(zip(names, product, strict=True))
        updater.update(work.batches, number, 1.0)
    return found | {name: one.detach() for name, one in updater.model.named_parameters()}


class Scarce:
    """Memory that does not suffice for batches of many pairs, in one process."""

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs
        self.real = Losses.forward

    def __enter__(self) -> None:
        def forward(losses: Losses, batch: Any) -> tuple[Tensor, Tensor]:
            found = self.real(losses, batch)
            if len(batch.source_lengths_B) > self.pairs and losses.training:
                raise RuntimeError(NO_MEMORY)
            return found

        Losses.forward = forward  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Losses.forward = self.real  # type: ignore[method-assign]


def validation(group: ProcessGroup, recipe: Path, prepared: PreparedData) -> dict[str, Any]:
    read = load_recipe(str(recipe), [*STILL, "training.validation.lines=13"])
    updater = Updater(read, prepared.tokenizers, group)
    evaluator = Evaluator(task_for(read), read, prepared.tokenizers, updater.precision, group)
    found = evaluator.evaluate(updater.model, prepared.val)
    return {**asdict(found), "seconds": 0.0}


def told(group: ProcessGroup) -> dict[str, Any]:
    """What processes tell each other."""
    state = TrainingState(update=7, place=Place(1, 2, 3, 4), history=[{"loss": 1.5}])
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3, dtype=torch.int64)}
    checkpoint = Checkpoint(state, {"model": tensors}, {"threads": 1}) if group.rank == 0 else None
    shared = group.broadcast(checkpoint)
    assert shared is not None
    nothing = group.broadcast(None)
    with group.rank_0_first():
        order = group.rank
    return {
        "rank": group.rank,
        "numbers": group.all_gather([group.rank + 0.5, 1e300]).tolist(),
        "texts": group.all_gather_text("ä" * group.rank),
        "state": shared.state.to_json(),
        "environment": shared.environment,
        "a": shared.groups["model"]["a"].tolist(),
        "b": (shared.groups["model"]["b"].tolist(), str(shared.groups["model"]["b"].dtype)),
        "nothing": nothing,
        "order": order,
        "stop": group.stop.by,
    }


def main() -> None:
    recipe, data, out = map(Path, sys.argv[1:])
    prepared = PreparedData.open(data)
    with process_group() as group:
        found: dict[str, Any] = {"told": told(group)}
        for name in CASES:
            scarce = Scarce(3 if name == "halved" and group.rank == 1 else 10**6)
            with scarce:
                each = list(gradients(group, of_case(recipe, name), prepared))
            found[name] = [figures for figures, _ in each]
            for number, (_, tensors) in enumerate(each):
                save_file(tensors, out / f"{name} {number} {group.rank}.safetensors")
        save_file(curvature(group, recipe, prepared), out / f"curvature {group.rank}.safetensors")
        found["validation"] = validation(group, recipe, prepared)
        if group.rank == 1:
            group.stop.ask(15)
        group.all_gather([])
        found["stopped"] = group.stop.by
        (out / f"{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
