"""A run's folder: the model-to-be, its checkpoints, and what was measured on the way.

``recipe.toml``, ``tokenizer.model`` (or ``source.model`` and ``target.model``), ``card.json`` and
the weights and graphs that it names make a model folder, so a run translates as soon as its first
validation is done. Beside them: ``run.json`` (which data), ``checkpoints/``, the links
``best`` and ``last`` into it, ``metrics.jsonl``, ``curves.png``, and ``data/`` where the run
prepared its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError

from seq2seq.data.dataset import InputDigests, PreparedData, value_in_words
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.errors import ModelError, TrainingError
from seq2seq.inference.model_folder import CardShape, digests, recipe_digest
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import read_recipe_text, recipe_from_toml, recipe_to_toml
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import clear_leftovers, remove, replace_link, write_bytes
from seq2seq.storage.layout import (
    BEST,
    CARD,
    CHECKPOINTS,
    DATA,
    GRAPHS,
    LAST,
    METRICS,
    OLD_VAL,
    RECIPE,
    RUN,
    TENSORBOARD,
    WEIGHTS,
    checkpoint_folders,
    checkpoint_name,
    plain_name,
    published_file,
    published_name,
    update_of,
)
from seq2seq.storage.lock import Lock
from seq2seq.storage.whole import read_bytes
from seq2seq.tasks import task_for
from seq2seq.training.run.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    Tensors,
    load_checkpoint,
    save_checkpoint,
    tensor_bytes,
)
from seq2seq.training.run.journal import Journal


class RunShape(BaseModel):
    """What is relied on of ``run.json``."""

    id: str | None = None
    data: str | None = None
    inputs: InputDigests | None = None
    report: PrepareReport | None = None
    recipe: str | None = None
    init: dict[str, Any] | None = None


class RunFolder:
    """The folder of one training, locked against other processes until it is closed.

    It is made where it is missing. Raises ``ModelError`` if it is a file, holds something else or a
    run of another recipe, or another process is training there. ``changed`` are keys of the recipe
    that may differ from the run's, and do: there, and here.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        self.checkpoints = path / CHECKPOINTS
        self.journal = Journal(path / METRICS, self.check_ours)
        if path.exists() and not path.is_dir():
            raise ModelError(f"{path} is a file: a run needs a folder of its own")
        self._made = _make(path)
        self._claimed = False
        self._id: str | None = None  # what its checkpoints are marked with
        try:
            self._check_links()
            self._lock = Lock(path)
        except BaseException:
            self._remove_made()
            raise
        try:
            self.begun = (path / RUN).exists()
            self._check_contents()
            self.changed = self._check_recipe()
            clear_leftovers(self.checkpoints)
            clear_leftovers(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets other processes in; a folder that was made here and stayed empty goes."""
        self._lock.release()
        self._remove_made()

    def _remove_made(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # something is in it
                return

    def _check_links(self) -> None:
        """A run may be unpacked from someone's archive, with a link to a folder of the user's."""
        for folder in (self.checkpoints, self.path / TENSORBOARD):
            if folder.is_symlink():
                raise ModelError(
                    f"{folder}: a link, where training writes and removes files: remove it, or put "
                    "the folder itself there (to keep a run on another disk, link the run's whole "
                    "folder)"
                )

    def _check_contents(self) -> None:
        """A folder without run.json is no run: whatever it holds is the user's."""
        if self.begun:
            return
        early = {CHECKPOINTS, DATA, OLD_VAL}  # of a run that was killed before it wrote run.json
        names = sorted(entry.name for entry in self.path.iterdir())
        foreign = [name for name in names if name not in early and not name.startswith(".")]
        if foreign:
            raise ModelError(
                f"{self.path} holds other things ({', '.join(foreign[:3])}) and no run: "
                "give -o a new or empty folder"
            )

    def _check_recipe(self) -> dict[str, tuple[Any, Any]]:
        """The keys that differ from the run's recipe; raises if one of them may not change."""
        stored = stored_recipe(self.path)
        if stored is None:
            return {}
        differing = differing_keys(stored, self.recipe)
        free = may_change(self.recipe)
        fixed = [key for key in differing if key not in free]
        if fixed:
            shown = in_words({key: differing[key] for key in fixed[:5]})
            more = f" and {len(fixed) - 5} more" if len(fixed) > 5 else ""
            text = self.recipe.data.kind is None
            fits = text and all(key.startswith("training.") for key in fixed)
            onward = f" (to begin with its weights, --init-from {self.path})" if fits else ""
            raise ModelError(
                f"{self.path} holds a run with a different recipe: {shown}{more}; "
                f"give -o a new folder{onward}, or train with the run's own recipe.toml"
            )
        return differing

    def claim(self, prepared: PreparedData, init: dict[str, Any] | None = None) -> None:
        """Writes what a new run begins with, or checks that a run goes on with its own data.

        ``init`` says where the first weights are from. Raises ``ModelError`` for other data, and
        ``TrainingError`` where the folder cannot be written.
        """
        self.check_ours()
        self.check_data(prepared, f"{prepared.folder} holds")
        file, stored = self.path / RUN, about_run(self.path)
        text = recipe_to_toml(self.recipe)
        about = {
            "data": prepared.digest,
            "inputs": prepared.manifest["inputs"],
            "report": prepared.manifest["report"],
            "recipe": text,
            **({} if init is None else {"init": init}),
        }
        self._id = stored.get("id") if file.is_file() else checked_json.digest(about)
        if self._id is not None:  # a run of an older version goes on without
            about["id"] = self._id
        with self._writing("the run's first files"):
            _put(file, checked_json.dumps(about))
            for name, proto in prepared.tokenizers.files.items():
                _put(self.path / name, proto)
            _put(self.path / RECIPE, text.encode())
            self._renew_recipe_digest(text)
        self._claimed = True

    def check_data(self, prepared: PreparedData, whose: str) -> None:
        """Raises ``ModelError`` if the run was started on other data."""
        if (self.path / RUN).is_file() and about_run(self.path).get("data") != prepared.digest:
            raise ModelError(
                f"{self.path} was started on other data than {whose}: give --data the folder it "
                "was started with, or -o a new folder"
            )

    def _renew_recipe_digest(self, recipe: str) -> None:
        """Makes the card of the model there fit a recipe that says the same in other words.

        A newer version writes keys that the older one did not know, with their defaults.
        """
        card = self._card()
        if card.get("recipe_sha256") not in (None, digest := recipe_digest(recipe)):
            checked_json.write(self.path / CARD, {**card, "recipe_sha256": digest})

    def latest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; None for a new run.

        Raises ``ModelError`` if none is whole, or the newest is of another version or run.
        """
        folders = checkpoint_folders(self.checkpoints)
        for folder, checkpoint in self._whole(folders, say):
            for newer in folders[: folders.index(folder)]:
                aside = newer.with_name("damaged-" + newer.name)
                shutil.rmtree(aside, ignore_errors=True)
                newer.rename(aside)
            return checkpoint
        if folders:
            raise ModelError(
                f"none of the {len(folders)} checkpoints in {self.checkpoints} can be read: "
                "train into a new folder, or remove them to start over here"
            )
        return None

    def _whole(
        self, folders: list[Path], say: Callable[[str], None]
    ) -> Iterator[tuple[Path, Checkpoint]]:
        """Reads checkpoints one after the other, and skips those that are damaged."""
        for folder in folders:
            try:
                checkpoint = load_checkpoint(folder)
            except DamagedCheckpointError as error:
                say(f"warning: {error}; trying the one before")
                continue
            if self._id and checkpoint.run not in (None, self._id):
                raise ModelError(
                    f"checkpoint {folder} is of another run: remove it to go on without it, or "
                    "train in the folder of its own run"
                )
            yield folder, checkpoint

    def good(self, before: int, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint whose weights have proved good; None: none has finite weights.

        ``before`` is the last update whose numbers were finite. A checkpoint right there is taken
        only if there is no earlier one: its weights may be what went wrong.
        """
        folders = checkpoint_folders(self.checkpoints)
        late = [one for one in folders if update_of(one) >= before]
        earlier = [one for one in folders if one not in late]
        for _, checkpoint in self._whole(earlier + late, say):
            if all(bool(one.isfinite().all()) for one in checkpoint.groups["model"].values()):
                return checkpoint
        return None

    def what_is_saved(self) -> str:
        """Says what is left where training fails, as a part of a sentence."""
        last = self.path / LAST
        return f"the last checkpoint is {last}" if last.exists() else "nothing was saved"

    def save(self, checkpoint: Checkpoint, keep: int, keep_validated: int) -> None:
        """Writes a checkpoint, moves the links, and drops checkpoints no longer needed.

        ``keep`` of the newest stay, and ``keep_validated`` of the newest that were validated.
        """
        self._check_there()
        with self._writing("a checkpoint"):
            newest = save_checkpoint(self.checkpoints, replace(checkpoint, run=self._id))
            self._link(LAST, newest)
        folders = checkpoint_folders(self.checkpoints)
        needed = set(folders[:keep])
        best = checkpoint.state.best_update
        best_folder = self.checkpoints / checkpoint_name(best or 0)
        if best is not None and best_folder in folders:
            self._link(BEST, best_folder)
            needed.add(best_folder)
        history = checkpoint.state.history
        validated = list(dict.fromkeys(record["update"] for record in history))
        names = {checkpoint_name(update) for update in validated[-keep_validated:]}
        for folder in folders:
            if folder not in needed and not (keep_validated and folder.name in names):
                remove(folder)

    def _link(self, name: str, checkpoint: Path) -> None:
        link = self.path / name
        if link.is_dir() and not link.is_symlink():  # in a copy that was made without links
            shutil.rmtree(link)
        replace_link(link, Path(CHECKPOINTS) / checkpoint.name)

    def check_ours(self) -> None:
        """Ends a training whose folder was moved or deleted, where another has taken its place."""
        if self._lock.is_lost():
            raise TrainingError(
                f"training stopped: {self.path} is another folder, or another training's, since "
                "its own was moved, deleted or unlocked while it trained, so nothing more can be "
                "saved there: go on where it was moved to, or begin a new run"
            )

    def _check_there(self) -> None:
        """Ends a training whose folder was deleted: what would be written there is no run."""
        self.check_ours()
        missing = [name for name in (RUN, RECIPE) if self._claimed and not self._has(name)]
        if missing:
            what = " and ".join(missing) if self.path.is_dir() else "the folder"
            raise TrainingError(
                f"training stopped: {what} of the run {self.path} was deleted while it trained, so "
                "nothing more can be saved there: begin a new run"
            )

    def _has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def saved_at(self, updates: list[int]) -> list[int]:
        """The updates, of these, whose checkpoints are there."""
        return [one for one in updates if (self.checkpoints / checkpoint_name(one)).is_dir()]

    def evaluated_weights(self, update: int) -> Tensors:
        """The weights that were validated at an update."""
        return load_checkpoint(self.checkpoints / checkpoint_name(update)).evaluated()

    def published(self) -> int | None:
        """The update whose weights the folder has now; None: there are none yet."""
        card = self._card()
        if not all(path.is_file() for path in _named(self.path, card)):
            return None
        update = card.get("update")
        return update if isinstance(update, int) else None

    def publish(self, weights: Tensors, card: dict[str, Any]) -> None:
        """Makes weights the run's model, with a card of what is known of them.

        Files of new names first, then the card, then the files of the model before go: at every
        moment, also if this process is killed, the card and what it names are one model.
        """
        graphs = task_for(self.recipe).graphs(weights)
        self._check_there()
        contents = {WEIGHTS: tensor_bytes(weights), **graphs}
        sums = {name: sha256(content).hexdigest() for name, content in contents.items()}
        about = {
            **card,
            "recipe_sha256": recipe_digest(recipe_to_toml(self.recipe)),
            "weights_sha256": sums[WEIGHTS],
            "files": {name: sums[name] for name in graphs},
        }
        with self._writing("the model"):
            try:
                for name, content in contents.items():
                    _put(self.path / published_name(name, sums[name]), content)
                checked_json.write(self.path / CARD, about)
            finally:
                self.drop_unnamed()

    def _card(self) -> dict[str, Any]:
        path = self.path / CARD
        try:
            return checked_json.read(path, CardShape) if path.is_file() else {}
        except ModelError as error:
            raise ModelError(
                f"{error}; remove it: the next better weights bring a new one"
            ) from None

    def drop_unnamed(self) -> None:
        """Removes weights and graphs that the card does not name."""
        named = _named(self.path, self._card())
        for path in self.path.iterdir():
            ours = plain_name(path.name) in (WEIGHTS, *GRAPHS) and not path.is_dir()
            if ours and path not in named:
                path.unlink()

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Says what is still whole, where the disk is full or gone."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            self._check_there()
            free = shutil.disk_usage(self.path).free / 2**20
            raise TrainingError(
                f"training stopped: {what} could not be written to {self.path}: {error} "
                f"({free:,.0f} MiB free); earlier checkpoints are intact: when the folder can be "
                "written again, run the same command again to resume"
            ) from error


def _named(folder: Path, card: dict[str, Any]) -> list[Path]:
    """The weights and graphs that a card is of."""
    sums = {WEIGHTS: "", **digests(card)}
    return [published_file(folder, name, digest) for name, digest in sums.items()]


def _put(path: Path, content: bytes) -> None:
    """Writes a file in one step, unless it has this content."""
    if path.is_file() and read_bytes(path) == content:
        return
    write_bytes(path, content)


def _make(folder: Path) -> list[Path]:
    """Makes a folder and those above it; returns those that were missing, the deepest first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def may_change(recipe: Recipe) -> set[str]:
    """The keys that may change while a run goes on: how long it trains, how often it is measured.

    Lines and BLEU of validations only where they do not decide which weights are best: values of
    before and after could not be compared.
    """
    keys = {
        "epochs", "updates", "early_stopping.patience", "early_stopping.solved", "checkpoint_every",
        "keep_checkpoints", "max_bad_updates", "validation.every", "gradients_every",
    }  # fmt: skip
    decisive = recipe.training.early_stopping.metric
    if decisive != "bleu":
        keys |= {"validation.bleu", "validation.tokenize"}
    if decisive == "loss":
        keys.add("validation.lines")
    return {f"training.{key}" for key in keys}


def about_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says, its checksum checked; empty where there is none."""
    file = folder / RUN
    return checked_json.read(file, RunShape) if file.is_file() else {}


def stored_recipe(folder: Path) -> Recipe | None:
    """The recipe that a run had last, from run.json; None where there is no run."""
    about, copy = about_run(folder), folder / RECIPE
    if (text := about.get("recipe")) is not None:
        return recipe_from_toml(text, str(folder / RUN))
    if about and copy.is_file():  # a run of an older version
        return recipe_from_toml(read_recipe_text(str(copy)), str(copy))
    return None


def differing_keys(there: Recipe, here: Recipe) -> dict[str, tuple[Any, Any]]:
    """The keys that make two recipes different runs, with both values; None: not given."""
    theirs, ours = _flat(there), _flat(here)
    both = {key: (theirs.get(key), ours.get(key)) for key in {**ours, **theirs}}
    return {key: values for key, values in both.items() if values[0] != values[1]}


def in_words(differing: dict[str, tuple[Any, Any]]) -> str:
    """Keys with their values there and here, in words."""
    return "; ".join(
        f"{key} is {value_in_words(there)} there and {value_in_words(here)} here"
        for key, (there, here) in differing.items()
    )


def _flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values by key path: those that make it another run.

    Without what is only shown (the name may be that of a folder), and without the corpora, whose
    content has a digest; how they are mixed and streamed is no part of that digest.
    """
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                walk(f"{prefix}.{key}" if prefix else key, below)
        elif value is not None:
            found[prefix] = value

    hidden = {"tensorboard"} & type(recipe.training).model_fields.keys()
    walk("", recipe.model_dump(exclude={"data": {"train", "val", "test"}, "training": hidden}))
    del found["name"]
    if isinstance(recipe.data.train, tuple):
        for number, part in enumerate(recipe.data.train):
            found[f"data.train[{number}].weight"] = part.weight
    return found
