"""The one reader of whole files: what is no file, or too large to be one of its kind, is not read.

Everything raises plain OSError, with words that may follow "cannot be read: ".
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MIB = 2**20
RECIPE_SIZE = MIB
JSON_SIZE = 32 * MIB
TOKENIZER_SIZE = 512 * MIB
GRAPH_SIZE = 2048 * MIB
"""Protocol buffers, as which ONNX graphs are stored, cannot be larger."""


def read_bytes(path: str | Path, most: int | None = None, *, pipe: bool = False) -> bytes:
    """Reads a file of at most so many bytes (None: any number).

    A device gives bytes for ever, and a pipe may give none: only a file is read, or with ``pipe``
    a pipe, such as a shell makes for ``<(...)``. Links are followed.
    """
    # With O_NONBLOCK a pipe is opened though nobody writes to it; it makes no difference to files.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if pipe and stat.S_ISFIFO(found.st_mode):
            os.set_blocking(file.fileno(), True)
        elif stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        elif not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "a device or a pipe, where a file is expected", str(path))
        if most is None:
            return file.read()
        data = file.read(most + 1) if stat.S_ISFIFO(found.st_mode) else b""
        if max(len(data), found.st_size) > most:
            words = f"it is larger than {most // MIB} MiB, which is the most for such a file"
            raise OSError(errno.EFBIG, words, str(path))
        return data or file.read()
