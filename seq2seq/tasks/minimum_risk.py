"""Minimum risk training (Shen et al. 2016): translations are made likelier where they score higher.

Of each source the model draws some translations; with the reference they stand for all there are.
Their risk is 1 - BLEU (or chrF) of the sentence, from 0 to 1, and what is minimized is the mean of
the risks, weighted by the probabilities that the model gives to these candidates: equation 9, with
Q proportional to P^alpha.

Shapes: B pairs, C candidates of all pairs, M their target tokens, E readout size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from seq2seq.data.arrow import Ragged
from seq2seq.data.collate import Batch, collate
from seq2seq.ids import SUPPRESSED
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.metrics import sentence_bleu, sentence_chrf
from seq2seq.models.loss import ROWS, Losses
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.recipe import training as options
from seq2seq.recipe.training import NoNormalization
from seq2seq.search import SourceBatch, length_caps
from seq2seq.search.sampling import Sampling, sample
from seq2seq.text.tokenizer import Tokenizer

Rows = list[list[int]]


class MinimumRisk(nn.Module):
    """The mean risk of a batch as a loss; a validation has the one of ``losses``.

    Both are sums over pairs; as they are divided by the number of target tokens, a pair's risk
    counts once for each token of its reference. ``target`` is the model's tokenizer.
    """

    def __init__(self, losses: Losses, target: Tokenizer, recipe: Recipe) -> None:
        super().__init__()
        assert isinstance(recipe.training.method, options.MinimumRisk)
        self.losses = losses
        self.options = recipe.training.method
        self._recipe = recipe
        self._target = target

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The sums of the risks, and of the references' negative log-likelihoods."""
        model = self.losses.model
        if not model.training or batch.targets == 0:
            found: tuple[Tensor, Tensor] = self.losses(batch)
            return found
        sources, references = _rows(batch)
        candidates = self._candidates(batch, sources, references)
        risk_C = torch.tensor(self._risks(candidates), device=batch.where_M.device)
        pair_C = [i for i, several in enumerate(candidates) for _ in several]
        flat = [row for several in candidates for row in several]
        made = collate(Ragged.of([sources[i] for i in pair_C]), Ragged.of(flat))
        log_prob_C = log_probs(model, made.to(batch.where_M.device))
        pairs_C = torch.tensor(pair_C, device=risk_C.device)
        risk_B = expected_risks(log_prob_C, risk_C.to(log_prob_C), pairs_C, self.options.alpha)
        weight_B = risk_B.new_tensor([len(row) + 1 for row in references])
        firsts = np.cumsum([0, *map(len, candidates)])[:-1].tolist()  # the references
        return (risk_B * weight_B).sum(), -log_prob_C.detach()[firsts].sum()

    def _candidates(self, batch: Batch, sources: Rows, references: Rows) -> list[Rows]:
        """Of each pair the reference and all different samples, in the order they were drawn."""
        model, translation = self.losses.model, self._recipe.translation
        device = batch.where_M.device.type
        half = torch.is_autocast_enabled(device)
        precision = torch.get_autocast_dtype(device) if half else torch.float32
        lengths = batch.source_lengths_B.cpu().numpy()
        caps = length_caps(lengths - 1, translation.max_ratio, translation.max_extra)
        try:
            drawn = sample(
                TorchEngine(model, precision),
                SourceBatch(batch.source_BS.cpu().numpy(), lengths),
                # As dropout, a function of the update; a batch that is cut has the same samples.
                sampling=Sampling(seed=torch.initial_seed()),
                samples=self.options.samples,
                max_lengths=caps,
                normalization=NoNormalization(),
                suppress=SUPPRESSED,
            )
        finally:
            model.train()
            # Autocast would reuse weights that were lowered here, and that take no gradients.
            torch.clear_autocast_cache()
        found = []
        for reference, several in zip(references, drawn, strict=True):
            rows = dict.fromkeys([tuple(reference), *(one.tokens for one in several)])
            found.append([list(row) for row in rows])
        return found

    def _risks(self, candidates: Sequence[Rows]) -> list[float]:
        """1 - the score of each candidate, of which each pair's first is the reference."""
        turned = -1 if self._recipe.model.decoder.reverse else 1
        flat = [row[::turned] for several in candidates for row in several]
        texts = iter(self._target.decode(flat))
        hypotheses, references = [], []
        for several in candidates:
            own = [next(texts) for _ in several]
            hypotheses += own
            references += [own[0]] * len(own)
        if self.options.metric == "chrf":
            scores = sentence_chrf(hypotheses, references)
        else:
            tokenize = self._recipe.training.validation.tokenize
            scores = sentence_bleu(hypotheses, references, tokenize)
        return [1.0 - score / 100.0 for score in scores]


def _rows(batch: Batch) -> tuple[Rows, Rows]:
    """The ids of both sides, pair by pair, without bos and eos, in the order they are written."""
    sizes_B = torch.bincount(batch.where_M // batch.labels_BT.shape[1], minlength=len(batch))
    sources = zip(batch.source_BS.tolist(), batch.source_lengths_B.tolist(), strict=True)
    targets = zip(batch.labels_BT.tolist(), sizes_B.tolist(), strict=True)
    return (
        [ids[: length - 1] for ids, length in sources],
        [ids[: length - 1] for ids, length in targets],
    )


def log_probs(model: TranslationModel, batch: Batch) -> Tensor:
    """The log-probability of each target of a batch (C,), the end counted.

    Logits are made anew in the backward pass: those of some rows at a time are all there ever are.
    """

    def of_rows(readouts_ME: Tensor, labels_M: Tensor) -> Tensor:
        logits_MV = model.output(readouts_ME)
        wide = torch.promote_types(logits_MV.dtype, torch.float32)
        return functional.cross_entropy(logits_MV.to(wide), labels_M, reduction="none")

    parts = zip(*(torch.split(one, ROWS) for one in (model(batch), batch.labels())), strict=True)
    nats_M = torch.cat(
        [
            checkpoint(of_rows, *part, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    )
    rows_M = batch.where_M // batch.labels_BT.shape[1]
    return -nats_M.new_zeros(len(batch)).index_add(0, rows_M, nats_M)


def expected_risks(log_prob_C: Tensor, risk_C: Tensor, pair_C: Tensor, alpha: float) -> Tensor:
    """The expected risk of each pair (B,): its candidates' risks, weighted by P^alpha.

    ``pair_C`` says whose each candidate is; those of a pair come one after the other.
    """
    sizes = torch.bincount(pair_C).tolist()
    pairs = zip(torch.split(log_prob_C, sizes), torch.split(risk_C, sizes), strict=True)
    return torch.stack([((alpha * own).softmax(0) * risk).sum() for own, risk in pairs])
