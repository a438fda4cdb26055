"""The recipe's tables on the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from seq2seq.errors import ModelError
from seq2seq.recipe.base import (
    AUTO,
    OWN_KEYS,
    Fraction,
    KindAlone,
    Layers,
    Section,
    Size,
    checks_of,
    says_none,
)
from seq2seq.recipe.registry import ATTENTIONS, CELLS


class Cell(Section):
    """A cell: its ``kind``, and beside it the keys of that cell's own ``Options``.

    Those stand in the cell's file, which imports torch. So they are checked, and completed by
    their defaults, where a recipe is for training (``Checks.cells``). A trained model's table is
    kept as it is stored, and its cell need not be installed: the model's graphs do without.
    """

    model_config = ConfigDict(extra="allow")

    kind: str

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str, info: ValidationInfo) -> str:
        return CELLS.check(kind) if checks_of(info).names else kind

    @model_validator(mode="wrap")
    @classmethod
    def _complete(cls, value: Any, handler: Callable[[Any], Cell], info: ValidationInfo) -> Cell:
        cell = handler(value)
        if not checks_of(info).cells:
            return cell
        try:
            own = cell.options().model_dump()
        except ValidationError as error:
            mark = f"{OWN_KEYS}{cell.kind}"
            found = [{**one, "loc": (mark, *one["loc"])} for one in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(error.title, found) from None  # type: ignore[arg-type]
        return cls.model_construct(_fields_set=cell.model_fields_set, kind=cell.kind, **own)

    def options(self) -> Section:
        """The cell's own options; its module, and torch, are imported for it.

        Raises ``ModelError`` if that cannot be, pydantic's ``ValidationError`` for wrong keys.
        """
        options = options_class(self.kind)
        keys = dict(self.model_extra or {})
        for key, field in options.model_fields.items():
            if keys.get(key) == "none" and says_none(field):
                keys[key] = None
        return options.model_validate(keys)


def options_class(kind: str) -> type[Section]:
    """The ``Options`` of a cell, imported with its module; a ``ModelError`` if it has none."""
    cell = CELLS.load(kind)
    options = getattr(cell, "Options", None)
    if not (isinstance(options, type) and issubclass(options, Section)):
        raise ModelError(
            f"{CELLS.described(cell)}: its Options must be a subclass of seq2seq.nn.cells.Section"
        )
    if "kind" in options.model_fields:
        raise ModelError(
            f"{CELLS.described(cell)}: its Options have the key 'kind', which names the cell in "
            "recipes: give that key another name"
        )
    return options


def _check_attention(name: str, info: ValidationInfo) -> str:
    if name == "none" or not checks_of(info).names:
        return name
    try:
        return ATTENTIONS.check(name)
    except ValueError as error:
        raise ValueError(str(error).replace("allowed: ", "allowed: none, ", 1)) from None


AttentionName = Annotated[
    str,
    AfterValidator(_check_attention),
    WithJsonSchema({"enum": ["none", "dot", "general", "additive"]}),
]

Heads = Annotated[int, Field(ge=1, le=256)]


class Encoder(Section):
    """Reads the source.

    ``hidden`` is a layer's whole output size: with both directions each has half of it.
    ``dropout`` falls on the embeddings and between layers, and with ``variational_dropout`` at all
    steps of a sequence on the same values (Gal and Ghahramani 2016); ``recurrent_dropout`` falls on
    the weights from state to state (Merity et al. 2018), ``word_dropout`` hides whole tokens.
    """

    cell: Annotated[Cell, KindAlone] = Cell(kind="lstm")
    embedding: Annotated[Size, AUTO] = 256
    hidden: Annotated[Size, AUTO] = 512
    layers: Layers = 1
    directions: Literal["forward", "both"] = "both"
    dropout: Annotated[Fraction, AUTO] = 0.2
    word_dropout: Fraction = 0.0
    variational_dropout: bool = False
    recurrent_dropout: Fraction = 0.0
    residual: bool = False
    reverse: bool = False  # feed the source backwards: Sutskever et al. 2014

    def _broken_rules(self) -> dict[str, bool]:
        rule = f"hidden = {self.hidden} must be even with directions = 'both'"
        return {rule: self.directions == "both" and self.hidden % 2 != 0}


class Decoder(Section):
    """Writes the target.

    ``dropout`` falls on what the output layer reads, too; the rest is as the encoder's.

    ``feeding`` says where the attention's context goes besides the output: nowhere ("none"), into
    the first layer at the next step ("input", Luong et al. 2015: step by step, slow), or into all
    layers above the first ("upper", Wu et al. 2016, Chen et al. 2018: parallel over time).
    ``state_feeding`` gives the encoder's final state to every step and to the output (Cho et al.
    2014), not only to the first state.

    ``attention_heads`` look each by weights of its own (Chen et al. 2018); with one, "general" has
    no scale (Luong et al. 2015), with more that of Vaswani et al. (2017).
    """

    cell: Annotated[Cell, KindAlone] = Cell(kind="lstm")
    embedding: Annotated[Size, AUTO] = 256
    hidden: Annotated[Size, AUTO] = 512
    layers: Layers = 1
    dropout: Annotated[Fraction, AUTO] = 0.2
    word_dropout: Fraction = 0.0
    variational_dropout: bool = False
    recurrent_dropout: Fraction = 0.0
    residual: bool = False
    attention: AttentionName = "general"
    attention_heads: Heads = 1
    feeding: Literal["none", "input", "upper"] = "none"
    state_feeding: bool = False
    reverse: bool = False  # write the target backwards, from its last piece to its first

    def _broken_rules(self) -> dict[str, bool]:
        heads = self.attention_heads
        return {
            f"feeding = {self.feeding!r} needs an attention to feed from": (
                self.feeding != "none" and self.attention == "none"
            ),
            "feeding = 'upper' needs layers >= 2": self.feeding == "upper" and self.layers < 2,
            f"attention_heads = {heads} needs attention = 'general' or 'additive', not "
            f"{self.attention!r}": heads > 1 and self.attention not in ("general", "additive"),
            f"attention_heads = {heads} must divide hidden = {self.hidden}": (
                "hidden" in self.model_fields_set and self.hidden % heads != 0
            ),
        }


class Linear(Section):
    """A linear output layer."""

    kind: Literal["linear"] = "linear"


SHORTEST = 0.1
"""With ``Fixnorm`` a shorter vector is not stretched to the whole radius: the row of padding begins
at 0, where the direction, and so the gradient, would be that of a rounding error."""


class Fixnorm(Section):
    """What the output layer reads, and its weights for each token, have the length ``radius``.

    So a logit is the square of that times a cosine, and the bias (Nguyen and Chiang 2018).
    """

    kind: Literal["fixnorm"] = "fixnorm"
    radius: Annotated[float, Field(gt=0.0, le=100.0)] = 5.0


Output = Annotated[Linear | Fixnorm, Field(discriminator="kind"), KindAlone]


class Model(Section):
    """The network.

    ``tie`` shares embeddings: the target's with the output layer, or all three. ``lexical`` lets
    the source's words, weighed by the attention, choose the next token by a way of their own beside
    the decoder's (Nguyen and Chiang 2018). ``output_std`` is the standard deviation of a problem's
    output weights at first; 0: Glorot's rule.
    """

    encoder: Encoder = Encoder()
    bridge: Literal["auto", "copy", "linear", "zero"] = "auto"
    decoder: Decoder = Decoder()
    tie: Literal["none", "output", "all"] = "output"
    output: Output = Linear()
    lexical: bool = False
    recurrent_init: Literal["orthogonal", "uniform", "identity", "sparse", "echo"] = "orthogonal"
    output_std: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def parts_are_installed(self) -> bool:
        """Whether the packages are there that its cells and its attention come from."""
        cells = {self.encoder.cell.kind, self.decoder.cell.kind}
        attentions = {"none", *ATTENTIONS.names()}
        return cells <= {*CELLS.names()} and self.decoder.attention in attentions

    def _broken_rules(self) -> dict[str, bool]:
        encoder, decoder = self.encoder, self.decoder
        given = encoder.model_fields_set & decoder.model_fields_set  # sizes left out follow
        return {
            "tie = 'all' needs encoder.embedding = decoder.embedding, not "
            f"{encoder.embedding} and {decoder.embedding}": (
                self.tie == "all"
                and "embedding" in given
                and encoder.embedding != decoder.embedding
            ),
            "lexical = true needs decoder.attention to weigh the words by": (
                self.lexical and decoder.attention == "none"
            ),
            f"decoder.attention_heads = {decoder.attention_heads} must divide encoder.hidden = "
            f"{encoder.hidden}": (
                "hidden" in encoder.model_fields_set
                and encoder.hidden % decoder.attention_heads != 0
            ),
            "decoder.attention = 'dot' needs encoder.hidden = decoder.hidden, not "
            f"{encoder.hidden} and {decoder.hidden}; 'general' takes any sizes": (
                decoder.attention == "dot"
                and "hidden" in given
                and encoder.hidden != decoder.hidden
            ),
        }
