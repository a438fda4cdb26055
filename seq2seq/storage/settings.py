"""Keeps a library's files out of the user's home, where nobody asked for them."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def place_for_matplotlib() -> None:
    """Gives matplotlib a folder for its list of fonts which goes with this process.

    To be called before it is imported. A folder that it has in the user's home already is used.
    """
    if "matplotlib" in sys.modules or os.environ.get("MPLCONFIGDIR"):
        return
    home = os.environ.get("HOME") or os.devnull
    for variable, name in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")):
        if (Path(os.environ.get(variable) or Path(home, name)) / "matplotlib").is_dir():
            return
    try:
        folder = tempfile.mkdtemp(prefix="seq2seq-")
    except OSError:  # there is no place at all: matplotlib says so where it is used
        return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder
