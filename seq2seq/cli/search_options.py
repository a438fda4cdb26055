"""How to translate, as groups of options: the search, its scores, and the models that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from seq2seq.cli.options import OptionGroup, Threads, check_choice, excludes, flag, needs, option
from seq2seq.errors import Seq2SeqError, number_of

if TYPE_CHECKING:
    from seq2seq.inference.glossary import Glossary
    from seq2seq.inference.pool import TranslatorPool
    from seq2seq.inference.translator import Translator
    from seq2seq.search import Normalization, SearchOptions

LENGTH_PENALTIES = ("none", "length", "gnmt")
COMBINE = ("log", "probability")


@dataclass(frozen=True)
class Searching(OptionGroup):
    """Search."""

    beam: Annotated[
        int | None,
        option("N", "Keep N hypotheses at each step; 1: greedy.  [default: the recipe's]", min=1),
    ] = None
    groups: Annotated[
        int | None,
        option(
            "N",
            "Split the beam into N groups that are kept different; N must divide the beam.",
            min=2,
        ),
    ] = None
    diversity: Annotated[
        float | None,
        option("X", "How strongly --groups are kept different.  [default: 0.5]", min=0.0),
    ] = None
    allow_unknown: Annotated[
        bool, flag("--allow-unknown", "Allow the unknown token in translations.")
    ] = False


@dataclass(frozen=True)
class Penalties(OptionGroup):
    """Scores."""

    length_penalty: Annotated[
        str | None,
        option(
            "NAME",
            "Divide scores by nothing (none), by length ** alpha (length), or by "
            "((5 + length) / 6) ** alpha (gnmt).  [default: the recipe's]",
        ),
    ] = None
    alpha: Annotated[float | None, option("X", "The exponent of the length penalty.", min=0.0)] = (
        None
    )
    coverage: Annotated[
        float | None,
        option(
            "X",
            "Weight of the penalty for source words left untranslated; needs attention.",
            min=0.0,
        ),
    ] = None

    def check(self) -> None:
        """Raises a ``Seq2SeqError`` for a name that is unknown, or options that contradict."""
        check_choice(self.length_penalty, "--length-penalty", LENGTH_PENALTIES)
        if self.length_penalty == "none" and self.alpha is not None:
            raise Seq2SeqError(
                "--alpha has no effect without a length penalty: leave it out, or give "
                "--length-penalty length or gnmt"
            )

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Replaces the recipe's values by those given."""
        changed = _given(coverage=self.coverage, normalization=self._normalization(base))
        return replace(base, **changed)

    def _normalization(self, base: SearchOptions) -> Normalization | None:
        if self.length_penalty is None and self.alpha is None:
            return None
        from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
        from seq2seq.search import check_bounds

        kind = self.length_penalty or base.normalization.kind
        if kind == "none":
            if self.alpha is not None:
                raise Seq2SeqError(
                    "--alpha has no effect here, because the model's recipe has no length penalty: "
                    "add --length-penalty length or gnmt"
                )
            return NoNormalization()
        check_bounds("alpha", self.alpha)
        made = LengthNormalization if kind == "length" else GnmtNormalization
        return made() if self.alpha is None else made(alpha=self.alpha)


@dataclass(frozen=True)
class Sampled(OptionGroup):
    """Sampling, and choosing by agreement (MBR)."""

    sample: Annotated[
        int | None,
        option(
            "N",
            "Draw N translations of each line at random instead of searching. --format text "
            "writes the most probable of them, nbest and jsonl write all.",
            min=1,
        ),
    ] = None
    temperature: Annotated[
        float | None,
        option(
            "X", "Below 1: samples are safer and more alike; above 1: more varied.  [default: 1]"
        ),
    ] = None
    top_k: Annotated[
        int | None,
        option("N", "Sample from the N most probable tokens only.", min=1),
    ] = None
    top_p: Annotated[
        float | None,
        option("X", "Sample only from the most probable tokens that together have probability X."),
    ] = None
    seed: Annotated[
        int | None,
        option("N", "The random seed of the samples.  [default: 1]", min=0),
    ] = None
    mbr: Annotated[
        str | None,
        option(
            "NAME",
            "Of the samples or the n best, write the translation that agrees best with the "
            "others, measured by chrf or bleu (minimum Bayes risk).",
        ),
    ] = None

    def check(self, searching: Searching, penalties: Penalties) -> None:
        """Raises a ``Seq2SeqError`` for options that need or contradict others, or are wrong."""
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
            raise Seq2SeqError(f"--temperature is {self.temperature}; it must be above 0")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise Seq2SeqError(f"--top-p is {self.top_p}; it must be above 0 and at most 1")

    def apply(self, base: SearchOptions) -> SearchOptions:
        """Replaces the recipe's values by those given."""
        if self.sample is None:
            return base
        from seq2seq.search import Sampling

        given = _given(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed
        )
        drawn = Sampling(**given)
        return replace(base, n_best=self.sample, coverage=0.0, sampling=drawn)


@dataclass(frozen=True)
class Lengths(OptionGroup):
    """Lengths and repetition."""

    min_length: Annotated[int | None, option("N", "At least N tokens.", min=0)] = None
    max_length: Annotated[int | None, option("N", "At most N tokens.", min=1)] = None
    min_ratio: Annotated[
        float | None, option("X", "At least X tokens per source token.", min=0.0)
    ] = None
    max_ratio: Annotated[
        float | None,
        option("X", "At most X tokens per source token (plus the recipe's max_extra).", min=0.0),
    ] = None
    no_repeat: Annotated[int | None, option("N", "Never repeat a sequence of N tokens.", min=1)] = (
        None
    )
    repetition_penalty: Annotated[
        float | None,
        option("X", "Above 1: makes tokens less likely to come again."),
    ] = None
    long: Annotated[
        str | None,
        option(
            "NAME",
            "What to do with lines longer than the model was trained on: split (into "
            "sentences), truncate or keep.  [default: the recipe's]",
        ),
    ] = None


@dataclass(frozen=True)
class Terminology(OptionGroup):
    """What translations must look like."""

    glossary: Annotated[
        str | None,
        option(
            "FILE",
            "Translate terms as a file says: a term, a tab and its translation in each line, or "
            "several forms of it with | between them. Lines with terms have a beam of 10 or more.",
        ),
    ] = None

    def load(self) -> Glossary | None:
        """Reads the glossary."""
        if self.glossary is None:
            return None
        from seq2seq.inference.glossary import Glossary

        return Glossary.load(self.glossary)


@dataclass(frozen=True)
class Running(OptionGroup):
    """Models and speed."""

    with_: Annotated[
        list[str] | None,
        option(
            "MODEL",
            "Another model with the same tokenizer, to translate together; can be repeated.",
            "--with",
        ),
    ] = None
    combine: Annotated[
        str | None,
        option(
            "NAME",
            "Average the models' log-probabilities (log) or probabilities (probability).  "
            "[default: log]",
        ),
    ] = None
    weights: Annotated[
        str | None,
        option("X,X,...", "The weight of each model, MODEL first.  [default: equal]"),
    ] = None
    engine: Annotated[
        str,
        option("NAME", "What runs the network: onnx, torch, or auto: onnx, but torch with a GPU."),
    ] = "auto"
    precision: Annotated[
        str | None,
        option("NAME", "The arithmetic: float32 or int8.  [default: float32]"),
    ] = None
    shortlist: Annotated[
        bool,
        flag(
            "--shortlist",
            "For exported models: consider only the target tokens that are likely for the "
            "source; faster.",
        ),
    ] = False
    threads: Threads = None
    batch_size: Annotated[
        int | None,
        option("N", "Translate at most N lines at once.  [default: 64]", min=1),
    ] = None

    def check(self) -> None:
        """Raises a ``Seq2SeqError`` if an option needs another, or is wrong by itself."""
        needs(self.combine, "--combine", self.with_, "--with MODEL")
        needs(self.weights, "--weights", self.with_, "--with MODEL")
        check_choice(self.combine, "--combine", COMBINE)
        self._weights()

    def load(self, model: str) -> Translator:
        """Loads MODEL, together with those of ``--with``, to translate in this process."""
        from seq2seq.inference.translator import Translator

        return Translator.load(self.models(model), **self._options())

    def models(self, model: str) -> list[str]:
        """MODEL and those of ``--with``."""
        return [model, *(self.with_ or ())]

    def changing(self) -> dict[str, Any]:
        """Those of the options that may change a translation, as JSON has them."""
        return {name: value for name, value in self._options().items() if name != "threads"}

    def _options(self) -> dict[str, Any]:
        """What ``Translator.load`` takes."""
        return {
            "threads": self.threads,
            "engine": self.engine,
            "precision": self.precision,
            "shortlist": self.shortlist,
            "combine": self.combine or "log",
            "weights": self._weights(),
        }

    def _weights(self) -> list[float] | None:
        if self.weights is None:
            return None
        try:
            found = [float(word) for word in self.weights.split(",")]
        except ValueError:
            raise Seq2SeqError(
                f"--weights is {self.weights!r}; give numbers separated by commas: 2,1,1"
            ) from None
        count = 1 + len(self.with_ or ())
        if len(found) != count:
            raise Seq2SeqError(
                f"--weights has {number_of(len(found), 'number')} for {count} models: give one for "
                "each, MODEL first"
            )
        return found


@dataclass(frozen=True)
class RunningMany(Running):
    """Models and speed."""

    processes: Annotated[
        int | None,
        option("N", "Translate in N processes, each with --threads threads.", min=1),
    ] = None

    @contextmanager
    def loaded(self, model: str) -> Iterator[Translator | TranslatorPool]:
        """Loads the models, to translate in this process or in several, which end after."""
        if self.processes is None:
            yield self.load(model)
            return
        from seq2seq.inference.pool import TranslatorPool

        with TranslatorPool(self.models(model), self.processes, **self._options()) as pool:
            yield pool


def check_together(
    searching: Searching, penalties: Penalties, sampled: Sampled, running: Running
) -> None:
    """Raises a ``Seq2SeqError`` for options that need or contradict each other."""
    needs(searching.diversity, "--diversity", searching.groups, "--groups N")
    penalties.check()
    sampled.check(searching, penalties)
    running.check()


def options_of(
    base: SearchOptions,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
) -> SearchOptions:
    """Replaces the recipe's way to search (``base``) by what was given."""
    changed = _given(
        beam=searching.beam,
        groups=searching.groups,
        diversity=searching.diversity,
        allow_unknown=searching.allow_unknown or None,
        min_length=lengths.min_length,
        max_length=lengths.max_length,
        min_ratio=lengths.min_ratio,
        max_ratio=lengths.max_ratio,
        no_repeat_ngram=lengths.no_repeat,
        repetition_penalty=lengths.repetition_penalty,
    )
    return replace(sampled.apply(penalties.apply(base)), **changed)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
