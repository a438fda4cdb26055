"""Prefixes and phrases to avoid: what comes out, as SentencePiece decodes it, keeps the wishes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from support.tokenizers import KINDS, WORDS, lines, tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS, UNK
from seq2seq.search import SUPPRESSED, Wish
from seq2seq.search.constraints import check_constraints, restore_prefix
from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.constraints.text import AvoidedPhrases, Prefixes, most_pieces
from seq2seq.search.constraints.tokens import NoRepeatNgram, PartialHypotheses, Rule
from seq2seq.text.tokenizer import Tokenizer

TABLES = {kind: PieceTable.of(tokenizer(*kind)) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
texts = st.one_of(
    st.lists(st.sampled_from([*WORDS, "☃", "xü"]), max_size=5).map(" ".join),
    st.text("Hunde äüß.,-☃☂ﬁ\u3000q ", max_size=12),
)


def allowed(rules: Sequence[Rule], tokens: Sequence[int], size: int, sentence: int = 0) -> set[int]:
    log_probs = np.full((1, size), -1.0, dtype=np.float32)
    tokens_NT = np.array([tokens], dtype=np.int64).reshape(1, -1)
    rows = PartialHypotheses(np.array([sentence]), tokens_NT, log_probs.copy())
    log_probs[:, SUPPRESSED] = -np.inf
    for rule in rules:
        rule.apply(rows, log_probs)
    return set(np.flatnonzero(log_probs[0] > -np.inf).tolist())


def speak(
    pieces: PieceTable, rules: Sequence[Rule], seed: int, cap: int, likely: Sequence[int] = ()
) -> list[int]:
    """Says at random what the rules allow, mostly the likely pieces, and ends at the cap."""
    random, tokens = np.random.default_rng(seed), list[int]()
    while True:
        left = sorted(allowed(rules, tokens, pieces.size))
        assert left, f"nothing is left after {pieces.spell(tokens)!r}"
        if len(tokens) == cap:
            assert EOS in left
            return tokens
        wanted = sorted(set(left) & set(likely))
        token = int(random.choice(wanted if wanted and random.random() < 0.8 else left))
        if token == EOS:
            return tokens
        tokens.append(token)


# -- prefixes ---------------------------------------------------------------------------------


@every_kind
@given(prefix=texts, seed=st.integers(0, 99))
def test_the_translation_begins_with_its_prefix(
    kind: tuple[str, bool], prefix: str, seed: int
) -> None:
    pieces = TABLES[kind]
    rules = [Prefixes([prefix], pieces)]
    tokens = speak(pieces, rules, seed, cap=most_pieces(prefix, pieces) + seed % 4)
    text = pieces.tokenizer.decode([tokens])[0]
    restored = restore_prefix(text, prefix, tokens, pieces)
    assert restored.startswith(prefix)
    if UNK not in tokens:
        normalized = pieces.prefix(prefix).decode().removeprefix(" ")
        assert text.startswith(normalized)
        assert restored == prefix + text[len(normalized) :]


@every_kind
@given(prefix=texts, more=st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_the_tokenizer_s_own_split_is_among_the_allowed(
    kind: tuple[str, bool], prefix: str, more: str
) -> None:
    pieces = TABLES[kind]
    (tokens,) = pieces.tokenizer.encode([prefix + more])
    if not pieces.spell(tokens).startswith(pieces.prefix(prefix)):
        return  # the prefix has unknown characters, or its last one became another
    rules = [Prefixes([prefix], pieces)]
    for length, token in enumerate(tokens):
        assert token in allowed(rules, tokens[:length], pieces.size)


@pytest.mark.parametrize("kind", [("unigram", False), ("bpe", False)])
def test_unknown_characters_are_one_unknown_piece_and_come_back(kind: tuple[str, bool]) -> None:
    pieces = TABLES[kind]
    prefix = "der ☃☂ Hund☃"
    (tokens,) = pieces.tokenizer.encode([prefix])
    assert tokens.count(UNK) == 2
    rules = [Prefixes([prefix], pieces)]
    for length, token in enumerate(tokens):
        left = allowed(rules, tokens[:length], pieces.size)
        assert token in left
        assert token != UNK or left == {UNK}
    more = pieces.tokenizer.encode([", und"])[0]
    assert EOS in allowed(rules, tokens, pieces.size)
    text = pieces.tokenizer.decode([tokens + more])[0]
    assert text == "der  ⁇  Hund ⁇  , und"
    assert restore_prefix(text, prefix, tokens + more, pieces) == "der ☃☂ Hund☃ , und"


def test_where_bytes_spell_it_nothing_is_unknown() -> None:
    pieces = TABLES["bpe", True]
    rules = [Prefixes(["☃"], pieces)]
    tokens = speak(pieces, rules, 0, most_pieces("☃", pieces))
    assert pieces.tokenizer.decode([tokens]) == ["☃"]
    assert UNK not in tokens


@every_kind
def test_a_prefix_may_end_within_a_word_or_end_one(kind: tuple[str, bool]) -> None:
    pieces = TABLES[kind]
    for prefix, within in (("der Hund", True), ("der Hund ", False)):
        rules = [Prefixes([prefix], pieces)]
        found = {pieces.tokenizer.decode([speak(pieces, rules, seed, 12)])[0] for seed in range(99)}
        assert all(text.startswith(prefix) for text in found)
        after = {text[8:9] for text in found}
        assert after == {" "} if not within else any(map(is_word_character, "".join(after)))


def test_there_is_no_end_before_the_prefix_is_complete() -> None:
    pieces = TABLES["unigram", False]
    rules = [Prefixes(["und "], pieces)]
    (und,) = pieces.index.spelled(b" und") or [None]
    tokens = [und] if und is not None else pieces.tokenizer.encode(["und"])[0]
    assert EOS not in allowed(rules, tokens, pieces.size)
    (space,) = pieces.index.spelled(b" ")
    assert EOS in allowed(rules, [*tokens, space], pieces.size)


@every_kind
@given(prefix=st.text("Hunde ☃ü", max_size=5))
def test_most_pieces_is_the_longest_split(kind: tuple[str, bool], prefix: str) -> None:
    pieces = TABLES[kind]
    rules = [Prefixes([prefix], pieces)]

    def longest(tokens: list[int]) -> int:
        left = allowed(rules, tokens, pieces.size)
        if EOS in left:
            return len(tokens)
        # Pieces that end the prefix and say more are no longer a way than others that end it.
        return max(longest([*tokens, token]) for token in left)

    assert longest([]) == most_pieces(prefix, pieces)


def test_other_rules_do_not_stop_a_prefix() -> None:
    pieces = TABLES["unigram", False]
    prefix = "und und und und und"
    rules: list[Rule] = [NoRepeatNgram(1), Prefixes([prefix], pieces)]
    tokens = speak(pieces, rules, 0, most_pieces(prefix, pieces))
    assert pieces.tokenizer.decode([tokens])[0].startswith(prefix)


def test_sentences_without_a_prefix_are_left_alone() -> None:
    pieces = TABLES["bpe", False]
    rules = [Prefixes(["", "d", "  "], pieces)]
    everything = set(range(pieces.size)) - set(SUPPRESSED)
    assert allowed(rules, [], pieces.size, sentence=0) == everything
    assert allowed(rules, [], pieces.size, sentence=1) < everything
    assert allowed(rules, [], pieces.size, sentence=2) == everything


def test_what_the_model_says_of_allowed_pieces_stays() -> None:
    pieces = TABLES["bpe", False]
    log_probs = np.random.default_rng(0).normal(size=(2, pieces.size)).astype(np.float32)
    before = log_probs.copy()
    rows = PartialHypotheses(np.array([0, 1]), np.zeros((2, 0), dtype=np.int64), log_probs.copy())
    Prefixes(["der", ""], pieces).apply(rows, log_probs)
    kept = log_probs > -np.inf
    assert (log_probs[kept] == before[kept]).all()
    assert kept[1].all()


@pytest.mark.parametrize(
    "settings",
    [
        {"add_dummy_prefix": False},
        {"treat_whitespace_as_suffix": True},
        {"remove_extra_whitespaces": False},
        {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    ],
    ids=str,
)
def test_tokenizers_that_treat_spaces_otherwise(settings: dict[str, bool]) -> None:
    """A tokenizer that was trained elsewhere may have any of these settings."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()),
        model_writer=proto,
        model_type="bpe",
        vocab_size=46,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=3,
        **settings,
    )
    pieces = PieceTable.of(Tokenizer(proto.getvalue()))
    for prefix in ("der Hund", "der Hu", "der Hund ", "  der", "☃ Hund", " ☃"):
        rules = [Prefixes([prefix], pieces)]
        for seed in range(9):
            tokens = speak(pieces, rules, seed, most_pieces(prefix, pieces) + seed)
            (text,) = pieces.tokenizer.decode([tokens])
            assert restore_prefix(text, prefix, tokens, pieces).startswith(prefix)
            if "☃" not in prefix:
                assert text.lstrip(" ").startswith(prefix.lstrip(" "))


def test_a_translation_that_was_given_up_is_its_prefix() -> None:
    pieces = TABLES["bpe", False]
    tokens = pieces.tokenizer.encode(["der"])[0]
    assert restore_prefix("der", "der Hund", tokens, pieces) == "der Hund"
    assert restore_prefix("", "der Hund", [], pieces) == "der Hund"
    assert restore_prefix("der", "", tokens, pieces) == "der"
    assert restore_prefix("der", " ", tokens, pieces) == " der"


# -- phrases to avoid -------------------------------------------------------------------------


def holds(text: str, phrase: str) -> bool:
    """Looks for a phrase as whole words, place by place."""
    spaced = re.escape(phrase).replace(r"\ ", " +")
    for match in re.finditer(rf"(?={spaced})", text):
        start = match.start()
        whole = re.match(spaced, text[start:])
        assert whole is not None
        end = start + whole.end()
        before = text[start - 1 : start]
        after = text[end : end + 1]
        begins = not (before and is_word_character(before) and is_word_character(phrase[0]))
        ends = not (after and is_word_character(after) and is_word_character(phrase[-1]))
        if begins and ends:
            return True
    return False


phrases = st.lists(
    st.one_of(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
        st.text("Hunde .,-", min_size=1, max_size=4).filter(lambda text: text.strip()),
    ),
    min_size=1,
    max_size=3,
)


@every_kind
@given(avoided=phrases, seed=st.integers(0, 999), cap=st.integers(1, 14))
def test_no_avoided_phrase_is_produced(
    kind: tuple[str, bool], avoided: list[str], seed: int, cap: int
) -> None:
    """Pieces that the phrases are made of are likely, so that only the rule is in the way."""
    pieces = TABLES[kind]
    normalized = [pieces.phrase(one).decode() for one in avoided]
    around = "".join(f" {one} " for one in normalized).encode()
    likely = [n for n, one in enumerate(pieces.spelling_V) if one and one in around]
    rules = [AvoidedPhrases([avoided], pieces, np.array([cap]))]
    tokens = speak(pieces, rules, seed, cap, likely)
    (text,) = pieces.tokenizer.decode([tokens])
    for phrase in normalized:
        assert not holds(text, phrase), (text, phrase)


@every_kind
@given(text=texts, avoided=phrases)
def test_all_else_may_be_produced(kind: tuple[str, bool], text: str, avoided: list[str]) -> None:
    """A text without the phrases is not stopped, but for words that go on in bytes."""
    pieces = TABLES[kind]
    (tokens,) = pieces.tokenizer.encode([text])
    if any(holds(text, pieces.phrase(one).decode()) for one in avoided):
        return
    if UNK in tokens or pieces.is_byte_V[tokens].any():
        return
    (shown,) = pieces.tokenizer.decode([tokens])
    if any(holds(shown, pieces.phrase(one).decode()) for one in avoided):
        return
    rules = [AvoidedPhrases([avoided], pieces, np.array([len(tokens)]))]
    for length, token in enumerate([*tokens, EOS]):
        assert token in allowed(rules, tokens[:length], pieces.size)


@every_kind
def test_longer_words_may_still_come(kind: tuple[str, bool]) -> None:
    pieces = TABLES[kind]
    rules = [AvoidedPhrases([["Hund"]], pieces, np.array([20]))]
    (hund,) = pieces.tokenizer.encode(["der Hund"])
    letter = pieces.index.spelled(b"e")[-1]
    after = allowed(rules, hund, pieces.size)
    assert letter in after
    assert EOS not in after
    assert not after & set(pieces.index.beginning_with(b" ").tolist())
    assert not after & set(pieces.index.beginning_with(b".").tolist())
    assert EOS in allowed(rules, [*hund, letter], pieces.size)
    (other,) = pieces.tokenizer.encode(["hund"])  # case matters
    assert EOS in allowed(rules, other, pieces.size)


def test_no_split_gets_around_it() -> None:
    pieces = TABLES["unigram", False]
    rules = [AvoidedPhrases([["der Hund"]], pieces, np.array([20]))]
    letters = [pieces.index.spelled(one.encode())[0] for one in "der"]
    (space,) = pieces.index.spelled(b" ")
    for begin in ([space, *letters], [space, *letters, space]):
        tokens = [*begin, space, *(pieces.index.spelled(c.encode())[0] for c in "Hund")]
        assert EOS not in allowed(rules, tokens, pieces.size)


def test_pieces_of_several_words_or_signs_do_not_get_around_it() -> None:
    pieces = PieceTable.of(
        tokenizer("bpe", False, vocab_size=50, user_defined_symbols=("▁Hund.", "-.", "a▁b"))
    )

    def ids(*spellings: str) -> list[int]:
        return [pieces.index.spelled(one.encode())[0] for one in spellings]

    def may(avoided: str, begin: list[int], piece: str) -> bool:
        rules = [AvoidedPhrases([[avoided]], pieces, np.array([20]))]
        return ids(piece)[0] in allowed(rules, begin, pieces.size)

    assert not may("der Hund", ids(" ", "d", "e", "r"), " Hund.")
    assert not may("der Hund", ids(" ", "d", "e", "r", " "), " Hund.")
    assert may("der Hund", ids(" ", "d", "e", "r", "-"), " Hund.")
    assert may("--.", ids(" ", "-"), "-")
    assert not may("--.", ids(" ", "-", "-", "-"), "-.")
    assert not may("a a b.", ids(" ", "a", " ", "a", " ", "a b"), ".")
    assert may("a a b.", ids(" ", "a", "a", " ", "a b"), ".")


def test_before_the_cap_the_word_is_not_begun() -> None:
    """At the cap the end is forced: then nothing could go on with the word."""
    pieces = TABLES["unigram", False]
    (letter,) = pieces.index.spelled(b"d")
    tokens = [pieces.index.spelled(one.encode())[0] for one in " Hun"]
    for cap, may in ((5, False), (6, True)):
        rules = [AvoidedPhrases([["Hund"]], pieces, np.array([cap]))]
        assert (letter in allowed(rules, tokens, pieces.size)) is may


def test_a_word_that_nothing_can_go_on_with_is_not_begun() -> None:
    """Every piece that could go on is avoided too."""
    pieces = TABLES["unigram", False]
    goes_on = [pieces.spelling_V[n].decode() for n in np.flatnonzero(pieces.continues_V)]
    (letter,) = pieces.index.spelled(b"d")
    tokens = [pieces.index.spelled(one.encode())[0] for one in " Hun"]
    rules = [AvoidedPhrases([["Hund", *(f"Hund{one}" for one in goes_on)]], pieces, np.array([20]))]
    assert letter not in allowed(rules, tokens, pieces.size)
    rules = [
        AvoidedPhrases([["Hund", *(f"Hund{one}" for one in goes_on[1:])]], pieces, np.array([20]))
    ]
    assert letter in allowed(rules, tokens, pieces.size)


def test_sentences_that_avoid_nothing_are_left_alone() -> None:
    pieces = TABLES["bpe", False]
    rules = [AvoidedPhrases([[], ["."]], pieces, np.array([9, 9]))]
    everything = set(range(pieces.size)) - set(SUPPRESSED)
    assert allowed(rules, [], pieces.size, sentence=0) == everything
    assert allowed(rules, [], pieces.size, sentence=1) < everything


# -- wishes that contradict each other --------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (
            Wish(prefix="der Hund, der", avoided=["und", "Hund"]),
            "the prefix 'der Hund, der' holds 'Hund', which is to be avoided: "
            "leave one of them out",
        ),
        (
            Wish(forced=["Katze", "kleine  Hund"], avoided=["Hund"]),
            "the forced phrase 'kleine  Hund' holds 'Hund', which is to be avoided: "
            "leave one of them out",
        ),
        (
            Wish(forced=[" "]),
            "the phrase ' ' is empty (the tokenizer normalizes it to nothing); "
            "a phrase needs a character that is not a space",
        ),
        (
            Wish(avoided=[""]),
            "the phrase '' is empty (the tokenizer normalizes it to nothing); "
            "a phrase needs a character that is not a space",
        ),
    ],
)
def test_contradictions_are_refused(wish: Wish, text: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        check_constraints(wish, TABLES["bpe", False])
    assert str(error.value) == text


def test_wishes_that_only_seem_to_contradict() -> None:
    pieces = TABLES["bpe", False]
    check_constraints(Wish(prefix="der Hund", avoided=["Hund"]), pieces)  # it may become "Hunde"
    check_constraints(
        Wish(prefix="Hunde ", forced=["Hundehütte"], avoided=["Hund", "hunde"]), pieces
    )
    check_constraints(Wish(), pieces)
