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
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn, Unpack

from seq2seq.errors import Seq2SeqError, is_out_of_memory
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
_LESS = "fewer --processes or a smaller --batch-size need less"
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
class _Task:
    """A window under way, and where its stream hears that it is ``done``."""

    window: _Window
    finished: SimpleQueue[None]
    done: _Done | Exception | None = None
    wanted: bool = True

    def do(self, translated: Callable[[_Window], _Done]) -> None:
        """Has the window translated, unless the stream has ended meanwhile."""
        if not self.wanted:
            return
        try:
            self.finish(translated(self.window))
        except Exception as error:  # the stream's, which raises it
            self.finish(error)

    def finish(self, done: _Done | Exception) -> None:
        """Hands the stream what became of it."""
        self.done = done
        self.finished.put(None)


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
            f"if memory ran out, {_LESS}; in Python, a script opens a pool under "
            'if __name__ == "__main__":'
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
        # Ctrl-C may end the main thread between any two lines, also where Python's own queues and
        # futures hold a lock. These queues are C; executor and processes are another thread's.
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._dispatcher: threading.Thread | None = None
        weakref.finalize(self, self._tasks.put, None)
        self._own = threading.local()  # each thread's worker
        self._lock = threading.Lock()
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
            self._tasks.put(None)
            for worker in self._workers:
                worker.process.terminate()
        if self._dispatcher is not None:
            self._dispatcher.join()
        for worker in [*self._workers]:
            self._end(worker)

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
        under_way: deque[_Task] = deque()
        finished: SimpleQueue[None] = SimpleQueue()
        more, paused = True, False
        try:
            while more or under_way:
                while not finished.empty():
                    finished.get()  # what they tell is looked up from here on
                waiting = sum(one.done is None for one in under_way)
                has_room = waiting < self._most and len(under_way) < _AHEAD * self._most
                # Whoever pauses may wait for translations.
                if more and has_room and not (paused and under_way):
                    try:
                        window = next(windows_left)
                    except StopIteration:
                        more = False
                        continue
                    paused = window is None
                    if window is not None:
                        under_way.append(self._submitted(_Task(window, finished)))
                elif under_way[0].done is not None:
                    found = self._unpacked(under_way.popleft().done)
                    if advance is not None:
                        advance(len(found))
                    yield from found
                else:
                    finished.get()
        finally:
            for one in under_way:
                one.wanted = False

    def _submitted(self, task: _Task) -> _Task:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._dispatcher is None:
                self._dispatcher = self._started_dispatcher()
            self._tasks.put(task)
        return task

    def _started_dispatcher(self) -> threading.Thread:
        """Starts it, when there is work: a pool that was opened before a fork serves the child."""
        arguments = (self._tasks, self._most, weakref.ref(self))
        dispatcher = threading.Thread(target=_dispatch, args=arguments, daemon=True)
        try:
            dispatcher.start()
        except RuntimeError:
            raise _no_thread() from None
        return dispatcher

    def _translated(self, window: _Window) -> _Done:
        """What a thread does: has its process do the next task."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        try:
            if worker is not None and not worker.process.is_alive():  # killed while idle
                self._end(worker)
                worker = None
            worker = self._own.worker = worker or self._started()
            return worker.translated(window)
        except Exception:  # another process does the next
            self._end(worker)
            self._own.worker = None
            if self._closed:
                raise _closed() from None
            raise

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

    def _unpacked(self, done: _Done | Exception | None) -> list[list[ScoredTranslation]]:
        if isinstance(done, Exception):
            raise done
        assert done is not None
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


def _no_thread() -> Seq2SeqError:
    error = Seq2SeqError("the system gives this program no more threads: ask for fewer --processes")
    error.exit_code = 1
    return error


def _dispatch(
    tasks: SimpleQueue[_Task | None], most: int, pool: weakref.ref[TranslatorPool]
) -> None:
    """Hands tasks to threads, each of which has a process, until the pool is closed or forgotten.

    It holds the pool no longer than there is a task, so that one that nobody closes can go.
    """
    with ThreadPoolExecutor(most, "translating") as threads:
        while (task := tasks.get()) is not None:
            owner = pool()
            if owner is None:
                break
            try:
                threads.submit(task.do, owner._translated)
            except RuntimeError:
                task.wanted = False
                task.finish(_no_thread())
            del owner, task
        tasks.put(None)  # for another: Ctrl-C as the first one started can make two


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
    """Collects warnings, which are sent to the process that can show them."""

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
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            done = _Done([], [*collected.messages], (f"out of memory: {_LESS}", 1))
        collected.messages.clear()
        try:
            pipe.send(done)
        except OSError:  # there is no one left to take it
            return
