"""Files of constraints: what the translation of each line has to look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING

from seq2seq.cli import lines
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.search import Wish

_REMEDY = (
    ': write {"prefix": "...", "force": ["..."], "avoid": ["..."]}, or {} for a line without '
    "constraints"
)


def read_constraints(constraints: str | None, prefix: str | None) -> Iterator[Wish]:
    """Reads constraints line by line.

    Args:
        constraints: A file of JSON Lines: an object a line with "prefix", "force" and "avoid";
            None: there is none.
        prefix: A text file with a prefix a line; None: there is none.

    Yields:
        The constraint on each line.

    Raises:
        Seq2SeqError: If a line is wrong.
    """
    from seq2seq.inference.wire import constraints_of, read_object

    objects = repeat("") if constraints is None else lines.read_lines(constraints)
    prefixes = repeat("") if prefix is None else lines.read_lines(prefix)
    for number, (line, begin) in enumerate(zip(objects, prefixes, strict=False), start=1):
        where = f"{constraints}, line {number}"
        found = constraints_of(read_object(line.strip() or "{}", where, _REMEDY), where)
        if begin and found.prefix:
            raise Seq2SeqError(
                f"{where}: has a prefix, but {prefix} has one for the same line: remove one of them"
            )
        yield replace(found, prefix=begin) if begin else found
