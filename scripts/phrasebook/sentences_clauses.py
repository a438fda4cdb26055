"""Sentences about the order of the clause: where the verb goes, and what it takes along."""

from __future__ import annotations

from dataclasses import replace

from . import lexicon as lex
from .adverbials import BEHIND_BUILDING, IN, INNER
from .choosing import (
    BY_TAG,
    DATIVE,
    EVERYDAY,
    INTRANSITIVE,
    PREPOSITIONAL,
    REFLEXIVE,
    SEPARABLE,
    SEPARABLE_INTRANSITIVE,
    STATIVE,
    TRANSITIVE,
    action,
    clash,
    human,
    phrase,
    they_for,
    time_for,
)
from .clauses import (
    Clause,
    english,
    english_infinitive,
    german,
    german_final,
    german_imperative,
    german_infinitive,
    question,
    sentence,
    statement,
)
from .dice import Dice
from .nominals import WHICH, Name, Nominal, Pair, Phrase, Titled
from .pronouns import YOU, YOU_POLITE, Fixed
from .sentences_phrases import is_
from .sentences_places import direction, location

_ASK = lex.verb("ask", "fragen")
_WISSEN = lex.verb("know", "wissen")
_SAYING = tuple(v for v in lex.VERBS if v.subjects == ("that",))
_GO = lex.verb("go", "gehen")
_RUN = lex.verb("run", "laufen")
_CAUSES = (("because", "weil"), ("although", "obwohl"), ("while", "während"), ("before", "bevor"))


def _travel(dice: Dice, tense: str) -> Clause:
    """Somebody goes somewhere: the perfect with sein, and a direction."""
    where = direction(dice, dice.pick((IN, IN, BEHIND_BUILDING)))
    return Clause(human(dice), dice.pick((_GO, _RUN)), tense, places=(where,))


def _takes_place(clause: Clause) -> bool:
    """Tell whether a clause bears a place, as one with a preposition of its own does not."""
    verb = clause.verb
    if set(verb.objects) & {"sight", "room"} or verb.english == "swim":  # these have their own
        return False
    return not (
        verb.preposition
        or verb.timeless
        or verb.case == "dat"
        or (verb.particle and not verb.objects)
    )


def verb_second(dice: Dice) -> Pair:
    """Whatever comes first, the verb comes second: Heute kauft der Mann ein Buch."""
    tense = dice.pick(("present", "present", "past", "future", "can", "must"))
    if dice.chance(25):
        clause = action(dice, TRANSITIVE + INTRANSITIVE, tense)
        while not _takes_place(clause):
            clause = action(dice, TRANSITIVE + INTRANSITIVE, tense)
        where = location(dice, dice.pick((IN, IN, BEHIND_BUILDING)))
        return sentence(f"{where[0]} {english(clause)}", german(clause, where[1]))
    clause = action(dice, EVERYDAY, tense, time=100)
    while clause.time is None:
        clause = action(dice, EVERYDAY, tense, time=100)
    if dice.chance(15):
        clause = replace(_travel(dice, tense), time=time_for(dice, tense))
    if dice.chance(20):
        clause = replace(action(dice, EVERYDAY), time=dice.pick(INNER))
        return sentence(*statement(clause))
    return sentence(*statement(clause, True))


def subordinate(dice: Dice) -> Pair:
    """In a subordinate clause the verb is last, all of it: weil er heute das Buch gelesen hat."""
    tense = dice.pick(("present", "present", "present", "past", "want", "must", "future"))
    draw = dice.below(10)
    if draw < 4:
        outer = action(dice, EVERYDAY, "past" if tense == "past" else "present", adjective=20)
        inner = _beside(dice, tense, outer.subject, 65)
        same_time = tense == "present" and inner.verb is not lex.BE
        words = dice.pick(_CAUSES if same_time else _CAUSES[:2])
    elif draw < 7:
        outer = Clause(human(dice), dice.pick(_SAYING))
        inner = _beside(dice, tense, outer.subject, 35)
        words = ("that", "dass")
    elif draw < 8:
        outer = Clause(human(dice), _ASK, dice.pick(("present", "past")))
        if dice.chance(50):
            outer = replace(outer, verb=_WISSEN, tense="present", negated=True)
        inner = _beside(dice, tense, outer.subject, 35)
        words = ("whether", "ob")
    else:
        return _subordinate_first(dice)
    left, right = statement(outer)
    return sentence(
        f"{left} {words[0]} {english(inner)}", f"{right}, {german_final(inner, words[1])}"
    )


def _subordinate_first(dice: Dice) -> Pair:
    """The whole subordinate clause comes first, so the verb is next: Wenn ..., lacht Anna."""
    inner = _inner(dice, "present")
    tense = dice.pick(("present", "future", "must", "can"))
    again = they_for(inner.subject) if dice.chance(60) else None
    outer = action(dice, EVERYDAY, tense, subject=again, adjective=20)
    while again is None and clash(inner.subject, outer.subject):
        outer = action(dice, EVERYDAY, tense, adjective=20)
    words = dice.pick((("if", "wenn"), ("if", "wenn"), ("because", "weil"), ("although", "obwohl")))
    front = f"{german_final(inner, words[1])},"
    return sentence(f"{words[0]} {english(inner)}, {english(outer)}", german(outer, front))


def _beside(dice: Dice, tense: str, first: Nominal, same: int) -> Clause:
    """Make up a clause beside another: about its subject, as a pronoun, or about somebody else."""
    again = they_for(first)
    if again and dice.chance(same):
        return _inner(dice, tense, again)
    clause = _inner(dice, tense)
    while clash(first, clause.subject):
        clause = _inner(dice, tense)
    return clause


def _inner(dice: Dice, tense: str, subject: Nominal | None = None) -> Clause:
    if tense == "present" and dice.chance(30):
        if subject is None:
            subject = human(dice)
        return is_(subject, dice, "kin")
    if subject is None and dice.chance(12):
        return _travel(dice, tense)
    return action(dice, EVERYDAY, tense, subject=subject, time=35, adjective=25)


def modal(dice: Dice) -> Pair:
    """A modal verb sends the infinitive to the end: Anna muss heute das Fenster aufmachen."""
    tense = dice.pick(("can", "must", "should", "may", "want"))
    clause = action(dice, EVERYDAY, tense, time=75)
    if _takes_place(clause) and dice.chance(35):
        clause = replace(clause, places=(location(dice, IN),))
    if dice.chance(20):
        clause = replace(_travel(dice, tense), time=clause.time)
    if dice.chance(20):
        return sentence(*question(clause), "?")
    return sentence(*statement(clause, dice.chance(30)))


def perfect(dice: Dice) -> Pair:
    """The perfect: haben or sein second, the participle last."""
    clause = action(dice, EVERYDAY, "past", time=75)
    if dice.chance(30):
        clause = replace(_travel(dice, "past"), time=clause.time)
    elif _takes_place(clause) and dice.chance(45):
        clause = replace(clause, places=(location(dice, IN),))
    return sentence(*statement(clause, dice.chance(35)))


def future(dice: Dice) -> Pair:
    """The future: werden second, the infinitive last."""
    clause = action(dice, EVERYDAY, "future", time=75)
    if _takes_place(clause) and dice.chance(35):
        clause = replace(clause, places=(location(dice, IN),))
    if dice.chance(20):
        clause = replace(_travel(dice, "future"), time=clause.time)
    return sentence(*statement(clause, dice.chance(35)))


def _asked_object(dice: Dice, clause: Clause) -> tuple[Clause, Pair]:
    """Choose a question word for the object of a clause, in the case that the verb wants."""
    verb, thing = clause.verb, clause.object
    rest = replace(clause, object=None)
    noun = thing.noun if isinstance(thing, Phrase) else None
    countable = noun is not None and "mass" not in noun.tags and noun.tags[0] != "kin"
    if noun is not None and countable and dice.chance(55):
        which = Phrase(noun, WHICH, many=dice.chance(25))
        asked = which.english(), which.german(verb.case)
        if verb.case == "acc" and dice.chance(35):
            asked = f"how many {noun.english_plural}", f"wie viele {noun.plural}"
    elif noun is None or "human" in noun.tags:
        asked = "whom", "wem" if verb.case == "dat" else "wen"
    else:
        asked = ("what", "was") if verb.case == "acc" else ("what", "wem")
    if verb.preposition:
        asked = asked[0], f"{verb.preposition} {asked[1]}"
    return rest, asked


def wh_question(dice: Dice) -> Pair:
    """Questions: the finite verb first, or second after a question word in its case (wen, wem)."""
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "can", "must"))
    if draw < 3:
        clause = action(dice, EVERYDAY, tense, time=70)
        return sentence(*question(clause), "?")
    if draw < 4:
        clause = action(dice, EVERYDAY, tense, subject=Fixed("who", "wer"), time=45)
        return sentence(*statement(clause), "?")
    if draw < 7:
        verbs = tuple(
            v for v in TRANSITIVE + DATIVE + SEPARABLE + PREPOSITIONAL if not v.english_particle
        )
        clause = action(dice, verbs, tense, time=40)
        people = isinstance(clause.object, Phrase) and "human" not in clause.object.noun.tags
        # wovon, womit and the like are beyond this book, and so is "what" for a beast that is
        # followed
        while people and (clause.verb.preposition or clause.verb.case == "dat"):
            clause = action(dice, verbs, tense, time=40)
            people = isinstance(clause.object, Phrase) and "human" not in clause.object.noun.tags
        rest, asked = _asked_object(dice, clause)
        return sentence(*question(rest, asked), "?")
    clause = action(dice, EVERYDAY, tense)
    asked = dice.pick((("why", "warum"), ("when", "wann"), ("where", "wo")))
    while clause.verb in STATIVE:  # nobody asks when a father loves his dog
        clause = action(dice, EVERYDAY, tense)
    if asked[0] == "where":
        verbs = tuple(v for v in TRANSITIVE + INTRANSITIVE if not v.timeless)
        clause = action(dice, verbs, tense)
        if dice.chance(35):
            clause = Clause(clause.subject, _GO, tense, time=time_for(dice, tense))
            asked = ("where", "wohin")
    return sentence(*question(clause, asked), "?")


def address(dice: Dice) -> Pair:
    """Friends are du and strangers Sie: English only shows it in the name, Anna or Mr Weber."""
    polite = dice.chance(50)
    name: Nominal = Name(*dice.pick(lex.NAMES))
    if polite:
        name = Titled(dice.pick(lex.SURNAMES), dice.pick(("m", "f")))
    you = YOU_POLITE if polite else YOU
    verbs = tuple(v for v in TRANSITIVE + DATIVE + SEPARABLE * 2 + PREPOSITIONAL if not v.unwilled)
    tense = dice.pick(("present", "past", "can", "can", "must"))
    asks = dice.chance(50)
    clause = action(dice, verbs, tense if asks else "present", subject=you, time=35, adjective=25)
    while _mentions_you(clause.object) or (clause.object and clash(name, clause.object)):
        clause = action(dice, verbs, clause.tense, subject=you, time=35, adjective=25)
    called = name.english(), name.german("nom")
    if asks:
        pair = question(clause)
        return sentence(f"{called[0]}, {pair[0]}", f"{called[1]}, {pair[1]}", "?")
    please = dice.chance(60)
    order = english_infinitive(clause), german_imperative(clause, polite)
    if please:
        order = f"please {order[0]}", f"bitte {order[1]}"
    return sentence(f"{called[0]}, {order[0]}", f"{called[1]}, {order[1]}", "." if please else "!")


def _mentions_you(thing: Nominal | None) -> bool:
    """Tell whether a phrase says your, which would have to be Ihr or dein."""
    return isinstance(thing, Phrase) and thing.determiner.english == "your"


def separable(dice: Dice) -> Pair:
    """Separable verbs: macht ... auf, aufmachen, aufgemacht, aufzumachen, weil er ... aufmacht."""
    verbs = SEPARABLE * 2 + SEPARABLE_INTRANSITIVE
    tense = dice.pick(("present", "present", "present", "past", "can", "must", "future"))
    draw = dice.below(10)
    clause = action(dice, verbs, tense, time=75, pronoun=25)
    if draw < 6:
        return sentence(*statement(clause, dice.chance(30)))
    if draw < 8:
        verb = dice.pick([v for v in lex.VERBS if v.subjects == ("infinitive",)])
        subject = human(dice)
        outer = Clause(subject, verb, dice.pick(("present", "past")))
        inner = action(dice, SEPARABLE * 2 + TRANSITIVE, subject=subject, pronoun=20)
        while inner.verb.unwilled:  # nobody tries to lose
            inner = action(dice, SEPARABLE * 2 + TRANSITIVE, subject=subject, pronoun=20)
        left, right = statement(outer)
        return sentence(
            f"{left} to {english_infinitive(inner)}", f"{right}, {german_infinitive(inner)}"
        )
    outer = action(
        dice, INTRANSITIVE + TRANSITIVE, "past" if tense == "past" else "present", adjective=15
    )
    again = they_for(outer.subject) if dice.chance(60) else None
    clause = action(dice, verbs, tense, subject=again, time=60, pronoun=25)
    while again is None and clash(outer.subject, clause.subject):
        clause = action(dice, verbs, tense, time=60, pronoun=25)
    left, right = statement(outer)
    word = dice.pick(_CAUSES[:2])
    return sentence(
        f"{left} {word[0]} {english(clause)}", f"{right}, {german_final(clause, word[1])}"
    )


def reflexive(dice: Dice) -> Pair:
    """Reflexive verbs, where English has none: ich freue mich, Anna freut sich auf das Konzert."""
    tense = dice.pick(("present", "present", "past", "future", "must"))
    clause = action(dice, REFLEXIVE, tense, time=65, pronoun=10)
    draw = dice.below(10)
    if draw < 7:
        return sentence(*statement(clause, dice.chance(35)))
    if draw < 8:
        return sentence(*question(clause), "?")
    verb = dice.pick(_SAYING)
    speaker = human(dice)
    again = they_for(speaker)
    if again:
        clause = action(dice, REFLEXIVE, tense, subject=again, time=40, pronoun=10)
    left, right = statement(Clause(speaker, verb))
    return sentence(f"{left} that {english(clause)}", f"{right}, {german_final(clause, 'dass')}")


def negation(dice: Dice) -> Pair:
    """Negation: kein for what is indefinite, nicht for the rest, and a place for nicht."""
    tense = dice.pick(("present", "present", "present", "past", "can", "should", "future", "want"))
    draw = dice.below(10)
    if draw < 1:
        return sentence(
            *statement(
                replace(is_(human(dice), dice, "kin", dice.pick(("present", "past"))), negated=True)
            )
        )
    if draw < 3:
        time = time_for(dice, tense, negated=True)
        clause = replace(_travel(dice, tense), time=time, negated=True)
        return sentence(*statement(clause))
    if draw < 5:
        owner = human(dice)
        noun = dice.pick(BY_TAG[dice.pick(("thing", "pet", "small"))])
        thing = phrase(dice, noun, adjective=60, plural=30)
        while not thing.negated_by_kein:
            thing = phrase(dice, noun, adjective=60, plural=30)
        verb = dice.pick((lex.HAVE, lex.verb("need", "brauchen"), lex.verb("see", "sehen")))
        return sentence(*statement(Clause(owner, verb, object=thing, negated=True)))
    clause = action(dice, EVERYDAY, tense, time=45, negated=True, adjective=25)
    if draw < 8:
        return sentence(*statement(clause))
    cause = _beside(dice, "past" if tense == "past" else "present", clause.subject, 50)
    left, right = statement(replace(clause, time=None))
    word = dice.pick((("because", "weil"), ("but", "aber")))
    if word[0] == "but":
        return sentence(f"{left}, but {english(cause)}", f"{right}, aber {german(cause)}")
    return sentence(f"{left} because {english(cause)}", f"{right}, {german_final(cause, 'weil')}")
