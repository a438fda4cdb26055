"""The shapes of the lexicon's entries, and readers for its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

Gender = Literal["m", "f", "n"]
Slot = Literal[
    "m", "f", "n", "p"
]  # a gender, or the plural, where German makes no difference of gender
Case = Literal["nom", "acc", "dat", "gen"]
Person = Literal[1, 2, 3]


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: `house houses | Haus n Häuser Hauses`.

    Attributes:
        english: the English singular.
        english_plural: the English plural, the same as the singular if there is none in use.
        german: the nominative singular.
        gender: m, f or n. It is a property of the word, not of the thing: das Mädchen.
        plural: the nominative plural.
        genitive: the genitive singular.
        weak: whether it takes -n in every case but the nominative singular (der Junge, den Jungen).
        tags: the semantic classes it is in. The first is the class that chooses its adjectives.
    """

    english: str
    english_plural: str
    german: str
    gender: Gender
    plural: str
    genitive: str
    weak: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: `old older | alt alt älter`.

    Attributes:
        english: the English positive.
        english_comparative: older, or more expensive.
        german: the predicate form (teuer).
        stem: the form that endings are added to (teur-).
        comparative: the comparative, to which the same endings are added (älter, der ältere Mann).
        tags: the classes of nouns it goes with.
    """

    english: str
    english_comparative: str
    german: str
    stem: str
    comparative: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of both languages and what it governs: `help | helfen | dat`.

    Attributes:
        english: the base form.
        english_third: the third person singular of the present.
        english_past: the simple past.
        english_particle: a particle that steps behind a pronoun (turn on the lamp, turn it on).
        english_preposition: one that never does (look for it).
        infinitive: the infinitive without its separable particle (machen).
        present: the third person singular of the present, without the particle (macht).
        participle: the past participle, without the particle (gemacht).
        sein: whether the perfect is formed with sein instead of haben.
        particle: the separable particle (auf), or nothing.
        reflexive: whether it needs sich.
        preposition: the preposition that its object takes (warten auf), or nothing.
        case: the case of its object, with or without a preposition.
        subjects: the classes that can be its subject.
        objects: the classes that can be its object; none if it is intransitive.
        timeless: whether it is kept to the present and the future, because the German perfect would
            sound odd (hat gekannt) or the English past could be a present (I read).
        unwilled: whether it happens to people, so that nobody can be asked to do it.
        preterite: the third person singular of the preterite, for the verbs that prefer it to the
            perfect.
    """

    english: str
    english_third: str
    english_past: str
    english_particle: str
    english_preposition: str
    infinitive: str
    present: str
    participle: str
    sein: bool
    particle: str
    reflexive: bool
    preposition: str
    case: Case
    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    timeless: bool
    unwilled: bool
    preterite: str = ""


def _rows(table: str) -> Iterator[list[str]]:
    for line in table.strip().splitlines():
        yield [column.strip() for column in line.split("|")]


def read_nouns(table: str) -> tuple[Noun, ...]:
    """Read lines of `english plural | German gender plural genitive | tags`.

    The genitive of a feminine noun is the nominative and is left out. A genitive marked with *
    belongs to a weak noun.

    Args:
        table: the lines.

    Returns:
        One noun a line.
    """
    nouns = []
    for english, german, tags in _rows(table):
        single, many = (form.replace("_", " ") for form in english.split())
        base, gender, plural, *rest = german.split()
        genitive = rest[0] if rest else base
        nouns.append(
            Noun(
                english=single,
                english_plural=many,
                german=base,
                gender=cast(Gender, gender),
                plural=plural,
                genitive=genitive.removesuffix("*"),
                weak=genitive.endswith("*"),
                tags=tuple(tags.split()),
            )
        )
    return tuple(nouns)


def read_adjectives(table: str) -> tuple[Adjective, ...]:
    """Read lines of `english comparative | German stem comparative | tags`.

    Args:
        table: the lines; an underscore stands for a space (more_expensive).

    Returns:
        One adjective a line.
    """
    adjectives = []
    for english, german, tags in _rows(table):
        positive, comparative = (form.replace("_", " ") for form in english.split())
        base, stem, german_comparative = german.split()
        adjectives.append(
            Adjective(positive, comparative, base, stem, german_comparative, tuple(tags.split()))
        )
    return tuple(adjectives)


def read_verbs(table: str) -> tuple[Verb, ...]:
    """Read lines of `English | German | government | subjects | objects`.

    Each language has three forms: `see sees saw`, `sehen sieht gesehen`. In the English column
    `~on` is a particle that moves and `+for` a preposition. In the German column a slash divides a
    separable particle from its verb (auf/machen), and `sein` asks for that auxiliary. The
    government is a case, with a preposition before it if there is one (auf acc), with `sich` if
    the verb is reflexive, and with `timeless` and `unwilled`.

    Args:
        table: the lines.

    Returns:
        One verb a line.
    """
    verbs = []
    for english, german, government, subjects, objects in _rows(table):
        base, third, past, *extras = english.split()
        infinitive, present, participle, *auxiliary = german.split()
        particle, _, infinitive = infinitive.rpartition("/")
        words = government.split()
        cases = [word for word in words if word in ("acc", "dat")]
        governors = [
            word for word in words if word not in ("acc", "dat", "sich", "timeless", "unwilled")
        ]
        verbs.append(
            Verb(
                english=base,
                english_third=third,
                english_past=past,
                english_particle=" ".join(x[1:] for x in extras if x[0] == "~"),
                english_preposition=" ".join(x[1:] for x in extras if x[0] == "+").replace(
                    "_", " "
                ),
                infinitive=infinitive,
                present=present,
                participle=participle,
                sein=auxiliary == ["sein"],
                particle=particle,
                reflexive="sich" in words,
                preposition=governors[0] if governors else "",
                case=cast(Case, cases[0] if cases else "acc"),
                subjects=tuple(subjects.split()),
                objects=tuple(objects.split()),
                timeless="timeless" in words or past == base,
                unwilled="unwilled" in words,
            )
        )
    return tuple(verbs)
