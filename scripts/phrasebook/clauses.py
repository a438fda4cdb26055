"""Clauses: the same parts in English order and in the three German orders.

The German clause is a frame. A main clause puts the finite verb second and whatever else belongs
to the verb last, a question puts it first, a subordinate clause puts all of it last:

    Heute | macht | der Mann das Fenster | auf.
          | Macht | der Mann das Fenster | auf?
    weil  |       | der Mann das Fenster | aufmacht

Between the two brackets is the middle field, whose order is the same in all three: subject,
pronouns and names, time, dative, accusative, nicht, prepositional phrases. A relative clause that
belongs to an object goes behind the frame, so that the frame can close.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import english as en
from . import german as de
from .nominals import Nominal, Pair
from .words import Verb


@dataclass(frozen=True, slots=True)
class Adverbial:
    """An expression of time.

    Attributes:
        english: every day.
        german: jeden Tag.
        inner: whether English puts it before the main verb (often), and not at the end.
    """

    english: str
    german: str
    inner: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """Who does what to whom, when, where.

    Attributes:
        subject: the subject.
        verb: the verb.
        tense: present, past, future, or a modal: can, must, should, may, want.
        object: the object that the verb governs, in its case and with its preposition.
        indirect: the dative beside an accusative object.
        time: when.
        places: prepositional phrases and predicates, in the English order.
        negated: whether it is not so.
    """

    subject: Nominal
    verb: Verb
    tense: str = "present"
    object: Nominal | None = None
    indirect: Nominal | None = None
    time: Adverbial | None = None
    places: tuple[Pair, ...] = ()
    negated: bool = False


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


# ----------------------------------------------------------------------------------------- English


def _english_with_relative(nominal: Nominal | None, case: str) -> str:
    if nominal is None:
        return ""
    phrase = nominal.english("nom" if case == "nom" else "acc")
    return f"{phrase} {nominal.relative[0]}" if nominal.relative else phrase


def _english_predicate(clause: Clause, main: str) -> str:
    """Give the verb and all after it: turn on the lamp, turn it on, look for the key."""
    verb = clause.verb
    thing = _english_with_relative(clause.object, "acc")
    stepping = clause.object is not None and clause.object.is_pronoun
    words = [main] if stepping else [main, verb.english_particle]
    words += [_english_with_relative(clause.indirect, "acc"), verb.english_preposition, thing]
    words += [verb.english_particle] if stepping else []
    words += [place[0] for place in clause.places]
    if clause.time and not clause.time.inner:
        words.append(clause.time.english)
    return _join(*words)


def english(clause: Clause, question: bool = False) -> str:
    """Say a clause in English.

    Args:
        clause: the clause.
        question: whether the auxiliary goes before the subject.

    Returns:
        The words, without capital and full stop.
    """
    subject = clause.subject
    auxiliary, main = en.verb_group(
        clause.verb, clause.tense, subject.person, subject.plural, clause.negated or question
    )
    if clause.negated:
        auxiliary = en.negate(auxiliary)
    inner = clause.time.english if clause.time and clause.time.inner else ""
    who = _english_with_relative(subject, "nom")
    opening = (auxiliary, who) if question else (who, auxiliary)
    return _join(*opening, inner, _english_predicate(clause, main))


def english_infinitive(clause: Clause) -> str:
    """Say a clause as an infinitive without to, which is the imperative as well.

    Args:
        clause: the clause; its subject goes unsaid.

    Returns:
        The words: open the window.
    """
    return _english_predicate(clause, clause.verb.english)


# ------------------------------------------------------------------------------------------ German


def _governed(clause: Clause) -> str:
    """Give the verb's own object, in its case and behind its preposition."""
    verb, thing = clause.verb, clause.object
    if thing is None:
        return ""
    if verb.preposition:
        return f"{verb.preposition} {thing.german(verb.case)}"
    return thing.german(verb.case, clause.negated)


def _middle(clause: Clause, subject: str = "") -> list[str]:
    """Order what stands between the brackets; the subject only if it is not before them."""
    verb, thing = clause.verb, clause.object
    governed = _governed(clause)
    direct = thing is not None and not verb.preposition
    early = direct and thing is not None and thing.is_early
    kein = direct and thing is not None and thing.negated_by_kein
    them = clause.indirect.german("dat") if clause.indirect else ""
    them_early = clause.indirect is not None and clause.indirect.is_early
    self_ = de.reflexive(clause.subject.person, clause.subject.plural) if verb.reflexive else ""
    return [
        *([subject, self_] if clause.subject.is_pronoun or not self_ else [self_, subject]),
        governed if early else "",
        them if them_early else "",
        clause.time.german if clause.time else "",
        "" if them_early else them,
        governed if direct and not early else "",
        "nicht" if clause.negated and not kein else "",
        "" if direct else governed,
        # time, manner, place: with her brother comes before to the station
        *[place[1] for place in reversed(clause.places)],
    ]


def _behind(clause: Clause) -> str:
    """Give the relative clause of an object, which goes behind the closing bracket."""
    for nominal in (clause.object, clause.indirect):
        if nominal is not None and nominal.relative:
            return f", {nominal.relative[1]}"
    return ""


def _german_subject(clause: Clause) -> str:
    subject = clause.subject.german("nom")
    return f"{subject}, {clause.subject.relative[1]}," if clause.subject.relative else subject


def german(clause: Clause, front: str | None = None) -> str:
    """Say a main clause in German: whatever comes first, the finite verb comes second.

    Args:
        clause: the clause.
        front: what comes first if not the subject; empty for a question that begins with the verb.

    Returns:
        The words, without capital and full stop.
    """
    subject = clause.subject
    finite, closing = de.verb_complex(clause.verb, clause.tense, subject.person, subject.plural)
    who = _german_subject(clause)
    if front is None:
        words = [who, finite, *_middle(clause), closing]
    else:
        words = [front, finite, *_middle(clause, who), closing]
    return _join(*words) + _behind(clause)


def german_final(clause: Clause, opening: str = "") -> str:
    """Say a subordinate clause in German, with all of the verb at the end.

    Args:
        clause: the clause.
        opening: what introduces it: weil, or the relative pronoun that is its object.

    Returns:
        The words: weil der Mann das Fenster aufmacht.
    """
    subject = clause.subject
    last = de.verb_final(clause.verb, clause.tense, subject.person, subject.plural)
    who = _german_subject(clause)
    # here the noun keeps its place before sich: weil Anna sich freut
    self_ = de.reflexive(subject.person, subject.plural) if clause.verb.reflexive else ""
    if self_:
        clause = replace(clause, verb=replace(clause.verb, reflexive=False))
    return _join(opening, who, self_, *_middle(clause), last) + _behind(clause)


def german_infinitive(clause: Clause) -> str:
    """Say a clause as an infinitive with zu.

    Args:
        clause: the clause; its subject goes unsaid.

    Returns:
        The words: das Fenster aufzumachen.
    """
    return _join(*_middle(clause), de.zu_infinitive(clause.verb)) + _behind(clause)


def german_imperative(clause: Clause, polite: bool) -> str:
    """Say a clause as an order.

    Args:
        clause: the clause; its subject is du or Sie.
        polite: whether it is Sie, which is said, while du is not.

    Returns:
        The words: mach das Fenster auf; machen Sie das Fenster auf.
    """
    form = f"{clause.verb.infinitive} Sie" if polite else de.imperative(clause.verb)
    return _join(form, *_middle(clause), clause.verb.particle) + _behind(clause)


# --------------------------------------------------------------------------------------- sentences


def sentence(english_text: str, german_text: str, end: str = ".") -> Pair:
    """Give both sides a capital letter and a full stop.

    Args:
        english_text: the English words.
        german_text: the German words.
        end: the punctuation.

    Returns:
        The pair of sentences.
    """

    def finish(text: str) -> str:
        return text[0].upper() + text[1:].removesuffix(",") + end

    return finish(english_text), finish(german_text)


def statement(clause: Clause, fronted: bool = False) -> Pair:
    """Say a main clause in both languages.

    Args:
        clause: the clause.
        fronted: whether the time comes first, in both.

    Returns:
        The words, without capital and full stop.
    """
    if fronted and clause.time:
        rest = replace(clause, time=None)
        return f"{clause.time.english} {english(rest)}", german(rest, clause.time.german)
    return english(clause), german(clause)


def question(clause: Clause, asked: Pair | None = None) -> Pair:
    """Ask in both languages.

    Args:
        clause: the clause, without what is asked for.
        asked: the question word (what, was), or none for a question of yes or no.

    Returns:
        The words, without capital and question mark.
    """
    if asked is None:
        return english(clause, question=True), german(clause, "")
    return f"{asked[0]} {english(clause, question=True)}", german(clause, asked[1])
