"""Whole models, in every combination of options: they train, and all ways through them agree."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.models import (
    cell_variants,
    make_batch,
    model_options,
    random_model,
    random_pairs,
    score,
)
from torch import Tensor

from seq2seq.data.collate import Batch
from seq2seq.ids import BOS
from seq2seq.models.loss import Losses
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Model
from seq2seq.recipe.registry import ATTENTIONS, CELLS

LENGTHS = [(3, 2), (1, 4), (5, 1), (2, 0), (0, 3)]  # source, target; an empty line is a line


def structures() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every cell, number of layers, direction, attention and feeding that go together."""
    for cell, directions, layers in itertools.product(cell_variants(), ["forward", "both"], [1, 2]):
        feedings = ["none", "input", "upper"] if layers > 1 else ["none", "input"]
        for attention, feeding in [
            ("none", "none"),
            *itertools.product(ATTENTIONS.names(), feedings),
        ]:
            for state_feeding in (False, True):
                encoder = {"cell": cell, "layers": layers, "directions": directions}
                decoder = {
                    "cell": cell,
                    "layers": layers,
                    "attention": attention,
                    "feeding": feeding,
                    "state_feeding": state_feeding,
                }
                yield encoder, decoder


def combinations() -> Iterator[Model]:
    """Each structure, with a seeded draw of the options that are independent of it."""
    draw, further = random.Random(1), random.Random(2)
    for encoder, decoder in structures():
        residual, reverse = draw.random() < 0.5, draw.random() < 0.5
        heads = further.choice([1, 2]) if decoder["attention"] in ("general", "additive") else 1
        yield model_options(
            {**encoder, "residual": residual, "reverse": reverse},
            {**decoder, "residual": residual, "attention_heads": heads},
            tie=draw.choice(["none", "output", "all"]),
            bridge=draw.choice(["auto", "copy", "linear"]),
            output=further.choice(["linear", {"kind": "fixnorm", "radius": 2.0}]),
            lexical=decoder["attention"] != "none" and further.random() < 0.5,
        )


def described(options: Model) -> str:
    changed = options.model_dump(exclude_defaults=True)
    shown = []
    for table in ("encoder", "decoder"):
        cell = changed[table].pop("cell", {"kind": "lstm"})
        cell = "lstm" if not cell else "_".join(map(str, cell.values()))
        rest = changed.pop(table)
        rest = {k: v for k, v in rest.items() if k not in ("embedding", "hidden", "dropout")}
        shown.append(f"{cell}({','.join(f'{k}={v}' for k, v in rest.items())})")
    return " ".join([*shown, *(f"{k}={v}" for k, v in changed.items())])


COMBINATIONS = list(combinations())
every_combination = pytest.mark.parametrize("options", COMBINATIONS, ids=described)


def log_probs_stepwise(model: TranslationModel, batch: Batch) -> Tensor:
    """(B, T, V), by ``step`` alone."""
    state, memory = model.start(batch.source_BS, batch.source_lengths_B)
    steps = []
    for t in range(batch.inputs_BT.shape[1]):
        readout, state, _ = model.decoder.step(batch.inputs_BT[:, t], state, memory)
        steps.append(torch.log_softmax(model.output(readout), dim=-1))
    return torch.stack(steps, dim=1)


def log_probs_forced(model: TranslationModel, batch: Batch) -> Tensor:
    """(M, V), by teacher forcing."""
    return torch.log_softmax(model.output(model(batch)), dim=-1)


def test_the_combinations_cover_every_option() -> None:
    dumped = [options.model_dump() for options in COMBINATIONS]
    assert {one["output"]["kind"] for one in dumped} == {"linear", "fixnorm"}
    for key, values in {
        "lexical": {False, True},
        "tie": {"none", "output", "all"},
        "bridge": {"auto", "copy", "linear"},
    }.items():
        assert {one[key] for one in dumped} == values
    assert {one["decoder"]["attention"] for one in dumped} == {"none", *ATTENTIONS.names()}
    assert {one["encoder"]["reverse"] for one in dumped} == {False, True}
    assert {one["decoder"]["attention_heads"] for one in dumped} == {1, 2}
    assert len(dumped) > 200


@every_combination
def test_a_combination_trains_and_agrees_with_itself(options: Model) -> None:
    """One model a combination, many laws: building it is most of the work."""
    model = random_model(options)
    pairs = random_pairs(LENGTHS)
    batch = make_batch(pairs)

    forced = log_probs_forced(model, batch)
    forced.gather(1, batch.labels()[:, None]).sum().backward()
    unread = CELLS.load(options.decoder.cell.kind).unread_parts
    for name, parameter in model.named_parameters():
        if re.match(rf"bridge\.maps\.\d\.[0-{unread - 1}]\." if unread else "$", name):
            assert parameter.grad is None
            continue
        assert parameter.grad is not None, f"{name} takes no part"
        assert torch.isfinite(parameter.grad).all(), name
        # ReLU is 0 where it is shut, and then perhaps for all of these few units.
        is_shut = options.decoder.cell.kind == "ssru" and name.startswith("encoder.")
        is_shut |= "relu" in options.decoder.cell.model_dump().values()
        assert is_shut or parameter.grad.any(), f"{name} has a gradient of zeros"

    with torch.no_grad():
        stepwise = log_probs_stepwise(model, batch)
        torch.testing.assert_close(
            stepwise.flatten(0, 1)[batch.where_M], forced.detach(), rtol=0, atol=1e-10
        )
        start = 0
        for pair in pairs:
            alone = log_probs_forced(model, make_batch([pair]))
            torch.testing.assert_close(
                forced[start : start + len(alone)], alone, rtol=0, atol=1e-10
            )
            start += len(alone)
        picked = stepwise.gather(2, batch.labels_BT[..., None]).squeeze(2).flatten()
        rows = batch.where_M // batch.labels_BT.shape[1]
        totals = torch.zeros(len(pairs)).double().index_add(0, rows, picked[batch.where_M])
        torch.testing.assert_close(score(model, batch).double(), totals, rtol=1e-5, atol=1e-5)


DETAILS = [
    model_options(
        {"cell": cell, "layers": encoder_layers, "residual": residual, "reverse": reverse},
        {"cell": cell, "layers": 2, "residual": residual},
        tie=tie,
        bridge=bridge,
    )
    for cell, encoder_layers, residual, reverse, tie, bridge in itertools.product(
        ["gru"],
        [1, 2],
        [False, True],
        [False, True],
        ["none", "output", "all"],
        ["copy", "linear", "zero"],
    )
]


@pytest.mark.parametrize("options", DETAILS, ids=described)
def test_the_smaller_options_combine(options: Model) -> None:
    model = random_model(options)
    batch = make_batch(random_pairs(LENGTHS[:3]))
    forced = log_probs_forced(model, batch)
    forced.gather(1, batch.labels()[:, None]).sum().backward()
    # Neither bridge nor attention: such a decoder knows nothing of the source, which is the point.
    blind = options.bridge == "zero"
    # A bridge from fewer or more layers reads the top one, which rests on those below.
    for name, parameter in model.named_parameters():
        shared = options.tie == "all" and parameter is model.output.weight
        reached = shared or not (blind and name.startswith("encoder"))
        assert (parameter.grad is not None) == reached, name
    stepwise = log_probs_stepwise(model, batch).flatten(0, 1)[batch.where_M]
    torch.testing.assert_close(stepwise, forced, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ("gru", "lstm"),
        ("lstm", "gru"),
        ("rnn", "lstm"),
        ("lstm", {"kind": "rnn", "activation": "relu"}),
    ],
)
@pytest.mark.parametrize("layers", [(1, 2), (2, 1), (2, 2)])
def test_cells_and_layers_of_both_sides_may_differ(
    encoder: str, decoder: Any, layers: tuple[int, int]
) -> None:
    options = model_options(
        {"cell": encoder, "layers": layers[0], "hidden": 6},
        {"cell": decoder, "layers": layers[1], "attention": "general"},
    )
    model = random_model(options)
    batch = make_batch(random_pairs(LENGTHS))
    forced = log_probs_forced(model, batch)
    forced.gather(1, batch.labels()[:, None]).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    stepwise = log_probs_stepwise(model, batch).flatten(0, 1)[batch.where_M]
    torch.testing.assert_close(stepwise, forced, rtol=0, atol=1e-10)


@pytest.mark.parametrize("directions", ["forward", "both"])
@pytest.mark.parametrize("attention", ["none", "general"])
def test_reading_backwards_is_reading_a_source_turned_around(
    directions: str, attention: str
) -> None:
    decoder = {"attention": attention}
    pairs = random_pairs(LENGTHS)
    backwards = random_model(
        model_options({"reverse": True, "directions": directions, "layers": 2}, decoder)
    )
    forwards = random_model(model_options({"directions": directions, "layers": 2}, decoder))
    batch = make_batch(pairs)
    turned = batch.source_BS.clone()
    for row, length in enumerate(batch.source_lengths_B.tolist()):
        turned[row, :length] = batch.source_BS[row, :length].flip(0)
    ours = log_probs_forced(backwards, batch)
    theirs = log_probs_forced(forwards, replace(batch, source_BS=turned))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attention", ["none", "additive"])
@pytest.mark.parametrize("filler", [5, 8])
def test_what_stands_at_padding_does_not_matter(attention: str, filler: int) -> None:
    model = random_model(model_options({"layers": 2}, {"attention": attention}))
    batch = make_batch(random_pairs(LENGTHS))
    width = batch.source_BS.shape[1]
    padding = torch.arange(width) >= batch.source_lengths_B[:, None]
    filled = replace(
        batch,
        source_BS=batch.source_BS.masked_fill(padding, filler),
        inputs_BT=batch.inputs_BT.masked_fill(batch.inputs_BT == 0, filler),
        labels_BT=batch.labels_BT.masked_fill(batch.labels_BT == 0, filler),
    )
    assert not torch.equal(filled.source_BS, batch.source_BS)
    expected = log_probs_forced(model, batch)
    torch.testing.assert_close(log_probs_forced(model, filled), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(score(model, filled), score(model, batch))


def test_the_source_matters_by_either_way_alone() -> None:
    """Through the bridge without attention, and through attention without a bridge."""
    pairs = random_pairs([(3, 2), (3, 2)])
    same_target = make_batch([(pairs[0][0], pairs[0][1]), (pairs[1][0], pairs[0][1])])
    for bridge, attention, differs in [
        ("copy", "none", True),
        ("linear", "none", True),
        ("zero", "general", True),
        ("zero", "none", False),
    ]:
        model = random_model(model_options({}, {"attention": attention}, bridge=bridge))
        first, second = score(model, same_target).tolist()
        assert (first != pytest.approx(second, abs=1e-9)) == differs, (bridge, attention)


def test_tied_weights_are_one_tensor() -> None:
    def tables(tie: str) -> tuple[Tensor, Tensor, Tensor, int]:
        model = TranslationModel(model_options({}, {}, tie=tie), 9, 9)
        return (
            model.encoder.embedding.table.weight,
            model.decoder.embedding.table.weight,
            model.output.weight,
            len({id(parameter) for parameter in model.parameters()}),
        )

    source, target, output, none = tables("none")
    assert source is not target
    assert target is not output
    source, target, output, one = tables("output")
    assert source is not target
    assert target is output
    assert one == none - 1
    source, target, output, both = tables("all")
    assert source is target is output
    assert both == none - 2


def test_vocabularies_may_differ_in_size() -> None:
    model = random_model(model_options({}, {}), source_size=12, target_size=7)
    batch = make_batch(random_pairs([(3, 2)], vocab=7))
    assert log_probs_forced(model, batch).shape == (3, 7)


@pytest.mark.parametrize(
    "kind", [{"dropout": 0.5}, {"dropout": 0.5, "variational_dropout": True},
             {"recurrent_dropout": 0.5}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("feeding", ["none", "input", "upper"])
def test_dropout_falls_in_training_only(feeding: str, kind: dict[str, Any]) -> None:
    decoder = {"layers": 2, "attention": "general", "feeding": feeding, **kind}
    model = random_model(model_options({"word_dropout": 0.5, **kind}, decoder))
    batch = make_batch(random_pairs(LENGTHS))
    assert torch.equal(model(batch), model(batch))
    model.train()
    torch.manual_seed(1)
    first = model(batch)
    torch.manual_seed(1)
    assert torch.equal(model(batch), first)
    assert not torch.equal(model(batch), first)


@pytest.mark.parametrize("feeding", ["none", "input", "upper"])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_batch_without_targets_gives_zero_everywhere(feeding: str, heads: int) -> None:
    """What a process has whose share of an update is empty, under every dropout."""
    side = {"layers": 2, "dropout": 0.5, "variational_dropout": True, "recurrent_dropout": 0.5,
            "word_dropout": 0.5}  # fmt: skip
    decoder = {**side, "attention": "additive", "attention_heads": heads, "feeding": feeding}
    model = random_model(model_options(side, decoder, lexical=True)).train()
    loss, nll = Losses(model, 0.1)(make_batch(random_pairs(LENGTHS)).without_targets())
    loss.backward()
    assert loss.detach() == nll == 0.0
    assert not any(one.grad.any() for one in model.parameters() if one.grad is not None)


@pytest.mark.parametrize("feeding", ["none", "input"])
def test_variational_dropout_is_the_same_at_all_steps(feeding: str) -> None:
    """Readouts: all at once with a row for each target token, or step by step."""
    decoder = {"embedding": 40, "attention": "general", "feeding": feeding, "dropout": 0.5,
               "variational_dropout": True}  # fmt: skip
    model = random_model(model_options({}, decoder)).train()
    batch = make_batch(random_pairs([(3, 4), (2, 1)]))
    dropped = model(batch) == 0
    assert torch.equal(dropped[:5], dropped[:1].expand(5, -1))
    assert torch.equal(dropped[5], dropped[6])
    assert not torch.equal(dropped[0], dropped[5])
    assert 5 < int(dropped[0].sum()) < 35


@pytest.mark.parametrize("feeding", ["none", "input", "upper"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_bfloat16_is_near_float32(cell: str, feeding: str) -> None:
    options = model_options(
        {"cell": cell},
        {"cell": cell, "layers": 2, "attention": "general", "feeding": feeding,
         "state_feeding": True},
    )  # fmt: skip
    model = random_model(options).float()
    batch = make_batch(random_pairs(LENGTHS))
    exact = score(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        near = score(model, batch)
        near.sum().backward()
        state, memory = model.start(batch.source_BS, batch.source_lengths_B)
        for token in (BOS, 5, 6):
            _, state, _ = model.decoder.step(torch.full((5,), token), state, memory)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.05, atol=0.1)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_a_batch_says_what_it_holds() -> None:
    batch = make_batch([([5, 6], [7, 8, 4]), ([5], [])])
    assert batch.targets == 5
    assert batch.labels().tolist() == [7, 8, 4, 3, 3]
    moved = batch.to(torch.device("cpu"))
    assert all(
        torch.equal(getattr(moved, name), getattr(batch, name))
        for name in Batch.__dataclass_fields__
    )
