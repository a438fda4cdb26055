"""The loss: cross-entropy with label smoothing, output layer included, and R-Drop's of two passes.

Losses are sums with counts. Whoever divides does it once, by the number of all target tokens of an
update, so that neither padding nor the cut into batches changes a gradient.

Shapes: M target tokens, R = 2M rows of two passes, E readout size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.data.collate import Batch
from seq2seq.models.scheduled_sampling import mixed
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.training import ScheduledSampling

ROWS = 256
"""Rows at a time: 256 x 8,000 logits stay in a processor's last-level cache."""
GPU_ROWS = 8192
"""On a GPU few large steps are better than many small ones."""


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Output layer, softmax, smoothed loss and all their gradients, in one pass over chunks.

    The gradient of the logits is softmax - target, known as soon as the logits are. So it is
    computed while they are in the cache, and of the (M, V) matrices that autograd would write,
    keep and read again only one is ever made.

    The target is 1 - s at the label and s / V everywhere. What is the same everywhere need not be
    subtracted from each of M x V numbers: its share of every gradient is a sum of rows.

    To autograd these gradients would be constants, and second derivatives silently wrong (torch's
    ``once_differentiable`` lets those of the layers below pass): a graph of them is refused.
    """

    @staticmethod
    def forward(
        ctx: Any,
        readouts_ME: Tensor,
        weight_VE: Tensor,
        bias_V: Tensor,
        labels_M: Tensor,
        smoothing: float,
        learning: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.kinds = (readouts_ME.dtype, weight_VE.dtype, bias_V.dtype)
        x, weight, bias = _lowered(readouts_ME, weight_VE, bias_V)
        wide = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            softmax_MV = x.new_empty(len(x) if learning else 0, len(weight))
            size = ROWS if x.device.type == "cpu" else GPU_ROWS
            chunk = x.new_empty(min(size, len(x)), len(weight))
            firsts = torch.arange(len(chunk), device=x.device) * len(weight)
            chosen, nll = torch.zeros(2, dtype=wide, device=x.device).unbind()
            for begin in range(0, len(x), size):
                rows = slice(begin, begin + size)
                labels = labels_M[rows].unsqueeze(1)
                logits = torch.addmm(bias, x[rows], weight.t(), out=chunk[: len(labels)])
                at_label = logits.gather(1, labels).sum(dtype=wide)
                chosen = chosen + at_label
                if not learning:
                    nll = nll + logits.to(wide).logsumexp(-1).sum() - at_label
                    continue
                shares = torch.softmax(logits, dim=-1, out=softmax_MV[rows])
                # log sum exp, by the largest logit and its share of the sum
                total = logits.amax(-1).to(wide) - shares.amax(-1).to(wide).log()
                nll = nll + total.sum() - at_label
                # The label's share less 1 is minus the others': a difference of numbers near 1
                # would be nothing but rounding in bfloat16. (Its scatter_ is slow.)
                flat, places = shares.view(-1), firsts[: len(labels)] + labels_M[rows]
                flat.index_fill_(0, places, 0.0)
                flat.index_copy_(0, places, smoothing - shares.sum(-1))
            loss = nll.clone()
            if smoothing > 0.0:
                # the mean logit of each row, of all rows together
                everywhere = torch.dot(_sum(x), _sum(weight)) + len(x) * bias.sum(dtype=wide)
                spread = nll + chosen - everywhere / len(weight)
                loss = (1.0 - smoothing) * nll + smoothing * spread
            ctx.save_for_backward(x, weight, softmax_MV)
            ctx.smoothing = smoothing
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError(
                "the fused loss has no second derivative: use Losses(twice_differentiable=True)"
            )
        x, weight, grad_logits = ctx.saved_tensors
        everywhere = ctx.smoothing / len(weight)
        ones = x.new_ones(1, len(x))  # a product adds rows up faster than a sum does
        found = (
            (grad_logits @ weight) - everywhere * _sum(weight),
            (grad_logits.t() @ x) - everywhere * _sum(x),
            (ones @ grad_logits).squeeze(0) - everywhere * _sum(ones.t()),
        )
        scaled = (one.mul_(grads[0]).to(kind) for one, kind in zip(found, ctx.kinds, strict=True))
        return *scaled, None, None, None


class _TwoPassCrossEntropy(_SmoothedCrossEntropy):
    """The same of two passes over the same labels, and how far apart these are, in one pass.

    Readouts are the first pass's M and then the second's. A chunk holds the same labels of both, so
    that only the matrix of gradients (2M, V) is ever whole.
    """

    @staticmethod
    def forward(
        ctx: Any,
        readouts_RE: Tensor,
        weight_VE: Tensor,
        bias_V: Tensor,
        labels_M: Tensor,
        smoothing: float,
        alpha: float,
    ) -> tuple[Tensor, Tensor]:
        ctx.kinds = (readouts_RE.dtype, weight_VE.dtype, bias_V.dtype)
        x, weight, bias = _lowered(readouts_RE, weight_VE, bias_V)
        wide = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            gradients_2MV = x.new_empty(2, len(labels_M), len(weight))
            passes_2ME = x.view(2, len(labels_M), x.shape[1])
            nll, spread, apart = torch.zeros(3, dtype=wide, device=x.device).unbind()
            size = (ROWS if x.device.type == "cpu" else GPU_ROWS) // 2
            for begin in range(0, len(labels_M), size):
                rows = slice(begin, begin + size)
                labels = labels_M[rows].unsqueeze(1)
                logits = (torch.addmm(bias, one[rows], weight.t()) for one in passes_2ME)
                logs = [torch.log_softmax(one, dim=-1, dtype=wide) for one in logits]
                shares = [one.exp() for one in logs]
                for number, sign in ((0, 1.0), (1, -1.0)):
                    own, other = shares[number], shares[1 - number]
                    farther = torch.sub(logs[0], logs[1]).mul_(sign)
                    divergence = (own * farther).sum(-1, keepdim=True)  # of the other from this
                    nll = nll - logs[number].gather(1, labels).sum()
                    spread = spread - logs[number].sum() / len(weight)
                    apart = apart + divergence.sum() / 2
                    # Of half of both divergences together, by this pass's logits.
                    gradient = farther.sub_(divergence).add_(1.0).mul_(own).sub_(other)
                    gradient = gradient.mul_(alpha / 2).add_(own)
                    gradient.scatter_add_(1, labels, gradient.new_full(labels.shape, smoothing - 1))
                    gradients_2MV[number, rows] = gradient
            loss = (1.0 - smoothing) * nll + smoothing * spread + alpha * apart
            ctx.save_for_backward(x, weight, gradients_2MV.flatten(0, 1))
            ctx.smoothing = smoothing
        ctx.mark_non_differentiable(nll)
        return loss, nll


def _lowered(*tensors: Tensor) -> list[Tensor]:
    """Tensors in the type that autocast would give to a matrix product's."""
    device = tensors[0].device.type
    half = torch.is_autocast_enabled(device)
    kind = torch.get_autocast_dtype(device) if half else tensors[0].dtype
    return [tensor.to(kind) for tensor in tensors]


def _sum(rows: Tensor) -> Tensor:
    """The sum of a matrix's rows, in float32 (or more)."""
    kind = torch.promote_types(rows.dtype, torch.float32)
    return rows.sum(0, dtype=kind)


def smoothed_cross_entropy(
    readouts_ME: Tensor, weight_VE: Tensor, bias_V: Tensor, labels_M: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Sums of the smoothed loss and of the plain one (Szegedy et al. 2016).

    ``smoothing`` is the share of probability that is spread evenly over the vocabulary. The first,
    smoothed sum carries the gradient; the second is the negative log-likelihood in nats.
    """
    inputs = readouts_ME, weight_VE, bias_V
    # Asked here: inside, gradients are always off, and what needs them is told all the same.
    learning = torch.is_grad_enabled() and any(one.requires_grad for one in inputs)
    result: tuple[Tensor, Tensor] = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        *inputs, labels_M, smoothing, learning
    )
    return result


def two_pass_cross_entropy(
    readouts_RE: Tensor,
    weight_VE: Tensor,
    bias_V: Tensor,
    labels_M: Tensor,
    smoothing: float,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """R-Drop (Liang et al. 2021): both sums, means of two passes, whose difference costs too.

    ``readouts_RE`` are the M of a pass and then the M of another with other dropout. To the mean of
    their smoothed losses ``alpha`` / 2 times the mean of both Kullback-Leibler divergences between
    their distributions is added: half of the paper's loss, so that it is one target's, as without.
    """
    loss, nll = _TwoPassCrossEntropy.apply(  # type: ignore[no-untyped-call]
        readouts_RE, weight_VE, bias_V, labels_M, smoothing, alpha
    )
    return loss / 2, nll / 2


def twice_differentiable_cross_entropy(
    logits_MV: Tensor, labels_M: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """``smoothed_cross_entropy`` of logits, in autograd's operations: slow, all derivatives."""
    logits_MV = logits_MV.to(torch.promote_types(logits_MV.dtype, torch.float32))
    loss = functional.cross_entropy(logits_MV, labels_M, label_smoothing=smoothing, reduction="sum")
    nll = functional.cross_entropy(logits_MV.detach(), labels_M, reduction="sum")
    return loss, nll


class Losses(nn.Module):
    """A model and its loss as one module: from pairs to both sums.

    With ``twice_differentiable`` the loss has second derivatives, for curvature products, and is
    ``sums`` of ``outputs``: in these it is convex, which Gauss-Newton products rely on. While the
    model is in training and ``rdrop`` is above 0, each pair passes twice: see
    ``two_pass_cross_entropy``, of which it is the ``alpha``. With ``sampling`` the decoder then
    reads tokens of the model's own, the more the later the update: see ``scheduled_sampling``.
    """

    def __init__(
        self,
        model: TranslationModel,
        smoothing: float,
        *,
        twice_differentiable: bool = False,
        rdrop: float = 0.0,
        sampling: ScheduledSampling | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.smoothing = smoothing
        self.twice_differentiable = twice_differentiable
        self.rdrop = rdrop
        self.sampling = sampling or ScheduledSampling()
        self.probability = 0.0  # that a token is the model's own

    def begin(self, update: int) -> None:
        """Sets what depends on the update's number, from 1."""
        self.probability = self.sampling.at(update)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Teacher forcing, judged: what ``smoothed_cross_entropy`` gives."""
        if self.twice_differentiable:
            return self.sums(self.outputs(batch), batch)
        if self.probability > 0.0 and self.model.training:
            batch = mixed(self.model, batch, self.probability)
        output, twice = self.model.output, self.rdrop > 0.0 and self.model.training
        features = output.scaled(self.model(batch.twice() if twice else batch))
        inputs = features, output.matrix(), output.bias, batch.labels(), self.smoothing
        if twice:
            return two_pass_cross_entropy(*inputs, self.rdrop)
        return smoothed_cross_entropy(*inputs)

    def outputs(self, batch: Batch) -> Tensor:
        """The logits at each target token, (M, V)."""
        logits_MV: Tensor = self.model.output(self.model(batch))
        return logits_MV

    def sums(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Both sums, from the logits."""
        return twice_differentiable_cross_entropy(outputs, batch.labels(), self.smoothing)
