"""Writes a split of the embedded corpus to two text files; run it with ``python -m ... --help``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from seq2seq.errors import DataError
from seq2seq.text import phrasebook


def write_split(
    split: phrasebook.Split,
    source: Path,
    target: Path,
    *,
    seed: int = 1,
    examples: int | None = None,
) -> int:
    """Writes line-aligned source and target files of one split.

    Args:
        split: "train", "val" or "test".
        source: The English file to write; replaced if it is there.
        target: The German file to write; replaced if it is there.
        seed: The corpus's seed.
        examples: So many sentences, each showing another phenomenon, instead of the whole split.

    Returns:
        The number of lines in each file.

    Raises:
        DataError: If a file cannot be written.
    """
    if examples is None:
        pairs = list(phrasebook.pairs(split, seed))
    else:
        found = phrasebook.examples(split, seed)[:examples]
        pairs = [(english, german) for _, english, german in found]
    _write_lines(source, [english for english, _ in pairs])
    _write_lines(target, [german for _, german in pairs])
    return len(pairs)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: ``python -m seq2seq.text.phrasebook_files test test.en test.de``.

    Args:
        arguments: The command line, without the program's name; None: that of this process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m seq2seq.text.phrasebook_files",
        description="Write a split of the embedded English-German corpus to two text files.",
        epilog="Example: python -m seq2seq.text.phrasebook_files test test.en test.de",
    )
    parser.add_argument("split", choices=("train", "val", "test"))
    parser.add_argument("source", type=Path, help="the English file to write")
    parser.add_argument("target", type=Path, help="the German file to write")
    parser.add_argument("--seed", type=int, default=1, help="the corpus's seed (default 1)")
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="only N sentences, each showing another phenomenon",
    )
    chosen = parser.parse_args(arguments)
    try:
        count = write_split(
            chosen.split, chosen.source, chosen.target, seed=chosen.seed, examples=chosen.examples
        )
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{count:,} pairs of {chosen.split}: {chosen.source}, {chosen.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
