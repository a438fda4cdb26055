"""Pronouns, of persons and of relative clauses, and strings that stand for a noun phrase."""

from __future__ import annotations

from dataclasses import dataclass

from . import german
from .nominals import Nominal, Phrase
from .words import Case, Person, Slot


@dataclass(frozen=True, slots=True)
class Pronoun(Nominal):
    """A personal pronoun, in four German and two English forms."""

    english_forms: tuple[str, str]
    german_forms: dict[Case, str]
    number: bool
    of_person: Person
    own: str  # the English possessive that refers back to it

    @property
    def person(self) -> Person:
        """The person that a verb agrees with."""
        return self.of_person

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return self.number

    @property
    def is_pronoun(self) -> bool:
        """It is."""
        return True

    def english(self, case: Case = "nom") -> str:
        """Give the English.

        Args:
            case: nom for the subject, any other for an object.

        Returns:
            The form.
        """
        return self.english_forms[case != "nom"]

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German.

        Args:
            case: the case.
            negated: of no consequence.

        Returns:
            The form.
        """
        return self.german_forms[case]


def _pronoun(english_: str, german_: str, person: Person, plural: bool, own: str) -> Pronoun:
    subject, object_ = english_.split()
    nom, acc, dat = german_.split()
    return Pronoun((subject, object_), {"nom": nom, "acc": acc, "dat": dat}, plural, person, own)


I = _pronoun("I me", "ich mich mir", 1, False, "my")  # noqa: E741
YOU = _pronoun("you you", "du dich dir", 2, False, "your")
HE = _pronoun("he him", "er ihn ihm", 3, False, "his")
SHE = _pronoun("she her", "sie sie ihr", 3, False, "her")
WE = _pronoun("we us", "wir uns uns", 1, True, "our")
THEY = _pronoun("they them", "sie sie ihnen", 3, True, "their")
# To strangers: Sie is grammatically they, and an English verb after you has the form it has after
# they.
YOU_POLITE = _pronoun("you you", "Sie Sie Ihnen", 3, True, "your")


def it_for(phrase: Phrase) -> Pronoun:
    """Choose the pronoun that takes up a thing: die Lampe ... sie, der Stuhl ... er.

    Args:
        phrase: the antecedent.

    Returns:
        A pronoun whose English is it or they and whose German has the antecedent's gender.
    """
    forms: dict[Case, str] = {case: german.PRONOUN[case][phrase.slot] for case in german.PRONOUN}
    words = ("they", "them") if phrase.many else ("it", "it")
    return Pronoun(words, forms, phrase.many, 3, "its")


@dataclass(frozen=True, slots=True)
class RelativePronoun(Nominal):
    """The opening of a relative clause: the gender is the antecedent's, the case its own."""

    slot: Slot

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return self.slot == "p"

    def english(self, case: Case = "nom") -> str:
        """Give the English.

        Args:
            case: of no consequence.

        Returns:
            That.
        """
        return "that"

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German.

        Args:
            case: the pronoun's case in its own clause.
            negated: of no consequence.

        Returns:
            der, den, dem, denen and so on.
        """
        return german.RELATIVE[case][self.slot]


@dataclass(frozen=True, slots=True)
class Fixed(Nominal):
    """Two strings that stand for a noun phrase: who, wer; twenty-one euros, einundzwanzig Euro."""

    in_english: str
    in_german: str
    many: bool = False

    @property
    def plural(self) -> bool:
        """The number that a verb agrees with."""
        return self.many

    def english(self, case: Case = "nom") -> str:
        """Give the English.

        Args:
            case: of no consequence.

        Returns:
            The string.
        """
        return self.in_english

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German.

        Args:
            case: of no consequence.
            negated: of no consequence.

        Returns:
            The string.
        """
        return self.in_german
