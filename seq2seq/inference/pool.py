"""Processes that translate, open until they are closed: order kept, memory constant.

Each worker has a model of its own. Windows of lines go to whoever is idle, and their translations
are given out in the order of the lines; several threads may stream through one pool at once. A
worker ends when its pipe does, so also when this process is killed.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, Unpack

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.inference.request import (
    Request,
    TranslateOptions,
    check_lines,
    request_and_constraints,
    search_options,
    windows,
)
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.translator import Translator
from seq2seq.processors import usable_processors
from seq2seq.search import Constraints

T = TypeVar("T")

logger = logging.getLogger("seq2seq")

_BATCHES_A_WINDOW = 4  # fewer than one process takes: a short file is to keep all of them busy
_AHEAD = 3  # windows under way for each process, those that wait for their turn counted


@dataclass(frozen=True)
class _Window:
    """What a worker is given: some lines."""

    lines: list[str]
    constraints: list[Constraints] | None
    first_line: int
    request: Request


@dataclass(frozen=True)
class _Done:
    """What a worker gives back: translations or an error, and what its loading warned of."""

    found: list[list[ScoredTranslation]]
    warnings: list[str]
    error: tuple[str, int] | None = None


@dataclass(eq=False)
class _Worker:
    """A process, and this end of its pipe; ``owes``: what it works on nobody waits for any more."""

    process: BaseProcess
    pipe: Connection
    owes: bool = False

    def send(self, window: _Window) -> None:
        """Gives it work; raises ``Seq2SeqError`` if it ended."""
        try:
            if self.owes:
                self.pipe.recv()
                self.owes = False
            self.pipe.send(window)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._ended() from None

    def received(self) -> _Done:
        """Waits for what it did; raises ``Seq2SeqError`` if it ended."""
        try:
            done: _Done = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._ended() from None
        return done

    def _ended(self) -> Seq2SeqError:
        self.process.join(timeout=5)
        error = Seq2SeqError(
            f"one of the processes that translate ended (exit code {self.process.exitcode}); "
            "if memory ran out, fewer --processes or a smaller --batch-size need less"
        )
        error.exit_code = 1
        return error


class TranslatorPool:
    """Translates like a :class:`~seq2seq.inference.translator.Translator`, in several processes.

    They start when there is work for them and live until the pool is closed: use it in a ``with``
    block, or call ``close``.

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
        recipes = [read_published(one, partial(ModelFolder.open, one)).recipe for one in paths]
        self.options = recipes[0].translation
        self.search_options = search_options(self.options)
        self.has_attention = any(one.model.decoder.attention != "none" for one in recipes)
        self._most = processes
        each = threads or max(1, usable_processors() // processes)
        self._load = partial(Translator.load, paths, threads=each, **options)
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._warned: set[str] = set()
        self._closed = False

    def __enter__(self) -> TranslatorPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes; nothing is translated after."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, set()
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()

    def stream(
        self, lines: Iterable[str], **asked: Unpack[TranslateOptions]
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as they come, in constant memory."""
        return self.run(lines, *request_and_constraints(self.search_options, self.options, **asked))

    def run(
        self,
        lines: Iterable[str],
        request: Request,
        constraints: Iterable[Constraints] | None = None,
    ) -> Iterator[list[ScoredTranslation]]:
        """As ``Translator.run``."""
        check_lines(lines)
        size = request.batch_size * _BATCHES_A_WINDOW
        return self._results(_Window(*one, request) for one in windows(lines, constraints, size))

    def _results(self, windows_left: Iterator[_Window]) -> Iterator[list[ScoredTranslation]]:
        busy: dict[Connection, tuple[_Worker, int]] = {}
        waiting: dict[int, _Done] = {}  # by their number; those before are not done yet
        given = taken = 0
        more = True
        try:
            while more or busy or waiting:
                while more and given - taken < _AHEAD * self._most:
                    worker = self._worker(block=not busy and not waiting)
                    if worker is None:
                        break
                    try:
                        window = next(windows_left, None)
                    except BaseException:
                        self._idle.put(worker)
                        raise
                    if window is None:
                        more = False
                        self._idle.put(worker)
                        break
                    self._trusted(worker, partial(_Worker.send, window=window))
                    busy[worker.pipe] = worker, given
                    given += 1
                for ready in wait(list(busy)) if busy else ():
                    assert isinstance(ready, Connection)
                    worker, number = busy.pop(ready)
                    waiting[number] = self._trusted(worker, _Worker.received)
                    self._idle.put(worker)
                while taken in waiting:
                    yield from self._unpacked(waiting.pop(taken))
                    taken += 1
        finally:  # whoever takes these workers next drops what they still do for us
            for worker, _ in busy.values():
                worker.owes = True
                self._idle.put(worker)

    def _worker(self, *, block: bool) -> _Worker | None:
        """An idle worker, or a new one; None if all are busy and this is not to be waited for."""
        while True:
            with self._lock:
                if self._closed:
                    raise Seq2SeqError("the pool is closed: open a new one")
                try:
                    return self._idle.get_nowait()
                except Empty:
                    if len(self._workers) < self._most:
                        worker = _started(self._load)
                        self._workers.add(worker)
                        return worker
            if not block:
                return None
            try:
                return self._idle.get(timeout=0.5)  # then the pool may be closed
            except Empty:
                continue

    def _trusted(self, worker: _Worker, act: Callable[[_Worker], T]) -> T:
        """Does something with a worker; another takes its place if it ended."""
        try:
            return act(worker)
        except Seq2SeqError:
            with self._lock:
                self._workers.discard(worker)
            worker.pipe.close()
            raise

    def _unpacked(self, done: _Done) -> list[list[ScoredTranslation]]:
        for warning in done.warnings:
            if warning not in self._warned:  # all workers load the same model
                self._warned.add(warning)
                logger.warning("%s", warning)
        if done.error is not None:
            text, code = done.error
            error = Seq2SeqError(text)
            error.exit_code = code
            raise error
        return done.found


def _started(load: Callable[[], Translator]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    with _interrupts_held():
        ours, theirs = context.Pipe()
        process: BaseProcess = context.Process(target=_work, args=(theirs, load), daemon=True)
        process.start()
        theirs.close()
    return _Worker(process, ours)


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
            window: _Window = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            translator = translator or load()
            found = translator.translate_window(
                window.lines, window.constraints, window.first_line, window.request
            )
            done = _Done(found, [*collected.messages])
        except Seq2SeqError as error:
            done = _Done([], [*collected.messages], (str(error), error.exit_code))
        collected.messages.clear()
        try:
            pipe.send(done)
        except OSError:  # there is no one left to take it
            return
