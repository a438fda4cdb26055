"""Cells, recipes, models and batches, small enough to check by hand."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.data.collate import Batch
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.cells import Cell, make_cell
from seq2seq.recipe import Model
from seq2seq.recipe import model as recipe
from seq2seq.recipe.base import Section
from seq2seq.recipe.registry import CELLS


def cell_variants(*, numbers: bool = False) -> list[dict[str, Any]]:
    """Every registered cell with each choice that its options leave, one after the other.

    With ``numbers`` also as it is by its defaults, and with one number of its options after the
    other moved.
    """
    found: list[dict[str, Any]] = []
    for kind in CELLS.names():
        options: type[Section] = CELLS.load(kind).Options
        choices: list[dict[str, Any]] = []
        moved: list[dict[str, Any]] = []
        for name, field in options.model_fields.items():
            default = field.default
            if get_origin(field.annotation) is Literal:
                choices += [{name: value} for value in get_args(field.annotation)]
            elif isinstance(default, bool):
                choices += [*([] if choices else [{}]), {name: not default}]
            elif isinstance(default, int | float):
                moved += [{name: type(default)(value)} for value in (default + 1, default / 2)]
        more = [one for one in moved if numbers and _is_allowed(options, one)]
        found += [{"kind": kind, **one} for one in [*(choices or [{}]), *more]]
    return found


def _is_allowed(options: type[Section], table: dict[str, Any]) -> bool:
    try:
        options.model_validate(table)
    except ValidationError:  # out of its range
        return False
    return True


def variant_name(options: dict[str, Any]) -> str:
    values = (key if value is True else str(value) for key, value in options.items())
    return "-".join(values)


def lstm_in_bfloat16() -> bool:
    """Whether this processor computes a fused LSTM in bfloat16: it must have AVX-512.

    Elsewhere oneDNN refuses, and our LSTM is to give float32 under autocast. Linux says it itself;
    where there is no Linux, oneDNN is tried.
    """
    flags = Path("/proc/cpuinfo")
    if flags.is_file() and platform.machine() == "x86_64":
        return {"avx512bw", "avx512vl", "avx512dq"} <= {*flags.read_text().split()}
    try:
        with torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(2, 2)(torch.zeros(1, 1, 2))
    except RuntimeError:
        return False
    return True


def cell_options(options: dict[str, Any]) -> Any:
    return recipe.Cell.model_validate(options)


def randomize(module: nn.Module, seed: int = 0, scale: float = 0.5) -> None:
    """Gives every learned parameter, biases too, values that no rule would leave at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in filter(lambda one: one.requires_grad, module.parameters()):
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values * scale)


def random_cell(
    options: dict[str, Any],
    input_size: int = 3,
    hidden_size: int = 4,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Cell:
    """A cell whose every parameter matters; what it does not learn is as it is drawn."""
    cell = make_cell(cell_options(options), input_size, hidden_size).to(dtype)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        cell.reset_parameters("orthogonal")
    randomize(cell, seed)
    return cell


def random_tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def model_options(encoder: dict[str, Any], decoder: dict[str, Any], **more: Any) -> Model:
    """A recipe's model table: small, no dropout or attention where nothing else is said."""
    small = {"embedding": 3, "hidden": 4, "dropout": 0.0}
    tables = {
        "encoder": {**small, **encoder},
        "decoder": {**small, "attention": "none", **decoder},
    }
    return Model.model_validate({**tables, **more})


def random_model(
    options: Model, source_size: int = 9, target_size: int = 9, *, seed: int = 0
) -> TranslationModel:
    """A model in float64 and evaluation mode whose every weight matters."""
    model = TranslationModel(options, source_size, target_size).double()
    randomize(model, seed)
    return model.eval()


def random_pairs(
    lengths: Sequence[tuple[int, int]], *, vocab: int = 9, seed: int = 0
) -> list[tuple[list[int], list[int]]]:
    """Source and target ids, without bos and eos, of the lengths asked for."""
    generator = torch.Generator().manual_seed(seed)

    def row(length: int) -> list[int]:
        return torch.randint(4, vocab, (length,), generator=generator).tolist()

    return [(row(source), row(target)) for source, target in lengths]


def padded(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def make_batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
    """The batch of some pairs, row by row as its documentation says."""
    sources = [[*source, EOS] for source, _ in pairs]
    labels = [[*target, EOS] for _, target in pairs]
    width = max(map(len, labels))
    where = [i * width + t for i, row in enumerate(labels) for t in range(len(row))]
    return Batch(
        source_BS=padded(sources, max(map(len, sources))),
        source_lengths_B=torch.tensor([len(row) for row in sources]),
        inputs_BT=padded([[BOS, *target] for _, target in pairs], width),
        labels_BT=padded(labels, width),
        where_M=torch.tensor(where),
    )


def score(model: TranslationModel, batch: Batch) -> Tensor:
    """The log-probability of each target, EOS counted, (B,)."""
    logits_MV = model.output(model(batch)).float()
    nll_M = functional.cross_entropy(logits_MV, batch.labels(), reduction="none")
    rows_M = batch.where_M // batch.labels_BT.shape[1]
    return torch.zeros(len(batch.labels_BT)).index_add(0, rows_M, -nll_M)
