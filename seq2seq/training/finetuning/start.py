"""Fine-tuning: a training that begins with the weights and the tokenizer of an earlier run.

The recipe's tables on the network, the tokenizer and the translation need to say only what is to be
different; the rest is as it is there. What the earlier run was good at may be forgotten, so its
validation set is measured too, before the first update and with each validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.errors import DataError, ModelError, RecipeError, Seq2SeqError
from seq2seq.recipe import Recipe, Section
from seq2seq.recipe.data import LinesSource
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.recipe.problems import problems_of
from seq2seq.storage.layout import WEIGHTS
from seq2seq.training.evaluation import Validated
from seq2seq.training.finetuning.forgetting import OLD_VAL, Search, described, kept, same_pairs
from seq2seq.training.finetuning.source_model import Origin, Taken, named, take
from seq2seq.training.run.checkpoint import checkpoint_folders, read_object
from seq2seq.training.run.journal import Journal
from seq2seq.training.updater import Learner

Measure = Callable[[PairDataset, Recipe], Validated]
_MANY_UNKNOWN = 0.005  # of the pieces; a tokenizer knows nearly all of its own training text


@dataclass(frozen=True)
class Begin:
    """What a training is to begin with.

    Attributes:
        folder: The run or model whose weights and tokenizer are taken; None: none, or, of a run
            that goes on, those that it was begun with.
        old_val: Two files: the validation set of what it was trained for; None: the run's own is
            looked for.
    """

    folder: Path | None = None
    old_val: tuple[Path, Path] | None = None

    @property
    def old_files(self) -> LinesSource | None:
        """The old validation set as a recipe would name it."""
        if self.old_val is None:
            return None
        source, target = (str(path.absolute()) for path in self.old_val)
        return LinesSource(source_path=source, target_path=target)


@dataclass
class FineTuning:
    """What a run that fine-tunes knows of where it comes from.

    Attributes:
        record: The same as plain values, for run.json, the journal and the card.
        begin: What was asked for.
        origin: The model; None: the run has its own checkpoints.
        taken: What of it fits; None likewise.
        old: The old validation set; None: there is none.
        notes: What the user is to be told when training begins.
    """

    record: dict[str, Any]
    begin: Begin
    origin: Origin | None = None
    taken: Taken | None = None
    old: PairDataset | None = None
    notes: list[str] = field(default_factory=list)

    def check_tokenizer(self, prepared: PreparedData) -> None:
        """Checks that data is in the pieces that the weights know.

        Args:
            prepared: The data.

        Raises:
            DataError: If it is not.
        """
        if prepared.tokenizers.digest != self.record["tokenizer_sha256"]:
            there = self.record["run"]
            raise DataError(
                f"{prepared.folder}: its tokenizer is not the one of {there}, byte for byte, so "
                "the weights would be those of other pieces: prepare another folder with "
                f"'seq2seq prepare RECIPE --init-from {there} -o FOLDER', or leave --data out"
            )

    def find_old(self, run: Path, prepared: PreparedData) -> None:
        """Finds the old validation set, and keeps it in the run.

        Args:
            run: The run's folder.
            prepared: The new data.

        Raises:
            DataError: If the set that the user names cannot be read, or the one kept is damaged.
        """
        path = run / OLD_VAL
        about = self.record.get("old_val")
        if self.origin is None:
            self.old = kept(path, about) if about else None
            if about and self.old is None:
                self.notes.append(f"warning: {path} is gone: forgetting is no longer measured")
            return
        self._warn_of_unknown(prepared)
        search = Search(self.origin, path)
        files = self.begin.old_files
        found = search.of_files(files) if files else search.of_run()
        self.notes += search.notes
        self.record["old_val"] = None
        if found is None:
            return
        if same_pairs(path, prepared):
            path.unlink()
            self.notes.append("the old validation set is the new one: it is measured once")
            return
        lines = self.origin.recipe.training.validation.lines
        self.record["old_val"] = {**described(path, found), "lines": lines}
        self.old = PairDataset.open(path)

    def _warn_of_unknown(self, prepared: PreparedData) -> None:
        for split in prepared.report.splits:
            for side, counts in (("source", split.source), ("target", split.target)):
                if split.name == "train" and counts.unknown_rate > _MANY_UNKNOWN:
                    self.notes.append(
                        f"warning: {counts.unknown_rate:.1%} of the pieces of the {side} side are "
                        f"unknown to the tokenizer of {self.record['run']}: their characters were "
                        "not in its training text, and cannot be learned"
                    )

    def start(self, learner: Learner, journal: Journal, say: Callable[[str], None]) -> None:
        """Puts the weights into a new network, and tells and records which.

        Args:
            learner: Its network, and the average of it, are changed in place.
            journal: The run's.
            say: Shows a line.
        """
        assert self.origin is not None
        assert self.taken is not None
        for model in (learner.model, learner.judged):
            take(model, self.origin.weights, self.taken.taken)
        record = {"kind": "init", "update": 0, **self.record}
        if record not in journal.records():  # of a process that was killed right after
            journal.append(record)
        sure = "" if self.taken.whole and not self.taken.differing else "warning: "
        say(f"{sure}begun with {self.origin.named}: {self.taken.line()}")
        self.origin = None  # its weights need memory

    def tell(self, say: Callable[[str], None]) -> None:
        """Tells what was found out on the way.

        Args:
            say: Shows a line.
        """
        for note in self.notes:
            say(note)
        self.notes.clear()

    def with_old(
        self,
        result: Validated,
        measure: Measure,
        recipe: Recipe,
        history: list[dict[str, Any]],
    ) -> Validated:
        """Measures the old validation set too, by as many lines as the earlier run has.

        Args:
            result: What was found on the new one.
            measure: Validates the weights that it was found with on another set.
            recipe: The run's.
            history: The validations before.

        Returns:
            The result with the old set's figures; as it was where there is none.
        """
        if self.old is None:
            return result
        lines = {"lines": self.record["old_val"].get("lines")}
        validation = recipe.training.validation.model_copy(update=lines)
        training = recipe.training.model_copy(update={"validation": validation})
        found = measure(self.old, recipe.model_copy(update={"training": training}))
        return result.beside(found, history[0].get("old") if history else None)

    def card(self) -> dict[str, Any]:
        """What the model's card says: no path of this machine.

        Returns:
            Plain values.
        """
        left_out = ("run", "old_val")
        about = {key: value for key, value in self.record.items() if key not in left_out}
        return {"init": {"from": Path(self.record["run"]).name, **about}}


def fine_tuning(
    recipe: Recipe, run: Path, begin: Begin, data: Path | None
) -> tuple[Recipe, FineTuning | None]:
    """Reads what a training begins with, and makes the recipe fit it.

    Args:
        recipe: The recipe.
        run: The run's folder.
        begin: What was asked for.
        data: The prepared folder; None: the run prepares its own.

    Returns:
        The recipe, and what to begin with; as it was and None for a training from nothing.

    Raises:
        ModelError: If the model cannot be used, or the run was begun with another one.
        RecipeError: If the recipe does not fit the model's, or asks for another tokenizer.
        DataError: If the prepared folder cannot be read.
    """
    stored = _stored(run)
    first = stored.get("init")
    if stored:
        _check_same(run, begin, first)
    if begin.folder is None and first is None:
        if begin.old_val is not None:
            raise Seq2SeqError("--old-val needs --init-from RUN: it measures what is forgotten")
        return recipe, None
    if first is not None and checkpoint_folders(run / "checkpoints"):
        then = recipe_from_toml(stored["recipe"], str(run / "run.json"))
        return adapted(recipe, then, {}, run), FineTuning(first, begin)
    for path in begin.old_val or ():
        if not path.exists():  # better now than after preparing
            raise DataError(f"{path}: no such file; --old-val SOURCE TARGET names two")
    folder = Path(first["run"]) if begin.folder is None and first else begin.folder
    assert folder is not None
    if run.resolve() == folder.resolve():
        raise ModelError(
            f"{folder}: --init-from and the run's folder are the same: give -o a new folder (to go "
            "on with a run, leave --init-from out)"
        )
    if first is not None and begin.old_val is None and first.get("old_val_files"):
        begin = Begin(folder, tuple(map(Path, first["old_val_files"])))  # type: ignore[arg-type]
    origin = Origin.read(folder)
    origin.check_tokenizer(recipe)
    recipe = adapted(recipe, origin.recipe, _tokenizer_table(origin, data), folder)
    taken = Taken.by(recipe, origin)
    record = {
        "run": str(origin.folder),
        "of_update": origin.update,
        "weights_sha256": origin.digest,
        "tokenizer_sha256": origin.tokenizers.digest,
        "old_val_files": begin.old_val and [str(path.absolute()) for path in begin.old_val],
        **taken.record(),
    }
    return recipe, FineTuning(record, begin, origin, taken)


def adapted(recipe: Recipe, theirs: Recipe, tokenizer: dict[str, Any], of: Path) -> Recipe:
    """Fills what a recipe leaves open with what another says: network, tokenizer, translation.

    Args:
        recipe: The recipe.
        theirs: The other one. Of its tokenizer, all counts but the sampling that the recipe gives.
        tokenizer: Keys of the tokenizer's table that count more than either.
        of: Whose the other one is, for messages.

    Returns:
        The recipe with all keys given.

    Raises:
        RecipeError: If the keys do not go together.
    """
    own = recipe.tokenizer
    sampling = own if "sampling" in own.model_fields_set else theirs.tokenizer
    tables = {
        "model": _laid_over(theirs.model, recipe.model),
        "translation": _laid_over(theirs.translation, recipe.translation),
        "tokenizer": {
            **theirs.tokenizer.model_dump(),
            "sampling": sampling.sampling,
            **tokenizer,
        },
    }
    values = {key: getattr(recipe, key) for key in Recipe.model_fields}
    try:
        return Recipe.model_validate(values | tables)
    except ValidationError as error:
        name = f"{recipe.name}, its open keys being those of {of}"
        raise RecipeError(name, problems_of(error)) from None


def prepared_with(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe that prepares data for fine-tuning a model.

    Args:
        recipe: The recipe.
        folder: The run or model that is to be fine-tuned.

    Returns:
        The recipe with the model's tokenizer.

    Raises:
        ModelError: If the model cannot be used.
        RecipeError: If the recipe does not fit the model's, or asks for another tokenizer.
    """
    origin = Origin.read(folder)
    origin.check_tokenizer(recipe)
    fitted = adapted(recipe, origin.recipe, origin.tokenizer_files(), folder)
    Taken.by(fitted, origin)
    return fitted


def _laid_over(theirs: Section, ours: Section) -> dict[str, Any]:
    """Their values, and over them those that ours was given in so many words."""
    values = theirs.model_dump()
    for key in ours.model_fields_set:
        there, here = getattr(theirs, key), getattr(ours, key)
        if isinstance(here, Section):
            both = type(here) is type(there)
            values[key] = _laid_over(there, here) if both else here.model_dump()
        else:
            values[key] = here
    return values


def _tokenizer_table(origin: Origin, data: Path | None) -> dict[str, Any]:
    """The tokenizer's table as the data was, or will be, prepared by."""
    if data is None:
        return origin.tokenizer_files()
    table = PreparedData.open(data, verify=False).recipe.tokenizer.model_dump()
    del table["sampling"]
    return table


def _stored(run: Path) -> dict[str, Any]:
    file = run / "run.json"
    return read_object(file) if file.is_file() else {}


def _check_same(run: Path, begin: Begin, first: dict[str, Any] | None) -> None:
    """A run goes on with what it was begun with."""
    if begin.folder is None and begin.old_val is None:
        return
    if first is None:
        if begin.folder is not None and run.resolve() == begin.folder.resolve():
            raise ModelError(
                f"{run}: --init-from and the run's folder are the same: give -o a new folder (to "
                "go on with a run, leave --init-from out)"
            )
        raise ModelError(
            f"{run} was begun without --init-from: leave it out to go on there, or give -o a new "
            "folder"
        )
    then = Path(first["run"])
    if begin.folder is not None and not _is_same(begin.folder, then, first["weights_sha256"]):
        there = named(str(then), first["of_update"])
        raise ModelError(
            f"{run} was begun with {there}, not with {begin.folder}: leave --init-from out to go "
            "on there, or give -o a new folder"
        )
    files = begin.old_val and [str(path.absolute()) for path in begin.old_val]
    if files and files != first.get("old_val_files"):
        raise ModelError(
            f"{run} was begun with another old validation set: leave --old-val out to go on "
            "there, or give -o a new folder"
        )


def _is_same(folder: Path, then: Path, digest: str) -> bool:
    """The folder that it was, whatever became of it, or one with the same weights."""
    if folder.resolve() == then.resolve():
        return True
    return (folder / WEIGHTS).is_file() and Origin.read(folder).digest == digest
