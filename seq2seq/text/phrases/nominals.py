"""Noun phrases: an object that knows its English and its German in every case.

A `Nominal` answers four questions: what is it called in English, what is it called in German in a given
case, what person and number does a verb agree with, and may kein negate it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import english, german
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
    def adjectives(self) -> german.Declension:
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


class Nominal:
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

    def english(self, case: Case = "nom") -> str:
        """Give the English, without the relative clause.

        Args:
            case: matters to pronouns alone.

        Returns:
            The phrase.
        """
        raise NotImplementedError

    def german(self, case: Case, negated: bool = False) -> str:
        """Give the German, without the relative clause.

        Args:
            case: the case.
            negated: whether to say kein, where `negated_by_kein`.

        Returns:
            The phrase.
        """
        raise NotImplementedError

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
        owner: whose it is: the man's dog, der Hund des Mannes, or Anna's dog, Annas Hund. It takes the
            place of the determiner.
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
    """A surname with its title: Mr Weber, Herr Weber, where Herr is a weak noun (mit Herrn Weber)."""

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
# To strangers: Sie is grammatically they, and an English verb after you has the form it has after they.
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
    """The pronoun that opens a relative clause: its gender is the antecedent's, its case is its own."""

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
