"""Processes that translate, open until they are closed: order kept, memory constant.

Each worker has a model of its own. Windows of lines go to whoever is idle, and their translations
are given out in the order of the lines. Several threads may stream through one pool at once, and
a stream that nobody reads on from holds up no other: what it has under way is soon done, and waits
for it. A worker ends when its pipe does, so also when this process is killed.
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
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn, Unpack

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
from seq2seq.inference.results import ScoredTranslation, Warnings, warned
from seq2seq.inference.translator import Translator
from seq2seq.processors import usable_processors
from seq2seq.search import Constraints, check_bounds

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


@dataclass(frozen=True)
class _Task:
    """A window of a stream: its number there, and where its results go; maybe nobody waits."""

    window: _Window
    number: int
    results: SimpleQueue[tuple[int, _Done | Exception]]
    abandoned: threading.Event


@dataclass(eq=False)
class _Worker:
    """A process, and this end of its pipe."""

    process: BaseProcess
    pipe: Connection

    def translated(self, window: _Window) -> _Done:
        """Gives it work and waits for what it did; raises ``Seq2SeqError`` if it ended."""
        try:
            self.pipe.send(window)
            done: _Done = self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
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
        Seq2SeqError: If ``processes`` or ``threads`` is out of range, or no model is given.
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
        check_bounds("processes", processes)
        check_bounds("threads", threads)
        paths = [path] if isinstance(path, str | Path) else list(path)
        if not paths:
            raise Seq2SeqError("no model is given; give the folder of one, or of several")
        recipes = [read_published(one, partial(ModelFolder.open, one)).recipe for one in paths]
        self.options = recipes[0].translation
        self.search_options = search_options(self.options)
        self.has_attention = any(one.model.decoder.attention != "none" for one in recipes)
        self._most = processes
        each = threads or max(1, usable_processors() // processes)
        self._load = partial(Translator.load, paths, threads=each, **options)
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._pending = 0  # tasks that are not done
        self._threads: list[threading.Thread] = []  # one a process, which serves it
        self._workers: set[_Worker] = set()
        self._warned: set[str] = set()
        self._closed = False

    def __enter__(self) -> TranslatorPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TranslatorPool cannot be pickled: open it in the process that uses it")

    def close(self) -> None:
        """Ends all processes; nothing is translated after."""
        with self._lock:
            self._closed = True
            threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads = []
            for worker in self._workers:
                worker.process.terminate()
            for _ in threads:
                self._tasks.put(None)
        for thread in threads:
            thread.join()

    def stream(
        self, lines: Iterable[str], **asked: Unpack[TranslateOptions]
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as they come, in constant memory."""
        asked_for = request_and_constraints(self.search_options, self.options, **asked)
        return warned(self.run(lines, *asked_for), Warnings(logger.warning))

    def run(
        self,
        lines: Iterable[str],
        request: Request,
        constraints: Iterable[Constraints] | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> Iterator[list[ScoredTranslation]]:
        """As ``Translator.run``."""
        check_lines(lines)
        size = request.batch_size * _BATCHES_A_WINDOW
        found = windows(lines, constraints, size)
        return self._results((one and _Window(*one, request) for one in found), advance)

    def _results(
        self, windows_left: Iterator[_Window | None], advance: Callable[[float], None] | None
    ) -> Iterator[list[ScoredTranslation]]:
        """Keeps some windows under way, also while whoever reads the results is elsewhere."""
        results: SimpleQueue[tuple[int, _Done | Exception]] = SimpleQueue()
        abandoned = threading.Event()
        waiting: dict[int, _Done | Exception] = {}  # by their number, those before not done yet
        given = received = taken = 0
        more, paused = True, False
        try:
            while True:
                while not results.empty() or (taken < given and taken not in waiting):
                    number, waiting[number] = results.get()
                    received += 1
                    if given - received < self._most:
                        break  # a process may have nothing to do
                while more and given - received < self._most:
                    if given - taken >= _AHEAD * self._most or (paused and taken < given):
                        break  # whoever pauses may wait for translations
                    try:
                        window = next(windows_left)
                    except StopIteration:
                        more = False
                        break
                    if paused := window is None:
                        continue
                    self._give(_Task(window, given, results, abandoned))
                    given += 1
                if taken in waiting:
                    found = self._unpacked(waiting.pop(taken))
                    if advance is not None:
                        advance(len(found))
                    yield from found
                    taken += 1
                elif taken == given and not more:
                    return
        finally:
            abandoned.set()

    def _give(self, task: _Task) -> None:
        """Puts a task in the queue, with one more process to take it if all are busy."""
        with self._lock:
            if self._closed:
                raise _closed()
            # An interrupt may come between any two of these: the count may then be too high, and a
            # thread may be there that was not started.
            self._pending += 1
            self._tasks.put(task)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) < min(self._pending, self._most):
                thread = threading.Thread(target=self._serve, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self) -> None:
        """What a thread does: has its process do one task after the other."""
        worker: _Worker | None = None
        while (task := self._tasks.get()) is not None:
            if not task.abandoned.is_set():
                found: _Done | Exception
                try:
                    if worker is not None and not worker.process.is_alive():  # killed while idle
                        self._end(worker)
                        worker = None
                    worker = worker or self._started()
                    found = worker.translated(task.window)
                except Exception as error:  # it is the stream's; another process does the next
                    found = _closed() if self._closed else error
                    self._end(worker)
                    worker = None
                task.results.put((task.number, found))
            with self._lock:
                self._pending -= 1
        self._end(worker)

    def _started(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise _closed()
            worker = _started(self._load)
            self._workers.add(worker)
            return worker

    def _end(self, worker: _Worker | None) -> None:
        """Ends a process; without a pipe it has no more to do."""
        if worker is None:
            return
        with self._lock:
            self._workers.discard(worker)
        worker.pipe.close()
        worker.process.join()

    def _unpacked(self, done: _Done | Exception) -> list[list[ScoredTranslation]]:
        if isinstance(done, Exception):
            raise done
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


def _closed() -> Seq2SeqError:
    return Seq2SeqError("the pool is closed: open a new one")


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
