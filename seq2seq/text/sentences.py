"""Where sentences end: by ``sentencex``, which knows abbreviations and quotes of many languages.

Its cuts are taken where a sentence can end in writing, too: before a space, or after a mark of a
script that writes none (so ``example.com`` and 「はい。」と stay whole), and not after an ordinal
number ("am 3. Mai") or a lone mark.
"""

from __future__ import annotations

import locale
import re

from seq2seq.text import well_formed

CLOSING = "\"'”’»›)\\]」』）】"
"""What may close a sentence behind its mark, for a set in a pattern."""
_OPENING = "「『（【“‘«"
# Most lines are one sentence, which is seen without a segmenter.
_MAY_END_WITHIN = re.compile(rf"[.!?…][{CLOSING}]*\s|[。！？．｡।॥۔؟።៕;]")
_ENDS_UNSPACED = re.compile(r"[。！？｡।॥۔؟።៕]$")
_ENDS_QUOTE = re.compile(rf"[。！？｡][{CLOSING}]+$")
_WIDE_SPACE = re.compile(r"[^\S \n]")
_NUMBER = re.compile(r"(?:^|[\s(])\d{1,2}\.$")
_WORD = re.compile(r"\w")
_LOOKED_AT = 100  # characters at the end of a sentence

# They write "3." for "3rd"; so may a text whose language is not known.
_WITH_ORDINALS = frozenset(
    "bs cs da de et fi fo hr hsb hu is lb lv me mk nb nds nn no pl sh sk sl sr tr".split()
)
_FRENCH_TITLE = re.compile(r"(?:^|[\s(«])MM?\.$")  # sentencex has "Mme" and "Dr", but not these


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Splits a text into its sentences, each with the white space behind it.

    Joined, they are the text. ``language`` is a code such as "de"; None: it is not known.
    """
    if not _MAY_END_WITHIN.search(text):
        return [text] if text else []
    import sentencex

    sentences: list[str] = []
    begin = end = 0
    has_word = False
    # It takes a space for one byte, and a wider one for its end: it stops the program there.
    spaced = _WIDE_SPACE.sub(" ", well_formed(text))
    for part in sentencex.segment(language or "en", spaced):
        if has_word and _is_end(text, begin, end, language):
            sentences.append(text[begin:end])
            begin, has_word = end, False
        has_word = has_word or _WORD.search(text, end, end + len(part)) is not None
        end += len(part)
    rest = text[begin:]
    if sentences and not _WORD.search(rest):
        rest = sentences.pop() + rest
    return [*sentences, rest]


def language_of(path: str) -> str | None:
    """The language that a file's name ends with, as ``train.de`` and ``train.de.gz`` do."""
    match = re.search(r"\.([a-z]{2,3})(?:[-_][A-Za-z]+)?(?:\.(?:gz|zst))?$", path)
    known = {name.partition("_")[0] for name in locale.locale_alias.values()}
    return match[1] if match and match[1] in known else None


def _is_end(text: str, begin: int, end: int, language: str | None) -> bool:
    """Whether a sentence that began ends at a place, where the segmenter says so."""
    stop = end
    while text[stop - 1].isspace():
        stop -= 1
    sentence = text[max(begin, stop - _LOOKED_AT) : stop]
    if stop == end:
        after = text[end : end + 1]
        if sentence.endswith("．"):
            return not after.isdecimal()
        return bool(
            _ENDS_UNSPACED.search(sentence) or (_ENDS_QUOTE.search(sentence) and after in _OPENING)
        )
    if number := _NUMBER.search(sentence):
        alone = number.start() == 0
        return not (alone or language is None or language in _WITH_ORDINALS)
    return not (language == "fr" and _FRENCH_TITLE.search(sentence))
