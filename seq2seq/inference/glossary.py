r"""A glossary: how terms of the source are to be translated, wherever they stand.

Each line of its file is a term, a tab and its translation, or several forms of it with ``|``
between them; behind another tab may stand a note, of which only ``case`` has a meaning. A term is
found as whole words, whatever white space is between them; the longest one wins where several
begin, and terms do not overlap. Upper and lower case make no difference, unless the note is
``case`` or the term has a capital behind its first letter.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from seq2seq.errors import MOST_LISTED, DataError, Seq2SeqError, number_of
from seq2seq.ids import UNK
from seq2seq.search import Constraints
from seq2seq.search.constraints import forms_of
from seq2seq.search.constraints.pieces import is_word_character
from seq2seq.storage.lines import input_lines, name_of
from seq2seq.text.tokenizer import Tokenizer

_BEGINS_SENTENCE = re.compile(r"(?:^|[.!?…]\W|[。！？])\W*$")
_NEAR = 50  # characters in front of a term that say whether a sentence begins there
_HEADER = ["source", "target"]
_EXACT = "case"


@dataclass(frozen=True)
class Term:
    """A line of a glossary: a term, the forms of its translation, and where it stands."""

    source: str
    forms: tuple[str, ...]
    exact: bool = False  # found, and written, only as it is here
    line: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _plain(self.source))

    @property
    def is_cased(self) -> bool:
        """Whether it is found only in this case."""
        return self.exact or any(map(str.isupper, self.source[1:]))

    @property
    def capital_forms(self) -> tuple[str, ...]:
        """The forms, and each with a capital."""
        capitals = (one[0].upper() + one[1:] for one in self.forms)
        return tuple(dict.fromkeys((*self.forms, *capitals)))

    @property
    def key(self) -> str:
        """What it is found by."""
        return self.source if self.is_cased else _folded(self.source)


@dataclass(frozen=True)
class Demand:
    """What a term that stands in a line asks of the translation: one of some forms."""

    term: Term
    forms: tuple[str, ...]


@dataclass(frozen=True)
class UsedTerm:
    """What became of a term of a line: whether one of its forms is in the translation."""

    source: str
    forms: tuple[str, ...]
    is_met: bool


@dataclass(frozen=True)
class Glossary:
    """Terms and their translations; ``name`` is what messages call it."""

    terms: tuple[Term, ...]
    name: str = "the glossary"

    @cached_property
    def _by_key(self) -> dict[str, Term]:
        return {term.key: term for term in self.terms}

    @cached_property
    def _sizes(self) -> dict[str, list[int]]:
        """How long terms are, longest first, by their first letter."""
        sizes: dict[str, set[int]] = {}
        for key in self._by_key:
            sizes.setdefault(_folded(key[0]), set()).add(len(key))
        return {letter: sorted(some, reverse=True) for letter, some in sizes.items()}

    @classmethod
    def load(cls, path: str | Path) -> Glossary:
        """Reads a file, UTF-8; empty lines and those that begin with # are nothing.

        It is a DataError if it cannot be read, or a line is wrong, or contradicts another.
        """
        path, name = str(path), name_of(str(path))

        def refuse(_: int, first: int) -> None:
            raise DataError(f"{name}, line {first}: not UTF-8: convert the file to it")

        found: dict[str, Term] = {}
        is_first = True
        for number, line in enumerate(input_lines(path, refuse), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            columns = [" ".join(column.split()) for column in line.split("\t")]
            was_first, is_first = is_first, False
            if was_first and [one.lower() for one in columns[:2]] == _HEADER:
                continue
            term = _term(columns, number, f"{name}, line {number}")
            other = found.setdefault(term.key, term)
            if set(other.forms) != set(term.forms):
                raise DataError(
                    f"{name}, line {number}: {term.source!r} has another translation in line "
                    f"{other.line}: write all forms in one line, with | between them"
                )
        return cls(tuple(found.values()), name)

    def check(self, target: Tokenizer) -> None:
        """Refuses (``DataError``) forms that a model's tokenizer cannot spell."""
        forms = [(term, form) for term in self.terms for form in term.forms]
        rows = target.encode([form for _, form in forms])
        unknown = [one for one, row in zip(forms, rows, strict=True) if UNK in row or not row]
        if unknown:
            shown = ", ".join(
                f"{form!r} (line {term.line})" if term.line else repr(form)
                for term, form in unknown[:MOST_LISTED]
            )
            more = f" and {len(unknown) - MOST_LISTED:,} more" * (len(unknown) > MOST_LISTED)
            raise DataError(
                f"{self.name}: translations with characters that the model's tokenizer does not "
                f"know: {shown}{more}; spell them otherwise, or leave them out"
            )

    def find(self, text: str, written: str | None = None, *, loud: bool = False) -> list[Demand]:
        """The terms that stand in a text, in their order.

        ``written`` is the text in the case that counts for terms that have one; None: as it is. Of
        a ``loud`` line, all in capitals, the usual case counts as well.
        """
        text = _plain(text)
        cased = text if written is None else _plain(written)
        cased = cased if len(cased) == len(text) else text
        cases = [cased, text] if loud else [cased]
        folded, at = _folded(text), 0
        found: list[Term] = []
        capital = set()  # what is wanted twice has the same forms both times
        while at < len(text):
            term = self._longest(cases, folded, at)
            if term is not None:
                found.append(term)
                if _may_be_capital(term, text, at):
                    capital.add(term.forms)
            at += 1 if term is None else len(term.source)
        return [
            Demand(one, one.capital_forms if one.forms in capital and not one.exact else one.forms)
            for one in found
        ]

    def _longest(self, cases: Sequence[str], folded: str, at: int) -> Term | None:
        sizes = self._sizes.get(folded[at])
        if sizes is None or not _may_part(folded, at):
            return None
        reads = [*((text, True) for text in cases), (folded, False)]
        for end in (at + size for size in sizes if at + size <= len(folded)):
            for read, is_cased in reads:
                term = self._by_key.get(read[at:end])
                if term is not None and term.is_cased is is_cased and _may_part(folded, end):
                    return term
        return None


def _term(columns: Sequence[str], line: int, where: str) -> Term:
    if len(columns) not in (2, 3):
        raise DataError(
            f"{where}: has {number_of(len(columns), 'column')}; write a term, a tab and its "
            "translation, and a note behind another tab or none"
        )
    forms = tuple(dict.fromkeys(" ".join(form.split()) for form in columns[1].split("|")))
    if not columns[0] or not all(forms):
        what = "term" if not columns[0] else "translation"
        raise DataError(f"{where}: a {what} is empty: write one, or leave the line out")
    return Term(columns[0], forms, [*map(str.lower, columns[2:])] == [_EXACT], line)


def _may_be_capital(term: Term, text: str, at: int) -> bool:
    """Whether a term's translation may begin with a capital: as its source does, or a sentence."""
    has_capital = text[at].isupper() and not term.source[0].isupper()
    return not term.exact and (
        has_capital or _BEGINS_SENTENCE.search(text[:at][-_NEAR:]) is not None
    )


def _plain(text: str) -> str:
    """A text with single spaces, and letters with their marks as one character."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _folded(text: str) -> str:
    """A text without the difference of upper and lower case, and as long."""
    return "".join([one if len(one.casefold()) != 1 else one.casefold() for one in text])


def _may_part(text: str, at: int) -> bool:
    """Whether a word may begin or end at a place: not within one."""
    around = text[max(at - 1, 0) : at + 1]
    return not 0 < at < len(text) or not all(map(is_word_character, around))


# ---------------------------------------------------------------------------------------------
# What a glossary demands of a translation, and what became of it


class AppliedGlossary:
    """A glossary for a model; forms that its ``target`` tokenizer cannot spell are refused.

    ``most`` is the length cap of a translation in pieces; terms for which it has no room are left.
    """

    def __init__(self, glossary: Glossary, target: Tokenizer, most: int | None) -> None:
        glossary.check(target)
        self._find = glossary.find
        self._name = glossary.name
        self._row: Callable[[str], list[int]] = lru_cache(2**12)(
            lambda text: target.encode([text])[0]
        )
        self._most = math.inf if most is None else most

    def constraints_on(
        self,
        text: str,
        constraints: Constraints,
        line: int,
        written: str | None = None,
        *,
        loud: bool = False,
    ) -> tuple[Constraints, tuple[Demand, ...]]:
        """Constraints on a text's translation, with the terms that stand in it, and those terms.

        What is forced already is not forced twice. ``written`` and ``loud`` are as in
        ``Glossary.find``.
        """
        found = self._find(text, written, loud=loud)
        if not found:
            return constraints, ()
        asked = [(constraints.prefix,), *map(forms_of, constraints.forced)]
        room = self._most - sum(map(self._size, asked))
        wanted = []
        for one in found:
            for avoided in constraints.avoided:
                if any(_times([avoided], form) for form in one.forms):
                    raise Seq2SeqError(
                        f"line {line}: {avoided!r} is to be avoided, but {self._name} translates "
                        f"{one.term.source!r} so: leave one of them out"
                    )
            # A tokenizer that can spell a form may lack its capital.
            forms = tuple(form for form in one.forms if UNK not in self._row(form))
            is_forced = any(_times(forms, phrase) for others in asked[1:] for phrase in others)
            if self._size(forms) <= room and not is_forced:
                wanted.append(forms)
                room -= self._size(forms)
        return replace(constraints, forced=(*constraints.forced, *wanted)), tuple(found)

    def _size(self, forms: Iterable[str]) -> int:
        return min(len(self._row(form)) for form in forms)


def used_terms(demands: Iterable[Demand], text: str) -> tuple[UsedTerm, ...]:
    """Looks up which terms are met by a translation; one form meets one of those that ask for it.

    Case makes no difference, since a line in capitals is translated in capitals.
    """
    left: dict[frozenset[str], int] = {}
    used = []
    for one in demands:
        forms = frozenset(map(_normalized, one.forms))
        if forms not in left:
            left[forms] = _times(one.forms, text)
        used.append(UsedTerm(one.term.source, one.term.forms, left[forms] > 0))
        left[forms] -= 1
    return tuple(used)


def _times(phrases: Iterable[str], text: str) -> int:
    """How often phrases stand in a text as whole words, of two at a place the longer one."""
    terms = tuple(Term(_normalized(one), ()) for one in phrases if one.strip())
    return len(Glossary(terms).find(_normalized(text)))


def _normalized(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class GlossaryReport:
    """Counts the terms of lines, and which are met."""

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self._warn = warn
        self._lines = self._with_terms = 0
        self._met: Counter[bool] = Counter()

    def add(self, line: int, used: Sequence[UsedTerm]) -> None:
        """Counts the terms of a line; those that are not met are warned of."""
        self._lines += 1
        self._with_terms += bool(used)
        self._met.update(one.is_met for one in used)
        for one in used:
            if not one.is_met and self._warn is not None:
                forms = " or ".join(map(repr, one.forms))
                self._warn(f"line {line}: glossary: {one.source!r} was not translated as {forms}")

    def __str__(self) -> str:
        """The report in a line."""
        terms = number_of(self._met.total(), "term")
        lines = f"{self._with_terms:,} of {number_of(self._lines, 'line')}"
        return f"glossary: {terms} in {lines}; {self._met[True]:,} met"
