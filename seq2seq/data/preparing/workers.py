"""Working on batches in several processes: this one, and helpers beside it.

A helper is ``python -m seq2seq.data.preparing.worker``, which is sent a batch and sends its result
back. So nothing is pickled, and the user's script is not imported again, as ``multiprocessing``
would do. Here each process is served by a thread, which waits for the helper or, one of them, does
the work itself (SentencePiece does not hold Python's lock). Whoever is free takes the next batch;
the results come in the batches' order. So many batches are under way that nobody waits, and no
more: memory is constant.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import pyarrow as pa

import seq2seq
from seq2seq.data.arrow import BATCH_PAIRS
from seq2seq.data.preparing.worker import Notes, Result, Work
from seq2seq.errors import DataError

WORTH_A_PROCESS = 4 * BATCH_PAIRS
"""Pairs; for fewer a helper is not started, which takes longer than it would save."""

_PATIENCE = 5.0  # seconds that a process which has failed may take to end

_SPARE = 4  # batches more under way while helpers start, for this process to work on

_PIPE = 2**18  # bytes, where the system can be asked: four times the usual, for fewer waits

Worker = Callable[[pa.RecordBatch], Result]


def worked(
    batches: Iterable[pa.RecordBatch], work: Work, folder: Path, processes: int
) -> Generator[Result, None, None]:
    """Works on batches, and gives the results in their order.

    So many processes may run, this one among them; one that ends before its work does is a
    DataError. The tokenizers are saved in the folder.
    """
    if processes < 2 or not sys.executable:
        yield from map(work, batches)
        return
    with TokenizingPool(work, folder, processes) as pool:
        results: deque[Future[Result]] = deque()
        pairs = 0
        for batch in batches:
            pairs += batch.num_rows
            if pairs > WORTH_A_PROCESS and len(pool.helpers) < processes - 1:
                pool.add_helper()
            results.append(pool.submit(batch))
            most = 2 * processes + (0 if pool.ready else _SPARE)
            while results and (results[0].done() or len(results) > most):
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
        pool.check()


class TokenizingPool:
    """Up to ``size`` processes that stay, each working on one batch at a time.

    With ``here`` this process is one of them. The others read the tokenizers from the folder.
    """

    def __init__(self, work: Work, folder: Path, size: int, *, here: bool = True) -> None:
        self._work = work
        self._folder = folder
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="tokenizing")
        self._free = SimpleQueue[Worker]()
        self.helpers: list[_Helper] = []
        self._closed = False
        if here:
            self._free.put(work)

    @classmethod
    def of_helpers(cls, work: Work, folder: Path, helpers: int) -> TokenizingPool:
        """A pool of so many other processes; with none, this process works itself."""
        if not sys.executable:
            helpers = 0
        pool = cls(work, folder, max(1, helpers), here=not helpers)
        for _ in range(helpers):
            pool.add_helper()
        return pool

    @property
    def ready(self) -> bool:
        """Whether every helper has given a first result."""
        return all(helper.ready for helper in self.helpers)

    def add_helper(self) -> None:
        """Starts another process."""
        helper = self._stack.enter_context(_helper(self._folder, self._work))
        self.helpers.append(helper)
        self._free.put(helper)

    def submit(self, batch: pa.RecordBatch) -> Future[Result]:
        """Gives a batch to the next process that is free."""
        return self._pool.submit(self._worked, batch)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> list[Result]:
        """Works on some batches; the results are in their order."""
        return list(self._pool.map(self._worked, batches))

    def _worked(self, batch: pa.RecordBatch) -> Result:
        worker = self._free.get()
        try:
            if self._closed:
                raise CancelledError
            return worker(batch)
        finally:
            self._free.put(worker)

    def check(self) -> None:
        """Raises a DataError if a helper that was not needed could not have worked."""
        for helper in self.helpers:
            helper.finish()

    def close(self) -> None:
        """Ends the helpers at once."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def __enter__(self) -> TokenizingPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self._pool.shutdown()


class _Helper:
    """Another process, which works on the batches that it is sent."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        self._process = process
        self._stderr = stderr
        self._batches: pa.ipc.RecordBatchStreamWriter | None = None
        self._results: pa.ipc.RecordBatchStreamReader | None = None

    def __call__(self, batch: pa.RecordBatch) -> Result:
        try:
            if self._batches is None:
                self._batches = pa.ipc.new_stream(self._process.stdin, batch.schema)
            self._batches.write_batch(batch)
            self._input.flush()
            if self._results is None:
                self._results = pa.ipc.open_stream(self._process.stdout)
            result, metadata = self._results.read_next_batch_with_custom_metadata()
            return Result(result, Notes.from_metadata(metadata))
        except (pa.ArrowInvalid, OSError, StopIteration):
            raise self._failure() from None

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def ready(self) -> bool:
        return self._results is not None

    def finish(self) -> None:
        """Raises if it gave no result and could not have worked."""
        if not self.ready:
            with suppress(OSError):
                self._input.close()
            if self._process.wait():
                raise self._failure()

    def _failure(self) -> DataError:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()  # it may be waiting for us to read on
            code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        if code < 0:
            reason = f"killed by {signal.Signals(-code).name} (out of memory?)"
        else:
            reason = lines[-1] if lines else f"exit status {code}"
        return DataError(f"a tokenizing process failed: {reason}; try fewer processes")


def _widen(pipe: IO[bytes] | None) -> None:
    """Makes a pipe larger; Popen's pipesize would fail where a user's pipes have no more room."""
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


@contextmanager
def _helper(folder: Path, work: Work) -> Iterator[_Helper]:
    code_folder = str(Path(seq2seq.__file__).parents[1])
    paths = [code_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    cleaning = None if work.cleaning is None else work.cleaning.model_dump()
    module = "seq2seq.data.preparing.worker"
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), json.dumps(cleaning)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # Its work is SentencePiece's, on one thread; arithmetic libraries need no pool.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            # Out of reach of signals to our group: they are for us, who end it, or not. It ends by
            # itself when we are no more.
            start_new_session=True,
        )
        try:
            for pipe in (process.stdin, process.stdout):
                _widen(pipe)
            yield _Helper(process, stderr)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was not sent cannot be flushed any more
                    if pipe is not None:
                        pipe.close()
