"""German morphology: what happens to articles, adjectives, nouns and verbs.

Everything here is a table of endings and a rule for choosing a column. The order in which the
forms are then put is in `clauses`.
"""

from __future__ import annotations

from typing import Literal

from .words import Adjective, Case, Noun, Person, Slot, Verb

Paradigm = dict[Case, dict[Slot, str]]
Declension = Literal["weak", "mixed", "strong"]


def _paradigm(nom: str, acc: str, dat: str, gen: str) -> Paradigm:
    """Read four rows of forms: masculine, feminine, neuter, plural; - stands for no ending."""
    slots: tuple[Slot, ...] = ("m", "f", "n", "p")
    rows: dict[Case, str] = {"nom": nom, "acc": acc, "dat": dat, "gen": gen}
    return {
        case: {slot: form.replace("-", "") for slot, form in zip(slots, row.split(), strict=True)}
        for case, row in rows.items()
    }


DEFINITE = _paradigm("der die das die", "den die das die", "dem der dem den", "des der des der")
# dieser, jeder, welcher; kein, ein and the possessives differ from them in three places only,
# where they have no ending at all
DER_WORD = _paradigm("er e es e", "en e es e", "em er em en", "es er es er")
EIN_WORD = _paradigm("- e - e", "en e - e", "em er em en", "es er es er")
RELATIVE = _paradigm(
    "der die das die", "den die das die", "dem der dem denen", "dessen deren dessen deren"
)
PRONOUN = _paradigm("er sie es sie", "ihn sie es sie", "ihm ihr ihm ihnen", "- - - -")

# An adjective shows the case only if the word before it has not done so:
ADJECTIVE: dict[Declension, Paradigm] = {
    # after der, dieser, jeder: the article has said it all
    "weak": _paradigm("e e e en", "en e e en", "en en en en", "en en en en"),
    # after ein, kein, mein: strong exactly where those have no ending
    "mixed": _paradigm("er e es en", "en e es en", "en en en en", "en en en en"),
    # after nothing, a number or a genitive: the adjective does the article's work
    "strong": _paradigm("er e es e", "en e es e", "em er em en", "en er en er"),
}

# Two words that melt into one, where the article is not stressed
_CONTRACTIONS = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "zu dem": "zum",
    "zu der": "zur",
    "von dem": "vom",
    "bei dem": "beim",
}

# ich, du, er, wir; the others are equal to one of these (sie = wir) or are not used (ihr)
_IRREGULAR = {
    "sein": ("bin", "bist", "ist", "sind"),
    "haben": ("habe", "hast", "hat", "haben"),
    "werden": ("werde", "wirst", "wird", "werden"),
    "wissen": ("weiß", "weißt", "weiß", "wissen"),
    "können": ("kann", "kannst", "kann", "können"),
    "müssen": ("muss", "musst", "muss", "müssen"),
    # should is milder than soll: the subjunctive
    "sollen": ("sollte", "solltest", "sollte", "sollten"),
    "dürfen": ("darf", "darfst", "darf", "dürfen"),
    "wollen": ("will", "willst", "will", "wollen"),
    # the only two preterites that the phrasebook uses
    "war": ("war", "warst", "war", "waren"),
    "hatte": ("hatte", "hattest", "hatte", "hatten"),
}


def noun_form(noun: Noun, case: Case, plural: bool) -> str:
    """Decline a noun.

    Args:
        noun: the noun.
        case: the case.
        plural: whether it is the plural.

    Returns:
        The form. The dative plural ends in -n unless the plural is in -n or -s already; a weak
        noun has -n everywhere but in the nominative singular; the genitive is the lexicon's.
    """
    if plural:
        add_n = case == "dat" and not noun.plural.endswith(("n", "s"))
        return noun.plural + "n" if add_n else noun.plural
    if noun.weak:
        return noun.german if case == "nom" else noun.genitive
    return noun.genitive if case == "gen" else noun.german


def adjective_form(
    adjective: Adjective, declension: Declension, case: Case, slot: Slot, comparative: bool = False
) -> str:
    """Decline an attributive adjective.

    Args:
        adjective: the adjective.
        declension: weak, mixed or strong, by the determiner before it.
        case: the case.
        slot: the noun's gender, or p.
        comparative: whether to decline the comparative.

    Returns:
        The form with its ending.
    """
    stem = adjective.comparative if comparative else adjective.stem
    return stem + ADJECTIVE[declension][case][slot]


def contract(preposition: str, phrase: str) -> str:
    """Put a preposition before a noun phrase, melting it with an article: in dem Haus, im Haus.

    Args:
        preposition: the preposition.
        phrase: the noun phrase, in the case that the preposition governs.

    Returns:
        The prepositional phrase.
    """
    article, _, rest = phrase.partition(" ")
    melted = _CONTRACTIONS.get(f"{preposition} {article}")
    return f"{melted} {rest}" if melted and rest else f"{preposition} {phrase}"


def _of(infinitive: str, person: Person, plural: bool) -> str:
    return _IRREGULAR[infinitive][3 if plural else person - 1]


def present(verb: Verb, person: Person, plural: bool) -> str:
    """Conjugate the present, without the separable particle.

    Args:
        verb: the verb.
        person: 1, 2 or 3. The second person is du; Sie takes the third person plural.
        plural: whether the subject is plural.

    Returns:
        The finite form. A vowel that changes (sehen, er sieht) changes in the second and third
        person of the singular alone, so both are made from the lexicon's third person.
    """
    if verb.infinitive in _IRREGULAR:
        return _of(verb.infinitive, person, plural)
    if plural:
        return verb.infinitive
    if person == 1:
        return verb.infinitive.removesuffix("n").removesuffix("e") + "e"
    if person == 3:
        return verb.present
    base = verb.present.removesuffix("t")
    # a stem that ends in s already swallows that of the ending: du liest, du beißt, du tanzt
    return base + ("t" if base.endswith(("s", "ß", "z")) else "st")


def imperative(verb: Verb) -> str:
    """Form the imperative that goes with du, without the separable particle.

    Args:
        verb: the verb.

    Returns:
        The form: the stem, with -e after -t, -d, -er and the like (warte, füttere, zeichne). Of
        the changes of vowel it takes only that from e to i (gib, lies), and then has no -e.
    """
    stem = verb.infinitive.removesuffix("n").removesuffix("e")
    base = verb.present.removesuffix("t")
    if "i" in base and "i" not in stem:
        return base
    return stem + "e" if stem.endswith(("t", "d", "er", "chn")) else stem


def infinitive(verb: Verb) -> str:
    """Give the infinitive, particle included.

    Args:
        verb: the verb.

    Returns:
        The infinitive: aufmachen.
    """
    return verb.particle + verb.infinitive


def zu_infinitive(verb: Verb) -> str:
    """Give the infinitive with zu, which steps between particle and verb.

    Args:
        verb: the verb.

    Returns:
        The infinitive: zu kaufen, aufzumachen.
    """
    return f"{verb.particle}zu{verb.infinitive}" if verb.particle else f"zu {verb.infinitive}"


_MODALS = {"can": "können", "must": "müssen", "should": "sollen", "may": "dürfen", "want": "wollen"}


def verb_complex(verb: Verb, tense: str, person: Person, plural: bool) -> tuple[str, str]:
    """Split a verb into the two halves between which German puts the rest of the clause.

    Args:
        verb: the verb.
        tense: present, past, future, or a modal: can, must, should, may, want.
        person: the subject's person.
        plural: the subject's number.

    Returns:
        The finite form and what closes the clause: (macht, auf), (hat, aufgemacht), (wird,
        aufmachen), (kauft, "").
    """
    if tense == "present":
        return present(verb, person, plural), verb.particle
    if tense == "past":
        if verb.preterite:
            return _of(verb.preterite, person, plural), verb.particle
        auxiliary = "sein" if verb.sein else "haben"
        return _of(auxiliary, person, plural), verb.particle + verb.participle
    helper = "werden" if tense == "future" else _MODALS[tense]
    return _of(helper, person, plural), infinitive(verb)


def verb_final(verb: Verb, tense: str, person: Person, plural: bool) -> str:
    """Give the verb as a subordinate clause ends in it.

    Args:
        verb: the verb.
        tense: as in `verb_complex`.
        person: the subject's person.
        plural: the subject's number.

    Returns:
        All of the verb, the finite form last: aufmacht, aufgemacht hat, aufmachen wird.
    """
    finite, closing = verb_complex(verb, tense, person, plural)
    if closing and closing == verb.particle:
        return closing + finite
    return f"{closing} {finite}".strip()


_REFLEXIVE = ("mich", "dich", "sich", "uns")


def reflexive(person: Person, plural: bool) -> str:
    """Give the reflexive pronoun in the accusative.

    Args:
        person: the subject's person.
        plural: the subject's number.

    Returns:
        The pronoun: mich, dich, sich, uns.
    """
    if person == 1 and plural:
        return _REFLEXIVE[3]
    return _REFLEXIVE[person - 1]
