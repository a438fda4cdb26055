"""The text that is trained and timed on: the user's files, or the corpus of the package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import write_text
from seq2seq.errors import DataError
from seq2seq.recipe.packaged import quickstart_files
from seq2seq.text.tokenizer import Tokenizer

# What the quickstart's text can fill; another text's vocabulary is the recipe's.
QUICKSTART_PIECES = 1000


@dataclass(frozen=True)
class Side:
    """One split's two files, line n of one translating line n of the other."""

    source: Path
    target: Path

    def lines(self) -> tuple[list[str], list[str]]:
        """Reads both.

        Returns:
            Source and target lines.

        Raises:
            DataError: If one cannot be read, or their lines do not pair.
        """
        found = [_lines(path) for path in (self.source, self.target)]
        if len(found[0]) != len(found[1]):
            raise DataError(
                f"{self.source} has {len(found[0]):,} lines, {self.target} {len(found[1]):,}: "
                "line n of one must translate line n of the other"
            )
        return found[0], found[1]


@dataclass(frozen=True)
class Text:
    """The text of a benchmark.

    Attributes:
        name: What tables call it.
        train: Trained on.
        val: Validated on.
        test: Translated, and timed.
        pieces: The vocabulary that fits, where it is not the recipe's.
    """

    name: str
    train: Side
    val: Side
    test: Side
    pieces: int | None = None

    @property
    def settings(self) -> list[str]:
        """What to set in a recipe that is to use it."""
        found = [
            f'data.{name}=["{side.source}","{side.target}"]'
            for name, side in (("train", self.train), ("val", self.val))
        ]
        return found if self.pieces is None else [*found, f"tokenizer.vocab_size={self.pieces}"]


def text_of(files: dict[str, Path]) -> Text:
    """Finds the text.

    Args:
        files: The user's files by option ("source", "target", "val_source", ...); empty: that
            of the quickstart.

    Returns:
        The text.

    Raises:
        DataError: If a file is missing.
    """
    if not files:
        return _quickstart()
    for path in files.values():
        if not path.is_file():
            raise DataError(f"{path}: no such file")
    resolved = {name: path.resolve() for name, path in files.items()}
    train, val, test = (
        Side(resolved[f"{split}source"], resolved[f"{split}target"])
        for split in ("", "val_", "test_")
    )
    return Text(train.source.parent.name or train.source.stem, train, val, test)


def _quickstart() -> Text:
    sides = [Side(*map(Path, quickstart_files(split))) for split in ("train", "val", "test")]
    return Text("quickstart", *sides, QUICKSTART_PIECES)


def write_pieces(text: Text, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes training and validation text split into pieces, and the vocabulary.

    Args:
        text: The text.
        tokenizer: Splits it.
        folder: Where ``train.source``, ..., ``vocab`` and ``vocab.counts`` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, side in (("train", text.train), ("val", text.val)):
        for name, lines in zip(("source", "target"), side.lines(), strict=True):
            rows = (" ".join(tokenizer.pieces(ids)) for ids in tokenizer.encode(lines))
            _write(folder / f"{split}.{name}", rows)
            _write(folder / f"{split}.plain.{name}", lines)
    pieces = tokenizer.pieces(range(4, tokenizer.size))  # pad, unk, bos and eos are each tool's own
    _write(folder / "vocab", pieces)
    _write(folder / "vocab.counts", (f"{piece}\t1" for piece in pieces))


def digest(*parts: str | bytes) -> str:
    """Names content.

    Args:
        *parts: The content.

    Returns:
        A short hash, the same for the same parts.
    """
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:12]


def _write(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text") from None
    return text.removesuffix("\n").split("\n") if text else []
