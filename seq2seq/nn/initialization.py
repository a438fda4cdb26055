"""How weights begin. Every rule is explicit here and named after the paper that argues for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from seq2seq.nn.cells import Cell

CONNECTIONS = 15
"""Of a unit, with the rules "sparse" and "echo"."""
ECHO_RADIUS = 1.1
"""The spectral radius that Sutskever et al. (2013) begin with: states go on, and do not explode."""


def glorot_(weight: Tensor, gates: int = 1) -> None:
    """Glorot and Bengio 2010: variance 2 / (fan in + fan out), each gate's block by itself."""
    for block in weight.chunk(gates):
        nn.init.xavier_uniform_(block)


def sparse_(weight: Tensor) -> None:
    """Each unit (a row) reads 15 others, drawn evenly, by weights from N(0, 1) (Martens 2010).

    So the sizes of its inputs do not grow with the number of units, and units differ.
    """
    rows, columns = weight.shape
    kept = min(CONNECTIONS, columns)
    places = torch.rand(rows, columns, device=weight.device).topk(kept).indices
    weight.zero_().scatter_(1, places, torch.randn_like(weight[:, :kept]))


def recurrent_(weight: Tensor, rule: str, gates: int) -> None:
    """The recurrent matrix of each gate, one block of rows each.

    The rule is "orthogonal" (Saxe et al. 2014: states neither grow nor shrink), "identity" (Le et
    al. 2015, for ReLU networks), "sparse" (Martens 2010), "echo" (Sutskever et al. 2013: sparse,
    and scaled as the reservoirs of Jaeger 2001) or "uniform" in +-1 / sqrt(H), torch's own.
    """
    for block in weight.chunk(gates):
        if rule == "orthogonal":
            nn.init.orthogonal_(block)
        elif rule == "identity":
            nn.init.eye_(block)
        elif rule in ("sparse", "echo"):
            sparse_(block)
            if rule == "echo":
                block.mul_(ECHO_RADIUS / torch.linalg.eigvals(block).abs().max())
        else:
            bound = 1.0 / math.sqrt(block.shape[1])
            nn.init.uniform_(block, -bound, bound)


@torch.no_grad()
def initialize_embedding(embedding: nn.Embedding) -> None:
    """Normal with standard deviation E ** -1/4, half-way from 1 to what an output layer wants.

    Glorot's rule expects inputs near 1. A table that is the output layer too must begin at E **
    -1/2, for logits near 1; read as inputs, such small numbers leave the gates of an untrained
    network idle, and learning waits for the table to grow. Vaswani et al. (2017) multiply what is
    read by E ** 1/2. Here the weights on both sides make up for one half each, from the beginning
    and with no operation more: ``scale_inputs_for_embeddings``, ``scale_readout_for_logits``.
    """
    nn.init.normal_(embedding.weight, std=embedding.embedding_dim**-0.25)
    if embedding.padding_idx is not None:
        embedding.weight[embedding.padding_idx].zero_()


@torch.no_grad()
def scale_inputs_for_embeddings(cell: Cell, size: int) -> None:
    """Makes the weights of ``size`` embedded inputs so large that gates read numbers near 1."""
    cell.scale_inputs(size, size**0.25)


@torch.no_grad()
def scale_readout_for_logits(readout: nn.Linear) -> None:
    """Makes a readout so small that its products with embeddings, the logits, begin near 1."""
    readout.weight *= readout.out_features**-0.25


@torch.no_grad()
def initialize_linear(linear: nn.Linear) -> None:
    """Glorot weights and a zero bias."""
    glorot_(linear.weight)
    if linear.bias is not None:
        linear.bias.zero_()
