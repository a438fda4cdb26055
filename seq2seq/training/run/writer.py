"""All that rank 0 writes of a training: checkpoints, the model, records, curves, the run's page."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq import __version__
from seq2seq.data.dataset import PreparedData
from seq2seq.errors import ModelError
from seq2seq.inference import trained_on
from seq2seq.models.weights import tensors_of
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import LastK
from seq2seq.storage.layout import CURVES
from seq2seq.training.evaluation import Evaluator, Validated
from seq2seq.training.finetuning import FineTuning
from seq2seq.training.monitoring import Monitor
from seq2seq.training.monitoring.curves import plot_curves
from seq2seq.training.monitoring.metrics import PARTS, part_of
from seq2seq.training.monitoring.session_log import Page, SessionLog
from seq2seq.training.run import RunFolder
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.state import TrainingState
from seq2seq.training.updater import Updater

_PACKAGES = ("numpy", "sacrebleu", "safetensors", "sentencepiece")


class RunWriter:
    """Writes into a run's folder; rank 0 alone has one.

    ``page`` makes the run's page; None: there is none.
    """

    def __init__(
        self,
        folder: RunFolder,
        prepared: PreparedData,
        tuning: FineTuning | None,
        evaluator: Evaluator,
        updater: Updater,
        monitor: Monitor,
        page: Page | None,
    ) -> None:
        self.folder, self._prepared, self._tuning = folder, prepared, tuning
        self.journal = folder.journal
        self.journal.say = monitor.say
        self.log = SessionLog(folder.path, folder.journal, monitor.say, page)
        self._say = monitor.say
        self._options = folder.recipe.training
        self._evaluator = evaluator
        self.environment = environment(updater.device, updater.precision, updater.group.world_size)

    def save(self, state: TrainingState, updater: Updater) -> None:
        """Writes a checkpoint."""
        checkpoint = Checkpoint(state, updater.tensors(), self.environment)
        average = self._options.average
        keep_validated = average.count if isinstance(average, LastK) else 0
        self.folder.save(checkpoint, self._options.keep_checkpoints, keep_validated)

    def publish(
        self, model: nn.Module, record: dict[str, Any], result: Validated | None = None
    ) -> None:
        """Makes weights the run's model, with a card and examples.

        ``result`` has the predictions that ``record`` is of; None: examples were kept before.
        """
        self.folder.check_ours()
        recipe, prepared, task = self.folder.recipe, self._prepared, self._evaluator.task
        make = None
        if result is not None and result.predictions is not None:
            network = self._evaluator.network(model)
            make = partial(task.examples, network, prepared.val, result.predictions)
        about = task.card(record, self.log.examples(make, record["update"]))
        card = model_card(recipe, prepared, model, record, about, self.environment)
        card |= self._tuning.card() if self._tuning else {}
        self.folder.publish(tensors_of(model), card)

    def publish_if_missing(self, state: TrainingState, model: nn.Module) -> None:
        """Publishes the best weights where a session was killed right before or while it did so."""
        published = self.folder.published()
        if published is not None:
            self.folder.drop_unnamed()  # those of the model before, or of one without a card
        if published == state.update:
            return
        if state.validated and state.best_update == state.update:
            self.publish(model, state.history[-1])

    def mean_of_validated(self, state: TrainingState, count: int) -> Checkpoint | None:
        """Averages the weights of the last validations, so many at most.

        They are group "model", and their "updates" the environment. None: no checkpoint is left.
        """
        own = [record for record in state.history if "mean_of_updates" not in record]
        updates = [record["update"] for record in own if record["update"]][-count:]
        found = self.folder.saved_at(updates)
        if not found:
            return None
        mean = mean_of(self.folder.evaluated_weights(update) for update in found)
        return Checkpoint(state, {"model": mean}, {"updates": found})

    def check_environment(self, then: dict[str, Any]) -> None:
        """Compares what numbers may depend on with what it was when a checkpoint was made.

        Raises ``ModelError`` if it differs and deterministic algorithms are asked for.
        """
        now = self.environment
        changed = {key: (old, now.get(key)) for key, old in then.items() if old != now.get(key)}
        if not changed:
            return
        if now["deterministic"]:
            raise ModelError(
                f"{self.folder.path} cannot be resumed bit for bit: {_listed(changed)}; make them "
                f"the same again (--threads {then.get('threads')}), or leave out --deterministic"
            )
        self._say(f"warning: not bit for bit the same from here on: {_listed(changed)}")

    def show_changes(self, rate: float) -> None:
        """Says which keys of the recipe have changed, and the learning rate that follows."""
        if changed := self.folder.changed:
            self._say(
                f"the recipe has changed: {_listed(changed)}; the next learning rate by its "
                f"schedule is {rate:.3g}"
            )

    def note_changed_data(self, files: list[str], update: int) -> None:
        """Says and records that training goes on though files of its corpus have changed."""
        if files:
            streamed = self._prepared.stored is None
            self._say(
                f"warning: changed since they were prepared: {', '.join(files)}; training goes on "
                f"with what {'they are now' if streamed else 'was prepared'}"
            )
            self.journal.append({"kind": "changed_data", "update": update, "files": files})

    def plot(self, *, if_missing: bool = False) -> None:
        """Draws the curves; a picture is not worth a failed training."""
        curves = self.folder.path / CURVES
        if if_missing and curves.is_file():
            return
        self.folder.check_ours()
        try:
            records, task = self.journal.records(), self._evaluator.task
            name = self.folder.recipe.name
            plot_curves(records, curves, name, task.metrics, task.words.loss)
        except Exception as error:
            self._say(f"warning: {curves} could not be drawn: {error}")


def _listed(changed: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())


def mean_of(weights: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights, summed in float64; integers are the last set's."""
    total: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}
    count = 0
    for last in weights:
        count += 1
        for name, value in last.items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return {
        name: (total[name] / count).to(value.dtype) if value.is_floating_point() else value
        for name, value in last.items()
    }


def environment(device: torch.device, precision: torch.dtype, processes: int = 1) -> dict[str, Any]:
    """What a run's numbers may depend on besides recipe and data."""
    return {
        "seq2seq": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "processes": processes,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def model_card(
    recipe: Recipe,
    prepared: PreparedData,
    model: nn.Module,
    record: dict[str, Any],
    about: dict[str, Any],
    environment: dict[str, Any],
) -> dict[str, Any]:
    """A model's card, as plain values.

    ``record`` is what its validation found, ``about`` what the task says of it (see ``Task.card``).
    """
    mixture = prepared.mixture(recipe)
    mixed = {} if mixture is None else {"corpora": mixture.described()}
    stored = {} if prepared.stored is None else {"train": len(prepared.stored)}
    parts = dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        parts[part_of(name)] = parts.get(part_of(name), 0) + parameter.numel()
    return {
        "name": recipe.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "update": record["update"],
        **about,
        "parameters": sum(parts.values()),
        "parameters_of": {part: count for part, count in parts.items() if count},
        "pairs": {**stored, "val": len(prepared.val)},
        trained_on.KEY: trained_on.figures(recipe, prepared.report),
        **mixed,
        "source_vocabulary": prepared.tokenizers.source.size,
        "target_vocabulary": prepared.tokenizers.target.size,
        "tokenizer_sha256": prepared.tokenizers.digest,
        "data_sha256": prepared.digest,
        "versions": {
            "seq2seq": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "environment": environment,
    }
