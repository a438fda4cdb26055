"""Several processes that translate one file: order kept, memory constant, nothing left running.

Each worker has a model of its own. Windows of lines go to whoever is idle, and their translations
are given out in the order of the lines. A worker ends when its pipe does, so also when this process
is killed.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.request import Request, make_request, search_options, windows
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.translator import Translator
from seq2seq.processors import usable_processors
from seq2seq.search import Wish

logger = logging.getLogger("seq2seq")

_BATCHES_A_WINDOW = 4  # fewer than one process takes: a short file is to keep all of them busy
_AHEAD = 3  # windows under way for each process, those that wait for their turn counted


@dataclass(frozen=True)
class _Task:
    """What a worker is given: a window of lines."""

    lines: list[str]
    wishes: list[Wish] | None
    first_line: int
    request: Request


@dataclass(frozen=True)
class _Done:
    """What a worker gives back: translations or an error, and what there is to warn of."""

    found: list[list[ScoredTranslation]]
    warnings: list[str]
    error: tuple[str, int] | None = None


class TranslatorPool:
    """Translates like a :class:`~seq2seq.inference.translator.Translator`, in several processes.

    Args:
        path: As in ``Translator.load``.
        processes: How many processes translate.
        threads: The most threads of each; None: the processors, shared out evenly.
        **options: What else ``Translator.load`` takes.

    Raises:
        Seq2SeqError: If ``processes`` is below 1.
        ModelError: If there is no model, or it is damaged.
        RecipeError: If its recipe cannot be used.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        processes: int,
        *,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        if processes < 1:
            raise Seq2SeqError(f"processes is {processes}; 1 or more is allowed")
        paths = [path] if isinstance(path, str | Path) else list(path)
        recipes = [ModelFolder.open(one).recipe for one in paths]
        self.options = recipes[0].translation
        self.search_options = search_options(self.options)
        self.has_attention = any(one.model.decoder.attention != "none" for one in recipes)
        self._processes = processes
        each = threads or max(1, usable_processors() // processes)
        self._load = partial(Translator.load, paths, threads=each, **options)

    def stream(
        self, lines: Iterable[str], *, wishes: Iterable[Wish] | None = None, **asked: Any
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as they come, in constant memory.

        Args:
            lines: The lines.
            wishes: As in ``Translator.stream``.
            **asked: What else ``Translator.stream`` takes.

        Returns:
            What ``Translator.stream`` gives.

        Raises:
            Seq2SeqError: If something asked for is not allowed, or a process was killed.
        """
        request = make_request(self.search_options, self.options, **asked)
        return self._results(iter(lines), None if wishes is None else iter(wishes), request)

    def _results(
        self, lines: Iterator[str], wishes: Iterator[Wish] | None, request: Request
    ) -> Iterator[list[ScoredTranslation]]:
        tasks = _tasks(lines, wishes, request)
        with _workers(self._load, self._processes) as workers:
            idle = list(workers)
            busy: dict[Connection, int] = {}
            waiting: dict[int, _Done] = {}  # by their number; those before are not done yet
            given = taken = 0
            more = True
            while more or busy or waiting:
                while more and idle and given - taken < _AHEAD * self._processes:
                    task = next(tasks, None)
                    if task is None:
                        more = False
                        break
                    _send(idle[-1], task, workers)
                    busy[idle.pop()] = given
                    given += 1
                for ready in wait(list(busy)) if busy else ():
                    assert isinstance(ready, Connection)
                    waiting[busy.pop(ready)] = _received(ready, workers)
                    idle.append(ready)
                while taken in waiting:
                    yield from _told(waiting.pop(taken))
                    taken += 1


def _tasks(
    lines: Iterator[str], wishes: Iterator[Wish] | None, request: Request
) -> Iterator[_Task]:
    first_line = 1
    for window, wished in windows(lines, wishes, request.batch_size * _BATCHES_A_WINDOW):
        yield _Task(window, wished, first_line, request)
        first_line += len(window)


def _send(pipe: Connection, task: _Task, workers: dict[Connection, BaseProcess]) -> None:
    try:
        pipe.send(task)
    except (BrokenPipeError, ConnectionResetError):
        raise _killed(workers[pipe]) from None


def _received(pipe: Connection, workers: dict[Connection, BaseProcess]) -> _Done:
    try:
        done: _Done = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _killed(workers[pipe]) from None
    return done


def _killed(worker: BaseProcess) -> Seq2SeqError:
    worker.join(timeout=5)
    error = Seq2SeqError(
        f"one of the processes that translate ended (exit code {worker.exitcode}); "
        "if memory ran out, fewer --processes or a smaller --batch-size need less"
    )
    error.exit_code = 1
    return error


def _told(done: _Done) -> list[list[ScoredTranslation]]:
    for warning in done.warnings:
        logger.warning("%s", warning)
    if done.error is not None:
        text, code = done.error
        error = Seq2SeqError(text)
        error.exit_code = code
        raise error
    return done.found


@contextmanager
def _workers(load: Callable[[], Translator], count: int) -> Iterator[dict[Connection, BaseProcess]]:
    """Starts processes, and ends them whatever happens."""
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    try:
        with _interrupts_held():
            for _ in range(count):
                ours, theirs = context.Pipe()
                worker: BaseProcess = context.Process(
                    target=_work, args=(theirs, load), daemon=True
                )
                worker.start()
                theirs.close()
                workers[ours] = worker
        yield workers
    finally:
        for worker in workers.values():
            worker.terminate()
        for pipe, worker in workers.items():
            worker.join()
            pipe.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C goes to this process alone: what is started here never hears of it."""
    resource_tracker.ensure_running()  # when it is started, it lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Collected(logging.Handler):
    """Keeps warnings, for the process that has a standard error."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _work(pipe: Connection, load: Callable[[], Translator]) -> None:
    """What a process does: takes windows until there are no more."""
    collected = _Collected()
    logger.handlers = [collected]
    logger.propagate = False
    translator: Translator | None = None
    while True:
        try:
            task: _Task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            translator = translator or load()
            found = translator.translate_window(
                task.lines, task.request, wishes=task.wishes, first_line=task.first_line
            )
            done = _Done(found, [*collected.messages])
        except Seq2SeqError as error:
            done = _Done([], [*collected.messages], (str(error), error.exit_code))
        collected.messages.clear()
        try:
            pipe.send(done)
        except OSError:  # there is no one left to take it
            return
