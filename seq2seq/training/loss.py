"""The loss: cross-entropy with label smoothing, output layer included.

Losses are sums with counts. Whoever divides does it once, by the number of all target tokens of an
update, so that neither padding nor the cut into batches changes a gradient.

Shapes: M target tokens, E readout size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 256
"""Rows at a time: 256 x 8,000 float32 logits stay in a processor's last-level cache."""


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Output layer, log-softmax, smoothed loss and all their gradients, in one pass over chunks.

    The gradient of the logits is softmax - target, known as soon as the logits are. So it is
    computed while they are in the cache, and the (M, V) matrices that autograd would write, keep
    and read again (logits, log-probabilities, their gradient) never exist in float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        readouts_ME: Tensor,
        weight_VE: Tensor,
        bias_V: Tensor,
        labels_M: Tensor,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        half = torch.is_autocast_enabled(readouts_ME.device.type)
        kind = torch.get_autocast_dtype(readouts_ME.device.type) if half else readouts_ME.dtype
        with torch.autocast(readouts_ME.device.type, enabled=False):
            x, weight, bias = (t.to(kind) for t in (readouts_ME, weight_VE, bias_V))
            size = weight.shape[0]
            grad_logits = torch.empty(len(x), size, dtype=kind, device=x.device)
            loss = torch.zeros((), device=x.device)
            nll = torch.zeros((), device=x.device)
            for begin in range(0, len(x), ROWS):
                rows = slice(begin, begin + ROWS)
                logits = torch.addmm(bias, x[rows], weight.t())
                log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
                labels = labels_M[rows].unsqueeze(1)
                chunk_nll = -log_probs.gather(1, labels).sum()
                nll += chunk_nll
                loss += (1.0 - smoothing) * chunk_nll
                if smoothing > 0.0:
                    loss -= smoothing / size * log_probs.sum()
                grad = log_probs.exp_()
                if smoothing > 0.0:
                    grad -= smoothing / size
                grad.scatter_add_(1, labels, grad.new_full(labels.shape, smoothing - 1.0))
                grad_logits[rows] = grad
            ctx.save_for_backward(x, weight, grad_logits)
            ctx.kinds = (readouts_ME.dtype, weight_VE.dtype, bias_V.dtype)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, grad_logits = ctx.saved_tensors
        scale = grads[0]
        grad_x = (grad_logits @ weight).to(ctx.kinds[0]) * scale
        grad_weight = (grad_logits.t() @ x).to(ctx.kinds[1]) * scale
        grad_bias = grad_logits.sum(0, dtype=torch.float32).to(ctx.kinds[2]) * scale
        return grad_x, grad_weight, grad_bias, None, None


def smoothed_cross_entropy(
    readouts_ME: Tensor, weight_VE: Tensor, bias_V: Tensor, labels_M: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Sums of the smoothed loss and of the plain one (Szegedy et al. 2016).

    Args:
        readouts_ME: The decoder's output at each target token.
        weight_VE: The output layer's weights.
        bias_V: Its bias.
        labels_M: The right tokens.
        smoothing: The share of probability spread evenly over the vocabulary.

    Returns:
        The smoothed loss, which carries the gradient, and the negative log-likelihood in nats;
        both are sums over tokens.
    """
    result: tuple[Tensor, Tensor] = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        readouts_ME, weight_VE, bias_V, labels_M, smoothing
    )
    return result
