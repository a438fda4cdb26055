"""How much what a model says at one place depends on what it read at another.

The connectivity |d output_t / d input_s| (Madsen 2019) is the Frobenius norm of a block of the
Jacobian: of the outputs at place t by the embedding at place s. It is found by reverse passes from
up to 64 random orthogonal directions of the outputs; where these have no more numbers than that, it
is exact, and elsewhere a mean whose square is right on average.

Shapes: S source length, T target length, P input length, K directions, D output size, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq.inspection.opening import Drawn, Opened, Pair, batch_of, labels_of, step_labels
from seq2seq.inspection.recording import evaluating
from seq2seq.models.translation import TranslationModel

Floats = NDArray[np.float64]
DIRECTIONS = 64


@dataclass(frozen=True)
class Connectivity:
    """Norms of the outputs' derivatives: a row an output, a column an input, each with its piece.

    ``outputs`` and ``inputs`` say what they are.
    """

    outputs: str
    inputs: str
    rows: Sequence[str]
    columns: Sequence[str]
    norms: Floats

    def record(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "outputs": self.outputs,
            "inputs": self.inputs,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "norms": self.norms.tolist(),
        }


def connectivity_of(opened: Opened, line: Pair | Drawn) -> list[Connectivity]:
    """Measures a line and its translation: encoder by source, decoder by source and by target.

    The encoder's outputs are those that an attention sees, the decoder's the readouts of which each
    becomes the probabilities of a piece. Of a problem's sequence it is the answers by the inputs.
    """
    if isinstance(line, Drawn):
        return [_of_problem(opened, line)]
    return _of_translation(opened, line)


def _of_problem(opened: Opened, line: Drawn) -> Connectivity:
    model: Any = opened.model
    count = min(DIRECTIONS, model.output.out_features)
    batch: Any = batch_of(opened, [line] * count)
    steps = step_labels(batch)
    read = batch.inputs_BTE.requires_grad_()
    with evaluating(model), _constant(model), torch.enable_grad():
        answers = model(batch).unflatten(0, (count, -1))
        draw = torch.Generator().manual_seed(opened.recipe.seed)
        (norms,) = _blocks(answers, [[read]], draw)
    return Connectivity("answers", "inputs", steps[-len(norms) :], steps, norms)


def _of_translation(opened: Opened, pair: Pair) -> list[Connectivity]:
    model: Any = opened.model
    source, read = labels_of(opened, pair)
    said = [*read[1:], "</s>"]
    sizes = model.options.encoder.hidden, model.output.matrix().shape[1]
    count = min(DIRECTIONS, max(sizes))
    batch: Any = batch_of(opened, [pair] * count)
    with evaluating(model), _constant(model), _leaves(model) as inputs, torch.enable_grad():
        encoded: list[Tensor] = []
        hook = model.encoder.register_forward_hook(
            lambda _module, _arguments, found: encoded.append(found.memory.outputs_BSD)
        )
        with hook:
            readouts = model(batch).unflatten(0, (count, len(said)))
        (memory,) = encoded
        by_source, by_target = inputs["encoder"], inputs["decoder"]
        draw = torch.Generator().manual_seed(opened.recipe.seed)
        (first,) = _blocks(memory, [by_source], draw)
        second, third = _blocks(readouts, [by_source, by_target], draw)
    if model.encoder.reverse:  # what was embedded is turned around
        first, second = first[:, ::-1], second[:, ::-1]
    return [
        Connectivity("encoder", "source", source, source, first),
        Connectivity("decoder", "source", said, source, second),
        Connectivity("decoder", "target read", said, read, third),
    ]


def directions(count: int, size: int, draw: torch.Generator) -> Tensor:
    """Orthogonal directions (count, size), at most ``size``; the rest are zero.

    The squares of their products with a vector add up to its square: exactly with as many as it has
    numbers, on average with fewer.
    """
    used = min(count, size)
    square = torch.randn(size, used, generator=draw, dtype=torch.float64)
    orthogonal, _ = torch.linalg.qr(square)
    found = torch.zeros(count, size, dtype=torch.float64)
    found[:used] = orthogonal.T * (size / used) ** 0.5
    return found


def _blocks(
    outputs_KTD: Tensor, inputs: Sequence[list[Tensor]], draw: torch.Generator
) -> list[Floats]:
    """The norms (T, P) of the outputs by some inputs, each embedded at once or place by place.

    All K rows are the same line; each is differentiated along a direction of its own.
    """
    count, _, size = outputs_KTD.shape
    along_KD = directions(count, size, draw)
    leaves = [one for side in inputs for one in side]
    rows: list[list[Floats]] = [[] for _ in inputs]
    for output_KD in outputs_KTD.unbind(1):
        gradients = torch.autograd.grad(
            (output_KD * along_KD).sum(),
            leaves,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        waiting = iter(gradients)
        for side, row in zip(inputs, rows, strict=True):
            parts = [next(waiting).reshape(count, -1, one.shape[-1]) for one in side]
            by_place_KPE = torch.cat(parts, dim=1)
            row.append(by_place_KPE.square().sum(dim=(0, 2)).sqrt().numpy())
    return [np.array(row) for row in rows]


@contextmanager
def _leaves(model: TranslationModel) -> Iterator[dict[str, list[Tensor]]]:
    """Cuts the graph where tokens are embedded, and gives what was embedded, by the side."""
    found: dict[str, list[Tensor]] = {"encoder": [], "decoder": []}

    def cut(side: str) -> Any:
        def hook(_module: nn.Module, _arguments: Any, embedded: Tensor) -> Tensor:
            leaf = embedded.detach().requires_grad_()
            found[side].append(leaf)
            return leaf

        return hook

    sides = {"encoder": model.encoder.embedding, "decoder": model.decoder.embedding}
    hooks = [module.register_forward_hook(cut(side)) for side, module in sides.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _constant(model: nn.Module) -> Iterator[None]:
    """Computes no gradients by weights, which would take as long again."""
    learned = [one for one in model.parameters() if one.requires_grad]
    for one in learned:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in learned:
            one.requires_grad_(True)
