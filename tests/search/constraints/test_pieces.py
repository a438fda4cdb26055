"""Spellings of pieces, against what SentencePiece itself makes of pieces and texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokenizers import KINDS, WORDS, tokenizer

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.search.constraints.pieces import PieceIndex, PieceTable, is_word_character

every_kind = pytest.mark.parametrize(("kind", "byte_fallback"), KINDS)


def table(kind: str = "unigram", byte_fallback: bool = True) -> PieceTable:
    return PieceTable.of(tokenizer(kind, byte_fallback))


@every_kind
@given(words=st.lists(st.sampled_from([*WORDS, "über-", "☃", "xü,"]), min_size=1, max_size=8))
def test_spellings_joined_are_the_text(kind: str, byte_fallback: bool, words: list[str]) -> None:
    pieces = table(kind, byte_fallback)
    (tokens,) = pieces.tokenizer.encode([" ".join(words)])
    shown = pieces.tokenizer.decode([tokens])[0]
    assert pieces.spell(tokens).decode().removeprefix(" ") == shown
    if byte_fallback:
        assert pieces.spell(tokens).decode() == " " + " ".join(words)


@every_kind
def test_special_pieces(kind: str, byte_fallback: bool) -> None:
    pieces = table(kind, byte_fallback)
    assert pieces.size == pieces.tokenizer.size
    assert [pieces.spelling_V[number] for number in (PAD, BOS, EOS)] == [b"", b"", b""]
    assert pieces.spelling_V[UNK] == " ⁇ ".encode()
    assert not pieces.continues_V[[PAD, UNK, BOS, EOS]].any()
    assert pieces.is_byte_V.sum() == 256 * byte_fallback
    found = pieces.index.beginning_with(b"").tolist()
    assert sorted(found) == sorted(set(range(pieces.size)) - {PAD, UNK, BOS, EOS})


def test_user_defined_pieces_are_text() -> None:
    pieces = PieceTable.of(
        tokenizer("bpe", True, vocab_size=306, user_defined_symbols=("<0x41>!", "<x>"))
    )
    assert pieces.index.spelled(b"<x>")
    assert pieces.index.spelled(b"<0x41>!")
    assert pieces.index.spelled(b"A")


def test_which_pieces_continue_a_word() -> None:
    pieces = table()
    names = pieces.tokenizer.pieces(range(pieces.size))
    continues = dict(zip(names, pieces.continues_V.tolist(), strict=True))
    assert continues["e"]
    assert continues["ü"]
    assert continues["<0x61>"]
    assert continues["<0xC3>"]
    assert not continues["<0x20>"]
    assert not continues["▁"]
    assert not continues[","]
    assert not continues["-"]
    assert not any(on for name, on in continues.items() if name.startswith("▁"))


@pytest.mark.parametrize("character", "aZ0_ßжé\u0301ع한")
def test_word_characters(character: str) -> None:
    assert is_word_character(character)


@pytest.mark.parametrize("character", " .,-'’☃猫ねネไ⁇\ufffd")
def test_other_characters(character: str) -> None:
    assert not is_word_character(character)


@every_kind
def test_prefixes_are_normalized(kind: str, byte_fallback: bool) -> None:
    pieces = table(kind, byte_fallback)
    assert pieces.prefix("der  ﬁn") == b" der fin"
    assert pieces.prefix(" der Hund  ") == b" der Hund "
    assert pieces.prefix("Hund\u3000") == b" Hund "
    assert pieces.prefix("Hu") == b" Hu"
    assert pieces.prefix("x") == b" x"
    assert pieces.prefix("xx ") == b" xx "
    assert pieces.prefix("") == pieces.prefix("  ") == b""
    assert pieces.prefix("a\ud800") == b" a?"


def test_case_is_kept_unless_the_tokenizer_folds_it() -> None:
    assert table().phrase("Der HUND ") == b"Der HUND"
    folding = PieceTable.of(tokenizer("unigram", False, normalization="nmt_nfkc_cf"))
    assert folding.phrase("Der HUND ") == b"der hund"


def test_empty_phrases_are_refused() -> None:
    with pytest.raises(Seq2SeqError) as error:
        table().phrase(" ")
    assert str(error.value) == (
        "the phrase ' ' is empty (the tokenizer normalizes it to nothing); "
        "a phrase needs a character that is not a space"
    )


@given(
    spellings=st.lists(st.binary(max_size=3).map(lambda x: bytes(b % 3 for b in x)), max_size=20),
    text=st.binary(max_size=5).map(lambda x: bytes(b % 3 for b in x)),
)
def test_the_index_finds_what_looking_at_each_piece_finds(
    spellings: list[bytes], text: bytes
) -> None:
    index = PieceIndex(spellings)
    spelled = [n for n, one in enumerate(spellings) if one and one == text]
    beginning = [n for n, one in enumerate(spellings) if one and one.startswith(text)]
    starts = [(n, len(one)) for n, one in enumerate(spellings) if one and text.startswith(one)]
    assert list(index.spelled(text)) == spelled
    assert sorted(index.beginning_with(text).tolist()) == beginning
    assert sorted(index.starts_of(text)) == starts
    assert index.beginning_with(text).dtype == np.int64
