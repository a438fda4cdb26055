"""Sentences about noun phrases: agreement, case, and the prepositions that govern it.

Each sampler takes the dice and gives one pair of sentences; `grammar` lists them.
"""

from __future__ import annotations

from dataclasses import replace

from . import lexicon as lex
from .adverbials import IN
from .choosing import (
    ADJECTIVES,
    BY_TAG,
    DATIVE,
    EVERYDAY,
    GIVING,
    PREPOSITIONAL,
    TRANSITIVE,
    action,
    adjective_for,
    clash,
    human,
    object_for,
    phrase,
    prepositional,
    say,
    suits,
    they_for,
    time_for,
)
from .clauses import Adverbial, Clause, sentence, statement
from .dice import Dice
from .nominals import BARE, THE, THIS, A, Name, Nominal, Pair, Phrase, Titled
from .pronouns import Fixed, Pronoun
from .sentences_places import location
from .words import Adjective

_BELONG = lex.verb("belong to", "gehören")
_SCALES = (
    {"old", "young", "new"},
    {"big", "small"},
    {"long", "short"},
    {"expensive", "cheap"},
    {"rich", "poor"},
    {"happy", "sad"},
    {"red", "blue", "green", "black", "white"},
)
_GETTING = (("buy", "kaufen"), ("find", "finden"), ("sell", "verkaufen"))


def _contradict(one: str, other: str) -> bool:
    """Tell whether two adjectives say the same or the opposite: old and old, old and new."""
    return one == other or any(one in scale and other in scale for scale in _SCALES)


def is_(
    subject: Nominal, dice: Dice, group: str, tense: str = "present", known: Adjective | None = None
) -> Clause:
    """Say what something is like: the lamp is old.

    Args:
        subject: the thing.
        dice: the source of chance.
        group: the class of nouns that chooses the adjective.
        tense: as in `Clause`.
        known: what has been said of it before, which is not said again, nor its opposite.

    Returns:
        The clause. An adjective after sein has no ending.
    """
    if known is None and isinstance(subject, Phrase):
        known = subject.adjective
    quality = dice.pick(ADJECTIVES[group])
    while known and _contradict(known.english, quality.english):
        quality = dice.pick(ADJECTIVES[group])
    return Clause(subject, lex.BE, tense, places=((quality.english, quality.german),))


def agreement(dice: Dice) -> Pair:
    """Articles and adjectives agree with their noun in gender, number and case."""
    draw = dice.below(10)
    if draw < 5:
        tense = dice.pick(("present", "present", "past"))
        clause = action(dice, TRANSITIVE, tense, time=60, adjective=85, pronoun=0)
        if (
            not clause.verb.timeless
            and isinstance(clause.subject, Name | Titled | Pronoun)
            and dice.chance(45)
        ):
            clause = replace(clause, places=(location(dice, IN),))
        return say(clause, dice)
    if draw < 7:
        noun = dice.pick(BY_TAG[dice.pick(("person", "youth", "kin"))])
        subject = phrase(dice, noun, wide=False, adjective=45)
        first = is_(subject, dice, noun.tags[0], dice.pick(("present", "present", "past")))
        second = action(dice, TRANSITIVE, first.tense, subject=they_for(subject), adjective=70)
        while clash(subject, second.subject):
            second = action(dice, TRANSITIVE, first.tense, adjective=70)
        left, right = statement(first), statement(second)
        return sentence(f"{left[0]} and {right[0]}", f"{left[1]} und {right[1]}")
    if draw < 9:
        tense = dice.pick(("present", "past"))
        owner = human(dice, wide=True)
        thing = object_for(dice, lex.HAVE, owner, adjective=95)
        while not thing.negated_by_kein:
            thing = object_for(dice, lex.HAVE, owner, adjective=95)
        time = time_for(dice, tense) if tense == "past" else None
        return say(Clause(owner, lex.HAVE, tense, thing, time=time), dice, 70)
    noun = dice.pick(BY_TAG[dice.pick(("object", "text", "animal", "place", "kin"))])
    thing = phrase(dice, noun, adjective=80)
    while thing.determiner is THIS:
        thing = phrase(dice, noun, adjective=80)
    what = Fixed("these", "das", True) if thing.many else Fixed("this", "das")
    return sentence(*statement(Clause(what, lex.BE, object=thing)))


def weak_noun(dice: Dice) -> Pair:
    """Weak nouns take -n in all cases but the nominative: der Junge sieht den Studenten."""
    weak = [noun for noun in BY_TAG["human"] if noun.weak]
    beasts = [noun for noun in BY_TAG["animal"] if noun.weak]
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "can"))
    if draw < 2:
        title = Titled(dice.pick(lex.SURNAMES), dice.pick(("m", "m", "m", "f")))
        clause = action(dice, DATIVE + PREPOSITIONAL[:4], tense, time=50, pronoun=0)
        if "human" in clause.verb.objects and not isinstance(clause.subject, Titled):
            return say(replace(clause, object=title), dice)
    subject: Nominal = human(dice)
    if draw < 5:
        subject = phrase(dice, dice.pick(weak), wide=False, adjective=40, plural=8)
    verb = dice.pick([v for v in EVERYDAY if "human" in v.objects and suits(v, tense)])
    pool = weak + beasts if "animal" in verb.objects else weak
    noun = dice.pick(pool)
    while isinstance(subject, Phrase) and subject.noun == noun:
        noun = dice.pick(pool)
    thing = phrase(dice, noun, subject, wide=False, adjective=45, plural=10)
    time = time_for(dice, tense) if dice.chance(75) else None
    return say(Clause(subject, verb, tense, thing, time=time), dice)


def dative(dice: Dice) -> Pair:
    """The dative: to whom something is given, and the object of helfen, danken, gehören."""
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "must", "want"))
    if draw < 3:
        return say(action(dice, DATIVE, tense, time=75, pronoun=20), dice)
    if draw < 4:
        noun = dice.pick(BY_TAG[dice.pick(("thing", "text", "pet", "sent"))])
        thing = phrase(dice, noun, wide=False, adjective=45)
        while thing.determiner.declension == "ein":  # my book belongs to him: a puzzle
            thing = phrase(dice, noun, wide=False, adjective=45)
        owner = human(dice, pronoun=25)
        return say(Clause(thing, _BELONG, object=owner), dice)
    giver = human(dice)
    taker = human(dice)
    while clash(giver, taker):
        taker = human(dice)
    verb = dice.pick(GIVING)
    thing = phrase(dice, dice.pick(BY_TAG[dice.pick(verb.objects)]), giver, adjective=35)
    time = time_for(dice, tense) if dice.chance(55) else None
    return say(Clause(giver, verb, tense, thing, indirect=taker, time=time), dice)


def _owner(dice: Dice) -> Nominal:
    if dice.chance(30):
        return Name(*dice.pick(lex.NAMES))
    noun = dice.pick(BY_TAG[dice.pick(("person", "youth", "kin", "person"))])
    return phrase(dice, noun, wide=False, adjective=25, plural=0)


def genitive(dice: Dice) -> Pair:
    """The genitive: Annas Buch, das Buch des Mannes, während des Konzerts, wegen des Regens."""
    draw = dice.below(10)
    if draw < 3:
        tense = dice.pick(("present", "past"))
        preposition, tag = dice.pick(
            (
                (("during", "während"), "event"),
                (("because of", "wegen"), "weather"),
                (("despite", "trotz"), "weather"),
            )
        )
        noun = dice.pick(BY_TAG[tag])
        event = Phrase(noun)
        when = Adverbial(*prepositional(*preposition, event, "gen"))
        verbs = tuple(v for v in EVERYDAY if not v.timeless)
        return say(replace(action(dice, verbs, tense), time=when), dice, 60)
    noun = dice.pick(BY_TAG[dice.pick(("object", "text", "pet", "kin"))])
    owned = Phrase(
        noun, THE, adjective_for(dice, noun) if dice.chance(35) else None, owner=_owner(dice)
    )
    while isinstance(owned.owner, Phrase) and owned.owner.noun.tags[0] == noun.tags[0] == "kin":
        owned = replace(owned, owner=_owner(dice))
    if draw < 6:
        tense = dice.pick(("present", "past"))
        return say(is_(owned, dice, noun.tags[0], tense), dice)
    tense = dice.pick(("present", "present", "past", "future", "can"))
    verb = dice.pick([v for v in EVERYDAY if {*v.objects} & {*noun.tags} and suits(v, tense)])
    subject = human(dice)
    while clash(subject, owned) or clash(subject, owned.owner or owned):
        subject = human(dice)
    time = time_for(dice, tense) if dice.chance(45) else None
    return say(Clause(subject, verb, tense, owned, time=time), dice)


def _gradable(dice: Dice, group: str) -> Adjective:
    """Choose an adjective of which there is more and less; nothing is redder than a red thing."""
    return dice.pick([quality for quality in ADJECTIVES[group] if "colour" not in quality.tags])


def comparison(dice: Dice) -> Pair:
    """Comparatives: älter als, so alt wie, ein billigeres Auto."""
    group = dice.pick(("object", "reading", "animal", "person", "kin", "built"))
    first, second = (
        phrase(dice, dice.pick(BY_TAG[group]), wide=False, adjective=0) for _ in range(2)
    )
    while second.noun == first.noun:
        second = phrase(dice, dice.pick(BY_TAG[group]), wide=False, adjective=0)
    quality = _gradable(dice, first.noun.tags[0])
    if dice.chance(25):
        subject = human(dice)
        noun = dice.pick(BY_TAG["thing"])
        bare = phrase(dice, noun, adjective=0, plural=15)
        while bare.determiner not in (A, BARE, THE):
            bare = phrase(dice, noun, adjective=0, plural=15)
        bigger = replace(bare, adjective=_gradable(dice, noun.tags[0]), comparative=True)
        tense = dice.pick(("present", "want", "must", "future", "can"))
        verb = dice.pick([lex.verb(*names) for names in _GETTING])
        return say(Clause(subject, verb, tense, bigger, time=time_for(dice, tense)), dice)
    if dice.chance(60):
        how = f"{quality.english_comparative} than", f"{quality.comparative} als"
    else:
        how = f"as {quality.english} as", f"so {quality.german} wie"
    places = ((f"{how[0]} {second.english()}", f"{how[1]} {second.german('nom')}"),)
    tense = dice.pick(("present", "past"))
    negated = how[0].startswith("as") and dice.chance(50)
    return say(Clause(first, lex.BE, tense, places=places, negated=negated), dice)
