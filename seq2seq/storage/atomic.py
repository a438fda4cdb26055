"""Files that appear under their names when they are complete, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from seq2seq.errors import ModelError


def umask() -> int:
    """The process's mask of permissions, which can only be read by setting it.

    Returns:
        The mask.
    """
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that others may read; one that is there is replaced in one step.

    Args:
        path: The file.
        content: What it is to hold.

    Raises:
        ModelError: If it cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
