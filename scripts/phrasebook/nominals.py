"""Noun phrases: an object that knows its English and its German in every case.

A `Nominal` answers four questions: what is it called in English, what is it called in German in a
given case, what person and number does a verb agree with, and may kein negate it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from . import english, german
from .german import Declension
from .words import Adjective, Case, Gender, Noun, Person, Slot

Pair = tuple[str, str]  # English, German


@dataclass(frozen=True, slots=True)
class Determiner:
    """A word that opens a noun phrase.

    Attributes:
        english: this, my, twenty-one; "a" is fitted to the next word.
        english_plural: the same before a plural: these.
        german: the stem to which endings are added (dies-, mein-), or a number.
        declension: which endings it has: "der" itself, those of dieser, those of ein, or none.
    """

    english: str
    english_plural: str
    german: str
    declension: Literal["der", "dieser", "ein", "none"]

    def german_form(self, case: Case, slot: Slot) -> str:
        """Decline it.

        Args:
            case: the case.
            slot: the noun's gender, or p.

        Returns:
            The form, empty for the bare determiner.
        """
        if self.declension == "der":
            return german.DEFINITE[case][slot]
        if self.declension == "dieser":
            return self.german + german.DER_WORD[case][slot]
        if self.declension == "ein":
            return self.german + german.EIN_WORD[case][slot]
        return self.german

    @property
    def adjectives(self) -> Declension:
        """The declension of the adjectives that follow."""
        if self.declension == "none":
            return "strong"
        return "mixed" if self.declension == "ein" else "weak"


THE = Determiner("the", "the", "", "der")
A = Determiner("a", "", "ein", "ein")
BARE = Determiner("", "", "", "none")
THIS = Determiner("this", "these", "dies", "dieser")
EVERY = Determiner("every", "", "jed", "dieser")
WHICH = Determiner("which", "which", "welch", "dieser")
NO = Determiner("", "", "kein", "ein")  # the English is in the verb: does not buy a book
POSSESSIVES: dict[str, Determiner] = {
    word: Determiner(word, word, stem, "ein")
    for word, stem in (
        ("my", "mein"),
        ("your", "dein"),
        ("his", "sein"),
        ("her", "ihr"),
        ("our", "unser"),
        ("their", "ihr"),
    )
}


class Nominal(ABC):
    """Anything that can be a subject or an object. The defaults are those of a name."""

    __slots__ = ()

    @property
    def person(self) -> Person:
        """The person that a verb agrees with."""
        return 3

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return False

    @property
    def is_pronoun(self) -> bool:
        """Whether it is a personal pronoun."""
        return False

    @property
    def is_early(self) -> bool:
        """Whether German moves it to the front of the middle field: pronouns and names."""
        return self.is_pronoun

    @property
    def negated_by_kein(self) -> bool:
        """Whether a negation turns it into kein, because it is indefinite."""
        return False

    @property
    def relative(self) -> Pair | None:
        """The relative clause that it carries."""
        return None

    @abstractmethod
    def english(self, case: Case = "nom") -> str:
        """Give the English, without the relative clause.

        Args:
            case: matters to pronouns alone.

        Returns:
            The phrase.
        """

    @abstractmethod
    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German, without the relative clause.

        Args:
            case: the case.
            negated: whether to say kein, where `negated_by_kein`.

        Returns:
            The phrase.
        """

    def possessive(self) -> Pair | None:
        """Give the genitive that stands before its noun: Anna's, Annas. Only names have one."""
        return None


@dataclass(frozen=True, slots=True)
class Phrase(Nominal):
    """A noun with its determiner and adjective: my old dog, mein alter Hund.

    Attributes:
        noun: the noun.
        determiner: what comes before it.
        adjective: one adjective, or none.
        many: whether it is plural.
        comparative: whether the adjective is a comparative.
        owner: whose it is: the man's dog, der Hund des Mannes, or Anna's dog, Annas Hund. It takes
            the place of the determiner.
        clause: a relative clause, in both languages.
    """

    noun: Noun
    determiner: Determiner = THE
    adjective: Adjective | None = None
    many: bool = False
    comparative: bool = False
    owner: Nominal | None = None
    clause: Pair | None = None

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return self.many

    @property
    def slot(self) -> Slot:
        """The column of the paradigms that it stands in."""
        return "p" if self.many else self.noun.gender

    @property
    def negated_by_kein(self) -> bool:
        """Whether it is indefinite."""
        return self.owner is None and self.determiner in (A, BARE)

    @property
    def relative(self) -> Pair | None:
        """The relative clause that it carries."""
        return self.clause

    def english(self, case: Case = "nom") -> str:
        """Give the English, without the relative clause.

        Args:
            case: of no consequence to nouns.

        Returns:
            The phrase.
        """
        words = [self.noun.english_plural if self.many else self.noun.english]
        if self.adjective:
            comparative = self.adjective.english_comparative
            words.insert(0, comparative if self.comparative else self.adjective.english)
        bare = " ".join(words)
        if self.owner:
            return f"{self.owner.english()}'s {bare}"
        if self.determiner is A:
            return english.with_indefinite_article(bare)
        first = self.determiner.english_plural if self.many else self.determiner.english
        return f"{first} {bare}" if first else bare

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German, without the relative clause.

        Args:
            case: the case.
            negated: whether to say kein, where `negated_by_kein`.

        Returns:
            The phrase.
        """
        name = self.owner.possessive() if self.owner else None
        determiner = NO if negated and self.negated_by_kein else self.determiner
        if self.owner:
            determiner = BARE if name else THE
        words = [name[1]] if name else [determiner.german_form(case, self.slot)]
        if self.adjective:
            declension = determiner.adjectives
            words.append(
                german.adjective_form(self.adjective, declension, case, self.slot, self.comparative)
            )
        words.append(german.noun_form(self.noun, case, self.many))
        if self.owner and not name:
            words.append(self.owner.german("gen"))
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Name(Nominal):
    """A first name. It has no case but the genitive, which has no apostrophe: Annas Buch."""

    name: str
    gender: Gender

    @property
    def is_early(self) -> bool:
        """It is, being known to everybody."""
        return True

    def english(self, case: Case = "nom") -> str:
        """Give the name.

        Args:
            case: of no consequence.

        Returns:
            The name.
        """
        return self.name

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the name.

        Args:
            case: the case; only the genitive shows.
            negated: of no consequence.

        Returns:
            The name.
        """
        return f"{self.name}s" if case == "gen" else self.name

    def possessive(self) -> Pair | None:
        """Give the genitive that stands before its noun.

        Returns:
            Anna's and Annas.
        """
        return f"{self.name}'s", f"{self.name}s"


@dataclass(frozen=True, slots=True)
class Titled(Nominal):
    """A surname with its title: Mr Weber, Herr Weber, a weak noun (mit Herrn Weber)."""

    surname: str
    gender: Gender

    @property
    def is_early(self) -> bool:
        """It is, being known to everybody."""
        return True

    def english(self, case: Case = "nom") -> str:
        """Give title and name.

        Args:
            case: of no consequence.

        Returns:
            Mr Weber or Mrs Weber.
        """
        return f"{'Mrs' if self.gender == 'f' else 'Mr'} {self.surname}"

    def german(self, case: Case, negated: bool = False) -> str:
        """Give title and name.

        Args:
            case: the case.
            negated: of no consequence.

        Returns:
            Herr Weber, Herrn Weber or Frau Weber.
        """
        title = "Frau" if self.gender == "f" else "Herr" if case == "nom" else "Herrn"
        return f"{title} {self.surname}" + ("s" if case == "gen" else "")


@dataclass(frozen=True, slots=True)
class Both(Nominal):
    """Two names, which make a plural: Anna and Peter."""

    first: Name
    second: Name

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return True

    @property
    def is_early(self) -> bool:
        """They are, being known to everybody."""
        return True

    def english(self, case: Case = "nom") -> str:
        """Give both names.

        Args:
            case: of no consequence.

        Returns:
            The names.
        """
        return f"{self.first.english()} and {self.second.english()}"

    def german(self, case: Case, negated: bool = False) -> str:
        """Give both names.

        Args:
            case: the case; the genitive is not used.
            negated: of no consequence.

        Returns:
            The names.
        """
        return f"{self.first.german(case)} und {self.second.german(case)}"
