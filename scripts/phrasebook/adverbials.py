"""When and where: expressions of time, and prepositions with the nouns that fit them."""

from __future__ import annotations

from .clauses import Adverbial

_DAYS = tuple(
    Adverbial(f"on {english}", f"am {german}")
    for english, german in (
        ("Monday", "Montag"),
        ("Tuesday", "Dienstag"),
        ("Wednesday", "Mittwoch"),
        ("Thursday", "Donnerstag"),
        ("Friday", "Freitag"),
        ("Saturday", "Samstag"),
        ("Sunday", "Sonntag"),
    )
)
INNER = (
    Adverbial("often", "oft", True),
    Adverbial("always", "immer", True),
    Adverbial("never", "nie", True),
    Adverbial("rarely", "selten", True),
)
DAYS: dict[str, tuple[Adverbial, ...]] = {
    "present": (Adverbial("today", "heute"), Adverbial("every day", "jeden Tag"), *_DAYS),
    "past": (Adverbial("yesterday", "gestern"), *_DAYS),
    "future": (Adverbial("tomorrow", "morgen"), *_DAYS),
}
PRESENT = (
    Adverbial("today", "heute"),
    Adverbial("now", "jetzt"),
    Adverbial("every day", "jeden Tag"),
    Adverbial("every week", "jede Woche"),
    Adverbial("in the morning", "am Morgen"),
    Adverbial("in the evening", "am Abend"),
    Adverbial("at the weekend", "am Wochenende"),
    Adverbial("in summer", "im Sommer"),
    Adverbial("in winter", "im Winter"),
    *_DAYS,
)
PAST = (
    Adverbial("yesterday", "gestern"),
    Adverbial("last week", "letzte Woche"),
    Adverbial("last month", "letzten Monat"),
    Adverbial("last year", "letztes Jahr"),
    Adverbial("this morning", "heute Morgen"),
    Adverbial("yesterday evening", "gestern Abend"),
    Adverbial("two days ago", "vor zwei Tagen"),
    Adverbial("three weeks ago", "vor drei Wochen"),
    Adverbial("an hour ago", "vor einer Stunde"),
    *_DAYS,
)
FUTURE = (
    Adverbial("tomorrow", "morgen"),
    Adverbial("tomorrow evening", "morgen Abend"),
    Adverbial("next week", "nächste Woche"),
    Adverbial("next month", "nächsten Monat"),
    Adverbial("next year", "nächstes Jahr"),
    Adverbial("soon", "bald"),
    *_DAYS,
)
WISHED = (
    Adverbial("today", "heute"),
    Adverbial("tomorrow", "morgen"),
    Adverbial("now", "jetzt"),
    Adverbial("this evening", "heute Abend"),
)

# Two-way prepositions take the dative where something is and the accusative where it goes:
# (English where, English where to, German, the class of nouns it is used with)
TWO_WAY = (
    ("in", "into", "in", "enter"),
    ("under", "under", "unter", "under"),
    ("behind", "behind", "hinter", "behind"),
    ("in front of", "in front of", "vor", "front"),
    ("next to", "next to", "neben", "beside"),
)
IN, UNDER, BEHIND, BEFORE, BESIDE = TWO_WAY
BEHIND_BUILDING = ("behind", "behind", "hinter", "built")
ON = ("on", "on", "auf", "surface")
AT = ("at", "to", "an", "at")
INSIDE = ("in", "into", "in", "container")
