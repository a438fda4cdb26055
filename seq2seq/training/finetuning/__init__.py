"""Fine-tuning: a training that begins with the weights and the tokenizer of an earlier run.

The recipe's tables on the network, the tokenizer and the translation need to say only what is to be
different; the rest is as it is there. What the earlier run was good at may be forgotten, so its
validation set is measured too, before the first update and with each validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.data.preparing.held_out import count_repeated
from seq2seq.data.preparing.statistics import MUCH_IN_TRAIN
from seq2seq.errors import DataError, ModelError, RecipeError, Seq2SeqError
from seq2seq.recipe import Recipe, Section
from seq2seq.recipe.base import Checks
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.recipe.problems import problems_of
from seq2seq.storage.atomic import real_path
from seq2seq.storage.layout import CHECKPOINTS, OLD_VAL, RUN, WEIGHTS, checkpoint_folders
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.finetuning.forgetting import (
    OldVal,
    OldValSearch,
    describe,
    open_kept,
    same_pairs,
)
from seq2seq.training.finetuning.source_model import SourceModel, Transfer, described, take
from seq2seq.training.run import about_run
from seq2seq.training.run.journal import Journal
from seq2seq.training.updater import Updater

_MANY_UNKNOWN = 0.005  # of the pieces; a tokenizer knows nearly all of its own training text


@dataclass(frozen=True)
class Begin:
    """What a training is to begin with."""

    folder: Path | None = None  # a run or model; None: nothing, or what the run was started with
    old_val: tuple[Path, Path] | None = None  # its validation set; None: its own is looked for

    @property
    def old_files(self) -> list[str] | None:
        """The paths of the old validation set."""
        return None if self.old_val is None else [str(path.absolute()) for path in self.old_val]


@dataclass
class FineTuning:
    """What a run that fine-tunes knows of where it comes from."""

    record: dict[str, Any]  # for run.json, the journal and the card
    begin: Begin  # what was asked for
    source: SourceModel | None = None  # None, as ``taken``, once the run has checkpoints
    taken: Transfer | None = None
    old: OldVal | None = None
    notes: list[str] = field(default_factory=list)  # to be shown when training begins

    def check_tokenizer(self, prepared: PreparedData) -> None:
        """Refuses data that was split by another tokenizer than the weights know."""
        if prepared.tokenizers.digest != self.record["tokenizer_sha256"]:
            there = self.record["run"]
            raise DataError(
                f"{prepared.folder}: its tokenizer is not the one of {there}, byte for byte, so "
                "the weights would belong to other tokens: prepare another folder with "
                f"'seq2seq prepare RECIPE --init-from {there} -o FOLDER', or leave --data out"
            )

    def find_old(self, run: Path, prepared: PreparedData) -> None:
        """Finds the old validation set, and keeps a copy in the run's folder."""
        path = run / OLD_VAL
        about = self.record.get("old_val")
        if self.source is None:
            pairs = open_kept(path, about) if about else None
            if about and pairs is not None:
                pairs.check(prepared.tokenizers.source.size, prepared.tokenizers.target.size)
                self.old = OldVal(pairs, about.get("lines"))
            elif about:
                self.notes.append(f"warning: {path} is gone: forgetting is no longer measured")
            return
        self._warn_of_unknown(prepared)
        search = OldValSearch(self.source, path)
        files = self.begin.old_files
        found = search.take_files(*files) if files else search.find()
        self.notes += search.notes
        self.record["old_val"] = None
        if found is None:
            return
        if same_pairs(path, prepared):
            path.unlink()
            self.notes.append("the old validation set is the new one: it is measured once")
            return
        pairs = PairDataset.open(path)
        self._warn_of_seen(pairs, prepared)
        lines = self.source.recipe.training.validation.lines
        self.record["old_val"] = {**describe(pairs, found), "lines": lines}
        self.old = OldVal(pairs, lines)

    def _warn_of_seen(self, old: PairDataset, prepared: PreparedData) -> None:
        """Warns where the old validation pairs are trained on, as parts of the old corpus."""
        if prepared.stored is None:
            return
        (seen,), count = count_repeated(prepared.stored.path, old.path), len(old)
        if seen > MUCH_IN_TRAIN * count:
            self.notes.append(
                f"warning: {seen:,} of the {count:,} pairs of the old validation set are among the "
                "training pairs: its figures are too good; name others with --old-val SOURCE TARGET"
            )

    def _warn_of_unknown(self, prepared: PreparedData) -> None:
        for split in prepared.report.splits:
            for side, counts in (("source", split.source), ("target", split.target)):
                if split.name == "train" and counts.unknown_rate > _MANY_UNKNOWN:
                    self.notes.append(
                        f"warning: {counts.unknown_rate:.1%} of the pieces of the {side} side are "
                        f"unknown to the tokenizer of {self.record['run']}: their characters were "
                        "not in its training text, and cannot be learned"
                    )

    def start(self, updater: Updater, journal: Journal, say: Callable[[str], None]) -> None:
        """Copies the weights that fit into a network and its average; shows and records which."""
        assert self.source is not None
        assert self.taken is not None
        for model in (updater.model, updater.evaluated):
            take(model, self.source.weights, self.taken.taken)
        record = {"kind": "init", "update": 0, **self.record}
        if record not in journal.records():  # of a process that was killed right after
            journal.append(record)
        sure = "" if self.taken.whole and not self.taken.differing else "warning: "
        where = described(str(self.source.folder), self.source.update)
        say(f"{sure}starting with {where}: {self.taken.line()}")
        self.source = None  # its weights need memory

    def show_notes(self, say: Callable[[str], None]) -> None:
        """Shows the notes, once."""
        for note in self.notes:
            say(note)
        self.notes.clear()

    def share_old(self, group: ProcessGroup) -> None:
        """Gives the old validation set, which rank 0 has, to all processes."""
        lines, content = None, b""
        if self.old is not None and group.world_size > 1:
            lines, content = self.old.lines, self.old.pairs.path.read_bytes()
        content = group.broadcast_bytes(content)
        lines = json.loads(group.broadcast_bytes(json.dumps(lines).encode()))
        if content and group.rank:
            self.old = OldVal(PairDataset(Path(OLD_VAL), pa.py_buffer(content)), lines)

    def card(self) -> dict[str, Any]:
        """What the model's card says, without any path of this machine."""
        left_out = ("run", "old_val")
        about = {key: value for key, value in self.record.items() if key not in left_out}
        return {"init": {"from": Path(self.record["run"]).name, **about}}


def fine_tuning(
    recipe: Recipe, run: Path, begin: Begin, data: Path | None
) -> tuple[Recipe, FineTuning | None]:
    """Reads what a training in the folder ``run`` begins with, and makes the recipe fit it.

    ``data`` is the prepared folder; None: the run prepares its own. A training from nothing gets
    its recipe as it was, and None. Raises ``ModelError``, ``RecipeError`` or ``DataError`` if the
    model, the recipe or the prepared folder cannot be used together.
    """
    stored = about_run(run)
    first = stored.get("init")
    if stored:
        _check_same(run, begin, first)
    if begin.folder is None and first is None:
        if begin.old_val is not None:
            raise Seq2SeqError("--old-val needs --init-from RUN: it measures what is forgotten")
        return recipe, None
    if first is not None and checkpoint_folders(run / CHECKPOINTS):
        then = recipe_from_toml(stored["recipe"], str(run / RUN))
        return adapted(recipe, then, {}, run), FineTuning(first, begin)
    for path in begin.old_val or ():
        if not path.exists():  # better now than after preparing
            raise DataError(f"{path}: no such file; --old-val SOURCE TARGET names two")
    folder = Path(first["run"]) if begin.folder is None and first else begin.folder
    assert folder is not None
    if real_path(run) == real_path(folder):
        raise _same_folder(folder)
    if first is not None and begin.old_val is None and first.get("old_val_files"):
        begin = Begin(folder, tuple(map(Path, first["old_val_files"])))  # type: ignore[arg-type]
    recipe, source, taken = _fitted(recipe, folder, data)
    record = {
        "run": str(source.folder),
        "of_update": source.update,
        "weights_sha256": source.digest,
        "tokenizer_sha256": source.tokenizers.digest,
        "old_val_files": begin.old_files,
        **taken.record(),
    }
    return recipe, FineTuning(record, begin, source, taken)


def adapted(recipe: Recipe, theirs: Recipe, tokenizer: dict[str, Any], of: Path) -> Recipe:
    """Takes from another recipe what this one leaves out of [model], [tokenizer], [translation].

    Its tokenizer is taken whole, but for sampling where ``recipe`` gives it; ``tokenizer``
    overrides keys of both. ``of`` is the other recipe's folder, for messages. Raises
    ``RecipeError`` if the keys do not go together.
    """
    own = recipe.tokenizer
    sampling = own if "sampling" in own.model_fields_set else theirs.tokenizer
    tables = {
        "model": _merged(theirs.model, recipe.model),
        "translation": _merged(theirs.translation, recipe.translation),
        "tokenizer": {
            **theirs.tokenizer.model_dump(),
            "sampling": sampling.sampling,
            **tokenizer,
        },
    }
    values = {key: getattr(recipe, key) for key in Recipe.model_fields}
    try:
        return Recipe.model_validate(values | tables, context=Checks(cells=True))
    except ValidationError as error:
        name = f"{recipe.name}, completed from {of}"
        raise RecipeError(name, problems_of(error)) from None


def prepared_with(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe that prepares data for fine-tuning the model of a folder, with its tokenizer.

    Raises ``ModelError`` or ``RecipeError`` if the model and the recipe do not fit.
    """
    return _fitted(recipe, folder, None)[0]


def _fitted(
    recipe: Recipe, folder: Path, data: Path | None
) -> tuple[Recipe, SourceModel, Transfer]:
    """The recipe completed from a folder's model, that model, and which of its weights fit."""
    source = SourceModel.read(folder)
    source.check_tokenizer(recipe)
    recipe = adapted(recipe, source.recipe, _tokenizer_table(source, data), folder)
    return recipe, source, Transfer.by(recipe, source)


def _merged(theirs: Section, ours: Section) -> dict[str, Any]:
    """The values of ``theirs``, except for the keys that ``ours`` gives explicitly."""
    values = theirs.model_dump()
    for key in ours.model_fields_set:
        there: Any = getattr(theirs, key, None)
        here = getattr(ours, key)
        if isinstance(here, Section):
            kinds = [(type(one), getattr(one, "kind", None)) for one in (here, there)]
            values[key] = here.model_dump() if kinds[0] != kinds[1] else _merged(there, here)
        else:
            values[key] = here
    return values


def _tokenizer_table(source: SourceModel, data: Path | None) -> dict[str, Any]:
    """The keys of the tokenizer that the data was, or will be, prepared with."""
    if data is None:
        return source.tokenizer_files()
    table = PreparedData.open(data, verify=False).recipe.tokenizer.model_dump()
    del table["sampling"]
    return table


def _check_same(run: Path, begin: Begin, first: dict[str, Any] | None) -> None:
    """Refuses to go on with another model or another old validation set."""
    if begin.folder is None and begin.old_val is None:
        return
    if first is None:
        if begin.folder is not None and real_path(run) == real_path(begin.folder):
            raise _same_folder(run)
        raise ModelError(
            f"{run} was started without --init-from: leave it out to go on there, or give -o a new "
            "folder"
        )
    then = Path(first["run"])
    if begin.folder is not None and not _is_same(begin.folder, then, first["weights_sha256"]):
        there = described(str(then), first["of_update"])
        raise ModelError(
            f"{run} was started with {there}, not with {begin.folder}: leave --init-from out to go "
            "on there, or give -o a new folder"
        )
    if begin.old_files and begin.old_files != first.get("old_val_files"):
        raise ModelError(
            f"{run} was started with another old validation set: leave --old-val out to go on "
            "there, or give -o a new folder"
        )


def _same_folder(folder: Path) -> ModelError:
    return ModelError(
        f"{folder}: --init-from and the run's folder are the same: give -o a new folder (to go on "
        "with a run, leave --init-from out)"
    )


def _is_same(folder: Path, then: Path, digest: str) -> bool:
    """Whether a folder is the one used before, whatever it holds now, or has the same weights."""
    if real_path(folder) == real_path(then):
        return True
    return any(folder.glob(f"{Path(WEIGHTS).stem}*")) and SourceModel.read(folder).digest == digest
