"""Sentences that refer back: pronouns that take their antecedent's gender, and relative clauses."""

from __future__ import annotations

from dataclasses import replace

from . import lexicon as lex
from .adverbials import ON
from .choosing import (
    BY_TAG,
    DATIVE,
    EVERYDAY,
    HUNTING,
    INTRANSITIVE,
    PREPOSITIONAL,
    SEPARABLE,
    TRANSITIVE,
    action,
    adjective_for,
    human,
    object_for,
    phrase,
    suits,
    they_for,
    time_for,
)
from .clauses import Clause, english, german, german_final, sentence, statement
from .dice import Dice
from .nominals import BARE, EVERY, THE, A, Nominal, Pair, Phrase
from .pronouns import Fixed, RelativePronoun, it_for
from .sentences_phrases import is_
from .sentences_places import location
from .words import Noun, Verb

_FUNCTION = next(v for v in lex.VERBS if v.subjects == ("functioning",))
_STAND = lex.verb("stand", "stehen")
_DRAW = lex.verb("draw", "zeichnen")
_LIE = lex.verb("lie", "liegen")
_DOINGS = tuple(
    v
    for v in TRANSITIVE + SEPARABLE
    if not set(v.objects) & {"human", "pet", "drink", "opened", "animal", "room"}
)


def _thing(dice: Dice, verb: Verb, subject: Nominal) -> Phrase:
    """Choose a thing that a pronoun can take up: definite, or at least countable."""
    while True:
        chosen = object_for(dice, verb, subject, pronoun=0, adjective=25)
        usable = isinstance(chosen, Phrase) and chosen.noun.tags[0] in (
            "object",
            "reading",
            "message",
        )
        if usable and isinstance(chosen, Phrase) and chosen.determiner not in (BARE, EVERY):
            return chosen


def _doing(dice: Dice, subject: Nominal, tense: str) -> tuple[Clause, Phrase]:
    suitable = [v for v in _DOINGS if not set(v.objects) & {"food", "dish"} and suits(v, tense)]
    verb = dice.pick(suitable)
    thing = _thing(dice, verb, subject)
    return Clause(subject, verb, tense, thing), thing


def _person(dice: Dice) -> tuple[Nominal, Nominal]:
    """Choose a person and the pronoun for the second mention."""
    while True:
        who = human(dice, pronoun=10, name=45)
        again = they_for(who)
        if again:
            return who, again


def pronoun(dice: Dice) -> Pair:
    """A pronoun has its noun's gender: die Lampe ... sie, der Stuhl ... er, das Buch ... es."""
    return dice.pick((_but_it, _but_it, _because_it, _does_it, _where_is_it, _this_is))(dice)


def _but_it(dice: Dice) -> Pair:
    """The lamp is old, but it works."""
    noun = dice.pick(BY_TAG[dice.pick(("device", "machine", "thing", "text"))])
    thing = phrase(dice, noun, wide=False, adjective=20)
    it = it_for(thing)
    tense = dice.pick(("present", "present", "past"))
    first = is_(thing, dice, noun.tags[0], tense)
    if set(noun.tags) & {"device", "machine"} and dice.chance(60):
        second = Clause(it, _FUNCTION, tense, negated=dice.chance(30))
    elif dice.chance(40):
        who = human(dice)
        verbs = [v for v in TRANSITIVE if set(v.objects) & set(noun.tags) and suits(v, tense)]
        second = Clause(who, dice.pick(verbs), tense, it, negated=dice.chance(30))
    else:
        known = lex.adjective(first.places[0][0])
        second = is_(it, dice, noun.tags[0], tense, known)
    return sentence(
        f"{english(first)}, but {english(second)}", f"{german(first)}, aber {german(second)}"
    )


def _because_it(dice: Dice) -> Pair:
    """Anna buys the coat because it is cheap."""
    who = human(dice)
    tense = dice.pick(("present", "past", "want"))
    first, thing = _doing(dice, who, tense)
    then = "past" if tense == "past" else "present"
    second = is_(it_for(thing), dice, thing.noun.tags[0], then, thing.adjective)
    word = dice.pick((("because", "weil"), ("although", "obwohl")))
    return sentence(
        f"{english(first)} {word[0]} {english(second)}",
        f"{german(first)}, {german_final(second, word[1])}",
    )


def _does_it(dice: Dice) -> Pair:
    """Peter looks for the key, but he cannot find it."""
    who, again = _person(dice)
    tense = dice.pick(("present", "past"))
    first, thing = _doing(dice, who, tense)
    others = [
        v
        for v in TRANSITIVE
        if set(v.objects) & set(thing.noun.tags) and v not in (first.verb, _DRAW)
    ]
    verb = dice.pick([v for v in others if suits(v, tense)])
    if tense == "present" and not verb.unwilled:
        tense = dice.pick(("present", "can", "want"))
    second = Clause(again, verb, tense, it_for(thing), negated=dice.chance(50))
    word = ("but", "aber") if second.negated else ("and", "und")
    left, right = statement(first)
    if second.negated:
        return sentence(f"{left}, but {english(second)}", f"{right}, aber {german(second)}")
    return sentence(f"{left} {word[0]} {english(second)}", f"{right} {word[1]} {german(second)}")


def _where_is_it(dice: Dice) -> Pair:
    """Where is my bag? It stands on the table."""
    verb, tag = dice.pick(((_LIE, "lay"), (_STAND, "stand")))
    thing = phrase(dice, dice.pick(BY_TAG[tag]), wide=False, adjective=40)
    asked = Clause(thing, lex.BE)
    told = Clause(it_for(thing), verb, places=(location(dice, ON),))
    first = sentence(f"where {english(asked, question=True)}", german(asked, "wo"), "?")
    second = sentence(english(told), german(told))
    return f"{first[0]} {second[0]}", f"{first[1]} {second[1]}"


def _this_is(dice: Dice) -> Pair:
    """This is a new clock. Anna bought it yesterday."""
    noun = dice.pick(BY_TAG["thing"])
    thing = phrase(dice, noun, adjective=70)
    while thing.determiner.english == "this":
        thing = phrase(dice, noun, adjective=70)
    what = Fixed("these", "das", True) if thing.many else Fixed("this", "das")
    first = sentence(*statement(Clause(what, lex.BE, object=thing)))
    verb = dice.pick([v for v in TRANSITIVE if v.english in ("buy", "sell", "find", "see")])
    told = Clause(human(dice), verb, "past", it_for(thing), time=time_for(dice, "past"))
    second = sentence(*statement(told))
    return f"{first[0]} {second[0]}", f"{first[1]} {second[1]}"


# ------------------------------------------------------------------------------------- relative
# clauses


def _head(dice: Dice, noun: Noun) -> Phrase:
    many = dice.chance(15) and "mass" not in noun.tags
    quality = adjective_for(dice, noun) if dice.chance(15) else None
    return Phrase(noun, THE if many or dice.chance(85) else A, quality, many)


def _noun_for(dice: Dice, tags: tuple[str, ...], taken: tuple[Noun, ...]) -> Noun:
    while True:
        tag = dice.pick(tags)
        noun = dice.pick(BY_TAG[dice.pick(("person", "youth")) if tag == "human" else tag])
        if noun not in taken and noun.tags[0] != "kin":
            return noun


def relative_clause(dice: Dice, head: Phrase, depth: int, taken: tuple[Noun, ...]) -> Pair:
    """Make up a relative clause for a noun.

    Args:
        dice: the source of chance.
        head: the noun phrase that it belongs to.
        depth: how many relative clauses are to hang from each other.
        taken: the nouns that have been used, so that none comes twice.

    Returns:
        The clause, from its pronoun on: that the man feeds, die der Mann füttert.
    """
    taken = (*taken, head.noun)
    which = RelativePronoun(head.slot)
    human_head = "human" in head.noun.tags
    if depth > 1 or ((human_head or "hunter" in head.noun.tags) and dice.chance(50)):
        return _as_subject(dice, head, which, depth, taken)
    everyone = TRANSITIVE + DATIVE + SEPARABLE + PREPOSITIONAL
    verbs = [v for v in everyone if set(v.objects) & set(head.noun.tags)]
    verb = dice.pick(verbs)
    tense = "present" if verb.timeless or dice.chance(75) else "past"
    subject = human(dice, name=40)
    while isinstance(subject, Phrase) and subject.noun in taken:
        subject = human(dice, name=40)
    clause = Clause(subject, verb, tense)
    opening = f"{verb.preposition} {which.german(verb.case)}".strip()
    return f"that {english(clause)}", german_final(clause, opening)


def _as_subject(
    dice: Dice, head: Phrase, which: RelativePronoun, depth: int, taken: tuple[Noun, ...]
) -> Pair:
    """The dog that chases the cat (that ...)."""
    if "human" in head.noun.tags:
        verbs = TRANSITIVE + DATIVE + SEPARABLE + PREPOSITIONAL
        verbs += INTRANSITIVE * 4 if depth == 1 else ()
    elif "hunter" in head.noun.tags:
        verbs = HUNTING * 2 + tuple(v for v in TRANSITIVE + DATIVE if "animal" in v.subjects)
    else:
        verbs = tuple(v for v in TRANSITIVE + DATIVE if "animal" in v.subjects)
    verb = dice.pick(verbs)
    thing: Phrase | None = None
    if verb.objects:
        tags = (
            tuple(t for t in verb.objects if t in ("human", "animal", "pet", "youth"))
            if depth > 1
            else ()
        )
        while depth > 1 and not tags:
            verb = dice.pick(verbs)
            tags = tuple(t for t in verb.objects if t in ("human", "animal", "pet", "youth"))
        thing = _head(dice, _noun_for(dice, tags or verb.objects, taken))
        if "mass" in thing.noun.tags:
            thing = replace(thing, determiner=THE)
        if depth > 1:
            thing = replace(thing, clause=relative_clause(dice, thing, depth - 1, taken))
    tense = "past" if depth == 1 and not verb.timeless and dice.chance(20) else "present"
    clause = Clause(which, verb, tense, thing)
    return english(clause), german_final(clause)


def relative(dice: Dice) -> Pair:
    """Relative clauses in each other: der Hund, der die Katze sieht, die sie füttert, schläft."""
    draw = dice.below(100)
    depth = 1 if draw < 55 else 2 if draw < 86 else 3
    if dice.chance(50):
        tags = ("human", "pet", "hunter") if depth == 1 else ("human", "animal")
        head = _head(dice, _noun_for(dice, tags, ()))
        subject = replace(head, clause=relative_clause(dice, head, depth, ()))
        animal = "human" not in head.noun.tags
        verbs = [v for v in INTRANSITIVE if not animal or "animal" in v.subjects]
        if not animal and dice.chance(60):
            clause = action(dice, EVERYDAY, subject=subject, adjective=20)
            while isinstance(clause.object, Phrase) and "human" in clause.object.noun.tags:
                clause = action(dice, EVERYDAY, subject=subject, adjective=20)
            return sentence(*statement(clause))
        return sentence(
            *statement(Clause(subject, dice.pick(verbs), dice.pick(("present", "present", "past"))))
        )
    who = human(dice, name=40)
    used = (who.noun,) if isinstance(who, Phrase) else ()
    wanted = (
        {"human", "animal", "pet"}
        if depth > 1
        else {"human", "animal", "pet", "thing", "text", "clothing"}
    )
    verbs = [v for v in TRANSITIVE + DATIVE + SEPARABLE + PREPOSITIONAL if set(v.objects) & wanted]
    verb = dice.pick(verbs)
    noun = _noun_for(dice, tuple(t for t in verb.objects if t in wanted), used)
    head = _head(dice, noun)
    thing = replace(head, clause=relative_clause(dice, head, depth, used))
    tense = dice.pick([t for t in ("present", "present", "past", "can") if suits(verb, t)])
    return sentence(*statement(Clause(who, verb, tense, thing)))
