"""The phrasebook's morphology against paradigms written by hand."""

from __future__ import annotations

import pytest
from phrasebook import german, lexicon
from phrasebook.nominals import (
    BARE,
    EVERY,
    NO,
    POSSESSIVES,
    THE,
    THIS,
    A,
    Name,
    Phrase,
    Titled,
)
from phrasebook.pronouns import (
    HE,
    SHE,
    THEY,
    WE,
    YOU,
    YOU_POLITE,
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


ANNA = Name("Anna", "f")


# ------------------------------------------------------------------------------- the noun's forms

CASES = ("nom", "acc", "dat", "gen")
# each table: nominative, accusative, dative, genitive; the nouns are Hund, Katze, Buch, Kinder
PARADIGMS = {
    "the": (
        "der alte Hund, die alte Katze, das alte Buch, die alten Hunde",
        "den alten Hund, die alte Katze, das alte Buch, die alten Hunde",
        "dem alten Hund, der alten Katze, dem alten Buch, den alten Hunden",
        "des alten Hundes, der alten Katze, des alten Buches, der alten Hunde",
    ),
    "this": (
        "dieser alte Hund, diese alte Katze, dieses alte Buch, diese alten Hunde",
        "diesen alten Hund, diese alte Katze, dieses alte Buch, diese alten Hunde",
        "diesem alten Hund, dieser alten Katze, diesem alten Buch, diesen alten Hunden",
        "dieses alten Hundes, dieser alten Katze, dieses alten Buches, dieser alten Hunde",
    ),
    "my": (
        "mein alter Hund, meine alte Katze, mein altes Buch, meine alten Hunde",
        "meinen alten Hund, meine alte Katze, mein altes Buch, meine alten Hunde",
        "meinem alten Hund, meiner alten Katze, meinem alten Buch, meinen alten Hunden",
        "meines alten Hundes, meiner alten Katze, meines alten Buches, meiner alten Hunde",
    ),
    "our": (
        "unser alter Hund, unsere alte Katze, unser altes Buch, unsere alten Hunde",
        "unseren alten Hund, unsere alte Katze, unser altes Buch, unsere alten Hunde",
        "unserem alten Hund, unserer alten Katze, unserem alten Buch, unseren alten Hunden",
        "unseres alten Hundes, unserer alten Katze, unseres alten Buches, unserer alten Hunde",
    ),
    "no": (
        "kein alter Hund, keine alte Katze, kein altes Buch, keine alten Hunde",
        "keinen alten Hund, keine alte Katze, kein altes Buch, keine alten Hunde",
        "keinem alten Hund, keiner alten Katze, keinem alten Buch, keinen alten Hunden",
        "keines alten Hundes, keiner alten Katze, keines alten Buches, keiner alten Hunde",
    ),
    "bare": (
        "alter Hund, alte Katze, altes Buch, alte Hunde",
        "alten Hund, alte Katze, altes Buch, alte Hunde",
        "altem Hund, alter Katze, altem Buch, alten Hunden",
        "alten Hundes, alter Katze, alten Buches, alter Hunde",
    ),
    "a": (
        "ein alter Hund, eine alte Katze, ein altes Buch",
        "einen alten Hund, eine alte Katze, ein altes Buch",
        "einem alten Hund, einer alten Katze, einem alten Buch",
        "eines alten Hundes, einer alten Katze, eines alten Buches",
    ),
    "every": (
        "jeder alte Hund, jede alte Katze, jedes alte Buch",
        "jeden alten Hund, jede alte Katze, jedes alte Buch",
        "jedem alten Hund, jeder alten Katze, jedem alten Buch",
        "jedes alten Hundes, jeder alten Katze, jedes alten Buches",
    ),
}
DETERMINERS = {
    "the": THE,
    "this": THIS,
    "my": POSSESSIVES["my"],
    "our": POSSESSIVES["our"],
    "no": NO,
    "bare": BARE,
    "a": A,
    "every": EVERY,
}


@pytest.mark.parametrize("name", PARADIGMS)
def test_adjective_paradigms(name):
    for case, row in zip(CASES, PARADIGMS[name], strict=True):
        words = [("dog", False), ("cat", False), ("book", False), ("dog", True)]
        made = [
            Phrase(noun(word), DETERMINERS[name], adjective("old"), many).german(case)
            for word, many in words[: row.count(",") + 1]
        ]
        assert ", ".join(made) == row


@pytest.mark.parametrize(
    ("word", "quality", "case", "expected"),
    [
        ("car", "expensive", "acc", "ein teures Auto"),  # teuer loses its e
        ("house", "dark", "nom", "ein dunkles Haus"),
        ("child", "tired", "dat", "einem müden Kind"),
    ],
)
def test_stems_that_change(word, quality, case, expected):
    assert a(word, quality).german(case) == expected


def test_comparatives_are_declined():
    bigger = Phrase(noun("car"), A, adjective("expensive"), comparative=True)
    assert (bigger.english(), bigger.german("acc")) == ("a more expensive car", "ein teureres Auto")
    older = Phrase(noun("dog"), THE, adjective("old"), comparative=True)
    assert (older.english(), older.german("dat")) == ("the older dog", "dem älteren Hund")


def test_weak_nouns():
    assert [the("boy").german(case) for case in CASES] == [
        "der Junge",
        "den Jungen",
        "dem Jungen",
        "des Jungen",
    ]
    assert [the("student").german(case) for case in CASES] == [
        "der Student",
        "den Studenten",
        "dem Studenten",
        "des Studenten",
    ]
    weak = {entry.german for entry in lexicon.NOUNS if entry.weak}
    assert weak == {
        "Student",
        "Nachbar",
        "Kollege",
        "Bauer",
        "Tourist",
        "Junge",
        "Affe",
        "Bär",
        "Löwe",
    }


def test_names_and_titles():
    weber = Titled("Weber", "m")
    assert [weber.german(case) for case in CASES[:3]] == [
        "Herr Weber",
        "Herrn Weber",
        "Herrn Weber",
    ]
    assert Titled("Weber", "f").german("dat") == "Frau Weber"
    assert Phrase(noun("car"), adjective=adjective("red"), owner=ANNA).german("dat") == (
        "Annas rotem Auto"
    )


# The genders and plurals of every noun, as a dictionary has them.
DICTIONARY = """
der Mann die Männer, die Frau die Frauen, der Lehrer die Lehrer, der Student die Studenten, der
Arzt die Ärzte, der Nachbar die Nachbarn, der Kollege die Kollegen, der Bauer die Bauern, der
Bäcker die Bäcker, der Tourist die Touristen, der Gast die Gäste, die Kellnerin die
Kellnerinnen, die Krankenschwester die Krankenschwestern, die Königin die Königinnen, das Kind
die Kinder, der Junge die Jungen, das Mädchen die Mädchen, der Freund die Freunde, die Tante die
Tanten, der Onkel die Onkel, die Schwester die Schwestern, der Bruder die Brüder, der Sohn die
Söhne, die Tochter die Töchter, die Mutter die Mütter, der Vater die Väter, die Großmutter die
Großmütter, der Hund die Hunde, die Katze die Katzen, das Pferd die Pferde, der Vogel die Vögel,
die Kuh die Kühe, die Ziege die Ziegen, das Schwein die Schweine, die Ente die Enten, die Maus
die Mäuse, der Affe die Affen, der Bär die Bären, der Löwe die Löwen, das Buch die Bücher, der
Brief die Briefe, die Zeitung die Zeitungen, die Lampe die Lampen, das Radio die Radios, der
Computer die Computer, der Fernseher die Fernseher, die Uhr die Uhren, das Auto die Autos, das
Fahrrad die Fahrräder, das Bild die Bilder, der Schlüssel die Schlüssel, der Ball die Bälle, der
Regenschirm die Regenschirme, der Löffel die Löffel, die Tasse die Tassen, das Glas die Gläser,
die Flasche die Flaschen, der Teller die Teller, der Koffer die Koffer, die Tasche die Taschen,
die Blume die Blumen, der Mantel die Mäntel, der Hut die Hüte, der Schal die Schals, das Hemd
die Hemden, die Jacke die Jacken, der Schuh die Schuhe, das Fenster die Fenster, die Tür die
Türen, der Tisch die Tische, der Stuhl die Stühle, das Bett die Betten, der Schrank die
Schränke, das Sofa die Sofas, der Apfel die Äpfel, die Birne die Birnen, die Banane die Bananen,
das Ei die Eier, die Kartoffel die Kartoffeln, die Tomate die Tomaten, der Kuchen die Kuchen,
das Haus die Häuser, der Garten die Gärten, die Küche die Küchen, das Zimmer die Zimmer, das
Büro die Büros, der Wald die Wälder, der Park die Parks, die Stadt die Städte, die Schule die
Schulen, die Kirche die Kirchen, das Museum die Museen, das Hotel die Hotels, der Bahnhof die
Bahnhöfe, der Flughafen die Flughäfen, das Krankenhaus die Krankenhäuser, die Brücke die
Brücken, die Wand die Wände, der Baum die Bäume, der Zug die Züge, der Bus die Busse, der Film
die Filme, das Konzert die Konzerte, das Fest die Feste, die Sitzung die Sitzungen, der Ausflug
die Ausflüge
"""
SINGULAR_ONLY = (
    "die Milch, das Wasser, der Tee, der Kaffee, der Wein, das Brot, der Käse, die Suppe, "
    "der Nebel, der Regen, der Schnee, die Kälte"
)


def test_genders_and_plurals():
    expected = {entry.strip() for entry in DICTIONARY.replace("\n", " ").split(",")}
    expected |= {entry.strip() for entry in SINGULAR_ONLY.split(",")}
    found = set()
    for entry in lexicon.NOUNS:
        single = Phrase(entry).german("nom")
        many = "" if "mass" in entry.tags else Phrase(entry, many=True).german("nom")
        found.add(f"{single} {many}".strip())
    assert found == expected


@pytest.mark.parametrize(
    ("pronoun", "forms"),
    [
        (I, "ich mich mir"),
        (YOU, "du dich dir"),
        (HE, "er ihn ihm"),
        (SHE, "sie sie ihr"),
        (WE, "wir uns uns"),
        (THEY, "sie sie ihnen"),
        (YOU_POLITE, "Sie Sie Ihnen"),
        (it_for(the("chair")), "er ihn ihm"),
        (it_for(the("lamp")), "sie sie ihr"),
        (it_for(the("book")), "es es ihm"),
        (it_for(the("book", many=True)), "sie sie ihnen"),
        (RelativePronoun("m"), "der den dem"),
        (RelativePronoun("f"), "die die der"),
        (RelativePronoun("n"), "das das dem"),
        (RelativePronoun("p"), "die die denen"),
    ],
)
def test_pronouns(pronoun, forms):
    assert " ".join(pronoun.german(case) for case in CASES[:3]) == forms


@pytest.mark.parametrize(
    ("preposition", "phrase", "expected"),
    [
        ("in", "dem Garten", "im Garten"),
        ("in", "das alte Haus", "ins alte Haus"),
        ("in", "den Garten", "in den Garten"),
        ("in", "der Stadt", "in der Stadt"),
        ("an", "dem Fenster", "am Fenster"),
        ("zu", "dem Arzt", "zum Arzt"),
        ("zu", "der Schule", "zur Schule"),
        ("zu", "den Schulen", "zu den Schulen"),
        ("von", "dem Bahnhof", "vom Bahnhof"),
        ("von", "der Schule", "von der Schule"),
        ("bei", "dem Bäcker", "beim Bäcker"),
        ("in", "diesem Garten", "in diesem Garten"),
        ("auf", "das Bett", "auf das Bett"),
    ],
)
def test_contractions(preposition, phrase, expected):
    assert german.contract(preposition, phrase) == expected


# ---------------------------------------------------------------------------------- verbs' forms

# ich, du, er, sie (plural), participle with its auxiliary, infinitive with zu: every verb there is
CONJUGATIONS = """
sehe, siehst, sieht, sehen, hat gesehen, zu sehen
höre, hörst, hört, hören, hat gehört, zu hören
finde, findest, findet, finden, hat gefunden, zu finden
kenne, kennst, kennt, kennen, hat gekannt, zu kennen
liebe, liebst, liebt, lieben, hat geliebt, zu lieben
besuche, besuchst, besucht, besuchen, hat besucht, zu besuchen
kaufe, kaufst, kauft, kaufen, hat gekauft, zu kaufen
verkaufe, verkaufst, verkauft, verkaufen, hat verkauft, zu verkaufen
brauche, brauchst, braucht, brauchen, hat gebraucht, zu brauchen
zeichne, zeichnest, zeichnet, zeichnen, hat gezeichnet, zu zeichnen
esse, isst, isst, essen, hat gegessen, zu essen
trinke, trinkst, trinkt, trinken, hat getrunken, zu trinken
lese, liest, liest, lesen, hat gelesen, zu lesen
schreibe, schreibst, schreibt, schreiben, hat geschrieben, zu schreiben
füttere, fütterst, füttert, füttern, hat gefüttert, zu füttern
wasche, wäschst, wäscht, waschen, hat gewaschen, zu waschen
repariere, reparierst, repariert, reparieren, hat repariert, zu reparieren
vergesse, vergisst, vergisst, vergessen, hat vergessen, zu vergessen
verliere, verlierst, verliert, verlieren, hat verloren, zu verlieren
trage, trägst, trägt, tragen, hat getragen, zu tragen
suche, suchst, sucht, suchen, hat gesucht, zu suchen
jage, jagst, jagt, jagen, hat gejagt, zu jagen
beiße, beißt, beißt, beißen, hat gebissen, zu beißen
helfe, hilfst, hilft, helfen, hat geholfen, zu helfen
danke, dankst, dankt, danken, hat gedankt, zu danken
antworte, antwortest, antwortet, antworten, hat geantwortet, zu antworten
folge, folgst, folgt, folgen, ist gefolgt, zu folgen
warte, wartest, wartet, warten, hat gewartet, zu warten
spreche, sprichst, spricht, sprechen, hat gesprochen, zu sprechen
denke, denkst, denkt, denken, hat gedacht, zu denken
träume, träumst, träumt, träumen, hat geträumt, zu träumen
lache, lachst, lacht, lachen, hat gelacht, zu lachen
spiele, spielst, spielt, spielen, hat gespielt, zu spielen
mache auf, machst auf, macht auf, machen auf, hat aufgemacht, aufzumachen
mache zu, machst zu, macht zu, machen zu, hat zugemacht, zuzumachen
schalte ein, schaltest ein, schaltet ein, schalten ein, hat eingeschaltet, einzuschalten
schalte aus, schaltest aus, schaltet aus, schalten aus, hat ausgeschaltet, auszuschalten
ziehe an, ziehst an, zieht an, ziehen an, hat angezogen, anzuziehen
hole ab, holst ab, holt ab, holen ab, hat abgeholt, abzuholen
rufe an, rufst an, ruft an, rufen an, hat angerufen, anzurufen
lade ein, lädst ein, lädt ein, laden ein, hat eingeladen, einzuladen
werfe weg, wirfst weg, wirft weg, werfen weg, hat weggeworfen, wegzuwerfen
räume auf, räumst auf, räumt auf, räumen auf, hat aufgeräumt, aufzuräumen
bringe mit, bringst mit, bringt mit, bringen mit, hat mitgebracht, mitzubringen
freue, freust, freut, freuen, hat gefreut, zu freuen
beschwere, beschwerst, beschwert, beschweren, hat beschwert, zu beschweren
sorge, sorgst, sorgt, sorgen, hat gesorgt, zu sorgen
treffe, triffst, trifft, treffen, hat getroffen, zu treffen
erinnere, erinnerst, erinnert, erinnern, hat erinnert, zu erinnern
schlafe, schläfst, schläft, schlafen, hat geschlafen, zu schlafen
arbeite, arbeitest, arbeitet, arbeiten, hat gearbeitet, zu arbeiten
tanze, tanzt, tanzt, tanzen, hat getanzt, zu tanzen
singe, singst, singt, singen, hat gesungen, zu singen
weine, weinst, weint, weinen, hat geweint, zu weinen
schwimme, schwimmst, schwimmt, schwimmen, ist geschwommen, zu schwimmen
stehe auf, stehst auf, steht auf, stehen auf, ist aufgestanden, aufzustehen
schlafe ein, schläfst ein, schläft ein, schlafen ein, ist eingeschlafen, einzuschlafen
komme zurück, kommst zurück, kommt zurück, kommen zurück, ist zurückgekommen, zurückzukommen
komme an, kommst an, kommt an, kommen an, ist angekommen, anzukommen
fahre ab, fährst ab, fährt ab, fahren ab, ist abgefahren, abzufahren
fange an, fängst an, fängt an, fangen an, hat angefangen, anzufangen
beeile, beeilst, beeilt, beeilen, hat beeilt, zu beeilen
gehe, gehst, geht, gehen, ist gegangen, zu gehen
laufe, läufst, läuft, laufen, ist gelaufen, zu laufen
komme, kommst, kommt, kommen, ist gekommen, zu kommen
fahre, fährst, fährt, fahren, ist gefahren, zu fahren
wohne, wohnst, wohnt, wohnen, hat gewohnt, zu wohnen
sitze, sitzt, sitzt, sitzen, hat gesessen, zu sitzen
liege, liegst, liegt, liegen, hat gelegen, zu liegen
stehe, stehst, steht, stehen, hat gestanden, zu stehen
hänge, hängst, hängt, hängen, hat gehangen, zu hängen
hänge, hängst, hängt, hängen, hat gehängt, zu hängen
lege, legst, legt, legen, hat gelegt, zu legen
stelle, stellst, stellt, stellen, hat gestellt, zu stellen
gebe, gibst, gibt, geben, hat gegeben, zu geben
zeige, zeigst, zeigt, zeigen, hat gezeigt, zu zeigen
bringe, bringst, bringt, bringen, hat gebracht, zu bringen
schicke, schickst, schickt, schicken, hat geschickt, zu schicken
gehöre, gehörst, gehört, gehören, hat gehört, zu gehören
funktioniere, funktionierst, funktioniert, funktionieren, hat funktioniert, zu funktionieren
koste, kostest, kostet, kosten, hat gekostet, zu kosten
versuche, versuchst, versucht, versuchen, hat versucht, zu versuchen
sage, sagst, sagt, sagen, hat gesagt, zu sagen
hoffe, hoffst, hofft, hoffen, hat gehofft, zu hoffen
glaube, glaubst, glaubt, glauben, hat geglaubt, zu glauben
weiß, weißt, weiß, wissen, hat gewusst, zu wissen
frage, fragst, fragt, fragen, hat gefragt, zu fragen
bin, bist, ist, sind, ist gewesen, zu sein
habe, hast, hat, haben, hat gehabt, zu haben
"""


def test_conjugations_of_every_verb():
    expected = set(CONJUGATIONS.strip().splitlines())
    found = set()
    for entry in lexicon.VERBS:
        persons = [
            " ".join(filter(None, german.verb_complex(entry, "present", person, plural)))
            for person, plural in ((1, False), (2, False), (3, False), (3, True))
        ]
        perfect = " ".join(reversed(german.verb_final(entry, "past", 3, False).split()))
        found.add(", ".join([*persons, perfect, german.zu_infinitive(entry)]))
    assert found == expected


@pytest.mark.parametrize(
    ("tense", "forms"),
    [
        ("can", "kann kannst kann können"),
        ("must", "muss musst muss müssen"),
        ("may", "darf darfst darf dürfen"),
        ("want", "will willst will wollen"),
        ("should", "sollte solltest sollte sollten"),
        ("future", "werde wirst wird werden"),
    ],
)
def test_helpers(tense, forms):
    found = [
        german.verb_complex(verb("open", "aufmachen"), tense, person, plural)
        for person, plural in ((1, False), (2, False), (3, False), (3, True))
    ]
    assert [finite for finite, _ in found] == forms.split()
    assert {closing for _, closing in found} == {"aufmachen"}


def test_preterites():
    assert german.verb_complex(lexicon.BE, "past", 2, False) == ("warst", "")
    assert german.verb_complex(lexicon.HAVE, "past", 1, True) == ("hatten", "")


@pytest.mark.parametrize(
    ("english_", "german_", "expected"),
    [
        ("read", "lesen", "lies"),
        ("eat", "essen", "iss"),
        ("help", "helfen", "hilf"),
        ("give", "geben", "gib"),
        ("talk to", "sprechen", "sprich"),
        ("throw away", "wegwerfen", "wirf"),
        ("carry", "tragen", "trag"),
        ("invite", "einladen", "lade"),
        ("wait for", "warten", "warte"),
        ("draw", "zeichnen", "zeichne"),
        ("feed", "füttern", "füttere"),
        ("find", "finden", "finde"),
        ("buy", "kaufen", "kauf"),
        ("turn on", "einschalten", "schalte"),
    ],
)
def test_imperatives(english_, german_, expected):
    assert german.imperative(verb(english_, german_)) == expected


def test_reflexive_pronouns():
    persons = ((1, False), (2, False), (3, False), (1, True), (3, True))
    assert [german.reflexive(*person) for person in persons] == [
        "mich",
        "dich",
        "sich",
        "uns",
        "sich",
    ]
