"""The output layer and the lexical model, against the paper's formulas in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.models import make_batch, model_options, random_model, random_pairs, random_tensor

from seq2seq.models.output import Output
from seq2seq.recipe import Model
from seq2seq.recipe.model import SHORTEST

FIXNORM = {"kind": "fixnorm", "radius": 3.0}


def test_a_linear_one_is_torch_s() -> None:
    model = random_model(model_options({}, {}))
    features = random_tensor(5, 3)
    plain = torch.nn.functional.linear(features, model.output.weight, model.output.bias)
    assert torch.equal(model.output(features), plain)
    assert model.output.scaled(features) is features
    assert model.output.matrix() is model.output.weight


def test_with_a_radius_a_logit_is_a_cosine() -> None:
    model = random_model(model_options({}, {}, output=FIXNORM))
    features = random_tensor(5, 3)
    logits = model.output(features).detach().numpy()
    weight, bias = (one.detach().numpy() for one in (model.output.weight, model.output.bias))
    for m, x in enumerate(features.numpy()):
        for v, w in enumerate(weight):
            cosine = x @ w / np.linalg.norm(x) / np.linalg.norm(w)
            assert logits[m, v] == pytest.approx(9.0 * cosine + bias[v], abs=1e-12)


def test_what_is_nearly_nothing_is_not_stretched_to_the_radius() -> None:
    output = Output(model_options({}, {}, output=FIXNORM), 4)
    with torch.no_grad():
        output.weight.zero_()
        output.weight[1:, 0] = torch.tensor([SHORTEST / 2, SHORTEST, 7.0])
    matrix = output.matrix()
    torch.testing.assert_close(matrix[:, 0], torch.tensor([0.0, 1.5, 3.0, 3.0]))
    matrix.sum().backward()
    assert output.weight.grad is not None
    assert output.weight.grad.abs().max() <= 3.0 / SHORTEST + 1e-4


@pytest.mark.parametrize("output", ["linear", FIXNORM], ids=str)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_lexical_model_is_the_paper_s(output: Any, heads: int, reverse: bool) -> None:
    decoder = {"attention": "general", "attention_heads": heads}
    options = model_options({"embedding": 6, "reverse": reverse}, decoder, output=output,
                            lexical=True)  # fmt: skip
    model = random_model(options)
    batch = make_batch(random_pairs([(4, 2), (2, 3)]))
    with torch.no_grad():
        state, memory = model.start(batch.source_BS, batch.source_lengths_B)
        features, _, weights = model.decoder.step(batch.inputs_BT[:, 0], state, memory)
        logits = model.output(features).numpy()
    assert weights is not None
    array = {name: one.detach().numpy() for name, one in model.state_dict().items()}
    for row, source in enumerate(batch.source_BS.numpy()):
        words = array["encoder.embedding.table.weight"][source]
        seen = np.tanh(weights[row].numpy() @ words)
        said = np.tanh(array["decoder.lexical.weight"] @ seen) + seen
        parts = [(features[row, :3].numpy(), array["output.weight"])]
        parts.append((said, array["output.words.weight"]))
        expected = array["output.bias"].copy()
        for x, matrix in parts:
            logit = matrix @ x
            if output != "linear":
                logit *= 9.0 / np.linalg.norm(x) / np.linalg.norm(matrix, axis=1)
            expected += logit
        np.testing.assert_allclose(logits[row], expected, atol=1e-10)


def test_it_needs_an_attention() -> None:
    with pytest.raises(ValidationError, match=r"lexical = true needs decoder\.attention"):
        Model.model_validate({"lexical": True, "decoder": {"attention": "none"}})


@pytest.mark.parametrize("radius", [0.0, -1.0, 101.0, "3"])
def test_a_radius_is_a_length(radius: Any) -> None:
    with pytest.raises(ValidationError, match="radius"):
        Model.model_validate({"output": {"kind": "fixnorm", "radius": radius}})
