"""The recipe's tables on the network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from seq2seq.errors import unknown_name
from seq2seq.recipe.base import (
    Fraction,
    KindAlone,
    PositiveInt,
    Section,
    check_rules,
    registered,
)


class LstmCell(Section):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    kind: Literal["lstm"] = "lstm"
    forget_bias: float = 1.0


class GruCell(Section):
    """Cho et al. 2014."""

    kind: Literal["gru"] = "gru"


class RnnCell(Section):
    """Elman 1990; with ReLU and identity weights it is the IRNN of Le et al. 2015."""

    kind: Literal["rnn"] = "rnn"
    activation: Literal["tanh", "relu"] = "tanh"


class OtherCell(Section):
    """A cell that nn/cells.py registers and that has no options of its own here."""

    kind: str

    @field_validator("kind")
    @classmethod
    def _is_registered(cls, kind: str) -> str:
        names = registered("cells.py", "cell")
        if kind not in names:
            raise ValueError(unknown_name(kind, names))
        return kind


def _cell_tag(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind in ("lstm", "gru", "rnn") else "other"


Cell = Annotated[
    Annotated[LstmCell, Tag("lstm")]
    | Annotated[GruCell, Tag("gru")]
    | Annotated[RnnCell, Tag("rnn")]
    | Annotated[OtherCell, Tag("other")],
    Discriminator(_cell_tag),
    KindAlone,
]


def _check_attention(name: str) -> str:
    names = ("none", *registered("attention.py", "attention"))
    if name not in names:
        raise ValueError(unknown_name(name, names))
    return name


AttentionName = Annotated[
    str,
    Field(strict=True),
    BeforeValidator(lambda value: _check_attention(value) if isinstance(value, str) else value),
    WithJsonSchema({"enum": ["none", "dot", "general", "additive"]}),
]


class Encoder(Section):
    """Reads the source.

    ``hidden`` is a layer's whole output size: with both directions each has half of it.
    ``dropout`` falls on the embeddings and between layers; ``word_dropout`` hides whole tokens.
    """

    cell: Cell = LstmCell()
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    layers: PositiveInt = 1
    directions: Literal["forward", "both"] = "both"
    dropout: Fraction = 0.2
    word_dropout: Fraction = 0.0
    residual: bool = False
    reverse: bool = False  # feed the source backwards: Sutskever et al. 2014

    @model_validator(mode="after")
    def _halves(self, info: ValidationInfo) -> Encoder:
        rule = f"hidden = {self.hidden} must be even with directions = 'both'"
        check_rules(info, {rule: self.directions == "both" and self.hidden % 2 != 0})
        return self


class Decoder(Section):
    """Writes the target.

    ``feeding`` says where the attention's context goes besides the output: nowhere ("none"), into
    the first layer at the next step ("input", Luong et al. 2015: step by step, slow), or into the
    layers above the first ("upper", Wu et al. 2016: parallel over time). ``state_feeding`` gives
    the encoder's final state to every step and to the output (Cho et al. 2014), not only to the
    first state.
    """

    cell: Cell = LstmCell()
    embedding: PositiveInt = 256
    hidden: PositiveInt = 512
    layers: PositiveInt = 1
    dropout: Fraction = 0.2
    word_dropout: Fraction = 0.0
    residual: bool = False
    attention: AttentionName = "none"
    feeding: Literal["none", "input", "upper"] = "none"
    state_feeding: bool = False

    @model_validator(mode="after")
    def _feeding_fits(self, info: ValidationInfo) -> Decoder:
        check_rules(
            info,
            {
                f"feeding = {self.feeding!r} needs an attention to feed from": (
                    self.feeding != "none" and self.attention == "none"
                ),
                "feeding = 'upper' needs layers >= 2": self.feeding == "upper" and self.layers < 2,
            },
        )
        return self


class Model(Section):
    """The network. ``tie`` shares embeddings: the target's with the output layer, or all three."""

    encoder: Encoder = Encoder()
    bridge: Literal["auto", "copy", "linear", "zero"] = "auto"
    decoder: Decoder = Decoder()
    tie: Literal["none", "output", "all"] = "output"
    recurrent_init: Literal["orthogonal", "uniform", "identity"] = "orthogonal"

    @model_validator(mode="after")
    def _parts_fit(self, info: ValidationInfo) -> Model:
        encoder, decoder = self.encoder, self.decoder
        check_rules(
            info,
            {
                "tie = 'all' needs encoder.embedding = decoder.embedding, not "
                f"{encoder.embedding} and {decoder.embedding}": (
                    self.tie == "all" and encoder.embedding != decoder.embedding
                ),
                "decoder.attention = 'dot' needs encoder.hidden = decoder.hidden, not "
                f"{encoder.hidden} and {decoder.hidden}; 'general' takes any sizes": (
                    decoder.attention == "dot" and encoder.hidden != decoder.hidden
                ),
            },
        )
        return self
