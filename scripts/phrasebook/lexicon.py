"""The words: nouns, adjectives, verbs, names and time expressions, each line a dictionary entry.

The tables are small on purpose. Every word comes up often in the corpus, so that what is left to
learn is grammar. The tags are semantic classes: they see to it that people eat apples and not the
other way round.
"""

from __future__ import annotations

from dataclasses import replace

from .words import Adjective, Gender, Noun, Verb, read_adjectives, read_nouns, read_verbs

NOUNS: tuple[Noun, ...] = read_nouns("""
man men | Mann m Männer Mannes | person human
woman women | Frau f Frauen | person human
teacher teachers | Lehrer m Lehrer Lehrers | person human own
student students | Student m Studenten Studenten* | person human
doctor doctors | Arzt m Ärzte Arztes | person human visited own
neighbour neighbours | Nachbar m Nachbarn Nachbarn* | person human visited own
colleague colleagues | Kollege m Kollegen Kollegen* | person human own
farmer farmers | Bauer m Bauern Bauern* | person human visited
baker bakers | Bäcker m Bäcker Bäckers | person human visited
tourist tourists | Tourist m Touristen Touristen* | person human
guest guests | Gast m Gäste Gastes | person human own
waitress waitresses | Kellnerin f Kellnerinnen | person human
nurse nurses | Krankenschwester f Krankenschwestern | person human
queen queens | Königin f Königinnen | person human
child children | Kind n Kinder Kindes | youth human
boy boys | Junge m Jungen Jungen* | youth human
girl girls | Mädchen n Mädchen Mädchens | youth human
friend friends | Freund m Freunde Freundes | kin human many
aunt aunts | Tante f Tanten | kin human many
uncle uncles | Onkel m Onkel Onkels | kin human many
sister sisters | Schwester f Schwestern | kin human many
brother brothers | Bruder m Brüder Bruders | kin human many
son sons | Sohn m Söhne Sohnes | kin human many
daughter daughters | Tochter f Töchter | kin human many
mother mothers | Mutter f Mütter | kin human
father fathers | Vater m Väter Vaters | kin human
grandmother grandmothers | Großmutter f Großmütter | kin human
dog dogs | Hund m Hunde Hundes | animal pet hunter
cat cats | Katze f Katzen | animal pet hunter
horse horses | Pferd n Pferde Pferdes | animal pet
bird birds | Vogel m Vögel Vogels | animal pet
cow cows | Kuh f Kühe | animal pet
goat goats | Ziege f Ziegen | animal pet
pig pigs | Schwein n Schweine Schweines | animal pet
duck ducks | Ente f Enten | animal pet
mouse mice | Maus f Mäuse | animal
monkey monkeys | Affe m Affen Affen* | animal hunter
bear bears | Bär m Bären Bären* | animal hunter
lion lions | Löwe m Löwen Löwen* | animal hunter
book books | Buch n Bücher Buches | reading thing text lay gift written
letter letters | Brief m Briefe Briefes | message text lay sent written
newspaper newspapers | Zeitung f Zeitungen | reading text lay
lamp lamps | Lampe f Lampen | object thing device stand
radio radios | Radio n Radios Radios | object thing device stand
computer computers | Computer m Computer Computers | object thing device stand
television televisions | Fernseher m Fernseher Fernsehers | object thing device stand
clock clocks | Uhr f Uhren | object thing machine hang gift
car cars | Auto n Autos Autos | object thing machine
bicycle bicycles | Fahrrad n Fahrräder Fahrrads | object thing machine gift
picture pictures | Bild n Bilder Bildes | object thing hang gift sent
key keys | Schlüssel m Schlüssel Schlüssels | object thing lay small
ball balls | Ball m Bälle Balls | object thing lay gift small
umbrella umbrellas | Regenschirm m Regenschirme Regenschirmes | object thing lay small
spoon spoons | Löffel m Löffel Löffels | object thing lay
cup cups | Tasse f Tassen | object thing stand
glass glasses | Glas n Gläser Glases | object thing stand
bottle bottles | Flasche f Flaschen | object thing stand opened
plate plates | Teller m Teller Tellers | object thing stand
suitcase suitcases | Koffer m Koffer Koffers | object thing stand opened small container
bag bags | Tasche f Taschen | object thing stand opened small container
flower flowers | Blume f Blumen | object thing gift sent
coat coats | Mantel m Mäntel Mantels | object thing clothing lay
hat hats | Hut m Hüte Hutes | object thing clothing lay gift
scarf scarves | Schal m Schals Schals | object thing clothing lay
shirt shirts | Hemd n Hemden Hemdes | object thing clothing lay
jacket jackets | Jacke f Jacken | object thing clothing lay
shoe shoes | Schuh m Schuhe Schuhes | object thing clothing
window windows | Fenster n Fenster Fensters | object opened at
door doors | Tür f Türen | object opened front at
table tables | Tisch m Tische Tisches | object thing at surface under beside
chair chairs | Stuhl m Stühle Stuhls | object thing surface under beside
bed beds | Bett n Betten Bettes | object thing surface under beside
cupboard cupboards | Schrank m Schränke Schranks | object thing surface beside behind container
sofa sofas | Sofa n Sofas Sofas | object thing surface behind beside
apple apples | Apfel m Äpfel Apfels | fruit food
pear pears | Birne f Birnen | fruit food
banana bananas | Banane f Bananen | fruit food
egg eggs | Ei n Eier Eies | food
potato potatoes | Kartoffel f Kartoffeln | food
tomato tomatoes | Tomate f Tomaten | food
cake cakes | Kuchen m Kuchen Kuchens | fruit food
milk milk | Milch f Milch | drink mass
water water | Wasser n Wasser Wassers | drink mass
tea tea | Tee m Tees Tees | drink mass
coffee coffee | Kaffee m Kaffees Kaffees | drink mass
wine wine | Wein m Weine Weines | drink mass
bread bread | Brot n Brote Brotes | dish mass
cheese cheese | Käse m Käse Käses | dish mass
soup soup | Suppe f Suppen | dish mass
house houses | Haus n Häuser Hauses | place enter front behind built home
garden gardens | Garten m Gärten Gartens | place enter
kitchen kitchens | Küche f Küchen | place enter room lone
room rooms | Zimmer n Zimmer Zimmers | place enter room home
office offices | Büro n Büros Büros | place enter room lone
forest forests | Wald m Wälder Waldes | place enter through lone
park parks | Park m Parks Parks | place enter goal through lone
city cities | Stadt f Städte | place enter through home lone
school schools | Schule f Schulen | place goal enter front behind built lone
church churches | Kirche f Kirchen | place goal enter front behind built sight lone
museum museums | Museum n Museen Museums | place goal enter front built sight lone
hotel hotels | Hotel n Hotels Hotels | place goal enter front behind built home lone
station stations | Bahnhof m Bahnhöfe Bahnhofs | place goal at front behind built lone
airport airports | Flughafen m Flughäfen Flughafens | place goal at built lone
hospital hospitals | Krankenhaus n Krankenhäuser Krankenhauses | place goal enter behind built lone
bridge bridges | Brücke f Brücken | place goal under built sight lone cover
wall walls | Wand f Wände | wall
tree trees | Baum m Bäume Baumes | plant under behind beside cover
train trains | Zug m Züge Zuges | vehicle
bus buses | Bus m Busse Busses | vehicle
film films | Film m Filme Films | event
trip trips | Ausflug m Ausflüge Ausflugs | event
concert concerts | Konzert n Konzerte Konzerts | event
party parties | Fest n Feste Festes | event
meeting meetings | Sitzung f Sitzungen | event
rain rain | Regen m Regen Regens | weather mass
snow snow | Schnee m Schnee Schnees | weather mass
fog fog | Nebel m Nebel Nebels | weather mass
cold cold | Kälte f Kälte | weather mass
""")

ADJECTIVES: tuple[Adjective, ...] = read_adjectives("""
old older | alt alt älter | person animal object reading message place plant
young younger | jung jung jünger | person animal
new newer | neu neu neuer | object reading message place
big bigger | groß groß größer | animal object fruit food place plant
small smaller | klein klein kleiner | youth animal object fruit food place plant
beautiful more_beautiful | schön schön schöner | object animal place plant
expensive more_expensive | teuer teur teurer | object reading fruit food
cheap cheaper | billig billig billiger | object reading fruit food
heavy heavier | schwer schwer schwerer | object
dark darker | dunkel dunkl dunkler | object place
red redder | rot rot roter | object colour
blue bluer | blau blau blauer | object colour
green greener | grün grün grüner | object colour
black blacker | schwarz schwarz schwärzer | object animal colour
white whiter | weiß weiß weißer | object animal colour
long longer | lang lang länger | reading message
short shorter | kurz kurz kürzer | reading message
interesting more_interesting | interessant interessant interessanter | reading message
important more_important | wichtig wichtig wichtiger | reading message
sweet sweeter | süß süß süßer | fruit
fresh fresher | frisch frisch frischer | fruit food dish
good better | gut gut besser | dish drink
warm warmer | warm warm wärmer | drink
cold colder | kalt kalt kälter | drink
friendly friendlier | freundlich freundlich freundlicher | person youth kin
clever cleverer | klug klug klüger | person youth kin animal
rich richer | reich reich reicher | person kin
poor poorer | arm arm ärmer | person
famous more_famous | berühmt berühmt berühmter | person
happy happier | glücklich glücklich glücklicher | person youth kin
sad sadder | traurig traurig trauriger | person youth kin
tired more_tired | müde müd müder | person youth kin animal
hungry hungrier | hungrig hungrig hungriger | person youth kin animal
""")

VERBS: tuple[Verb, ...] = read_verbs("""
see sees saw | sehen sieht gesehen | acc | human animal | human animal thing
hear hears heard | hören hört gehört | acc unwilled | human animal | human animal
find finds found | finden findet gefunden | acc | human | thing text animal
know knows knew | kennen kennt gekannt | acc timeless unwilled | human | human
love loves loved | lieben liebt geliebt | acc timeless unwilled | human | kin pet
visit visits visited | besuchen besucht besucht | acc | human | human sight
buy buys bought | kaufen kauft gekauft | acc | human | thing food drink dish clothing
sell sells sold | verkaufen verkauft verkauft | acc | human | thing food clothing
need needs needed | brauchen braucht gebraucht | acc timeless unwilled | human | thing
draw draws drew | zeichnen zeichnet gezeichnet | acc | human | animal thing plant
eat eats ate | essen isst gegessen | acc | human | food dish
drink drinks drank | trinken trinkt getrunken | acc | human | drink
read reads read | lesen liest gelesen | acc | human | text
write writes wrote | schreiben schreibt geschrieben | acc | human | written
feed feeds fed | füttern füttert gefüttert | acc | human | pet
wash washes washed | waschen wäscht gewaschen | acc | human | clothing
repair repairs repaired | reparieren repariert repariert | acc | human | device machine
forget forgets forgot | vergessen vergisst vergessen | acc unwilled | human | small text
lose loses lost | verlieren verliert verloren | acc unwilled | human | small
carry carries carried | tragen trägt getragen | acc | human | small
look looks looked +for | suchen sucht gesucht | acc | human | human small animal
chase chases chased | jagen jagt gejagt | acc | hunter | animal
bite bites bit | beißen beißt gebissen | acc | hunter | human animal
help helps helped | helfen hilft geholfen | dat | human | human
thank thanks thanked | danken dankt gedankt | dat | human | human
answer answers answered | antworten antwortet geantwortet | dat | human | human
follow follows followed | folgen folgt gefolgt sein | dat | human animal | human animal
wait waits waited +for | warten wartet gewartet | auf acc | human | human vehicle
talk talks talked +to | sprechen spricht gesprochen | mit dat | human | human
think thinks thought +of | denken denkt gedacht | an acc | human | human
dream dreams dreamt +of | träumen träumt geträumt | von dat unwilled | human | animal
laugh laughs laughed +at | lachen lacht gelacht | über acc | human | human animal
play plays played +with | spielen spielt gespielt | mit dat | human | pet youth
open opens opened | auf/machen macht gemacht | acc | human | opened
close closes closed | zu/machen macht gemacht | acc | human | opened
turn turns turned ~on | ein/schalten schaltet geschaltet | acc | human | device
turn turns turned ~off | aus/schalten schaltet geschaltet | acc | human | device
put puts put ~on | an/ziehen zieht gezogen | acc | human | clothing
pick picks picked ~up | ab/holen holt geholt | acc | human | human
call calls called | an/rufen ruft gerufen | acc | human | human
invite invites invited | ein/laden lädt geladen | acc | human | human
throw throws threw ~away | weg/werfen wirft geworfen | acc | human | text clothing small
tidy tidies tidied ~up | auf/räumen räumt geräumt | acc | human | room
bring brings brought ~along | mit/bringen bringt gebracht | acc | human | gift food dish
look looks looked +forward_to | freuen freut gefreut | sich auf acc unwilled | human | event
complain complains complained +about | beschweren beschwert beschwert | sich über acc | human | dish
worry worries worried +about | sorgen sorgt gesorgt | sich um acc unwilled | human | human pet
meet meets met | treffen trifft getroffen | sich mit dat | human | human
remember remembers remembered | erinnern erinnert erinnert | sich an acc | human | human event
sleep sleeps slept | schlafen schläft geschlafen | acc | human animal |
work works worked | arbeiten arbeitet gearbeitet | acc | human |
dance dances danced | tanzen tanzt getanzt | acc | human |
sing sings sang | singen singt gesungen | acc | human |
cry cries cried | weinen weint geweint | acc unwilled | human |
swim swims swam | schwimmen schwimmt geschwommen sein | acc | human animal |
get gets got ~up | auf/stehen steht gestanden sein | acc | human |
fall falls fell ~asleep | ein/schlafen schläft geschlafen sein | acc unwilled | human |
come comes came ~back | zurück/kommen kommt gekommen sein | acc | human |
arrive arrives arrived | an/kommen kommt gekommen sein | acc | human vehicle |
depart departs departed | ab/fahren fährt gefahren sein | acc | vehicle |
begin begins began | an/fangen fängt gefangen | acc | event |
hurry hurries hurried | beeilen beeilt beeilt | sich acc | human |
go goes went | gehen geht gegangen sein | acc | motion |
run runs ran | laufen läuft gelaufen sein | acc | motion |
come comes came | kommen kommt gekommen sein | acc | motion |
drive drives drove | fahren fährt gefahren sein | acc | motion |
live lives lived | wohnen wohnt gewohnt | acc | position |
sit sits sat | sitzen sitzt gesessen | acc | position |
lie lies lay | liegen liegt gelegen | acc | position |
stand stands stood | stehen steht gestanden | acc | position |
hang hangs hung | hängen hängt gehangen | acc timeless | position |
put puts put | legen legt gelegt | acc | placement | lay
put puts put | stellen stellt gestellt | acc | placement | stand
hang hangs hung | hängen hängt gehängt | acc | placement | hang
give gives gave | geben gibt gegeben | acc | giving | gift small food
show shows showed | zeigen zeigt gezeigt | acc | giving | text gift machine
bring brings brought | bringen bringt gebracht | acc | giving | food gift drink
send sends sent | schicken schickt geschickt | acc | giving | sent
belong belongs belonged +to | gehören gehört gehört | dat timeless | belonging | human
work works worked | funktionieren funktioniert funktioniert | acc | functioning |
cost costs cost | kosten kostet gekostet | acc | costing |
try tries tried | versuchen versucht versucht | acc | infinitive |
begin begins began | an/fangen fängt gefangen | acc | infinitive |
forget forgets forgot | vergessen vergisst vergessen | acc | infinitive |
say says said | sagen sagt gesagt | acc | that |
think thinks thought | denken denkt gedacht | acc | that |
hope hopes hoped | hoffen hofft gehofft | acc | that |
believe believes believed | glauben glaubt geglaubt | acc | that |
know knows knew | wissen weiß gewusst | acc timeless | that |
be is was | sein ist gewesen sein | acc | copula |
have has had | haben hat gehabt | acc | owning | thing pet small
ask asks asked | fragen fragt gefragt | acc | whether |
""")


def verb(english: str, german: str) -> Verb:
    """Look up a verb by its two infinitives.

    Args:
        english: the base form, with its particle or preposition if it has one (put on).
        german: the infinitive, particle included (anziehen).

    Returns:
        The first entry that fits.

    Raises:
        KeyError: if there is none.
    """
    for entry in VERBS:
        extras = (entry.english_particle, entry.english_preposition)
        name = " ".join([entry.english, *filter(None, extras)])
        if name == english and entry.particle + entry.infinitive == german:
            return entry
    raise KeyError(f"no verb {english} = {german} in the lexicon")


def noun(english: str) -> Noun:
    """Look up a noun by its English singular.

    Args:
        english: the singular.

    Returns:
        The noun.

    Raises:
        KeyError: if there is none.
    """
    for entry in NOUNS:
        if entry.english == english:
            return entry
    raise KeyError(f"no noun {english} in the lexicon")


def adjective(english: str) -> Adjective:
    """Look up an adjective by its English positive.

    Args:
        english: the positive.

    Returns:
        The adjective.

    Raises:
        KeyError: if there is none.
    """
    for entry in ADJECTIVES:
        if entry.english == english:
            return entry
    raise KeyError(f"no adjective {english} in the lexicon")


# Sein and haben keep their preterite in speech: er war, er hatte, where others say er hat gekauft.
BE = replace(verb("be", "sein"), preterite="war", case="nom")
HAVE = replace(verb("have", "haben"), preterite="hatte")

NAMES: tuple[tuple[str, Gender], ...] = (
    ("Anna", "f"),
    ("Maria", "f"),
    ("Lena", "f"),
    ("Emma", "f"),
    ("Peter", "m"),
    ("Paul", "m"),
    ("Karl", "m"),
    ("David", "m"),
)
SURNAMES = ("Weber", "Fischer", "Wagner", "Becker")
TOWNS = (("Berlin", "Berlin"), ("Hamburg", "Hamburg"), ("Vienna", "Wien"), ("Munich", "München"))
