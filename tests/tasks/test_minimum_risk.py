"""Minimum risk training against the paper's sums over candidates, one by one."""

from __future__ import annotations

import math

import pytest
import sacrebleu
import torch
from support.models import make_batch, randomize
from support.saved import LINES, tokenizers_of

from seq2seq.data.collate import Batch
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.tasks.minimum_risk import MinimumRisk, expected_risks, log_probs
from seq2seq.tasks.translation import TranslationTask
from seq2seq.text.tokenizer import Tokenizers

PAIRS = [(0, 1), (2, 9), (5, 4), (7, 0)]
ALPHA = 0.02


def task_of(
    tokenizers: Tokenizers, *, metric: str = "bleu", reverse: bool = False, dropout: float = 0.0
) -> tuple[TranslationModel, MinimumRisk]:
    side = {"embedding": 4, "hidden": 6, "dropout": dropout}
    method = {"kind": "minimum_risk", "samples": 5, "alpha": ALPHA, "metric": metric}
    recipe = Recipe.model_validate(
        {
            "model": {"encoder": side, "decoder": {**side, "reverse": reverse}},
            "translation": {"max_ratio": 0.5, "max_extra": 2},
            "training": {"method": method},
        }
    )
    task = TranslationTask(recipe)
    model = task.build_model(tokenizers).double()
    randomize(model, scale=0.4)
    loss = task.loss(model)
    assert isinstance(loss, MinimumRisk)
    return model.train(), loss


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    return tokenizers_of(LINES)


def batch_of(tokenizers: Tokenizers, *, reverse: bool = False) -> Batch:
    rows = []
    for source, target in PAIRS:
        read = tokenizers.source.encode([LINES[source]])[0]
        said = tokenizers.target.encode([LINES[target]])[0]
        rows.append((read, said[::-1] if reverse else said))
    return make_batch(rows)


def candidates_of(
    loss: MinimumRisk, batch: Batch, tokenizers: Tokenizers, *, reverse: bool = False
) -> list[list[list[int]]]:
    sources = [tokenizers.source.encode([LINES[one]])[0] for one, _ in PAIRS]
    targets = [tokenizers.target.encode([LINES[one]])[0] for _, one in PAIRS]
    return loss._candidates(batch, sources, [one[::-1] if reverse else one for one in targets])


def brute_force(
    model: TranslationModel,
    candidates: list[list[list[int]]],
    tokenizers: Tokenizers,
    metric: str,
    *,
    reverse: bool = False,
) -> tuple[float, float]:
    """The loss and the references' negative log-likelihood, each candidate by itself."""
    turned = -1 if reverse else 1
    total = nats = 0.0
    for (place, _), rows in zip(PAIRS, candidates, strict=True):
        source = tokenizers.source.encode([LINES[place]])[0]
        logs, risks = [], []
        for row in rows:
            with torch.no_grad():
                steps = torch.log_softmax(model.output(model(make_batch([(source, row)]))), -1)
            logs.append(sum(float(one[t]) for one, t in zip(steps, [*row, 3], strict=True)))
            text, reference = tokenizers.target.decode([row[::turned], rows[0][::turned]])
            score = sacrebleu.sentence_chrf if metric == "chrf" else sacrebleu.sentence_bleu
            risks.append(1 - score(text, [reference]).score / 100)
        powers = [math.exp(ALPHA * one) for one in logs]
        mean = sum(p * r for p, r in zip(powers, risks, strict=True)) / sum(powers)
        total += mean * (len(rows[0]) + 1)
        nats -= logs[0]
    return total, nats


@pytest.mark.parametrize(("metric", "reverse"), [("bleu", False), ("chrf", False), ("bleu", True)])
def test_the_loss_is_the_candidates_mean_risk(
    tokenizers: Tokenizers, metric: str, reverse: bool
) -> None:
    model, loss = task_of(tokenizers, metric=metric, reverse=reverse)
    batch = batch_of(tokenizers, reverse=reverse)
    torch.manual_seed(4)
    candidates = candidates_of(loss, batch, tokenizers, reverse=reverse)
    assert min(map(len, candidates)) > 3
    found, shown = loss(batch)
    expected = brute_force(model, candidates, tokenizers, metric, reverse=reverse)
    assert found.item() == pytest.approx(expected[0], rel=1e-6)
    assert shown.item() == pytest.approx(expected[1], rel=1e-6)
    assert not shown.requires_grad


def test_the_gradient_is_the_loss_s_slope(tokenizers: Tokenizers) -> None:
    """By central differences, the candidates as they were drawn: to the paper they are fixed."""
    model, loss = task_of(tokenizers)
    batch = batch_of(tokenizers)
    torch.manual_seed(4)
    candidates = candidates_of(loss, batch, tokenizers)
    loss(batch)[0].backward()
    weights = [one for one in model.parameters() if one.grad is not None]
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(one.shape, generator=generator, dtype=one.dtype) for one in weights]
    slope = sum(float((w.grad * d).sum()) for w, d in zip(weights, directions, strict=True))
    values = []
    for distance in (1e-4, -1e-4):
        with torch.no_grad():
            torch._foreach_add_(weights, [distance * one for one in directions])
            values.append(brute_force(model, candidates, tokenizers, "bleu")[0])
            torch._foreach_sub_(weights, [distance * one for one in directions])
    assert slope == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5)


def test_each_log_probability_pulls_by_its_risk_s_distance_from_the_mean() -> None:
    """The gradient of the paper's equation 11: alpha Q (risk - mean risk)."""
    logs = torch.tensor([-3.0, -7.5, -1.0, -2.0, -2.5], dtype=torch.float64, requires_grad=True)
    risks = torch.tensor([0.0, 0.9, 0.4, 0.0, 1.0], dtype=torch.float64)
    pairs = torch.tensor([0, 0, 0, 1, 1])
    found = expected_risks(logs, risks, pairs, 0.7)
    expected, pulls = [], []
    for own in (slice(0, 3), slice(3, 5)):
        powers = [math.exp(0.7 * one) for one in logs[own].tolist()]
        shares = [one / sum(powers) for one in powers]
        mean = sum(q * r for q, r in zip(shares, risks[own].tolist(), strict=True))
        expected.append(mean)
        pulls += [0.7 * q * (r - mean) for q, r in zip(shares, risks[own].tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert torch.autograd.grad(found.sum(), logs)[0].tolist() == pytest.approx(pulls)


def test_log_probabilities_are_teacher_forcing_s(tokenizers: Tokenizers) -> None:
    model, _ = task_of(tokenizers)
    rows = [([5, 6, 7], [4, 8]), ([9], []), ([4] * 6, [7] * 90), ([5, 4], [6] * 200)]
    batch, weights = make_batch(rows), list(model.parameters())  # more than one chunk of rows
    found = log_probs(model, batch)
    steps = torch.log_softmax(model.output(model(batch)), -1)
    steps = steps[torch.arange(len(steps)), batch.labels()]
    sizes = [len(target) + 1 for _, target in rows]
    expected = torch.stack([one.sum() for one in torch.split(steps, sizes)])
    torch.testing.assert_close(found, expected)
    pull = torch.tensor([0.3, -1.0, 0.2, 2.0], dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found, weights, pull), torch.autograd.grad(expected, weights, pull)
    )


def test_candidates_are_the_reference_and_what_is_drawn_whatever_the_batch(
    tokenizers: Tokenizers,
) -> None:
    model, loss = task_of(tokenizers, dropout=0.4)
    batch = batch_of(tokenizers)
    torch.manual_seed(4)
    first = candidates_of(loss, batch, tokenizers)
    assert model.training
    assert first == candidates_of(loss, batch, tokenizers)
    for rows, (_, target) in zip(first, PAIRS, strict=True):
        assert rows[0] == tokenizers.target.encode([LINES[target]])[0]
        assert len({tuple(row) for row in rows}) == len(rows) <= 6
    whole = float(loss(batch)[1])
    assert math.isfinite(whole)
    torch.manual_seed(5)
    assert candidates_of(loss, batch, tokenizers) != first


def test_a_batch_cut_in_two_has_the_same_loss_and_gradient(tokenizers: Tokenizers) -> None:
    model, loss = task_of(tokenizers)
    batch, weights = batch_of(tokenizers), list(model.parameters())
    torch.manual_seed(4)
    whole = loss(batch)[0]
    parts = sum(loss(half)[0] for half in batch.halves())
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(
        torch.autograd.grad(parts, weights), torch.autograd.grad(whole, weights)
    )


def test_a_validation_measures_the_likelihood(tokenizers: Tokenizers) -> None:
    model, loss = task_of(tokenizers, dropout=0.4)
    batch = batch_of(tokenizers)
    model.eval()
    assert loss(batch) == loss.losses(batch)


def test_a_batch_without_targets_gives_zero(tokenizers: Tokenizers) -> None:
    model, loss = task_of(tokenizers)
    found, shown = loss(batch_of(tokenizers).without_targets())
    found.backward()
    assert found == shown == 0.0
    assert not any(one.grad.any() for one in model.parameters() if one.grad is not None)


def test_in_bfloat16_all_weights_learn(tokenizers: Tokenizers) -> None:
    model, loss = task_of(tokenizers)
    model.float()
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = loss(batch_of(tokenizers))
    assert found.dtype == torch.float32
    found.backward()
    assert all(one.grad is not None and one.grad.any() for one in model.parameters())


def test_following_it_lowers_the_risk(tokenizers: Tokenizers) -> None:
    model, loss = task_of(tokenizers)
    rule = torch.optim.Adam(model.parameters(), lr=0.05)
    batch, risks = batch_of(tokenizers), []
    for update in range(12):
        torch.manual_seed(update)
        rule.zero_grad()
        found, _ = loss(batch)
        found.backward()
        rule.step()
        risks.append(found.item())
    assert sum(risks[-3:]) < 0.98 * sum(risks[:3])
