from __future__ import annotations

import pytest
import torch
from sentencepiece import SentencePieceProcessor
from support.tokenizers import KINDS, tokenizer
from torch import nn

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.models.embedding import TokenEmbedding


@pytest.mark.parametrize(("kind", "byte_fallback"), KINDS)
def test_the_fixed_ids_are_the_tokenizer_s(kind: str, byte_fallback: bool) -> None:
    """What SentencePiece itself reads in the model that was trained."""
    theirs = SentencePieceProcessor(model_proto=tokenizer(kind, byte_fallback).proto)
    ids = (theirs.pad_id(), theirs.unk_id(), theirs.bos_id(), theirs.eos_id())
    assert ids == (PAD, UNK, BOS, EOS)


def test_a_token_is_a_row_of_the_table() -> None:
    table = nn.Embedding(9, 4, padding_idx=PAD)
    looked_up = TokenEmbedding(table, 0.5, 0.5).eval()(torch.tensor([[4, 0], [8, 2]]))
    assert torch.equal(looked_up, table.weight[torch.tensor([[4, 0], [8, 2]])])


def test_word_dropout_hides_words_and_nothing_else() -> None:
    table = nn.Embedding(9, 4)
    hiding = TokenEmbedding(table, 0.0, 0.3).train()
    torch.manual_seed(2)
    words = hiding(torch.full((100, 100), 7))
    hidden = (words == table.weight[UNK]).all(-1)
    kept = (words == table.weight[7]).all(-1)
    assert (hidden ^ kept).all()
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.02)
    special = torch.tensor([PAD, UNK, BOS, EOS]).expand(100, 4)
    assert torch.equal(hiding(special), table(special))


def test_dropout_keeps_the_mean() -> None:
    dropping = TokenEmbedding(nn.Embedding(9, 4), 0.25, 0.0).train()
    torch.manual_seed(2)
    values = dropping(torch.full((100, 100), 7))
    zero = (values == 0).float().mean().item()
    assert zero == pytest.approx(0.25, abs=0.02)
    kept = dropping.table.weight[7] / 0.75
    assert ((values == 0) | torch.isclose(values, kept)).all()
