"""Numbers, years and clock times in words.

German says the ones before the tens (dreiundvierzig, three-and-forty), writes a whole number as
one word, and counts half hours towards the next hour (halb vier, half of four: half past three).
"""

from __future__ import annotations

_EN_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_EN_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_DE_ONES = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
).split()
_DE_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def _check(n: int, low: int, high: int, what: str) -> None:
    if not low <= n <= high:
        raise ValueError(f"{what} must be between {low} and {high}, but is {n}")


def english_number(n: int) -> str:
    """Spell a number in (British) English.

    Args:
        n: from 0 to 999,999.

    Returns:
        The number: one hundred and forty-three.

    Raises:
        ValueError: if n is out of range.
    """
    _check(n, 0, 999_999, "a number")
    if n < 20:
        return _EN_ONES[n]
    if n < 100:
        tens, ones = divmod(n, 10)
        return _EN_TENS[tens] + (f"-{_EN_ONES[ones]}" if ones else "")
    if n < 1000:
        hundreds, rest = divmod(n, 100)
        return f"{_EN_ONES[hundreds]} hundred" + (f" and {english_number(rest)}" if rest else "")
    thousands, rest = divmod(n, 1000)
    joint = " and " if rest < 100 else " "
    return f"{english_number(thousands)} thousand" + (joint + english_number(rest) if rest else "")


def _german_prefix(n: int) -> str:
    """Spell a number that more of the word follows: einhundert, not einshundert."""
    spelled = german_number(n)
    return spelled.removesuffix("s") if spelled.endswith("eins") else spelled


def german_number(n: int) -> str:
    """Spell a number in German, in one word.

    Args:
        n: from 0 to 999,999.

    Returns:
        The number: einhundertdreiundvierzig.

    Raises:
        ValueError: if n is out of range.
    """
    _check(n, 0, 999_999, "a number")
    if n < 20:
        return _DE_ONES[n]
    if n < 100:
        tens, ones = divmod(n, 10)
        return (f"{_german_prefix(ones)}und" if ones else "") + _DE_TENS[tens]
    if n < 1000:
        hundreds, rest = divmod(n, 100)
        return f"{_german_prefix(hundreds)}hundert" + (german_number(rest) if rest else "")
    thousands, rest = divmod(n, 1000)
    return f"{_german_prefix(thousands)}tausend" + (german_number(rest) if rest else "")


def year(n: int) -> tuple[str, str]:
    """Spell a year, which both languages count in hundreds.

    Args:
        n: from 1100 to 1999.

    Returns:
        The English and the German: nineteen eighty-seven, neunzehnhundertsiebenundachtzig.

    Raises:
        ValueError: if n is out of range.
    """
    _check(n, 1100, 1999, "a year")
    century, rest = divmod(n, 100)
    english = (
        "hundred" if not rest else f"oh {_EN_ONES[rest]}" if rest < 10 else english_number(rest)
    )
    german = german_number(rest) if rest else ""
    return f"{_EN_ONES[century]} {english}", f"{_DE_ONES[century]}hundert{german}"


# minutes past the hour: (English, whether it names the next hour; German, whether it does)
_CLOCK: dict[int, tuple[str, bool, str, bool]] = {
    5: ("five past", False, "fünf nach", False),
    10: ("ten past", False, "zehn nach", False),
    15: ("quarter past", False, "Viertel nach", False),
    20: ("twenty past", False, "zwanzig nach", False),
    25: ("twenty-five past", False, "fünf vor halb", True),
    30: ("half past", False, "halb", True),
    35: ("twenty-five to", True, "fünf nach halb", True),
    40: ("twenty to", True, "zwanzig vor", True),
    45: ("quarter to", True, "Viertel vor", True),
    50: ("ten to", True, "zehn vor", True),
    55: ("five to", True, "fünf vor", True),
}
MINUTES = (0, *_CLOCK)


def clock_time(hour: int, minute: int) -> tuple[str, str]:
    """Say a time of day on the twelve-hour clock.

    Args:
        hour: from 1 to 12.
        minute: a multiple of five, from 0 to 55.

    Returns:
        The English and the German: half past three, halb vier.

    Raises:
        ValueError: if the hour or the minute is out of range.
    """
    _check(hour, 1, 12, "an hour")
    if minute not in MINUTES:
        raise ValueError(f"a minute must be a multiple of 5 from 0 to 55, but is {minute}")
    if minute == 0:
        return f"{_EN_ONES[hour]} o'clock", f"{_german_prefix(hour)} Uhr"
    following = hour % 12 + 1
    english, english_next, german, german_next = _CLOCK[minute]
    return (
        f"{english} {_EN_ONES[following if english_next else hour]}",
        f"{german} {_DE_ONES[following if german_next else hour]}",
    )
