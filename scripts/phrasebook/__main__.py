"""Writes the corpus: ``PYTHONPATH=scripts python -m phrasebook recipes/quickstart``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from phrasebook.corpus import Split, pairs


def write_corpus(folder: Path, seed: int = 1) -> None:
    """Writes ``train.en``, ``train.de`` and the same of val and test; files there are replaced.

    Args:
        folder: Where they go; made if it is not there.
        seed: The corpus's seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split in get_args(Split):
        for language, lines in zip(
            ("en", "de"), zip(*pairs(split, seed), strict=True), strict=True
        ):
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        arguments: The command line, without the program's name; None: that of this process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m phrasebook",
        description="Write the quickstart's English-German corpus as text files.",
        epilog="Example: PYTHONPATH=scripts python -m phrasebook recipes/quickstart",
    )
    parser.add_argument("folder", type=Path, help="where train.en, train.de, val.en, ... go")
    parser.add_argument("--seed", type=int, default=1, help="another corpus (default 1)")
    chosen = parser.parse_args(arguments)
    try:
        write_corpus(chosen.folder, chosen.seed)
    except OSError as error:
        print(f"error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
