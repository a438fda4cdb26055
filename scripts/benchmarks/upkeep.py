"""What training costs besides its updates: the loop around them, validation, preparing."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import wraps
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

from benchmarks.model import RECIPE, Ours
from benchmarks.text import Side, Text
from seq2seq.recipe.files import load_recipe

Spans = list[tuple[float, float]]
Call = tuple[str, tuple[Any, ...], dict[str, Any]]
WARM_UP = 5  # updates


def outside(spans: Sequence[tuple[float, float]]) -> float:
    """The share of time between the first span's begin and the last one's end that is in none.

    Args:
        spans: Begin and end of each, one after another.

    Returns:
        From 0 to 1.
    """
    inside = sum(end - begin for begin, end in spans)
    return 1 - inside / (spans[-1][1] - spans[0][0])


@contextmanager
def watched(owner: type, names: Sequence[str], calls: list[Call] | None = None) -> Iterator[Spans]:
    """Notes when some methods of a class begin and end.

    Args:
        owner: The class.
        names: Its methods.
        calls: Gets what they are called with.

    Yields:
        The spans, which grow.
    """
    spans: Spans = []
    originals = {name: getattr(owner, name) for name in names}

    def watch(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*arguments: Any, **more: Any) -> Any:
            if calls is not None:
                calls.append((name, arguments[1:], more))
            begun = time.perf_counter()
            try:
                return method(*arguments, **more)
            finally:
                spans.append((begun, time.perf_counter()))

        return timed

    try:
        for name, method in originals.items():
            setattr(owner, name, watch(name, method))
        yield spans
    finally:
        for name, method in originals.items():
            setattr(owner, name, method)


class Loop:
    """Training for real, set beside the same updates from batches that lie ready.

    Batches are made in a thread while the present ones are learned from, so what they cost hides
    inside the calls that learn. It shows where nothing has to be made.

    Args:
        data: The prepared folder.
        threads: Processor threads.
        updates: How many updates count.
        settings: What is set in the recipe.
    """

    def __init__(self, data: Path, threads: int, updates: int, settings: Sequence[str]) -> None:
        more = [
            "training.epochs=1000",
            f"training.updates={updates + WARM_UP}",
            "training.validation.bleu=false",
            f"training.validation.every={updates + WARM_UP}",
            "training.early_stopping.metric=loss",
        ]
        self.recipe = load_recipe(str(data / "recipe.toml"), [*settings, *more])
        self.data, self.threads = data, threads
        self.calls: list[Call] = []

    def turn(self, ready_first: bool) -> tuple[float, float]:
        """Measures once.

        Args:
            ready_first: Which goes first, from the second turn on: what drifts is to hit both.

        Returns:
            The share of the time that is saved where batches lie ready and nothing is logged or
            checked, and the share that lies between the calls that learn.
        """
        if not ready_first or not self.calls:
            loop, between = self._loop()
            return 1 - self._ready() / loop, between
        ready = self._ready()
        loop, between = self._loop()
        return 1 - ready / loop, between

    def _loop(self) -> tuple[float, float]:
        import seq2seq
        from seq2seq.training.updater import Updater

        self.calls = []
        with (
            tempfile.TemporaryDirectory() as folder,
            watched(Updater, ["update"], self.calls) as spans,
        ):
            seq2seq.train(self.recipe, Path(folder) / "run", data=self.data, threads=self.threads)
        return _after_warm_up(spans), outside(spans[WARM_UP:])

    def _ready(self) -> float:
        from seq2seq.data.dataset import PreparedData
        from seq2seq.training.updater import Updater

        prepared = PreparedData.open(self.data, verify=False)
        updater = Updater(self.recipe, prepared.tokenizers)
        with watched(Updater, ["update"]) as spans:
            for name, arguments, more in self.calls:
                getattr(updater, name)(*arguments, **more)
        return _after_warm_up(spans)


def _after_warm_up(spans: Spans) -> float:
    return spans[-1][1] - spans[WARM_UP - 1][1]


def validation_seconds(ours: Ours, data: Path, lines: int) -> tuple[float, int]:
    """Validates a trained model as training does: loss, and BLEU of greedy translations.

    Args:
        ours: The model.
        data: The prepared folder.
        lines: How many lines are translated at most.

    Returns:
        Seconds, and how many lines it were.
    """
    from seq2seq.data.dataset import PreparedData
    from seq2seq.inference.engines.torch import load_model
    from seq2seq.inference.model_folder import ModelFolder
    from seq2seq.tasks import task_for
    from seq2seq.training.evaluation import Evaluator
    from seq2seq.training.precision import resolve_precision

    settings = [f"training.validation.lines={lines}", "training.validation.bleu=true"]
    recipe = load_recipe(str(ours.run / "recipe.toml"), settings)
    prepared = PreparedData.open(data, verify=False)
    model = load_model(ModelFolder(ours.run, recipe, prepared.tokenizers))
    precision = resolve_precision("auto", model.output.weight.device)
    evaluator = Evaluator(task_for(recipe), recipe, prepared.tokenizers, precision)
    found = evaluator.evaluate(model, prepared.val)
    return found.seconds, min(lines, len(prepared.val))


def corpus_settings(train: Side, val: Side, tokenizer: Path) -> list[str]:
    """What is set in a recipe for ``prepare`` to read other files, from any folder.

    Args:
        train: The training text.
        val: The validation text.
        tokenizer: A trained one.

    Returns:
        The assignments.
    """
    files = (("train", train), ("val", val))
    return [
        *(f'data.{key}=["{one.source.resolve()}","{one.target.resolve()}"]' for key, one in files),
        f'tokenizer.model="{tokenizer.resolve()}"',
    ]


def prepare_speeds(
    text: Text, tokenizer: Path, work: Path, pairs: int, processes: int
) -> tuple[float, float]:
    """Times ``prepare`` and the bare tokenizer on the same lines.

    Args:
        text: Its training lines, repeated as often as needed.
        tokenizer: The joint SentencePiece model.
        work: A folder for the files.
        pairs: How many pairs.
        processes: How many processes.

    Returns:
        Pairs a second of each.
    """
    import seq2seq

    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as place:
        files = Path(place, "many.source"), Path(place, "many.target")
        for path, lines in zip(files, text.train.lines(), strict=True):
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in islice(cycle(lines), pairs))
        recipe = load_recipe(str(RECIPE), corpus_settings(Side(*files), text.val, tokenizer))
        begun = time.perf_counter()
        seq2seq.prepare(recipe, Path(place, "prepared"), processes=processes)
        ours = pairs / (time.perf_counter() - begun)
        shutil.rmtree(Path(place, "prepared"))
        bare = pairs / _bare_seconds(files, tokenizer, pairs, processes)
    return ours, bare


def _bare_seconds(files: tuple[Path, Path], tokenizer: Path, pairs: int, processes: int) -> float:
    """The slowest process's time to split its share of the lines, reading not counted."""
    bounds = [pairs * i // processes for i in range(processes + 1)]
    shares = [(files, tokenizer, *span) for span in pairwise(bounds)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return max(pool.map(_split, shares))


def _split(share: tuple[tuple[Path, Path], Path, int, int]) -> float:
    from sentencepiece import SentencePieceProcessor

    files, tokenizer, begin, end = share
    processor = SentencePieceProcessor(model_file=str(tokenizer))
    seconds = 0.0
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as file:
            lines = [line.rstrip("\n") for line in islice(file, begin, end)]
        begun = time.perf_counter()
        for start in range(0, len(lines), 1000):
            processor.encode(lines[start : start + 1000], num_threads=1)
        seconds += time.perf_counter() - begun
    return seconds
