"""The recipe's tables on training and on translating with the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from seq2seq.recipe.base import AUTO, Count, Fraction, KindAlone, PositiveInt, Section


class Adam(Section):
    """Kingma and Ba 2015."""

    kind: Literal["adam"] = "adam"
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Annotated[float, Field(gt=0, le=1.0)] = 1e-9


class AdamW(Section):
    """Loshchilov and Hutter 2019: weight decay apart from the gradient."""

    kind: Literal["adamw"] = "adamw"
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Annotated[float, Field(gt=0, le=1.0)] = 1e-9
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.01


class Sgd(Section):
    """Stochastic gradient descent, with momentum (Nesterov's where asked for).

    With the schedule of Sutskever et al. (2013) it is Nesterov's, and rises towards ``momentum``.
    """

    kind: Literal["sgd"] = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = False
    momentum_schedule: Literal["constant", "sutskever"] = "constant"
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def _broken_rules(self) -> dict[str, bool]:
        scheduled = self.momentum_schedule == "sutskever"
        return {
            "nesterov = true needs momentum > 0": self.nesterov and self.momentum == 0.0,
            "momentum_schedule = 'sutskever' needs momentum > 0, which it rises to": (
                scheduled and self.momentum == 0.0
            ),
        }


class HessianFree(Section):
    """Martens 2010; Martens and Sutskever 2011. It asks for no learning rate, and clips nothing.

    ``damping`` is the first lambda, ``structural`` mu, the hidden states' share of it. Conjugate
    gradients make so many ``iterations`` at most, and end where the model falls by less than
    ``tolerance`` an iteration; they begin at ``warm_start`` times the last update's direction.
    The curvature is that of the first ``curvature_batches`` of an update's batches; None: of all.
    """

    kind: Literal["hessian_free"] = "hessian_free"
    damping: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    structural: Annotated[float, Field(ge=0, le=1e6)] = 0.03
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    warm_start: Fraction = 0.95
    curvature_batches: PositiveInt | None = None


Optimizer = Annotated[Adam | AdamW | Sgd | HessianFree, Field(discriminator="kind"), KindAlone]


class Gradient(Section):
    """The optimizer follows the gradient of the loss."""

    kind: Literal["gradient"] = "gradient"


class MinimumRisk(Section):
    """Translations are made likelier where they score higher (Shen et al. 2016): to fine-tune by.

    Of each pair the model draws so many ``samples``; beside the reference they are the candidates.
    What each counts is its probability to the power of ``alpha``; its risk is 1 - ``metric``.
    """

    kind: Literal["minimum_risk"] = "minimum_risk"
    samples: Annotated[int, Field(ge=1, le=1000)] = 20
    alpha: Annotated[float, Field(gt=0, le=100)] = 0.005
    metric: Literal["bleu", "chrf"] = "bleu"


class Ridge(Section):
    """The output layer is solved for by ridge regression, and nothing else learns (Jaeger 2001).

    ``penalty`` times the sum of its squared weights (not its biases) is added to the sum of squared
    errors. With ``inputs`` the output layer reads a step's input beside the state.
    """

    kind: Literal["ridge"] = "ridge"
    penalty: Annotated[float, Field(ge=0.0, le=1e12)] = 1e-6
    inputs: bool = True


Method = Annotated[Gradient | MinimumRisk | Ridge, Field(discriminator="kind"), KindAlone]


class Constant(Section):
    """Linear warm-up over ``warmup`` updates, then the same rate."""

    kind: Literal["constant"] = "constant"
    warmup: Count = 0


class InverseSqrt(Section):
    """Linear warm-up, then decay with one over the square root of the update.

    A warm-up left out is at most a tenth of the training.
    """

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup: Annotated[PositiveInt, AUTO] = 1000


class Cosine(Section):
    """Linear warm-up, then half a cosine that is at ``floor`` times the rate after training.

    A warm-up left out is at most a tenth of the training.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[Count, AUTO] = 200
    floor: Fraction = 0.0


class Plateau(Section):
    """The rate is multiplied by ``factor`` after ``patience`` validations without improvement."""

    kind: Literal["plateau"] = "plateau"
    warmup: Count = 0
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    patience: Count = 1


Schedule = Annotated[
    Constant | InverseSqrt | Cosine | Plateau, Field(discriminator="kind"), KindAlone
]


class NoAverage(Section):
    """The weights as they are."""

    kind: Literal["none"] = "none"


class Ema(Section):
    """An exponential moving average of the weights, validated and kept in their place."""

    kind: Literal["ema"] = "ema"
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999


class LastK(Section):
    """At the end: the mean of the weights at the last ``count`` validations."""

    kind: Literal["last"] = "last"
    count: Annotated[int, Field(ge=2, le=1000)] = 5


Average = Annotated[NoAverage | Ema | LastK, Field(discriminator="kind"), KindAlone]


BleuTokenizer = Literal[
    "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "flores101", "flores200", "spm",
    "spBLEU-1K", "none",
]  # fmt: skip
"""Those of sacreBLEU, ``seq2seq.metrics.TOKENIZERS``, which is slow to import from here."""


class Validation(Section):
    """When to validate (in updates; None: once an epoch), and what is measured there.

    With ``every`` and the length of training left out, there are about 12 validations. BLEU's
    tokenizer, left out, is chosen by the text of the references. ChrF is measured where it decides
    (see ``EarlyStopping``).
    """

    every: Annotated[PositiveInt | None, AUTO] = None
    bleu: bool = True
    tokenize: Annotated[BleuTokenizer, AUTO] = "13a"
    lines: PositiveInt | None = None  # BLEU and chrF of the first so many lines; None: all


class EarlyStopping(Section):
    """Stop after ``patience`` validations without a better ``metric``.

    With ``solved``, stop at the first validation that finds a problem solved.
    """

    metric: Literal["loss", "bleu", "chrf"] = "bleu"
    patience: PositiveInt | None = None
    solved: bool = False


class ScheduledSampling(Section):
    """The decoder reads the model's own tokens in place of the reference's (Bengio et al. 2015).

    It does so with a probability that is 0 in the first ``start`` updates, and then rises evenly,
    over ``rise`` updates, to ``probability``.
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    start: Count = 0
    rise: PositiveInt = 1000

    def at(self, update: int) -> float:
        """The probability in an update, from 1."""
        return self.probability * min(1.0, max(0, update - self.start) / self.rise)


class Training(Section):
    """How the weights are found.

    ``epochs`` and ``updates`` both bound the length; one of them must be given. ``batch_tokens``
    bounds the padded tokens of the larger side of a batch; an update takes ``accumulate`` batches.
    """

    epochs: Annotated[PositiveInt | None, AUTO] = 20
    updates: PositiveInt | None = None
    batch_tokens: Annotated[PositiveInt, AUTO] = 2048
    batch_pairs: PositiveInt | None = None
    accumulate: PositiveInt = 1
    max_pieces: PositiveInt = 256  # longer pairs are left out of training, and counted
    learning_rate: Annotated[float, Field(gt=0, le=1e6), AUTO] = 1e-3
    method: Method = Gradient()
    optimizer: Optimizer = Adam()
    bptt_window: PositiveInt | None = None  # steps that a gradient goes back; None: all
    schedule: Schedule = Cosine()
    clip_norm: Annotated[float, Field(gt=0, le=1e30)] | None = 1.0
    label_smoothing: Fraction = 0.1
    rdrop: Annotated[float, Field(ge=0, le=1000)] = 0.0  # Liang et al. 2021; 0: one pass a pair
    scheduled_sampling: ScheduledSampling = ScheduledSampling()
    average: Average = NoAverage()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    validation: Validation = Validation()
    early_stopping: EarlyStopping = EarlyStopping()
    checkpoint_every: PositiveInt | None = None  # updates; None: at validations only
    keep_checkpoints: Annotated[PositiveInt, AUTO] = 2
    max_bad_updates: PositiveInt = 10  # non-finite losses or gradients in a row before going back
    gradients_every: PositiveInt | None = 100  # updates between looks at them through time
    tensorboard: bool = False  # the numbers of metrics.jsonl for TensorBoard, too

    @property
    def has_learning_rate(self) -> bool:
        """Whether a rate says how far steps go; ridge and Hessian-free updates find that out."""
        return not (isinstance(self.method, Ridge) or isinstance(self.optimizer, HessianFree))

    @property
    def needs_float32(self) -> bool:
        """Whether updates compare losses that differ little, and products that cancel."""
        return isinstance(self.optimizer, HessianFree)

    def _broken_rules(self) -> dict[str, bool]:
        return {
            "give epochs or updates: training needs an end": (
                self.epochs is None and self.updates is None
            ),
            "early_stopping.metric = 'bleu' needs validation.bleu = true": (
                self.early_stopping.metric == "bleu" and not self.validation.bleu
            ),
            "optimizer.kind = 'hessian_free' needs precision = 'float32' or 'auto', which is "
            "float32 then: it compares losses that differ little": (
                self.needs_float32 and self.precision == "bfloat16"
            ),
            "method.kind = 'minimum_risk' has its own loss: it needs rdrop = 0.0 and "
            "scheduled_sampling.probability = 0.0": (
                isinstance(self.method, MinimumRisk)
                and (self.rdrop > 0.0 or self.scheduled_sampling.probability > 0.0)
            ),
            "method.kind = 'minimum_risk' has no curvature: it needs another optimizer.kind than "
            "'hessian_free'": (
                isinstance(self.method, MinimumRisk) and isinstance(self.optimizer, HessianFree)
            ),
            "rdrop > 0 is not convex in what the network puts out, which optimizer.kind = "
            "'hessian_free' relies on: set rdrop = 0.0, or another optimizer": (
                isinstance(self.optimizer, HessianFree) and self.rdrop > 0.0
            ),
            "scheduled_sampling.probability > 0 changes what is read with the weights, where "
            "optimizer.kind = 'hessian_free' compares losses: set 0.0, or another optimizer": (
                isinstance(self.optimizer, HessianFree) and self.scheduled_sampling.probability > 0
            ),
        }


BOUNDS: Mapping[str, tuple[float, float]] = {
    "beam": (1, 1000),
    "n_best": (1, 1000),
    "alpha": (0.0, 10.0),
    "coverage": (0.0, 1000.0),
    "max_ratio": (0.0, 1000.0),
    "min_ratio": (0.0, 1000.0),
    "max_extra": (0, 100_000),
    "max_length": (0, 100_000),
    "min_length": (0, 100_000),
    "max_source": (1, 1_000_000),
    "no_repeat_ngram": (0, 1000),
    "repetition_penalty": (0.01, 100.0),
    "diversity": (0.0, 1000.0),
    "temperature": (0.0, 1000.0),
    "top_k": (1, 10_000_000),
    "seed": (0, 2**63 - 1),
    "batch_size": (1, 100_000),
    "threads": (1, 1024),
    "processes": (1, 1024),
}
"""What numbers on translating may be, wherever they are given; nothing overflows within these.

Bounds that are ints are those of whole numbers.
"""


LANGUAGE = r"^[a-z]{2,3}$"
"""What the code of a language is."""


def _within(name: str) -> Any:
    least, most = BOUNDS[name]
    return Field(ge=least, le=most)


class NoNormalization(Section):
    """Scores are sums of log-probabilities."""

    kind: Literal["none"] = "none"


class LengthNormalization(Section):
    """Scores are divided by length ** alpha, the end of sentence counted."""

    kind: Literal["length"] = "length"
    alpha: Annotated[float, _within("alpha")] = 1.0


class GnmtNormalization(Section):
    """Scores are divided by ((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14)."""

    kind: Literal["gnmt"] = "gnmt"
    alpha: Annotated[float, _within("alpha")] = 0.6


Normalization = Annotated[
    NoNormalization | LengthNormalization | GnmtNormalization,
    Field(discriminator="kind"),
    KindAlone,
]


class Translation(Section):
    """How the finished model translates, where the command line does not say otherwise.

    A hypothesis has at most ``max_ratio`` times its source's pieces plus ``max_extra`` pieces, and
    at least ``min_ratio`` times its source's. A line of more pieces than ``max_source`` or than the
    model was trained on, or of more sentences, is ``long``: split at the ends of sentences,
    truncated with a warning (only where it has too many pieces), or kept as it is.
    ``source_language`` (as "de") helps to find the ends of sentences; None: what the name of the
    first training file ends with, as ``train.de`` does.
    """

    beam: Annotated[int, _within("beam")] = 5
    normalization: Normalization = LengthNormalization()
    coverage: Annotated[float, _within("coverage")] = 0.0  # weight of GNMT's penalty
    min_ratio: Annotated[float, _within("min_ratio")] = 0.0
    max_ratio: Annotated[float, Field(gt=0.0), _within("max_ratio")] = 2.0
    max_extra: Annotated[int, Field(ge=1), _within("max_extra")] = 20
    max_source: Annotated[int, _within("max_source")] = 1024
    long: Literal["split", "truncate", "keep"] = "split"
    source_language: Annotated[str, Field(pattern=LANGUAGE)] | None = None

    def _broken_rules(self) -> dict[str, bool]:
        wrong = self.min_ratio > self.max_ratio
        return {"min_ratio must be at most max_ratio": wrong}
