"""Scheduled sampling (Bengio et al. 2015), in two passes that are parallel over time.

As in Mihaylova and Martins (2019): a first pass over the reference predicts each token, and the
pass that is learned from reads a mixture of the reference's tokens and of those predictions.

Shapes: B batch, T target length, M target tokens, F features, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from seq2seq.data.collate import Batch
from seq2seq.ids import EOS, SUPPRESSED
from seq2seq.models.translation import TranslationModel

ROWS = 256
"""Rows of logits at a time; see ``models.loss``."""


def mixed(model: TranslationModel, batch: Batch, probability: float) -> Batch:
    """The batch, whose decoder reads the model's own tokens with some probability, each by itself.

    What it should predict stays the reference. The first place has no token before it.
    """
    own_BT = torch.zeros_like(batch.inputs_BT).flatten()
    own_BT[batch.where_M] = _predicted(model, batch)
    places = batch.where_M[batch.where_M % batch.inputs_BT.shape[1] > 0]
    drawn = torch.rand(len(places), device=places.device) < probability
    read_BT = batch.inputs_BT.flatten().index_copy(0, places[drawn], own_BT[places[drawn] - 1])
    return replace(batch, inputs_BT=read_BT.view_as(batch.inputs_BT))


@torch.no_grad()
def _predicted(model: TranslationModel, batch: Batch) -> Tensor:
    """The likeliest token at each target place (M,), of those that a translation goes on after.

    It is predicted as in translating: without dropout, and so without drawing random numbers.
    """
    was_training = model.training
    model.eval()
    try:
        output = model.output
        features_MF, weight_VF = output.scaled(model(batch)), output.matrix()
        best = []
        for rows in torch.split(features_MF, ROWS):
            logits_MV = functional.linear(rows, weight_VF, output.bias)
            logits_MV[:, [*SUPPRESSED, EOS]] = -torch.inf
            best.append(logits_MV.argmax(-1))
        return torch.cat(best)
    finally:
        model.train(was_training)
        # Autocast would reuse weights that it has lowered here, and that take no gradients.
        torch.clear_autocast_cache()
