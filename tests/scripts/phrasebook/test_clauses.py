"""The phrasebook's clauses against translations written by hand."""

from __future__ import annotations

import pytest
from phrasebook import lexicon
from phrasebook.adverbials import INNER
from phrasebook.clauses import (
    Adverbial,
    Clause,
    english,
    english_infinitive,
    german_final,
    german_imperative,
    german_infinitive,
    question,
    sentence,
    statement,
)
from phrasebook.clauses import german as german_main
from phrasebook.nominals import (
    BARE,
    EVERY,
    POSSESSIVES,
    THE,
    WHICH,
    A,
    Both,
    Name,
    Phrase,
    Titled,
)
from phrasebook.numbers import english_number, german_number
from phrasebook.pronouns import (
    HE,
    SHE,
    THEY,
    WE,
    YOU,
    YOU_POLITE,
    Fixed,
    I,
    RelativePronoun,
    it_for,
)

verb, noun, adjective = lexicon.verb, lexicon.noun, lexicon.adjective


def the(name: str, quality: str | None = None, many: bool = False) -> Phrase:
    return Phrase(noun(name), THE, adjective(quality) if quality else None, many)


def a(name: str, quality: str | None = None) -> Phrase:
    return Phrase(noun(name), A, adjective(quality) if quality else None)


def my(name: str, quality: str | None = None, whose: str = "my", many: bool = False) -> Phrase:
    return Phrase(noun(name), POSSESSIVES[whose], adjective(quality) if quality else None, many)


ANNA, PETER = Name("Anna", "f"), Name("Peter", "m")
TODAY = Adverbial("today", "heute")
YESTERDAY = Adverbial("yesterday", "gestern")
TOMORROW = Adverbial("tomorrow", "morgen")


# ------------------------------------------------------------------ translations written by hand

BUY, OPEN, PUT_ON = verb("buy", "kaufen"), verb("open", "aufmachen"), verb("put on", "anziehen")
GIVE, HELP, GO = verb("give", "geben"), verb("help", "helfen"), verb("go", "gehen")
FORWARD = verb("look forward to", "freuen")
IN_THE_GARDEN = ("in the garden", "im Garten")

STATEMENTS = [
    (
        Clause(the("man"), BUY, object=a("book", "red")),
        "The man buys a red book.",
        "Der Mann kauft ein rotes Buch.",
    ),
    (
        Clause(the("man"), BUY, object=a("book"), time=TODAY),
        "The man buys a book today.",
        "Der Mann kauft heute ein Buch.",
    ),
    (
        Clause(ANNA, BUY, "past", a("coat"), time=YESTERDAY),
        "Anna bought a coat yesterday.",
        "Anna hat gestern einen Mantel gekauft.",
    ),
    (
        Clause(ANNA, BUY, "future", a("coat"), time=TOMORROW),
        "Anna will buy a coat tomorrow.",
        "Anna wird morgen einen Mantel kaufen.",
    ),
    (
        Clause(I, BUY, "must", the("lamp", "old")),
        "I must buy the old lamp.",
        "Ich muss die alte Lampe kaufen.",
    ),
    (Clause(WE, OPEN, object=the("window")), "We open the window.", "Wir machen das Fenster auf."),
    (Clause(YOU, OPEN, "past", the("door")), "You opened the door.", "Du hast die Tür aufgemacht."),
    (
        Clause(THEY, OPEN, "can", my("suitcase", whose="their")),
        "They can open their suitcase.",
        "Sie können ihren Koffer aufmachen.",
    ),
    (Clause(SHE, PUT_ON, object=it_for(the("jacket"))), "She puts it on.", "Sie zieht sie an."),
    (Clause(SHE, PUT_ON, object=it_for(the("coat"))), "She puts it on.", "Sie zieht ihn an."),
    (
        Clause(HE, GIVE, object=the("ball"), indirect=the("child")),
        "He gives the child the ball.",
        "Er gibt dem Kind den Ball.",
    ),
    (
        Clause(HE, GIVE, "past", a("flower"), indirect=SHE),
        "He gave her a flower.",
        "Er hat ihr eine Blume gegeben.",
    ),
    (
        Clause(PETER, HELP, object=my("sister", whose="his")),
        "Peter helps his sister.",
        "Peter hilft seiner Schwester.",
    ),
    (
        Clause(PETER, HELP, "past", THEY, time=YESTERDAY),
        "Peter helped them yesterday.",
        "Peter hat ihnen gestern geholfen.",
    ),
    (
        Clause(PETER, HELP, object=the("student", "poor")),
        "Peter helps the poor student.",
        "Peter hilft dem armen Studenten.",
    ),
    (
        Clause(ANNA, GO, places=(("into the garden", "in den Garten"),)),
        "Anna goes into the garden.",
        "Anna geht in den Garten.",
    ),
    (
        Clause(
            ANNA,
            GO,
            "past",
            places=(("to the station", "zum Bahnhof"), ("with her brother", "mit ihrem Bruder")),
        ),
        "Anna went to the station with her brother.",
        "Anna ist mit ihrem Bruder zum Bahnhof gegangen.",
    ),
    (
        Clause(I, FORWARD, object=the("concert")),
        "I look forward to the concert.",
        "Ich freue mich auf das Konzert.",
    ),
    (
        Clause(the("guest", many=True), FORWARD, "past", the("party")),
        "The guests looked forward to the party.",
        "Die Gäste haben sich auf das Fest gefreut.",
    ),
    (
        Clause(ANNA, BUY, object=a("book"), negated=True),
        "Anna does not buy a book.",
        "Anna kauft kein Buch.",
    ),
    (
        Clause(ANNA, BUY, object=Phrase(noun("milk"), BARE), negated=True),
        "Anna does not buy milk.",
        "Anna kauft keine Milch.",
    ),
    (
        Clause(ANNA, BUY, "past", the("book"), negated=True),
        "Anna did not buy the book.",
        "Anna hat das Buch nicht gekauft.",
    ),
    (
        Clause(ANNA, OPEN, object=the("window"), negated=True),
        "Anna does not open the window.",
        "Anna macht das Fenster nicht auf.",
    ),
    (
        Clause(ANNA, OPEN, "can", the("window"), negated=True),
        "Anna cannot open the window.",
        "Anna kann das Fenster nicht aufmachen.",
    ),
    (
        Clause(ANNA, GO, places=(("into the house", "ins Haus"),), negated=True),
        "Anna does not go into the house.",
        "Anna geht nicht ins Haus.",
    ),
    (
        Clause(ANNA, verb("wait for", "warten"), object=the("train"), negated=True),
        "Anna does not wait for the train.",
        "Anna wartet nicht auf den Zug.",
    ),
    (
        Clause(I, lexicon.BE, places=(("tired", "müde"),), negated=True),
        "I am not tired.",
        "Ich bin nicht müde.",
    ),
    (
        Clause(Fixed("this", "das"), lexicon.BE, object=my("coat", "new")),
        "This is my new coat.",
        "Das ist mein neuer Mantel.",
    ),
    (
        Clause(Fixed("these", "das", True), lexicon.BE, object=my("shoe", "new", many=True)),
        "These are my new shoes.",
        "Das sind meine neuen Schuhe.",
    ),
    (
        Clause(SHE, lexicon.HAVE, "past", a("dog", "small")),
        "She had a small dog.",
        "Sie hatte einen kleinen Hund.",
    ),
    (
        Clause(HE, verb("repair", "reparieren"), object=the("bicycle"), time=INNER[0]),
        "He often repairs the bicycle.",
        "Er repariert oft das Fahrrad.",
    ),
    (
        Clause(
            Phrase(noun("car"), adjective=adjective("old"), owner=my("uncle")),
            lexicon.BE,
            places=(("red", "rot"),),
        ),
        "My uncle's old car is red.",
        "Das alte Auto meines Onkels ist rot.",
    ),
    (
        Clause(I, verb("find", "finden"), object=Phrase(noun("book"), owner=the("boy"))),
        "I find the boy's book.",
        "Ich finde das Buch des Jungen.",
    ),
    (
        Clause(
            I,
            verb("see", "sehen"),
            object=Phrase(noun("dog"), adjective=adjective("small"), owner=ANNA),
        ),
        "I see Anna's small dog.",
        "Ich sehe Annas kleinen Hund.",
    ),
    (
        Clause(the("book"), verb("belong to", "gehören"), object=Titled("Weber", "m")),
        "The book belongs to Mr Weber.",
        "Das Buch gehört Herrn Weber.",
    ),
    (
        Clause(Both(ANNA, PETER), verb("sleep", "schlafen"), places=(IN_THE_GARDEN,)),
        "Anna and Peter sleep in the garden.",
        "Anna und Peter schlafen im Garten.",
    ),
    (
        Clause(
            Phrase(noun("student"), EVERY), verb("read", "lesen"), object=my("book", whose="his")
        ),
        "Every student reads his book.",
        "Jeder Student liest sein Buch.",
    ),
    (
        Clause(
            the("train"),
            verb("depart", "abfahren"),
            places=(("at half past three", "um halb vier"),),
        ),
        "The train departs at half past three.",
        "Der Zug fährt um halb vier ab.",
    ),
    (
        Clause(
            the("lamp"),
            verb("cost", "kosten"),
            object=Fixed(f"{english_number(21)} euros", f"{german_number(21)} Euro"),
        ),
        "The lamp costs twenty-one euros.",
        "Die Lampe kostet einundzwanzig Euro.",
    ),
]


@pytest.mark.parametrize(("clause", "en", "de"), STATEMENTS, ids=[row[1] for row in STATEMENTS])
def test_statements(clause, en, de):
    assert sentence(*statement(clause)) == (en, de)


FRONTED = [
    (
        Clause(the("man"), BUY, object=a("book"), time=TODAY),
        "Today the man buys a book.",
        "Heute kauft der Mann ein Buch.",
    ),
    (
        Clause(SHE, OPEN, "past", the("window"), time=YESTERDAY),
        "Yesterday she opened the window.",
        "Gestern hat sie das Fenster aufgemacht.",
    ),
    (
        Clause(SHE, BUY, "past", it_for(the("chair")), time=YESTERDAY),
        "Yesterday she bought it.",
        "Gestern hat sie ihn gekauft.",
    ),
    (
        Clause(ANNA, FORWARD, object=the("party"), time=TODAY),
        "Today Anna looks forward to the party.",
        "Heute freut sich Anna auf das Fest.",
    ),
    (
        Clause(WE, FORWARD, object=the("party"), time=TODAY),
        "Today we look forward to the party.",
        "Heute freuen wir uns auf das Fest.",
    ),
]


@pytest.mark.parametrize(("clause", "en", "de"), FRONTED, ids=[row[1] for row in FRONTED])
def test_verb_second(clause, en, de):
    assert sentence(*statement(clause, fronted=True)) == (en, de)


QUESTIONS = [
    (
        Clause(ANNA, OPEN, object=the("window")),
        None,
        "Does Anna open the window?",
        "Macht Anna das Fenster auf?",
    ),
    (
        Clause(YOU, BUY, "past", the("hat")),
        None,
        "Did you buy the hat?",
        "Hast du den Hut gekauft?",
    ),
    (Clause(YOU_POLITE, HELP, "can", I), None, "Can you help me?", "Können Sie mir helfen?"),
    (Clause(the("child"), BUY), ("what", "was"), "What does the child buy?", "Was kauft das Kind?"),
    (Clause(SHE, HELP), ("whom", "wem"), "Whom does she help?", "Wem hilft sie?"),
    (
        Clause(SHE, verb("wait for", "warten")),
        ("whom", "auf wen"),
        "Whom does she wait for?",
        "Auf wen wartet sie?",
    ),
    (
        Clause(the("guest"), FORWARD, object=the("party")),
        None,
        "Does the guest look forward to the party?",
        "Freut sich der Gast auf das Fest?",
    ),
    (
        Clause(HE, BUY),
        (Phrase(noun("table"), WHICH).english(), Phrase(noun("table"), WHICH).german("acc")),
        "Which table does he buy?",
        "Welchen Tisch kauft er?",
    ),
    (Clause(ANNA, lexicon.BE), ("where", "wo"), "Where is Anna?", "Wo ist Anna?"),
]


@pytest.mark.parametrize(
    ("clause", "asked", "en", "de"), QUESTIONS, ids=[row[2] for row in QUESTIONS]
)
def test_questions(clause, asked, en, de):
    assert sentence(*question(clause, asked), "?") == (en, de)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (Clause(HE, OPEN, object=the("window")), "weil er das Fenster aufmacht"),
        (Clause(HE, OPEN, "past", the("window")), "weil er das Fenster aufgemacht hat"),
        (Clause(HE, OPEN, "can", the("window")), "weil er das Fenster aufmachen kann"),
        (Clause(HE, OPEN, "future", the("window")), "weil er das Fenster aufmachen wird"),
        (
            Clause(HE, GO, "past", places=(("", "in den Garten"),)),
            "weil er in den Garten gegangen ist",
        ),
        (
            Clause(ANNA, FORWARD, object=the("party"), time=TODAY),
            "weil Anna sich heute auf das Fest freut",
        ),
        (Clause(HE, lexicon.BE, places=(("", "müde"),)), "weil er müde ist"),
        (Clause(ANNA, BUY, object=a("book"), negated=True), "weil Anna kein Buch kauft"),
    ],
)
def test_subordinate_clauses(clause, expected):
    assert german_final(clause, "weil") == expected


def test_infinitives_and_orders():
    clause = Clause(YOU, OPEN, object=the("window"))
    assert (english_infinitive(clause), german_infinitive(clause)) == (
        "open the window",
        "das Fenster aufzumachen",
    )
    assert german_imperative(clause, polite=False) == "mach das Fenster auf"
    assert german_imperative(clause, polite=True) == "machen Sie das Fenster auf"


def _with_clause(name: str, clause: Clause, opening: str = "") -> Phrase:
    that = f"that {english(clause)}" if opening else english(clause)
    return Phrase(noun(name), THE, clause=(that, german_final(clause, opening)))


SEE, FEED, SLEEP = verb("see", "sehen"), verb("feed", "füttern"), verb("sleep", "schlafen")
FED_CAT = _with_clause("cat", Clause(the("man"), FEED), "die")
SEEING_DOG = _with_clause("dog", Clause(RelativePronoun("m"), SEE, object=FED_CAT))
HELPED_MAN = _with_clause("man", Clause(the("woman"), HELP), "dem")


@pytest.mark.parametrize(
    ("clause", "en", "de"),
    [
        (
            Clause(FED_CAT, SLEEP),
            "The cat that the man feeds sleeps.",
            "Die Katze, die der Mann füttert, schläft.",
        ),
        (
            Clause(SEEING_DOG, SLEEP),
            "The dog that sees the cat that the man feeds sleeps.",
            "Der Hund, der die Katze sieht, die der Mann füttert, schläft.",
        ),
        (
            Clause(ANNA, SEE, "past", SEEING_DOG),
            "Anna saw the dog that sees the cat that the man feeds.",
            "Anna hat den Hund gesehen, der die Katze sieht, die der Mann füttert.",
        ),
        (
            Clause(I, verb("know", "kennen"), object=HELPED_MAN),
            "I know the man that the woman helps.",
            "Ich kenne den Mann, dem die Frau hilft.",
        ),
        (
            Clause(I, verb("call", "anrufen"), object=HELPED_MAN),
            "I call the man that the woman helps.",
            "Ich rufe den Mann an, dem die Frau hilft.",
        ),
    ],
)
def test_relative_clauses(clause, en, de):
    assert sentence(*statement(clause)) == (en, de)


def test_main_clause_after_a_subordinate_one():
    front = german_final(Clause(HE, OPEN, object=the("window")), "wenn") + ","
    assert german_main(Clause(ANNA, SLEEP), front) == "wenn er das Fenster aufmacht, schläft Anna"


def test_unknown_words():
    with pytest.raises(KeyError, match="no verb fly = fliegen in the lexicon"):
        lexicon.verb("fly", "fliegen")
    with pytest.raises(KeyError, match="no noun unicorn in the lexicon"):
        lexicon.noun("unicorn")
    with pytest.raises(KeyError, match="no adjective purple in the lexicon"):
        lexicon.adjective("purple")
