"""Scheduled sampling: which tokens the decoder reads, against predictions made one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.models import make_batch, model_options, random_model, random_pairs

from seq2seq.ids import BOS, EOS, SUPPRESSED
from seq2seq.models.loss import Losses
from seq2seq.models.scheduled_sampling import mixed
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.training import ScheduledSampling

PAIRS = random_pairs([(3, 2), (1, 6), (5, 3), (2, 0), (4, 1)])
SURE = ScheduledSampling(probability=1.0, rise=1)


def model_of(dropout: float = 0.0, feeding: str = "none") -> TranslationModel:
    side = {"dropout": dropout, "word_dropout": dropout}
    decoder = {**side, "attention": "general", "feeding": feeding}
    return random_model(model_options(side, decoder))


def own_inputs(model: TranslationModel) -> list[list[int]]:
    """What the decoder would read if each token was its own, pair by pair and place by place."""
    model.eval()
    found = []
    for source, target in PAIRS:
        row = [BOS]
        for length in range(1, len(target) + 1):
            before = make_batch([(source, target[: length - 1])])
            with torch.no_grad():
                logits = model.output(model(before))[length - 1].tolist()
            allowed = [token for token in range(len(logits)) if token not in (*SUPPRESSED, EOS)]
            row.append(max(allowed, key=logits.__getitem__))
        found.append(row)
    return found


@pytest.mark.parametrize("feeding", ["none", "input"])
def test_with_certainty_every_place_reads_the_model_s_own_token(feeding: str) -> None:
    model, batch = model_of(0.3, feeding), make_batch(PAIRS)
    expected = own_inputs(model)
    model.train()
    found = mixed(model, batch, 1.0)
    assert model.training
    rows = [row[: len(own)] for row, own in zip(found.inputs_BT.tolist(), expected, strict=True)]
    assert rows == expected
    assert torch.equal(found.labels_BT, batch.labels_BT)
    padding = torch.ones(batch.inputs_BT.numel(), dtype=torch.bool)
    padding[batch.where_M] = False
    for one in (found, batch):
        assert not one.inputs_BT.flatten()[padding].any()


def test_the_loss_is_teacher_forcing_of_what_is_read() -> None:
    model, batch = model_of().train(), make_batch(PAIRS)
    losses = Losses(model, 0.1, sampling=SURE)
    losses.begin(1)
    rows = own_inputs(model)
    width = batch.inputs_BT.shape[1]
    read = replace(batch, inputs_BT=torch.tensor([row + [0] * (width - len(row)) for row in rows]))
    model.train()
    weights = list(model.parameters())
    found, expected = losses(batch)[0], Losses(model, 0.1)(read)[0]
    assert found == expected
    assert found != Losses(model, 0.1)(batch)[0]
    torch.testing.assert_close(
        torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights)
    )


def test_without_probability_it_is_teacher_forcing_to_the_bit() -> None:
    """With the same dropout: no random number is drawn."""
    model, batch = model_of(0.3).train(), make_batch(PAIRS)
    found = []
    for sampling in (None, ScheduledSampling(probability=0.9, start=5, rise=3)):
        losses = Losses(model, 0.1, sampling=sampling)
        losses.begin(5)
        torch.manual_seed(1)
        found.append(losses(batch))
    assert found[0] == found[1]


def test_some_tokens_are_the_model_s_own_as_often_as_asked_for() -> None:
    model, batch = model_of(), make_batch(PAIRS * 200)
    own, gold = mixed(model, batch, 1.0).inputs_BT, batch.inputs_BT
    torch.manual_seed(0)
    found = mixed(model, batch, 0.3).inputs_BT
    differs = own != gold
    assert ((found == own) | (found == gold)).all()
    share = (found != gold)[differs].double().mean().item()
    assert share == pytest.approx(0.3, abs=4 * (0.21 / int(differs.sum())) ** 0.5)


def test_a_validation_reads_the_reference() -> None:
    model, batch = model_of(0.3), make_batch(PAIRS)
    losses = Losses(model, 0.1, sampling=SURE)
    losses.begin(9)
    assert losses(batch) == Losses(model, 0.1)(batch)


def test_both_passes_of_r_drop_read_the_same() -> None:
    model, batch = model_of(), make_batch(PAIRS)
    model.train()
    losses = Losses(model, 0.1, rdrop=5.0, sampling=ScheduledSampling(probability=0.5, rise=1))
    losses.begin(1)
    torch.manual_seed(2)
    loss, _ = losses(batch)
    torch.manual_seed(2)
    read = mixed(model, batch, 0.5)
    torch.testing.assert_close(loss, Losses(model, 0.1)(read)[0])


def test_in_bfloat16_all_weights_still_learn() -> None:
    """Autocast keeps lowered weights, and those of a pass without gradients have none."""
    model, batch = model_of().float().train(), make_batch(PAIRS)
    losses = Losses(model, 0.1, sampling=SURE)
    losses.begin(1)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = losses(batch)
    loss.backward()
    assert all(one.grad is not None and one.grad.any() for one in model.parameters())


def test_a_batch_without_targets_stays_one() -> None:
    batch = make_batch(PAIRS).without_targets()
    assert torch.equal(mixed(model_of(), batch, 1.0).inputs_BT, batch.inputs_BT)


def test_the_probability_rises_evenly() -> None:
    schedule = ScheduledSampling(probability=0.8, start=10, rise=4)
    found = [schedule.at(update) for update in (1, 10, 11, 12, 14, 15, 1000)]
    assert found == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.8, 0.8, 0.8])
    assert ScheduledSampling().at(10**9) == 0.0
