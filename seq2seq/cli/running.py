"""What translates, as options of the verbs that translate: models, engine, and how much at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.cli.groups import OptionGroup
from seq2seq.cli.searching import needs
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.inference.pool import TranslatorPool
    from seq2seq.inference.translator import Translator

COMBINE = ("log", "probability")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's or run's folder.")]


@dataclass(frozen=True)
class Running(OptionGroup):
    """Models and speed."""

    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="MODEL",
            help="Another model with the same tokenizer, to translate together; repeatable.",
        ),
    ] = None
    combine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Average the models' log-probabilities (log) or probabilities (probability).  "
            "[default: log]",
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="X,X,...", help="How much each model counts, MODEL first.  [default: the same]"
        ),
    ] = None
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What runs the network: onnx, numpy, torch, or auto: onnx for exported models, "
            "torch with a GPU, else numpy.",
        ),
    ] = "auto"
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of an exported model: float32 or int8.  [default: float32]"
        ),
    ] = None
    shortlist: Annotated[
        bool,
        typer.Option(
            "--shortlist", help="Of an exported model: choose among likely pieces alone: faster."
        ),
    ] = False
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Use N processor threads.  [default: all cores]"),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Translate at most N lines at once.  [default: 64]"),
    ] = None

    def check(self) -> None:
        """Checks that options stand together.

        Raises:
            Seq2SeqError: If one needs another that is not given, or is wrong by itself.
        """
        needs(self.combine, "--combine", self.with_, "--with MODEL")
        needs(self.weights, "--weights", self.with_, "--with MODEL")
        if self.combine not in (None, *COMBINE):
            raise Seq2SeqError(f"--combine is {self.combine!r}; allowed: {', '.join(COMBINE)}")
        self._weights()

    def load(self, model: str) -> Translator:
        """Loads the models.

        Args:
            model: The first one's folder.

        Returns:
            What translates with them.

        Raises:
            Seq2SeqError: If an option does not fit the models.
            ModelError: If there is no model, or it is damaged or does not fit.
        """
        from seq2seq.inference.translator import Translator

        return Translator.load(self._paths(model) if self.with_ else model, **self._options())

    def _paths(self, model: str) -> list[str]:
        return [model, *(self.with_ or ())]

    def _options(self) -> dict[str, Any]:
        """What ``Translator.load`` takes."""
        options: dict[str, Any] = {"threads": self.threads, "engine": self.engine}
        if self.precision is not None:
            options["precision"] = self.precision
        if self.shortlist:
            options["shortlist"] = True
        if self.with_:
            options |= {"combine": self.combine or "log", "weights": self._weights()}
        return options

    def _weights(self) -> list[float] | None:
        if self.weights is None:
            return None
        try:
            found = [float(word) for word in self.weights.split(",")]
        except ValueError:
            raise Seq2SeqError(
                f"--weights is {self.weights!r}; numbers with commas between are allowed: 2,1,1"
            ) from None
        count = 1 + len(self.with_ or ())
        if len(found) != count:
            raise Seq2SeqError(
                f"--weights has {len(found)} numbers for {count} models: give one for each, MODEL "
                "first"
            )
        return found


@dataclass(frozen=True)
class RunningMany(Running):
    """Models and speed."""

    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Translate in N processes, each with --threads threads."
        ),
    ] = None

    def load_all(self, model: str) -> Translator | TranslatorPool:
        """Loads the models.

        Args:
            model: The first one's folder.

        Returns:
            What translates with them, in this process or in several.

        Raises:
            Seq2SeqError: If an option does not fit the models.
            ModelError: If there is no model, or it is damaged or does not fit.
        """
        if self.processes is None:
            return self.load(model)
        from seq2seq.inference.pool import TranslatorPool

        return TranslatorPool(self._paths(model), self.processes, **self._options())
