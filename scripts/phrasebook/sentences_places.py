"""Sentences about places: prepositions, with the case that each of them governs."""

from __future__ import annotations

from dataclasses import replace

from . import lexicon as lex
from .adverbials import AT, BEFORE, BEHIND, BEHIND_BUILDING, BESIDE, IN, INSIDE, ON, TWO_WAY, UNDER
from .choosing import (
    BY_TAG,
    INTRANSITIVE,
    PREPOSITIONAL,
    TRANSITIVE,
    action,
    clash,
    human,
    phrase,
    place_phrase,
    possessive,
    prepositional,
    say,
    suits,
    time_for,
)
from .clauses import Adverbial, Clause
from .dice import Dice
from .nominals import Name, Nominal, Pair, Phrase
from .words import Verb

TwoWay = tuple[str, str, str, str]

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
_WALL = ("on", "on", "an", "wall")
_COVER = ("under", "under", "unter", "cover")
_THROUGHOUT = ("in", "into", "in", "through")
_AT_HOME = ("in", "into", "in", "home")
_ABOVE = ("above", "above", "über", "surface")


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


def _companion(dice: Dice, subject: Nominal) -> Pair:
    kin = dice.pick(BY_TAG["kin"])
    while isinstance(subject, Phrase) and subject.noun == kin:
        kin = dice.pick(BY_TAG["kin"])
    with_whom: Nominal = phrase(dice, kin, subject, adjective=20)
    if dice.chance(25):
        with_whom = Name(*dice.pick(lex.NAMES))
    if clash(subject, with_whom):
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
    if draw < 5:
        whence = dice.pick((("from", "von", "goal"), ("out of", "aus", "enter")))
        return _COME, prepositional(whence[0], whence[1], place_phrase(dice, whence[2]), "dat")
    if draw < 6:
        path = dice.pick((("around", "um", "behind"), ("through", "durch", "through")))
        where = prepositional(path[0], path[1], place_phrase(dice, path[2]), "acc")
        return dice.pick((_GO, _RUN)), where
    there, dort = dice.pick(lex.TOWNS)
    driving = _DRIVE, (f"to {there}", f"nach {dort}")
    coming = _COME, (f"from {there}", f"aus {dort}")
    return dice.pick((driving, coming))


def preposition(dice: Dice) -> Pair:
    """Prepositions with one case: dative mit, zu, von, aus, nach, bei; für, ohne, durch, um."""
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "want", "must"))
    if dice.chance(6):
        host = phrase(dice, dice.pick(BY_TAG["visited"]), wide=False, adjective=30, plural=0)
        where = f"at {host.english()}'s", prepositional("at", "bei", host, "dat")[1]
        guest = human(dice)
        while clash(guest, host):
            guest = human(dice)
        tense = dice.pick(("present", "past"))
        return say(Clause(guest, lex.BE, tense, time=time_for(dice, tense), places=(where,)), dice)
    if draw < 4:
        subject = human(dice)
        verb, way = _path(dice)
        places = (way, _companion(dice, subject)) if dice.chance(55) else (way,)
        time = time_for(dice, tense) if dice.chance(35) else None
        return say(Clause(subject, verb, tense, time=time, places=places), dice)
    if draw < 7:
        return say(action(dice, PREPOSITIONAL, tense, time=75, pronoun=20), dice)
    if draw < 9:
        verb = dice.pick(
            [lex.verb("buy", "kaufen"), lex.verb("draw", "zeichnen"), lex.verb("find", "finden")]
        )
        clause = action(dice, (verb,), tense, time=30, pronoun=0)
        friend = phrase(dice, dice.pick(BY_TAG["human"]), clause.subject, wide=False, plural=10)
        while clash(clause.subject, friend):
            friend = phrase(dice, dice.pick(BY_TAG["human"]), clause.subject, wide=False)
        return say(replace(clause, places=(prepositional("for", "für", friend, "acc"),)), dice)
    event = Phrase(dice.pick(BY_TAG["event"]))
    when = dice.pick((("after", "nach"), ("before", "vor")))
    clause = action(dice, INTRANSITIVE + TRANSITIVE, "past")
    return say(replace(clause, time=Adverbial(*prepositional(*when, event, "dat"))), dice, 50)


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
        verb = dice.pick((*(v for v in INTRANSITIVE if v.english != "swim"), _SIT, _STAND))
        return Clause(
            who,
            verb,
            tense,
            places=(
                location(dice, dice.pick((IN, IN, _COVER, BEHIND_BUILDING, BEFORE, BESIDE, AT))),
            ),
        )
    town = dice.pick(lex.TOWNS)
    where_to_live = (
        (f"in {town[0]}", f"in {town[1]}") if dice.chance(40) else location(dice, _AT_HOME)
    )
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
        spots = (_THROUGHOUT,) if verb is _DRIVE else (IN, IN, IN, BEHIND_BUILDING, _COVER, BEFORE)
        return Clause(who, verb, tense, places=(direction(dice, dice.pick(spots)),))
    verb = dice.pick(_PLACEMENT)
    if tense == "past" and verb.timeless:
        tense = "present"
    thing = phrase(dice, dice.pick(BY_TAG[verb.objects[0]]), who, adjective=30)
    places = {
        "lay": (ON, UNDER, INSIDE, BESIDE),
        "stand": (ON, UNDER, BESIDE),
        "hang": (_WALL, _ABOVE),
    }[verb.objects[0]]
    where = _elsewhere(dice, dice.pick(places), thing, "acc")
    return Clause(who, verb, tense, thing, places=(where,))


def two_way(dice: Dice) -> Pair:
    """Two-way prepositions: the dative where something is, the accusative where it goes."""
    tense = dice.pick(("present", "present", "past", "future", "should"))
    clause = _lies(dice, tense) if dice.chance(50) else _goes(dice, tense)
    if not suits(clause.verb, clause.tense):
        clause = replace(clause, tense="present")
    time = time_for(dice, clause.tense) if dice.chance(50) else None
    return say(replace(clause, time=time), dice)
