"""Tokenizing in several processes.

Each process is ``python -m seq2seq.data.encoding``: it reads every n-th batch of the raw file,
tokenizes it, and streams it back through its standard output as Arrow. So nothing is pickled, the
order is that of the file, a process waits where the reader is slower (constant memory), and the
user's script is not imported again, as ``multiprocessing`` would do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import pyarrow as pa

import seq2seq
from seq2seq.data.storage import BATCH_PAIRS, SCHEMA, id_column, read_batches
from seq2seq.errors import DataError
from seq2seq.text.tokenizer import Tokenizers

WORTH_A_PROCESS = 4 * BATCH_PAIRS
"""Pairs; with fewer a process, starting it takes longer than it saves."""


_PATIENCE = 5.0  # seconds that a process which has failed may take to end


def encode_batch(batch: pa.RecordBatch, tokenizers: Tokenizers) -> pa.RecordBatch:
    """Tokenizes a batch.

    Args:
        batch: Of the raw schema.
        tokenizers: One a side.

    Returns:
        The batch with its ids.
    """
    source, target, line = batch.columns
    return pa.record_batch(
        [
            id_column(tokenizers.source.encode(source.to_pylist())),
            id_column(tokenizers.target.encode(target.to_pylist())),
            source,
            target,
            line,
        ],
        schema=SCHEMA,
    )


def encoded_batches(
    raw: Path, pairs: int, tokenizers: Tokenizers, folder: Path, processes: int
) -> Iterator[pa.RecordBatch]:
    """Tokenizes a raw file.

    Args:
        raw: The file.
        pairs: How many pairs it has.
        tokenizers: One a side.
        folder: Where the tokenizers are saved.
        processes: How many processes may run.

    Yields:
        The batches with their ids, in the file's order.

    Raises:
        DataError: If a process ends before its work does.
    """
    processes = min(processes, pairs // WORTH_A_PROCESS)
    if processes < 2 or not sys.executable:
        for batch in read_batches(raw):
            yield encode_batch(batch, tokenizers)
        return
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(raw, folder, n, processes)) for n in range(processes)
        ]
        while True:
            for worker in workers:
                batch = worker.next_batch()
                if batch is None:
                    return
                yield batch


class _Worker:
    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self.process = process
        self._complaints = complaints
        self._stream: pa.ipc.RecordBatchStreamReader | None = None

    def next_batch(self) -> pa.RecordBatch | None:
        try:
            if self._stream is None:
                self._stream = pa.ipc.open_stream(self.process.stdout)
            return self._stream.read_next_batch()
        except StopIteration:
            if self.process.wait() == 0:
                return None
            raise self._failure() from None
        except (pa.ArrowInvalid, OSError):
            raise self._failure() from None

    def _failure(self) -> DataError:
        try:
            code = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()  # it may be waiting for us to read on
            code = self.process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        if code < 0:
            reason = f"killed by {signal.Signals(-code).name} (out of memory?)"
        else:
            reason = lines[-1] if lines else f"exit status {code}"
        return DataError(f"a tokenizing process failed: {reason}; try fewer processes")


@contextmanager
def _worker(raw: Path, folder: Path, first: int, stride: int) -> Iterator[_Worker]:
    code_folder = str(Path(seq2seq.__file__).parents[1])
    paths = [code_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(raw), str(folder), str(first), str(stride)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            # Its work is SentencePiece's, on one thread; arithmetic libraries need no pool.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        try:
            yield _Worker(process, complaints)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def main(raw: str, folder: str, first: str, stride: str) -> None:
    """Tokenizes every ``stride``-th batch and streams it to standard output.

    Args:
        raw: The raw file.
        folder: Where the tokenizers are saved.
        first: The batch to begin with.
        stride: How many processes share the file.
    """
    # Ctrl-C reaches the whole process group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tokenizers = Tokenizers.load(Path(folder))
    with (
        suppress(BrokenPipeError),
        pa.PythonFile(sys.stdout.buffer, "w") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as stream,
    ):
        for batch in read_batches(Path(raw), int(first), int(stride)):
            stream.write_batch(encode_batch(batch, tokenizers))


if __name__ == "__main__":
    main(*sys.argv[1:])
