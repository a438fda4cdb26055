"""Tab-separated files. Which columns are the texts is found out from the first lines.

Nothing is guessed where a guess could be wrong without a word: a file of more than two columns
needs to be told which two they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from seq2seq.data.reading.rows import Start, listed, numbered_lines, pair_of_bytes, remedy
from seq2seq.errors import DataError
from seq2seq.recipe.data import TsvSource
from seq2seq.storage.lines import corpus_blocks, split_block
from seq2seq.text import shown
from seq2seq.text.cleaning import COLUMNS, HEADER, RawPair

_LOOKED_AT = 100  # lines

_NAMES = frozenset(
    """
    source target src tgt trg ref reference original translation translated text sentence sent
    segment phrase input output english german french spanish italian portuguese dutch russian
    ukrainian polish czech slovak romanian hungarian greek turkish arabic hebrew persian hindi
    bengali urdu tamil chinese mandarin japanese korean vietnamese thai indonesian malay swedish
    danish norwegian finnish estonian latvian lithuanian bulgarian croatian serbian slovenian
    catalan basque irish welsh icelandic swahili deutsch englisch français anglais español inglés
    italiano português nederlands polski svenska dansk suomi
    """.split()
)
_CODES = frozenset(
    """
    af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is
    it ja ka kk km kn ko ky lo lt lv mg mk ml mn mr ms mt my nb ne nl nn no pa pl ps pt ro ru rw si
    sk sl so sq sr sv sw ta te th tl tr tt uk ur uz vi xh yi yo zh zu
    eng deu ger fra fre spa ita por nld dut rus ukr pol ces cze ron rum hun ell tur ara heb fas hin
    zho chi cmn jpn kor vie tha ind swe dan nor fin
    """.split()
)


def read_tsv(source: TsvSource, start: Start) -> Iterator[RawPair]:
    """Reads every line, those without the right columns marked; a DataError where they are most."""
    layout = layout_of(source)
    total = wrong = first = 0
    for number, line in numbered_lines(source, start):
        columns = line.split(b"\t")
        if number == 1 and layout.header:
            yield RawPair(number, "", "", misread=HEADER)
            continue
        total += 1
        if len(columns) == layout.columns:
            yield pair_of_bytes(number, columns[layout.source], columns[layout.target])
        else:
            wrong, first = wrong + 1, first or number
            yield RawPair(number, "", "", misread=COLUMNS)
    if wrong * 2 > total and not start.lines:  # a part says little of the file
        raise DataError(
            f"{source.path}: {wrong:,} of {total:,} lines have other than {layout.columns} "
            f"columns, first line {first:,}: is it a file of pairs, separated by one tab each?"
        )


@dataclass(frozen=True)
class Layout:
    """Where the texts are in a line; ``columns`` is how many every line has."""

    source: int
    target: int
    columns: int
    header: bool  # whether the first line is one


def layout_of(source: TsvSource) -> Layout:
    """Finds out how a file is laid out; a DataError says what the recipe must tell."""
    block = next(corpus_blocks(source.path, encoding=source.encoding))
    lines = [line.decode("utf-8", "replace") for line in split_block(block)[:_LOOKED_AT]]
    rows = [line.split("\t") for line in lines]
    # The first of those counts that most lines have, since a header may have another.
    columns = Counter(map(len, rows)).most_common(1)[0][0]
    if columns < 2:
        raise DataError(
            f"{source.path}, line 1: 1 column, where a source and a target are needed, separated "
            "by a tab"
        )
    wanted: list[int | str | None] = [source.source, source.target]
    if None in wanted and columns > 2:
        raise DataError(_unsaid(source, rows, columns))
    found = [None if one is None else _place(one, source, rows[0]) for one in wanted]
    left, right = found
    if left is None:
        left = 0 if right is None else 1 - right
    places = [left, 1 - left if right is None else right]
    if places[0] == places[1]:
        raise DataError(
            f"{source.path}: source = {source.source!r} and target = {source.target!r} are the "
            "same column"
        )
    if not 0 <= min(places) < max(places) < columns:
        raise DataError(
            f"{source.path}, line 1: {columns} columns, but source = {source.source} and target = "
            f"{source.target} (counted from 0) need {1 + max(places)}, separated by tabs"
        )
    header = source.header
    if header is None:
        header = any(isinstance(one, str) for one in wanted) or _is_header(rows[0], places)
    return Layout(places[0], places[1], columns, header)


def _unsaid(source: TsvSource, rows: list[list[str]], columns: int) -> str:
    """What to say of a file of more than two columns whose recipe does not name the two."""
    first = rows[0]
    row = next(row for row in rows if len(row) == columns)
    texts = [place for place in range(columns) if _has_texts(rows, place)]
    texts = (texts if len(texts) > 1 else list(range(columns)))[:2]
    named = source.header or _is_header([first[n] for n in texts if n < len(first)], [0, 1])
    choice = [first[n] if named else n for n in texts]
    found = ", ".join(f"{n} {shown(text, 30)!r}" for n, text in islice(enumerate(row), 6))
    return (
        f"{source.path}, line {1 + rows.index(row)}: {columns} columns ({found}), and nothing "
        f"says which are the source and the target{remedy(source.path, *choice)}"
    )


def _place(column: int | str, source: TsvSource, header: list[str]) -> int:
    if isinstance(column, int):
        return column
    names = [name.strip() for name in header]
    if column not in names:
        raise DataError(f"{source.path}: no column {column!r} in its first line{listed(names)}")
    if names.count(column) > 1:
        raise DataError(
            f"{source.path}: {names.count(column)} columns are called {column!r}: give the number "
            f"of the one that is meant, counted from 0 (the first is {names.index(column)})"
        )
    return names.index(column)


def _has_texts(rows: list[list[str]], place: int) -> bool:
    """Whether words stand in a column, not numbers or names of lines."""
    worded = sum(len(row) > place and " " in row[place].strip() for row in rows)
    return 2 * worded > len(rows)


def _is_header(row: list[str], places: list[int]) -> bool:
    """Whether a first line has nothing but the usual names where the texts are."""
    if max(places) >= len(row):
        return False
    names = [row[place].strip().casefold() for place in places]
    return names[0] != names[1] and all(map(_is_name, names))


def _is_name(text: str) -> bool:
    """Whether it is made of languages, their codes, and words such as "source"."""
    words = [word for word in re.split(r"[\W_]+", text) if word]
    return 0 < len(words) <= 3 and all(word in _NAMES or word in _CODES for word in words)
