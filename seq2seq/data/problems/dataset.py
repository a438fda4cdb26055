"""A problem's sequences as the data of a training, of which nothing is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seq2seq.data.arrow import Indices, Ragged
from seq2seq.data.dataset import PreparedData, data_tables, digest_of
from seq2seq.data.preparing.statistics import PrepareReport, Side, Split
from seq2seq.data.problems import VALIDATION, Problem, problem_of
from seq2seq.recipe import Recipe
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

TRAIN_SIZE, VAL_SIZE, SEED = 1_000_000, 1000, 1
"""What a recipe has that does not say: so many that training hardly meets one twice."""


class ProblemDataset:
    """Sequences by their numbers: see ``data.Dataset``. What stands for ids is the number.

    ``first`` is the number of the first one.
    """

    def __init__(self, problem: Problem, first: int, count: int, name: str) -> None:
        self.problem = problem
        self.path = Path(name)
        self._first, self._count = first, count

    def __len__(self) -> int:
        return self._count

    def lengths(self, start: int, stop: int) -> tuple[npt.NDArray[np.int32], ...]:
        """The steps of neighbouring sequences: all have as many."""
        steps = np.full(stop - start, self.problem.steps, dtype=np.int32)
        return steps, steps

    def ids(self, indices: Indices) -> tuple[Ragged, Ragged]:
        """The numbers of some sequences, a row each."""
        rows = np.asarray(indices, dtype=np.int64)
        numbers = Ragged((rows + self._first).astype(np.int32), np.arange(len(rows) + 1))
        return numbers, numbers

    def texts(self, indices: Indices) -> tuple[list[str], list[str]]:
        """What sequences are called: there is no text."""
        names = [f"{self.path} {row + 1}" for row in np.asarray(indices).tolist()]
        return names, names

    def lines(self, indices: Indices) -> npt.NDArray[np.int64]:
        """The numbers of some sequences, from 1."""
        return np.asarray(indices, dtype=np.int64) + 1


class _NoTokenizer(Tokenizer):
    """Where there is no text: no pieces, and no file."""

    def __init__(self) -> None:
        self.proto, self.size = b"", 0
        self.digest = hashlib.sha256(self.proto).hexdigest()


class _NoTokenizers(Tokenizers):
    @property
    def files(self) -> dict[str, bytes]:
        return {}


def problem_data(recipe: Recipe, folder: Path) -> PreparedData:
    """The data of a recipe for a problem; ``folder`` is what messages call it, and is not made."""
    data, problem = recipe.data, problem_of(recipe.data)
    sizes = {"train": data.train_size or TRAIN_SIZE, "val": data.val_size or VAL_SIZE}
    counted = len(range(*problem.counted.indices(problem.steps)))
    tables = data_tables(recipe)
    report = PrepareReport(
        tuple(
            Split(
                name,
                read=count,
                dropped=(),
                kept=count,
                replaced=0,
                replaced_line=None,
                source=_side(count, problem.steps),
                target=_side(count, counted),
            )
            for name, count in sizes.items()
        ),
        seconds=0.0,
        peak_memory=0,
    )
    none = _NoTokenizer()
    manifest: Mapping[str, object] = {
        "digest": digest_of(tables["data"]),
        "inputs": {},
        "recipe": tables,
        "report": report.to_json(),
    }
    train, val = (
        ProblemDataset(problem, first, sizes[name], str(data.problem))
        for name, first in (("train", 0), ("val", VALIDATION))
    )
    return PreparedData(folder, recipe, _NoTokenizers(none, none), dict(manifest), train, val, None)


def _side(rows: int, tokens: int) -> Side:
    return Side(rows * tokens, p50=tokens, p90=tokens, p99=tokens, longest=tokens)
