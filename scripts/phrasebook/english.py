"""English morphology: articles and verb groups. There is much less to it than to the German."""

from __future__ import annotations

from .words import Person, Verb


def with_indefinite_article(phrase: str) -> str:
    """Put a or an before a phrase.

    Args:
        phrase: the phrase.

    Returns:
        The phrase with its article, chosen by the first letter (which is enough for this lexicon).
    """
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def present(verb: Verb, person: Person, plural: bool) -> str:
    """Conjugate the simple present.

    Args:
        verb: the verb.
        person: the subject's person.
        plural: the subject's number.

    Returns:
        The form.
    """
    if verb.english == "be":
        if plural or person == 2:
            return "are"
        return "am" if person == 1 else "is"
    return verb.english_third if person == 3 and not plural else verb.english


def _auxiliary(verb: Verb, tense: str, person: Person, plural: bool) -> tuple[str, str]:
    third = person == 3 and not plural
    if tense == "want":
        return ("does" if third else "do"), f"want to {verb.english}"
    if tense in ("can", "must", "should", "may"):
        return tense, verb.english
    if tense == "future":
        return "will", verb.english
    if tense == "past":
        return "did", verb.english
    return ("does" if third else "do"), verb.english


def verb_group(
    verb: Verb, tense: str, person: Person, plural: bool, supported: bool = False
) -> tuple[str, str]:
    """Split a verb into its auxiliary and the rest.

    Args:
        verb: the verb.
        tense: present, past, future, or a modal: can, must, should, may, want.
        person: the subject's person.
        plural: the subject's number.
        supported: whether an auxiliary is needed, as in a question or before not: then do steps in.

    Returns:
        The auxiliary, if any, and the main verb: ("", buys), (does, buy), (will, buy), (is, "").
    """
    if verb.english == "be" and tense in ("present", "past"):
        if tense == "present":
            return present(verb, person, plural), ""
        return ("were" if plural or person == 2 else "was"), ""
    if not supported:
        if tense == "present":
            return "", present(verb, person, plural)
        if tense == "past":
            return "", verb.english_past
        if tense == "want":
            third = person == 3 and not plural
            return "", f"{'wants' if third else 'want'} to {verb.english}"
    return _auxiliary(verb, tense, person, plural)


def negate(auxiliary: str) -> str:
    """Add not to an auxiliary.

    Args:
        auxiliary: the auxiliary.

    Returns:
        The two together; cannot is one word.
    """
    return "cannot" if auxiliary == "can" else f"{auxiliary} not"
