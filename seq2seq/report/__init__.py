"""The report of a run, made while it trains and when it is asked for."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn

from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.errors import DataError, ModelError
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.models.weights import built_with
from seq2seq.report.record import RunRecord
from seq2seq.storage.atomic import output_file, write_bytes, write_errors
from seq2seq.storage.layout import EXAMPLES, REPORT, WEIGHTS
from seq2seq.storage.settings import place_for_matplotlib
from seq2seq.tasks import task_for
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.monitoring.session_log import write_examples
from seq2seq.training.precision import precision_of

place_for_matplotlib()  # before the page's module imports it

_SHARE = 0.01  # of the time that training takes, at most


class LivePage:
    """Makes the page at the end of a session, and after validations where that costs little.

    The first comes ``pause`` seconds after the beginning of a session, at the earliest.
    """

    def __init__(self, pause: float = 60.0) -> None:
        self._due = time.monotonic() + pause

    def __call__(self, run: Path, final: bool) -> None:
        """Makes a run's page, or leaves it for later unless this is the ``final`` call."""
        begun = time.monotonic()
        if not final and begun < self._due:
            return
        _write(run / REPORT, RunRecord.read(run))
        ended = time.monotonic()
        self._due = ended + (ended - begun) / _SHARE


def write_report(
    run: str | Path, output: str | Path | None = None, *, data: Path | None = None
) -> Path:
    """Makes the page of a run; see ``api.write_report``."""
    folder = Path(run)
    record = RunRecord.read(folder)
    path = folder / REPORT if output is None else Path(output)
    if not path.parent.is_dir():
        raise ModelError(f"{path.parent}: no such folder: the report cannot be written there")
    if data is not None:
        report = _make_examples(record, data)
        record = replace(RunRecord.read(folder), data=report)
    if output is None:
        _write(path, record)
    else:
        with output_file(path) as stream, write_errors(path):
            stream.write(_rendered(record))
    return path


def _write(path: Path, record: RunRecord) -> None:
    write_bytes(path, _rendered(record))


def _rendered(record: RunRecord) -> bytes:
    from seq2seq.report.page import render  # what it draws with takes a second to load

    return render(record).encode()


def _make_examples(record: RunRecord, data: Path) -> PrepareReport:
    """Translates the validation set with the run's model, greedily, as validation does."""
    folder = record.path
    prepared = PreparedData.open(data)
    if record.data_digest != prepared.digest:
        raise DataError(
            f"{data}: {folder} was trained on other data: give --data the folder it was started "
            "with"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def read() -> tuple[ModelFolder, nn.Module]:
        model = ModelFolder.open(folder)
        build = partial(task_for(model.recipe).build_model, model.tokenizers)
        return model, built_with(build, model.weights(load), model.file(WEIGHTS))

    model, network = read_published(folder, read)
    network.to(device)
    precision = precision_of(model.recipe, device)
    task = task_for(model.recipe)
    evaluator = Evaluator(task, model.recipe, model.tokenizers, precision)
    found = evaluator.predictions(network, prepared.val)
    examples = task.examples(evaluator.network(network), prepared.val, found)
    write_examples(folder / EXAMPLES, examples, int(model.card["update"]))
    return prepared.report
