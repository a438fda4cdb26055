"""What makes sense together: choosing nouns for verbs, determiners and adjectives for nouns."""

from __future__ import annotations

from collections.abc import Sequence

from . import lexicon as lex
from .adverbials import FUTURE, PAST, PRESENT, WISHED
from .clauses import Adverbial, Clause, sentence, statement
from .dice import Dice
from .german import contract
from .nominals import (
    BARE,
    EVERY,
    POSSESSIVES,
    THE,
    THIS,
    A,
    Both,
    Determiner,
    Name,
    Nominal,
    Pair,
    Phrase,
    Titled,
)
from .pronouns import HE, SHE, THEY, WE, YOU, I, Pronoun
from .words import Adjective, Case, Noun, Verb

BY_TAG: dict[str, tuple[Noun, ...]] = {
    tag: tuple(noun for noun in lex.NOUNS if tag in noun.tags)
    for tag in dict.fromkeys(tag for noun in lex.NOUNS for tag in noun.tags)
}
ADJECTIVES: dict[str, tuple[Adjective, ...]] = {
    tag: tuple(adjective for adjective in lex.ADJECTIVES if tag in adjective.tags)
    for tag in dict.fromkeys(tag for adjective in lex.ADJECTIVES for tag in adjective.tags)
}
PRONOUNS = (I, YOU, HE, SHE, WE, THEY)

_HUMAN_VERBS = [v for v in lex.VERBS if v.subjects[:1] == ("human",)]
_SIMPLE = [v for v in _HUMAN_VERBS if not (v.particle or v.reflexive or v.preposition)]
TRANSITIVE = tuple(v for v in _SIMPLE if v.objects and v.case == "acc")
DATIVE = tuple(v for v in _SIMPLE if v.objects and v.case == "dat")
INTRANSITIVE = tuple(v for v in _SIMPLE if not v.objects)
PREPOSITIONAL = tuple(v for v in _HUMAN_VERBS if v.preposition and not v.reflexive)
REFLEXIVE = tuple(v for v in _HUMAN_VERBS if v.reflexive)
SEPARABLE = tuple(v for v in _HUMAN_VERBS if v.particle and v.objects)
SEPARABLE_INTRANSITIVE = tuple(
    v for v in _HUMAN_VERBS if v.particle and not v.objects and v.english != "depart"
)
HUNTING = tuple(v for v in lex.VERBS if v.subjects == ("hunter",))
GIVING = tuple(v for v in lex.VERBS if v.subjects == ("giving",))
STATIVE = (lex.verb("love", "lieben"), lex.verb("know", "kennen"))
# the mix that everyday clauses are made of; a name twice is twice as frequent
EVERYDAY = (
    TRANSITIVE * 2 + DATIVE + INTRANSITIVE + SEPARABLE + SEPARABLE_INTRANSITIVE + PREPOSITIONAL
)


def own_word(subject: Nominal | None) -> str | None:
    """Find the possessive that refers back to a subject.

    Args:
        subject: the subject, if there is one.

    Returns:
        my, her, their; none for an animal, and none for das Kind and das Mädchen, where English and
        German disagree about whose gender counts.
    """
    if isinstance(subject, Pronoun):
        return subject.own
    if isinstance(subject, Name | Titled):
        return "her" if subject.gender == "f" else "his"
    if isinstance(subject, Both):
        return "their"
    if isinstance(subject, Phrase) and "human" in subject.noun.tags:
        if subject.many:
            return "their"
        return {"m": "his", "f": "her", "n": None}[subject.noun.gender]
    return None


def possessive(dice: Dice, subject: Nominal | None = None) -> Determiner:
    """Choose a possessive, mostly the subject's own.

    Args:
        dice: the source of chance.
        subject: the subject of the clause.

    Returns:
        The determiner.
    """
    own = own_word(subject)
    if own and dice.chance(75):
        return POSSESSIVES[own]
    # beside das Kind, his and her would be taken to be the child's
    small = isinstance(subject, Phrase) and subject.noun.gender == "n"
    return POSSESSIVES[dice.pick(("my", "our") if small else ("my", "our", "my", "his", "her"))]


def adjective_for(dice: Dice, noun: Noun) -> Adjective | None:
    """Choose an adjective that makes sense with a noun.

    Args:
        dice: the source of chance.
        noun: the noun.

    Returns:
        The adjective, or none if nothing fits.
    """
    fitting = ADJECTIVES.get(noun.tags[0])
    return dice.pick(fitting) if fitting else None


def _determiner(
    dice: Dice, noun: Noun, many: bool, subject: Nominal | None, wide: bool
) -> Determiner:
    kind = noun.tags[0]
    owned = kind in ("object", "reading", "message", "kin") or bool({"pet", "own"} & {*noun.tags})
    if kind == "kin":
        return possessive(dice, subject)
    draw = dice.below(100)
    if draw < 18 and owned:
        return possessive(dice, subject)
    if draw < 28:
        return THIS
    if not wide or draw < 68:
        return THE
    if many or "mass" in noun.tags:
        return BARE
    return EVERY if kind in ("person", "youth") and draw > 94 else A


def phrase(
    dice: Dice,
    noun: Noun,
    subject: Nominal | None = None,
    *,
    wide: bool = True,
    adjective: int = 30,
    plural: int = 18,
) -> Phrase:
    """Build a noun phrase around a noun.

    Args:
        dice: the source of chance.
        noun: the noun.
        subject: the subject of the clause, whose possessions these may be.
        wide: whether a, every and no determiner at all are welcome beside the, this and my.
        adjective: how often out of a hundred there is an adjective.
        plural: how often out of a hundred it is plural.

    Returns:
        The noun phrase.
    """
    countable = "mass" not in noun.tags and not (noun.tags[0] == "kin" and "many" not in noun.tags)
    many = countable and dice.chance(plural)
    chosen = adjective_for(dice, noun) if dice.chance(adjective) else None
    return Phrase(noun, _determiner(dice, noun, many, subject, wide), chosen, many)


def human(dice: Dice, *, pronoun: int = 30, name: int = 25, wide: bool = False) -> Nominal:
    """Choose a person to do something.

    Args:
        dice: the source of chance.
        pronoun: how often out of a hundred it is a pronoun.
        name: how often out of a hundred it is a name.
        wide: whether it may be indefinite.

    Returns:
        The person.
    """
    draw = dice.below(100)
    if draw < pronoun:
        return dice.pick(PRONOUNS)
    if draw < pronoun + name:
        if dice.chance(12):
            return Titled(dice.pick(lex.SURNAMES), dice.pick(("m", "f")))
        if dice.chance(25):
            first = dice.below(len(lex.NAMES))
            second = (first + 1 + dice.below(len(lex.NAMES) - 1)) % len(lex.NAMES)
            return Both(Name(*lex.NAMES[first]), Name(*lex.NAMES[second]))
        return Name(*dice.pick(lex.NAMES))
    return phrase(dice, dice.pick(BY_TAG["human"]), wide=wide, adjective=35)


def clash(subject: Nominal, other: Nominal) -> bool:
    """Tell whether two phrases may be the same person, which would need a reflexive, or look odd.

    Args:
        subject: the one.
        other: the other.

    Returns:
        Whether they clash.
    """
    if isinstance(subject, Pronoun) and isinstance(other, Pronoun):
        return subject.person == other.person
    if isinstance(subject, Phrase) and isinstance(other, Phrase):
        return subject.noun == other.noun
    if isinstance(subject, Both):
        return other in (subject.first, subject.second) or isinstance(other, Both)
    return subject == other or (isinstance(other, Both) and subject in (other.first, other.second))


def object_for(
    dice: Dice,
    verb: Verb,
    subject: Nominal,
    *,
    pronoun: int = 12,
    wide: bool = True,
    adjective: int = 45,
) -> Nominal:
    """Choose an object that makes sense for a verb.

    Args:
        dice: the source of chance.
        verb: the verb.
        subject: its subject, which is not to be its object as well.
        pronoun: how often out of a hundred a person is a pronoun.
        wide: whether it may be indefinite.
        adjective: how often out of a hundred there is an adjective.

    Returns:
        The object.
    """
    while True:
        tag = dice.pick(verb.objects)
        chosen: Nominal
        if tag == "human" and dice.chance(pronoun + 15):
            chosen = human(dice, pronoun=pronoun * 100 // (pronoun + 15), name=100)
        else:
            noun = dice.pick(BY_TAG[tag])
            chosen = phrase(dice, noun, subject, wide=wide, adjective=adjective)
        if not clash(subject, chosen):
            return chosen


def subject_for(dice: Dice, verb: Verb, *, wide: bool = False) -> Nominal:
    """Choose a subject that makes sense for a verb.

    Args:
        dice: the source of chance.
        verb: the verb.
        wide: whether it may be indefinite.

    Returns:
        The subject: mostly a person, wherever a person will do.
    """
    if "human" in verb.subjects and dice.chance(85):
        return human(dice, wide=wide)
    tag = dice.pick(verb.subjects)
    if tag == "human":
        return human(dice, wide=wide)
    return phrase(dice, dice.pick(BY_TAG[tag]), wide=wide, adjective=30)


def suits(verb: Verb, tense: str) -> bool:
    """Tell whether a verb makes sense in a tense.

    Args:
        verb: the verb.
        tense: as in `Clause`, or "order" for an imperative.

    Returns:
        False for what nobody can be told to do (must lose) and for what has no past here.
    """
    if tense == "past":
        return not verb.timeless
    if tense == "future":
        return verb not in STATIVE
    return tense == "present" or not verb.unwilled


def they_for(person: Nominal) -> Nominal | None:
    """Choose the pronoun that takes up a person.

    Args:
        person: the antecedent.

    Returns:
        The pronoun; none for an animal, nor for a word like das Kind, of which German can say es
        or er or sie.
    """
    if isinstance(person, Pronoun):
        return person
    if isinstance(person, Name | Titled):
        return SHE if person.gender == "f" else HE
    if isinstance(person, Both):
        return THEY
    if isinstance(person, Phrase) and "human" in person.noun.tags:
        if person.many:
            return THEY
        return {"m": HE, "f": SHE, "n": None}[person.noun.gender]
    return None


def time_for(dice: Dice, tense: str, negated: bool = False) -> Adverbial:
    """Choose a time that agrees with the tense.

    Args:
        dice: the source of chance.
        tense: as in `Clause`.
        negated: whether the clause is; then it is not every day, which nicht would deny instead of
            the verb (nicht jeden Tag).

    Returns:
        The time.
    """
    times = {"present": PRESENT, "past": PAST, "future": FUTURE}.get(tense, WISHED)
    when = dice.pick(times)
    while negated and when.english.startswith("every"):
        when = dice.pick(times)
    return when


def action(
    dice: Dice,
    verbs: Sequence[Verb] = EVERYDAY,
    tense: str = "present",
    *,
    subject: Nominal | None = None,
    time: int = 0,
    negated: bool = False,
    pronoun: int = 12,
    adjective: int = 45,
) -> Clause:
    """Make up a clause in which somebody does something.

    Args:
        dice: the source of chance.
        verbs: the verbs to choose from.
        tense: as in `Clause`.
        subject: who does it, a person; chosen to fit if not given.
        time: how often out of a hundred there is a time.
        negated: whether it is denied; subject and prepositional object are definite then.
        pronoun: how often out of a hundred a person as object is a pronoun.
        adjective: how often out of a hundred an object has an adjective.

    Returns:
        The clause.
    """
    verb = dice.pick(verbs)
    while not suits(verb, tense):
        verb = dice.pick(verbs)
    who = subject or subject_for(dice, verb)
    thing: Nominal | None = None
    if verb.objects:
        wide = not verb.preposition and verb.case == "acc"
        thing = object_for(dice, verb, who, pronoun=pronoun, wide=wide, adjective=adjective)
        # not every: nicht jeden would deny something else
        while negated and isinstance(thing, Phrase) and thing.determiner is EVERY:
            thing = object_for(dice, verb, who, pronoun=pronoun, wide=wide, adjective=adjective)
    # to love and to know have no time of day
    dated = verb not in STATIVE and dice.chance(time)
    when = time_for(dice, tense, negated) if dated else None
    return Clause(who, verb, tense, thing, time=when, negated=negated)


def place_phrase(dice: Dice, tag: str, *, plural: int = 6) -> Phrase:
    """Choose a place or a piece of furniture to be in, on or under.

    Args:
        dice: the source of chance.
        tag: the class of the noun.
        plural: how often out of a hundred it is plural.

    Returns:
        The noun phrase.
    """
    noun = dice.pick(BY_TAG[tag])
    chosen = adjective_for(dice, noun) if dice.chance(25) else None
    if "lone" not in noun.tags and dice.chance(plural):
        return Phrase(noun, THE, chosen, True)
    draw = dice.below(100)
    determiner = THE if draw < 72 else A if draw < 84 else THIS if draw < 92 else POSSESSIVES["our"]
    return Phrase(noun, determiner, chosen)


def prepositional(english: str, german: str, nominal: Nominal, case: Case) -> Pair:
    """Put prepositions before a noun phrase.

    Args:
        english: the English preposition.
        german: the German preposition.
        nominal: the noun phrase.
        case: the case that the German preposition governs.

    Returns:
        The two prepositional phrases.
    """
    return f"{english} {nominal.english('acc')}", contract(german, nominal.german(case))


def say(clause: Clause, dice: Dice, fronted: int = 30) -> Pair:
    """Make a sentence of a clause.

    Args:
        clause: the clause.
        dice: the source of chance.
        fronted: how often out of a hundred the time comes first.

    Returns:
        The pair of sentences.
    """
    return sentence(*statement(clause, dice.chance(fronted)))
