"""Sentences with numbers, prices, years and clock times, all in words."""

from __future__ import annotations

from . import lexicon as lex
from .adverbials import DAYS, IN
from .choosing import BY_TAG, SEPARABLE_INTRANSITIVE, human, phrase
from .clauses import Clause, sentence, statement
from .dice import Dice
from .nominals import Determiner, Pair, Phrase
from .numbers import MINUTES, clock_time, english_number, german_number, year
from .pronouns import Fixed
from .sentences_places import location

_COST = lex.verb("cost", "kosten")
# what is seen or owned in numbers, and what has parts to be counted
_COUNTED = {"see": ("animal", "person", "plant"), "have": ("pet", "thing")}
_PARTS: tuple[tuple[tuple[str, ...], tuple[Pair, ...]], ...] = (
    (("book", "newspaper"), (("pages", "Seiten"),)),
    (("hotel", "hospital", "school"), (("rooms", "Zimmer"), ("windows", "Fenster"))),
)
_GO = lex.verb("go", "gehen")
_WORK = lex.verb("work", "arbeiten")
_SLEEP = lex.verb("sleep", "schlafen")
_ARRIVE = lex.verb("arrive", "ankommen")
_DEPART = lex.verb("depart", "abfahren")
_BEGIN = next(v for v in lex.VERBS if v.subjects == ("event",))
_COUNTING = tuple(
    lex.verb(*names)
    for names in (("buy", "kaufen"), ("sell", "verkaufen"), ("see", "sehen"), ("need", "brauchen"))
)


def some_number(dice: Dice) -> int:
    """Choose a number, with every order of magnitude well represented.

    Args:
        dice: the source of chance.

    Returns:
        A number from 2 to 9,000. Those that end in 01 are left out, because German speakers differ
        about the noun that follows them (hunderteins Seiten, hundertundeine Seite).
    """
    draw = dice.below(100)
    if draw < 22:
        return 2 + dice.below(19)
    if draw < 62:
        return 21 + dice.below(79)
    if draw < 95:
        n = 100 + dice.below(900)
        return n + 1 if n % 100 == 1 else n
    return 1000 * (1 + dice.below(9))


def counted(dice: Dice, tag: str, n: int) -> Phrase:
    """Put a number before a plural noun.

    Args:
        dice: the source of chance.
        tag: the class of the noun.
        n: the number, at least 2.

    Returns:
        The noun phrase: twenty-one cows, einundzwanzig Kühe.
    """
    numeral = Determiner(english_number(n), english_number(n), german_number(n), "none")
    noun = dice.pick(BY_TAG[tag])
    bare = phrase(dice, noun, adjective=25)
    return Phrase(noun, numeral, bare.adjective, many=True)


def number(dice: Dice) -> Pair:
    """Numbers, whose tens and ones change places: twenty-one, einundzwanzig."""
    draw = dice.below(10)
    if draw < 4:
        verb = dice.pick((*_COUNTING, lex.HAVE))
        tag = dice.pick(_COUNTED.get(verb.english, ("thing", "food")))
        tense = "present" if verb.timeless else dice.pick(("present", "past"))
        what = counted(dice, tag, some_number(dice))
        return sentence(*statement(Clause(human(dice), verb, tense, what)))
    if draw < 6:
        where = location(dice, IN)
        what = counted(dice, dice.pick(("person", "youth", "thing", "pet")), some_number(dice))
        tense, tempus = dice.pick((("are", "sind"), ("were", "waren")))
        return sentence(
            f"there {tense} {what.english()} {where[0]}",
            f"{where[1]} {tempus} {what.german('nom')}",
        )
    if draw < 8:
        names, units = dice.pick(_PARTS)
        whole = phrase(dice, lex.noun(dice.pick(names)), wide=False, plural=0)
        unit = dice.pick(units)
        n = some_number(dice)
        parts = Fixed(f"{english_number(n)} {unit[0]}", f"{german_number(n)} {unit[1]}", True)
        return sentence(*statement(Clause(whole, lex.HAVE, object=parts)))
    n = 2 + dice.below(98)
    age = f"{english_number(n)} years old", f"{german_number(n)} Jahre alt"
    tense = dice.pick(("present", "past"))
    return sentence(*statement(Clause(human(dice), lex.BE, tense, places=(age,))))


def price(dice: Dice) -> Pair:
    """Prices: die Lampe kostet einundzwanzig Euro, where Euro has no plural."""
    n = some_number(dice)
    amount = Fixed(f"{english_number(n)} euros", f"{german_number(n)} Euro")
    thing = phrase(
        dice, dice.pick(BY_TAG[dice.pick(("thing", "clothing", "small"))]), wide=False, adjective=45
    )
    return sentence(*statement(Clause(thing, _COST, object=amount)))


def built_year(dice: Dice) -> Pair:
    """Years: neunzehnhundertsiebenundachtzig, and German says no in before them."""
    spelled = year(1900 + (dice.below(90) + 10 if dice.chance(95) else 0))
    noun = dice.pick(BY_TAG["built"])
    house = phrase(dice, noun, wide=False, adjective=50, plural=0)
    if dice.chance(40):
        who = human(dice, pronoun=20, name=35)
        was = ("were", "wurden") if who.plural else ("was", "wurde")
        if who.person == 2:
            was = ("were", "wurdest")
        return sentence(
            f"{who.english()} {was[0]} born in {spelled[0]}",
            f"{who.german('nom')} {was[1]} {spelled[1]} geboren",
        )
    return sentence(
        f"{house.english()} was built in {spelled[0]}",
        f"{house.german('nom')} wurde {spelled[1]} gebaut",
    )


def clock(dice: Dice) -> Pair:
    """Clock times: half past three is halb vier, half of the fourth hour."""
    time = clock_time(1 + dice.below(12), dice.pick(MINUTES))
    at = f"at {time[0]}", f"um {time[1]}"
    draw = dice.below(10)
    tense = dice.pick(("present", "present", "past", "future", "must"))
    if draw < 1 and dice.chance(40):
        return sentence(f"it is {time[0]}", f"es ist {time[1]}")
    if draw < 4:
        vehicle = phrase(dice, dice.pick(BY_TAG["vehicle"]), wide=False, adjective=0, plural=10)
        clause = Clause(vehicle, dice.pick((_ARRIVE, _DEPART)), tense)
    elif draw < 6:
        clause = Clause(
            phrase(dice, dice.pick(BY_TAG["event"]), wide=False, plural=0), _BEGIN, tense
        )
    else:
        who = human(dice)
        clause = Clause(who, dice.pick((*SEPARABLE_INTRANSITIVE, _GO, _WORK, _SLEEP)), tense)
    if clause.verb is _GO:
        where = dice.pick(
            (("to school", "in die Schule"), ("home", "nach Hause"), ("to bed", "ins Bett"))
        )
        english, german = statement(
            Clause(
                clause.subject, _GO, tense, places=((f"{where[0]} {at[0]}", f"{at[1]} {where[1]}"),)
            )
        )
        return sentence(english, german)
    clause = Clause(clause.subject, clause.verb, tense, places=(at,))
    when = dice.pick(DAYS.get(tense, DAYS["future"]))
    if dice.chance(70):
        english, german = statement(
            Clause(clause.subject, clause.verb, tense, time=when, places=(at,)), dice.chance(40)
        )
        return sentence(english, german)
    return sentence(*statement(clause))
