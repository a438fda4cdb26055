"""What a model's tensors are, and what does not fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.models import model_options, random_model
from torch import nn

from seq2seq.errors import ModelError
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import load_tensors, tensors_of

ORIGIN = Path("weights.safetensors")


@pytest.mark.parametrize("tie", ["none", "output", "all"])
def test_a_model_s_tensors_are_its_parameters_each_once(tie: str) -> None:
    model = random_model(model_options({}, {}, tie=tie))
    assert list(tensors_of(model)) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        assert tensors_of(model)[name].data_ptr() == parameter.data_ptr()
        assert not tensors_of(model)[name].requires_grad


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_cell_s_refusal_names_its_table(side: str) -> None:
    tables: dict[str, Any] = {"encoder": {"directions": "forward"}, "decoder": {}}
    tables[side] |= {"cell": "echo", "hidden": 1}
    with pytest.raises(ModelError, match=rf"^model\.{side}: the cell 'echo' needs at least 2 "):
        TranslationModel(model_options(**tables), 9, 9)


class Buffered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("left_out", torch.ones(2), persistent=False)
        self.register_buffer("frozen", torch.zeros(3))
        self.same = self.frozen


def test_persistent_buffers_are_tensors_too() -> None:
    names = "frozen norm.bias norm.num_batches_tracked norm.running_mean norm.running_var"
    assert sorted(tensors_of(Buffered())) == [*names.split(), "norm.weight"]


def test_loading_copies_everything() -> None:
    ours, theirs = Buffered(), Buffered()
    for number, tensor in enumerate(tensors_of(theirs).values()):
        tensor.fill_(number + 5)
    load_tensors(ours, tensors_of(theirs), ORIGIN)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    assert ours.norm.num_batches_tracked.dtype == torch.int64


def test_tensors_of_another_network_are_refused_and_nothing_is_copied() -> None:
    ours = nn.Linear(2, 3)
    before = ours.weight.detach().clone()
    with pytest.raises(ModelError) as error:
        load_tensors(ours, {"weight": torch.ones(3, 2), "scale": torch.ones(3)}, ORIGIN)
    assert str(error.value) == (
        "weights.safetensors does not fit the recipe: it lacks bias and has scale besides; "
        "recipe.toml and weights must come from the same run"
    )
    with pytest.raises(ModelError) as error:
        load_tensors(ours, {"weight": torch.ones(3, 2), "bias": torch.ones(2)}, ORIGIN)
    assert str(error.value) == (
        "weights.safetensors: bias is (2,), recipe and tokenizer ask for (3,); recipe.toml, "
        "tokenizer and weights must come from the same run"
    )
    assert torch.equal(ours.weight, before)
