"""The validation set of the run that a model comes from: what it may forget is measured on it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from seq2seq.data.dataset import PairDataset, PreparedData, check_files, read_manifest
from seq2seq.data.preparing.prepare import KEEP_ALL, prepare
from seq2seq.data.preparing.statistics import PrepareReport, Split
from seq2seq.data.reading.corpus import source_files
from seq2seq.errors import DataError, ModelError, Seq2SeqError
from seq2seq.recipe import Data, Recipe
from seq2seq.recipe.data import HubSource, LinesSource, Source
from seq2seq.storage.atomic import file_digest, new_file
from seq2seq.storage.layout import DATA, split_file
from seq2seq.training.evaluation import Evaluator, Validated
from seq2seq.training.finetuning.source_model import SourceModel
from seq2seq.training.run import about_run

_VAL = split_file("val")
_HINT = "give it with --old-val SOURCE TARGET"


@dataclass(frozen=True)
class OldVal:
    """The validation set of an earlier run, which predicted its first ``lines`` (None: all)."""

    pairs: PairDataset
    lines: int | None

    def evaluate(self, evaluator: Evaluator, model: nn.Module) -> Validated:
        """Measures a model on it, predicting as many lines as the earlier run did."""
        training = evaluator.recipe.training
        validation = training.validation.model_copy(update={"lines": self.lines})
        training = training.model_copy(update={"validation": validation})
        recipe = evaluator.recipe.model_copy(update={"training": training})
        return replace(evaluator, recipe=recipe).evaluate(model, self.pairs)


@dataclass
class OldValSearch:
    """The search for an earlier run's validation set."""

    model: SourceModel
    target: Path  # the copy to make
    notes: list[str] = field(default_factory=list)  # for the user

    def take_files(self, source: str, target: str) -> str:
        """Copies the set that the user names; returns its description."""
        self._prepare(LinesSource(source_path=source, target_path=target))
        return f"{source}, {target}"

    def find(self) -> str | None:
        """Looks in the run's prepared data, then where its recipe says; None: see ``notes``."""
        try:
            return self._in_prepared_data() or self._named_by_recipe()
        except Seq2SeqError as error:
            self.notes.append(
                f"warning: the old validation set cannot be used: {error}; forgetting is not "
                f"measured: {_HINT}"
            )
            return None

    def _in_prepared_data(self) -> str | None:
        folder = self.model.folder / DATA
        if not folder.is_dir():
            return None
        try:
            manifest = read_manifest(folder)
            own = _about(self.model.folder).get("data", manifest["digest"])
            if manifest["digest"] != own or _VAL not in manifest["files"]:
                return None
            if (folder / _VAL).is_symlink():  # a run from an archive copies nothing from elsewhere
                raise DataError(f"{folder / _VAL}: a link: put the file itself there")
            check_files(folder, {_VAL: manifest["files"][_VAL]})
            tokenizers = self.model.tokenizers
            pairs = PairDataset.open(folder / _VAL)
            pairs.check(tokenizers.source.size, tokenizers.target.size)
        except DataError as error:
            self.notes.append(f"warning: {error}")
            return None
        _copy(folder / _VAL, self.target)
        return str(folder / _VAL)

    def _named_by_recipe(self) -> str | None:
        source = self.model.recipe.data.val
        if source is None or isinstance(source, HubSource):
            what = "names none" if source is None else "has it on the hub"
            self.notes.append(
                f"warning: no old validation set: {self.model.folder} has no data/, and its "
                f"recipe {what}; forgetting is not measured: {_HINT}"
            )
            return None
        files = source_files(source)
        prepared = self._prepare(source)
        self._check_unchanged(files, prepared)
        return ", ".join(files)

    def _check_unchanged(self, files: tuple[str, ...], found: Split) -> None:
        """Compares hashes, if the run has kept them, else the counts of lines and pieces."""
        about = _about(self.model.folder)
        known: dict[str, str] = (about.get("inputs") or {}).get("val", {})
        changed = [path for path in files if path in known and file_digest(path) != known[path]]
        if not known and about.get("report"):
            splits = PrepareReport.from_json(about["report"]).splits
            then = next((one for one in splits if one.name == "val"), None)
            if then is not None and _counts(then) != _counts(found):
                changed = list(files) or ["it"]
        elif not known and files:
            self.notes.append(
                f"the old validation set is {', '.join(files)} as it is now: "
                f"{self.model.folder} does not say what it was"
            )
        if changed:
            self.target.unlink(missing_ok=True)
            raise DataError(f"{', '.join(changed)}: changed since {self.model.folder} used it")

    def _prepare(self, source: Source) -> Split:
        """Splits the set's lines by the run's tokenizer; none is dropped, as in any validation."""
        table = self.model.recipe.tokenizer.model_dump() | self.model.tokenizer_files()
        recipe = Recipe.model_validate(
            {
                "name": "old-val",
                "data": Data(train=source, val=source),
                "cleaning": KEEP_ALL,
                "tokenizer": table,
            }
        )
        with tempfile.TemporaryDirectory(prefix="seq2seq-") as place:
            prepared = prepare(recipe, Path(place) / "data", processes=1, same_val=True)
            _copy(prepared.folder / _VAL, self.target)
            return next(one for one in prepared.report.splits if one.name == "val")


def open_kept(path: Path, about: dict[str, Any]) -> PairDataset | None:
    """Opens the set that a run has kept; None: the file is gone.

    ``about`` is what ``describe`` gave; raises ``DataError`` if the file is damaged.
    """
    if not path.is_file():
        return None
    if file_digest(path) != about["sha256"]:
        raise DataError(
            f"{path}: damaged or changed (its SHA-256 is not the one in run.json): put it back, or "
            "remove it to go on without the old validation set"
        )
    return PairDataset.open(path)


def describe(pairs: PairDataset, origin: str) -> dict[str, Any]:
    """What a run notes of the set that it keeps."""
    return {"from": origin, "pairs": len(pairs), "sha256": file_digest(pairs.path)}


def same_pairs(path: Path, prepared: PreparedData) -> bool:
    """Whether the old validation set is the new one."""
    new = prepared.val.path
    return path.stat().st_size == new.stat().st_size and file_digest(path) == file_digest(new)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as pairs, new_file(target) as copy:
        shutil.copyfileobj(pairs, copy)


def _about(folder: Path) -> dict[str, Any]:
    try:
        return about_run(folder)
    except ModelError:
        return {}  # of a run that only its model is taken from


def _counts(split: Split) -> tuple[int, ...]:
    sides = split.source, split.target
    return (split.kept, *(n for side in sides for n in (side.tokens, side.unknown, side.longest)))
