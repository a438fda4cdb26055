"""Sentences about noun phrases: agreement, case, and the prepositions that govern it.

Each sampler takes the dice and gives one pair of sentences; `grammar` lists them.
"""

from __future__ import annotations

from dataclasses import replace

from . import lexicon as lex
from .adverbials import BEHIND, BEFORE, BESIDE, IN, INSIDE, ON, TWO_WAY, UNDER
from .choosing import (
    ADJECTIVES,
    BY_TAG,
    DATIVE,
    EVERYDAY,
    GIVING,
    INTRANSITIVE,
    PREPOSITIONAL,
    TRANSITIVE,
    action,
    adjective_for,
    human,
    object_for,
    phrase,
    place_phrase,
    possessive,
    prepositional,
    time_for,
)
from .clauses import Adverbial, Clause, sentence, statement
from .dice import Dice
from .nominals import (
    THE,
    THIS,
    Fixed,
    Name,
    Nominal,
    Pair,
    Phrase,
    Pronoun,
    Titled,
)
from .words import Adjective, Verb

TwoWay = tuple[str, str, str, str]

_THINGS = ("object", "reading", "animal", "place", "person", "youth", "kin", "fruit")
_GO, _RUN, _COME, _DRIVE = (
    lex.verb(*names)
    for names in (("go", "gehen"), ("run", "laufen"), ("come", "kommen"), ("drive", "fahren"))
)
_LIVE, _SIT, _LIE, _STAND = (
    lex.verb(*names)
    for names in (("live", "wohnen"), ("sit", "sitzen"), ("lie", "liegen"), ("stand", "stehen"))
)
_HANG = next(v for v in lex.VERBS if v.subjects == ("position",) and v.english == "hang")
_PLACEMENT = tuple(v for v in lex.VERBS if v.subjects == ("placement",))
_BELONG = lex.verb("belong to", "gehören")
_WALL = ("on", "on", "an", "wall")
_ABOVE = ("above", "above", "über", "surface")


def _say(clause: Clause, dice: Dice, fronted: int = 30) -> Pair:
    return sentence(*statement(clause, dice.chance(fronted)))


def is_(subject: Nominal, dice: Dice, group: str, tense: str = "present") -> Clause:
    """Say what something is like: the lamp is old.

    Args:
        subject: the thing.
        dice: the source of chance.
        group: the class of nouns that chooses the adjective.
        tense: as in `Clause`.

    Returns:
        The clause. An adjective after sein has no ending.
    """
    quality = dice.pick(ADJECTIVES[group])
    # the lamp is red, but not: the red lamp is heavy and red
    while isinstance(subject, Phrase) and subject.adjective == quality:
        quality = dice.pick(ADJECTIVES[group])
    return Clause(subject, lex.BE, tense, places=((quality.english, quality.german),))


def location(dice: Dice, where: TwoWay) -> Pair:
    """Say where something is, in the dative: im Garten.

    Args:
        dice: the source of chance.
        where: a two-way preposition.

    Returns:
        The prepositional phrase.
    """
    return prepositional(where[0], where[2], place_phrase(dice, where[3]), "dat")


def direction(dice: Dice, where: TwoWay) -> Pair:
    """Say where something goes, in the accusative: in den Garten.

    Args:
        dice: the source of chance.
        where: a two-way preposition.

    Returns:
        The prepositional phrase.
    """
    return prepositional(where[1], where[2], place_phrase(dice, where[3]), "acc")


def agreement(dice: Dice) -> Pair:
    """Articles and adjectives agree with their noun in gender, number and case."""
    draw = dice.below(10)
    if draw < 5:
        tense = dice.pick(("present", "present", "past"))
        clause = action(dice, TRANSITIVE, tense, time=40, adjective=85, pronoun=0)
        if not clause.verb.timeless and dice.chance(25):
            clause = replace(clause, places=(location(dice, IN),))
        return _say(clause, dice)
    if draw < 7:
        noun = dice.pick(BY_TAG[dice.pick(_THINGS)])
        subject = phrase(dice, noun, wide=False, adjective=45)
        first = is_(subject, dice, noun.tags[0], dice.pick(("present", "present", "past")))
        second = action(dice, TRANSITIVE, first.tense, adjective=60)
        left, right = statement(first), statement(second)
        return sentence(f"{left[0]} and {right[0]}", f"{left[1]} und {right[1]}")
    if draw < 9:
        tense = dice.pick(("present", "past"))
        owner = human(dice, wide=True)
        thing = object_for(dice, lex.HAVE, owner, adjective=90)
        return _say(Clause(owner, lex.HAVE, tense, thing), dice)
    noun = dice.pick(BY_TAG[dice.pick(("object", "reading", "animal", "place", "kin"))])
    thing = phrase(dice, noun, adjective=80)
    while thing.determiner is THIS:
        thing = phrase(dice, noun, adjective=80)
    what = Fixed("these", "das", True) if thing.many else Fixed("this", "das")
    return sentence(*statement(Clause(what, lex.BE, object=thing)))


def weak_noun(dice: Dice) -> Pair:
    """Weak nouns take -n in every case but the nominative singular: der Junge sieht den Studenten."""
    weak = [noun for noun in BY_TAG["human"] if noun.weak]
    beasts = [noun for noun in BY_TAG["animal"] if noun.weak]
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "can"))
    if draw < 2:
        title = Titled(dice.pick(lex.SURNAMES), dice.pick(("m", "m", "m", "f")))
        clause = action(dice, DATIVE + PREPOSITIONAL[:4], tense, time=50, pronoun=0)
        if "human" in clause.verb.objects and not isinstance(clause.subject, Titled):
            return _say(replace(clause, object=title), dice)
    subject: Nominal = human(dice)
    if draw < 5:
        subject = phrase(dice, dice.pick(weak), wide=False, adjective=40, plural=8)
    verb = dice.pick([v for v in EVERYDAY if "human" in v.objects and not (tense == "past" and v.timeless)])
    pool = weak + beasts if "animal" in verb.objects else weak
    noun = dice.pick(pool)
    while isinstance(subject, Phrase) and subject.noun == noun:
        noun = dice.pick(pool)
    thing = phrase(dice, noun, subject, wide=False, adjective=45, plural=10)
    time = time_for(dice, tense) if dice.chance(45) else None
    return _say(Clause(subject, verb, tense, thing, time=time), dice)


def dative(dice: Dice) -> Pair:
    """The dative: to whom something is given, and the object of helfen, danken, gehören."""
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "must", "want"))
    if draw < 3:
        return _say(action(dice, DATIVE, tense, time=50, pronoun=20), dice)
    if draw < 4:
        noun = dice.pick(BY_TAG[dice.pick(("thing", "text", "pet", "sent"))])
        thing = phrase(dice, noun, wide=False, adjective=45)
        while thing.determiner.declension == "ein":  # my book belongs to him: a puzzle
            thing = phrase(dice, noun, wide=False, adjective=45)
        owner = human(dice, pronoun=25)
        return _say(Clause(thing, _BELONG, object=owner), dice)
    giver = human(dice)
    taker = human(dice)
    while _same(giver, taker):
        taker = human(dice)
    verb = dice.pick(GIVING)
    thing = phrase(dice, dice.pick(BY_TAG[dice.pick(verb.objects)]), giver, adjective=35)
    time = time_for(dice, tense) if dice.chance(35) else None
    return _say(Clause(giver, verb, tense, thing, indirect=taker, time=time), dice)


def _same(one: Nominal, other: Nominal) -> bool:
    if isinstance(one, Pronoun) and isinstance(other, Pronoun):
        return one.person == other.person
    if isinstance(one, Phrase) and isinstance(other, Phrase):
        return one.noun == other.noun
    return one == other


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
            ((("during", "während"), "event"), (("because of", "wegen"), "weather"), (("despite", "trotz"), "weather"))
        )
        noun = dice.pick(BY_TAG[tag])
        event = Phrase(noun)
        when = Adverbial(*prepositional(*preposition, event, "gen"))
        verbs = tuple(v for v in EVERYDAY if not v.timeless)
        return _say(replace(action(dice, verbs, tense), time=when), dice, 60)
    noun = dice.pick(BY_TAG[dice.pick(("object", "reading", "pet", "kin"))])
    owned = Phrase(noun, THE, adjective_for(dice, noun) if dice.chance(35) else None, owner=_owner(dice))
    while isinstance(owned.owner, Phrase) and owned.owner.noun.tags[0] == noun.tags[0] == "kin":
        owned = replace(owned, owner=_owner(dice))
    if draw < 6:
        tense = dice.pick(("present", "past"))
        return _say(is_(owned, dice, noun.tags[0], tense), dice)
    verbs = [v for v in EVERYDAY if set(v.objects) & set(noun.tags)]
    verb = dice.pick(verbs)
    subject = human(dice)
    while _same(subject, owned) or _same(subject, owned.owner or owned):
        subject = human(dice)
    tense = "present" if verb.timeless else dice.pick(("present", "past", "future", "can"))
    time = time_for(dice, tense) if dice.chance(30) else None
    return _say(Clause(subject, verb, tense, owned, time=time), dice)


def _companion(dice: Dice, subject: Nominal) -> Pair:
    kin = dice.pick(BY_TAG["kin"])
    while isinstance(subject, Phrase) and subject.noun == kin:
        kin = dice.pick(BY_TAG["kin"])
    with_whom: Nominal = phrase(dice, kin, subject, adjective=20)
    if dice.chance(25):
        with_whom = Name(*dice.pick(lex.NAMES))
    if with_whom == subject:
        with_whom = Phrase(lex.noun("friend"), possessive(dice, subject))
    if dice.chance(70):
        return prepositional("with", "mit", with_whom, "dat")
    return prepositional("without", "ohne", with_whom, "acc")


def _path(dice: Dice) -> tuple[Verb, Pair]:
    """Choose a way to go: to, from, out of, through, at, with the preposition's own case."""
    draw = dice.below(7)
    verb = dice.pick((_GO, _GO, _RUN, _DRIVE))
    if draw < 2:
        return verb, prepositional("to", "zu", place_phrase(dice, "goal"), "dat")
    if draw < 3:
        who = phrase(dice, dice.pick(BY_TAG["visited"]), wide=False, adjective=20, plural=0)
        return verb, prepositional("to", "zu", who, "dat")
    if draw < 4:
        return _COME, prepositional("from", "von", place_phrase(dice, "goal"), "dat")
    if draw < 5:
        return _COME, prepositional("out of", "aus", place_phrase(dice, "enter"), "dat")
    if draw < 6:
        return dice.pick((_GO, _RUN)), prepositional("through", "durch", place_phrase(dice, "through"), "acc")
    town = dice.pick(lex.TOWNS)
    if dice.chance(50):
        return _DRIVE, (f"to {town[0]}", f"nach {town[1]}")
    return _COME, (f"from {town[0]}", f"aus {town[1]}")


def preposition(dice: Dice) -> Pair:
    """Prepositions that always govern one case: mit, zu, von, aus, nach and bei; für, ohne and durch."""
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "want", "must"))
    if draw < 4:
        subject = human(dice)
        verb, way = _path(dice)
        places = (way, _companion(dice, subject)) if dice.chance(55) else (way,)
        time = time_for(dice, tense) if dice.chance(35) else None
        return _say(Clause(subject, verb, tense, time=time, places=places), dice)
    if draw < 7:
        return _say(action(dice, PREPOSITIONAL, tense, time=55, pronoun=20), dice)
    if draw < 9:
        verb = dice.pick([lex.verb("buy", "kaufen"), lex.verb("draw", "zeichnen"), lex.verb("find", "finden")])
        clause = action(dice, (verb,), tense, time=30, pronoun=0)
        friend = phrase(dice, dice.pick(BY_TAG["human"]), clause.subject, wide=False, plural=10)
        return _say(replace(clause, places=(prepositional("for", "für", friend, "acc"),)), dice)
    event = Phrase(dice.pick(BY_TAG["event"]))
    when = dice.pick((("after", "nach"), ("before", "vor")))
    clause = action(dice, INTRANSITIVE + TRANSITIVE, "past")
    return _say(replace(clause, time=Adverbial(*prepositional(*when, event, "dat"))), dice, 50)


def _lies(dice: Dice, tense: str) -> Clause:
    """Say where a thing or a person is."""
    draw = dice.below(10)
    if draw < 4:
        verb, tag, places = dice.pick(
            (
                (_LIE, "lay", (ON, UNDER, INSIDE, BESIDE)),
                (_STAND, "stand", (ON, UNDER, BESIDE, BEHIND)),
                (_HANG, "hang", (_WALL, _ABOVE)),
            )
        )
        thing = phrase(dice, dice.pick(BY_TAG[tag]), wide=False, adjective=35)
        if verb.timeless and tense == "past":
            tense = "present"
        where = dice.pick(places)
        return Clause(thing, verb, tense, places=(_elsewhere(dice, where, thing, "dat"),))
    if draw < 5:
        beast = phrase(dice, dice.pick(BY_TAG["pet"]), wide=False, adjective=35)
        verb = dice.pick((_LIE, _STAND, lex.verb("sleep", "schlafen")))
        return Clause(beast, verb, tense, places=(location(dice, dice.pick((*TWO_WAY, ON))),))
    who = human(dice)
    if draw < 8:
        verb = dice.pick((*INTRANSITIVE, _SIT, _STAND))
        return Clause(who, verb, tense, places=(location(dice, dice.pick(TWO_WAY)),))
    town = dice.pick(lex.TOWNS)
    where_to_live = (f"in {town[0]}", f"in {town[1]}") if dice.chance(40) else location(dice, IN)
    return Clause(who, _LIVE, tense, places=(where_to_live,))


def _elsewhere(dice: Dice, where: TwoWay, thing: Phrase, case: str) -> Pair:
    """Choose a place that is not the thing itself: no bag in the bag."""
    spot = place_phrase(dice, where[3])
    while spot.noun == thing.noun:
        spot = place_phrase(dice, where[3])
    if case == "dat":
        return prepositional(where[0], where[2], spot, "dat")
    return prepositional(where[1], where[2], spot, "acc")


def _goes(dice: Dice, tense: str) -> Clause:
    """Say where a thing or a person goes."""
    who = human(dice)
    if dice.chance(45):
        verb = dice.pick((_GO, _GO, _RUN, _DRIVE))
        places = (IN,) if verb is _DRIVE else (IN, IN, BEHIND, UNDER, BESIDE, BEFORE)
        return Clause(who, verb, tense, places=(direction(dice, dice.pick(places)),))
    verb = dice.pick(_PLACEMENT)
    if tense == "past" and verb.timeless:
        tense = "present"
    thing = phrase(dice, dice.pick(BY_TAG[verb.objects[0]]), who, adjective=30)
    places = {"lay": (ON, UNDER, INSIDE, BESIDE), "stand": (ON, UNDER, BESIDE), "hang": (_WALL, _ABOVE)}[
        verb.objects[0]
    ]
    where = _elsewhere(dice, dice.pick(places), thing, "acc")
    return Clause(who, verb, tense, thing, places=(where,))


def two_way(dice: Dice) -> Pair:
    """Two-way prepositions: the dative where something is, the accusative where it goes."""
    tense = dice.pick(("present", "present", "past", "future", "should"))
    clause = _lies(dice, tense) if dice.chance(50) else _goes(dice, tense)
    time = time_for(dice, clause.tense) if dice.chance(30) else None
    return _say(replace(clause, time=time), dice)


def _gradable(dice: Dice, group: str) -> Adjective:
    """Choose an adjective of which there is more and less; nothing is redder than a red thing."""
    return dice.pick([quality for quality in ADJECTIVES[group] if "colour" not in quality.tags])


def comparison(dice: Dice) -> Pair:
    """Comparatives: älter als, so alt wie, ein billigeres Auto."""
    group = dice.pick(("object", "reading", "animal", "person", "kin", "place"))
    first, second = (phrase(dice, dice.pick(BY_TAG[group]), wide=False, adjective=0) for _ in range(2))
    while second.noun == first.noun:
        second = phrase(dice, dice.pick(BY_TAG[group]), wide=False, adjective=0)
    quality = _gradable(dice, group)
    if dice.chance(25):
        subject = human(dice)
        group = dice.pick(("object", "place", "reading"))
        bare = phrase(dice, dice.pick(BY_TAG[group]), adjective=0, plural=10)
        bigger = replace(bare, adjective=_gradable(dice, group), comparative=True)
        tense = dice.pick(("present", "want", "must", "future", "can"))
        verb = dice.pick((lex.verb("see", "sehen"), lex.verb("find", "finden")))
        return _say(Clause(subject, verb, tense, bigger, time=time_for(dice, tense)), dice)
    if dice.chance(60):
        how = f"{quality.english_comparative} than", f"{quality.comparative} als"
    else:
        how = f"as {quality.english} as", f"so {quality.german} wie"
    places = ((f"{how[0]} {second.english()}", f"{how[1]} {second.german('nom')}"),)
    tense = dice.pick(("present", "past"))
    negated = how[0].startswith("as") and dice.chance(50)
    return _say(Clause(first, lex.BE, tense, places=places, negated=negated), dice)

