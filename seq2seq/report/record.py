"""What a run's folder says of the run, read without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from seq2seq.data.dataset import read_manifest
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.errors import DataError, ModelError
from seq2seq.inference.model_folder import CardShape
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import read_recipe_text, recipe_from_toml
from seq2seq.storage import checked_json
from seq2seq.storage.layout import (
    CARD,
    CHECKPOINTS,
    DATA,
    EXAMPLES,
    METRICS,
    RECIPE,
    RUN,
    STATE,
    checkpoint_folders,
)
from seq2seq.storage.lock import is_locked
from seq2seq.storage.whole import JSON_SIZE, read_bytes
from seq2seq.tasks import Json, task_for
from seq2seq.training.monitoring.session_log import EXAMPLES_FORMAT
from seq2seq.training.run import RunShape
from seq2seq.training.run.checkpoint import StateShape
from seq2seq.training.run.journal import Journal


@dataclass(frozen=True)
class RunRecord:
    """A run, as far as its files tell."""

    path: Path
    recipe: Recipe
    data_digest: str  # hash of the data that it was begun on
    records: list[Json]  # the journal's
    card: Json  # the model's; empty before the first validation
    state: Json  # the training state of the newest checkpoint; empty before it
    environment: Json  # what the newest checkpoint says that its numbers depend on
    checkpoints: dict[str, int]  # bytes of each checkpoint by its name, oldest first
    examples: Json | None  # the best and worst translations, if any are kept
    data: PrepareReport | None  # what preparing found out about the corpus, if it is known
    in_use: bool  # whether a process is training there

    @classmethod
    def read(cls, path: str | Path) -> RunRecord:
        """Reads a run's folder; raises ``ModelError`` where it holds no run or is damaged."""
        folder = Path(path)
        if not (folder / RUN).is_file():
            what = "holds no run (it has no run.json)" if folder.is_dir() else "no such folder"
            raise ModelError(f"{folder}: {what}: expected a folder that seq2seq train has written")
        file = folder / RECIPE
        checkpoints = checkpoint_folders(folder / CHECKPOINTS)
        newest = _object(checkpoints[0] / STATE, StateShape) if checkpoints else {}
        recipe = recipe_from_toml(read_recipe_text(str(file)), str(file), cells=False)
        return cls(
            path=folder,
            recipe=recipe,
            data_digest=str(_object(folder / RUN, RunShape).get("data")),
            records=Journal(folder / METRICS).records(),
            card=_object(folder / CARD, CardShape),
            state=_table(newest, "state"),
            environment=_table(newest, "environment"),
            checkpoints={one.name: _size(one) for one in reversed(checkpoints)},
            examples=_examples(folder / EXAMPLES, task_for(recipe).examples_shape),
            data=_data(folder),
            in_use=is_locked(folder),
        )

    def of_kind(self, kind: str) -> list[Json]:
        """The journal's records of one kind, such as "train", "validation" or "session"."""
        return [record for record in self.records if record.get("kind") == kind]


def _object(path: Path, shape: type[BaseModel] | None = None) -> Json:
    try:
        return checked_json.loads(read_bytes(path, JSON_SIZE), shape)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def _table(values: Json, key: str) -> Json:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _examples(path: Path, shape: type[BaseModel]) -> Json | None:
    found = _object(path)
    if not found:
        return None
    if found.get("format") != EXAMPLES_FORMAT:
        raise ModelError(
            f"{path}: its format is {found.get('format')!r}, this version reads {EXAMPLES_FORMAT}: "
            "give --data, and it is made anew"
        )
    return _object(path, shape)


def _data(folder: Path) -> PrepareReport | None:
    """From the run itself, or from the data that it has prepared."""
    found = _object(folder / RUN, RunShape).get("report")
    try:
        if found is None:
            found = read_manifest(folder / DATA)["report"]
    except DataError:
        return None
    return PrepareReport.from_json(found)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
