from __future__ import annotations

import math

import pytest
import torch
from support.ragged import ragged

from seq2seq.data.collate import collate
from seq2seq.data.preparing.statistics import peak_memory
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.files import load_recipe
from seq2seq.training.monitoring import Step
from seq2seq.training.monitoring.metrics import (
    PARTS,
    Interval,
    Movement,
    gpu_memory,
    part_of,
)


@pytest.fixture
def model() -> TranslationModel:
    torch.manual_seed(3)
    recipe = load_recipe(
        "quickstart", ['model.decoder.attention="general"', 'model.bridge="linear"']
    )
    return TranslationModel(recipe.model, 50, 40)


def test_ratios_are_norms_of_changes_over_norms_of_weights(model: TranslationModel) -> None:
    torch.nn.init.normal_(model.output.bias)  # biases begin at zero
    before = {name: one.detach().clone().double() for name, one in model.named_parameters()}
    moved = Movement(model)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(torch.randn_like(one), alpha=0.01)
    after = {name: one.detach().double() for name, one in model.named_parameters()}

    def norm(values: dict[str, torch.Tensor], part: str) -> float:
        chosen = [v.flatten() for name, v in values.items() if part in ("all", part_of(name))]
        return float(torch.cat(chosen).norm())

    change = {name: after[name] - before[name] for name in after}
    wanted = {part: norm(change, part) / norm(before, part) for part in ("all", *PARTS)}
    assert moved.ratios() == pytest.approx(wanted, rel=1e-5)


def test_every_weight_is_of_a_part(model: TranslationModel) -> None:
    assert {part_of(name) for name, _ in model.named_parameters()} == set(PARTS)


def test_a_part_of_zeros_has_no_ratio() -> None:
    zeros = torch.nn.ModuleDict({"output": torch.nn.Linear(2, 2), "encoder": torch.nn.Linear(2, 2)})
    torch.nn.init.zeros_(zeros["output"].weight)
    torch.nn.init.zeros_(zeros["output"].bias)
    moved = Movement(zeros)
    assert moved.ratios() == {"all": 0.0, "encoder": 0.0}


def test_padding_is_counted_on_both_sides() -> None:
    """Ids and one token more each: sources of 4 and 2 in 8 places, targets of 3 and 5 in 10."""
    pairs = collate(ragged([[5, 6, 7], [5]]), ragged([[5, 6], [5, 6, 7, 8]]))
    interval = Interval()
    interval.add(12.0, 8, [pairs], 2.0)
    assert interval.padding == pytest.approx(1 - (6 + 8) / (8 + 10))
    assert (interval.loss, interval.speed) == (1.5, 4.0)
    interval.add(math.nan, 8, [pairs], 2.0)
    assert (interval.loss, interval.speed) == (1.5, 2.0)


def test_an_interval_of_nothing_has_no_loss() -> None:
    interval = Interval()
    interval.add(math.nan, 8, [], 1.0)
    assert math.isnan(interval.loss)
    assert (interval.speed, interval.padding) == (0.0, 0.0)


def test_memory_is_at_least_that_of_an_array() -> None:
    before = peak_memory(children=False)
    assert before > 10 * 2**20
    held = torch.ones(before // 4 + 2**22)
    assert peak_memory(children=False) > before
    assert held[0] == 1
    assert gpu_memory(torch.device("cpu")) is None


def test_a_record_has_everything_that_is_watched() -> None:
    step = Step(20, 1.5, 0.1, 2.0, 900.0, 1e-3, 0.5, 60.0, update_ratio={"all": 1e-3})
    record = step.record()
    assert record["kind"] == "train"
    assert record["perplexity"] == pytest.approx(math.e**2)
    assert {"padding", "memory", "gpu_memory", "skipped", "gradient_norm"} <= record.keys()
    assert record["update_ratio"] == {"all": 1e-3}
