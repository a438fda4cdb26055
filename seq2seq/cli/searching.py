"""How to search, as options of the verbs that translate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from seq2seq.cli.groups import OptionGroup
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.search import Normalization, Sampling, SearchOptions

Options = TypeVar("Options", bound="SearchOptions | Sampling")

LENGTH_PENALTIES = ("none", "length", "gnmt")


@dataclass(frozen=True)
class Searching(OptionGroup):
    """Search."""

    beam: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Follow N hypotheses; 1: greedy.  [default: as the recipe says]",
        ),
    ] = None
    groups: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Keep N parts of the beam different; N divides it."),
    ] = None
    diversity: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="How different, with --groups.  [default: 0.5]"),
    ] = None
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Let the unknown piece be produced.")
    ] = False

    def check(self) -> None:
        """Checks that options stand together.

        Raises:
            Seq2SeqError: If one needs another that is not given, or a name is unknown.
        """
        needs(self.diversity, "--diversity", self.groups, "--groups N")

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Puts what was given in the place of the recipe's.

        Args:
            base: The recipe's.

        Returns:
            The options.

        """
        given = {
            "beam": self.beam,
            "groups": self.groups,
            "diversity": self.diversity,
            "allow_unknown": self.allow_unknown or None,
        }
        return _replaced(base, given)


@dataclass(frozen=True)
class Penalties(OptionGroup):
    """Scores."""

    length_penalty: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Divide scores by nothing (none), by length ** alpha (length), or by "
            "((5 + length) / 6) ** alpha (gnmt).  [default: as the recipe says]",
        ),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="The power of the length penalty."),
    ] = None
    coverage: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            help="Weight of the penalty on source words left out; needs attention.",
        ),
    ] = None

    def check(self) -> None:
        """Checks that options stand together.

        Raises:
            Seq2SeqError: If one needs another that is not given, or a name is unknown.
        """
        if self.length_penalty not in (None, *LENGTH_PENALTIES):
            raise Seq2SeqError(
                f"--length-penalty is {self.length_penalty!r}; allowed: "
                f"{', '.join(LENGTH_PENALTIES)}"
            )
        if self.length_penalty == "none" and self.alpha is not None:
            raise Seq2SeqError(
                "--alpha: there is no power without a penalty: leave it out, or give "
                "--length-penalty length or gnmt"
            )

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Puts what was given in the place of the recipe's.

        Args:
            base: The recipe's.

        Returns:
            The options.

        Raises:
            Seq2SeqError: If what was given does not fit.
        """
        given = {
            "coverage": self.coverage,
            "normalization": self._normalization(base.normalization),
        }
        return _replaced(base, given)

    def _normalization(self, base: Normalization) -> Normalization | None:
        if self.length_penalty is None and self.alpha is None:
            return None
        from seq2seq.recipe.training import (
            GnmtNormalization,
            LengthNormalization,
            NoNormalization,
        )

        kind = self.length_penalty or base.kind
        if kind == "none":
            if self.alpha is not None:
                raise Seq2SeqError(
                    "--alpha: the model's recipe has no length penalty: give --length-penalty "
                    "length or gnmt as well"
                )
            return NoNormalization()
        made = LengthNormalization if kind == "length" else GnmtNormalization
        return made() if self.alpha is None else made(alpha=self.alpha)


@dataclass(frozen=True)
class Sampled(OptionGroup):
    """Samples, and choosing by agreement."""

    sample: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Draw N translations of each line instead of searching for the best; text has "
            "the likeliest of them, --format nbest all.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(metavar="X", help="Below 1: safer samples, more alike; above: wilder ones."),
    ] = None
    top_k: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Draw among the N best pieces alone.")
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Draw among the best pieces that hold X of the probability alone."
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Another seed, other samples.  [default: 1]"),
    ] = None
    mbr: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the samples, or of the beam's n best, write the one that agrees best with "
            "all, by chrf or bleu.",
        ),
    ] = None

    def check(self, searching: Searching, penalties: Penalties) -> None:
        """Checks that options stand together.

        Args:
            searching: Other options.
            penalties: Other options.

        Raises:
            Seq2SeqError: If one needs another that is not given, or contradicts it.
        """
        for value, name in (
            (self.temperature, "--temperature"),
            (self.top_k, "--top-k"),
            (self.top_p, "--top-p"),
            (self.seed, "--seed"),
        ):
            needs(value, name, self.sample, "--sample N")
        for other, name in (
            (searching.beam, "--beam"),
            (searching.groups, "--groups"),
            (penalties.coverage, "--coverage"),
        ):
            excludes(self.sample, "--sample", other, name)
        if self.temperature is not None and not self.temperature > 0.0:
            raise Seq2SeqError(f"--temperature is {self.temperature}; above 0 is allowed")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise Seq2SeqError(f"--top-p is {self.top_p}; above 0 and up to 1 is allowed")

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Puts what was given in the place of the recipe's.

        Args:
            base: The recipe's.

        Returns:
            The options.
        """
        if self.sample is None:
            return base
        from seq2seq.search import Sampling

        given = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "seed": self.seed,
        }
        drawn = _replaced(Sampling(), given)
        return replace(base, n_best=self.sample, coverage=0.0, sampling=drawn)


@dataclass(frozen=True)
class Lengths(OptionGroup):
    """Lengths and repetition."""

    min_length: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="At least N pieces.")
    ] = None
    max_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most N pieces.")
    ] = None
    min_ratio: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="At least X pieces a source piece.")
    ] = None
    max_ratio: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="At most X pieces a source piece (and some more)."),
    ] = None
    no_repeat: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="No N pieces come twice in the same order in a translation."
        ),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        typer.Option(metavar="X", help="Above 1: pieces that were said already are less likely."),
    ] = None
    long: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Lines longer than the model was trained on: split (at the ends of sentences), "
            "truncate or keep.  [default: as the recipe says]",
        ),
    ] = None

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Puts what was given in the place of the recipe's.

        Args:
            base: The recipe's.

        Returns:
            The options.
        """
        given = {
            "min_length": self.min_length,
            "max_length": self.max_length,
            "min_ratio": self.min_ratio,
            "max_ratio": self.max_ratio,
            "no_repeat_ngram": self.no_repeat,
            "repetition_penalty": self.repetition_penalty,
        }
        return _replaced(base, given)


def options_of(
    base: SearchOptions,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
) -> SearchOptions:
    """Puts the groups together.

    Args:
        base: The recipe's way to search.
        searching: A group.
        penalties: A group.
        sampled: A group.
        lengths: A group.

    Returns:
        The options.

    Raises:
        Seq2SeqError: If they do not fit the recipe's.
    """
    return lengths.apply(sampled.apply(penalties.apply(searching.apply(base))))


def needs(value: object, name: str, other: object, other_name: str) -> None:
    """Checks that an option is not given in vain.

    Args:
        value: Its value; None: not given.
        name: Its name.
        other: The value of the one that it needs.
        other_name: The name of that.

    Raises:
        Seq2SeqError: If it is given without the other.
    """
    if value is not None and other is None:
        raise Seq2SeqError(f"{name} needs {other_name}: give both, or leave it out")


def excludes(value: object, name: str, other: object, other_name: str) -> None:
    """Checks that two options are not given together.

    Args:
        value: The value of one; None: not given.
        name: Its name.
        other: The value of the other.
        other_name: Its name.

    Raises:
        Seq2SeqError: If both are given.
    """
    if value is not None and other is not None:
        raise Seq2SeqError(f"{name} and {other_name} exclude each other: give one of them")


def _replaced(base: Options, given: dict[str, Any]) -> Options:
    return replace(base, **{name: value for name, value in given.items() if value is not None})
