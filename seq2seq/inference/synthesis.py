"""Synthetic pairs: the translations that a model, or an ensemble, makes of training text.

Distillation: teachers translate the source side, and a student learns from their translations
instead of the references (Kim and Rush 2016): the best one, or of several the one nearest to the
reference. Back-translation: a model of the other direction translates text of the target language,
and its translations become sources (Sennrich, Haddow and Birch 2016), perhaps drawn at random or
with noise (Edunov et al. 2018), perhaps marked by a tag (Caswell, Chelba and Grangier 2019).

Both make a folder: ``source.txt`` and ``target.txt``, line n of one translating line n of the
other, and ``synthetic.json``, which says what they were made of, with counts and SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq import __version__
from seq2seq.data import Progress
from seq2seq.errors import DataError, Seq2SeqError, check_names, unknown_name
from seq2seq.inference.model_folder import ModelFolder, digests
from seq2seq.inference.request import BATCHES_A_WINDOW, Request
from seq2seq.inference.results import Warnings, best_translation
from seq2seq.metrics import sentence_bleu, sentence_chrf, tokenizer_for
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import file_digest, new_file, new_folder, write_errors
from seq2seq.storage.layout import ENCODER, SYNTHETIC, SYNTHETIC_PAIR, WEIGHTS
from seq2seq.storage.lines import STANDARD, check_counts, check_file, count_lines, input_lines
from seq2seq.storage.unfinished import UnfinishedLines, unfinished_folder

if TYPE_CHECKING:
    from seq2seq.inference.pool import TranslatorPool
    from seq2seq.inference.translator import Translator

CHOICES = ("best", "bleu", "chrf")
"""Which translation is kept: the model's best, or the one nearest to the reference by a metric."""
BLANK = "<BLANK>"
"""What noise puts in the place of a word."""

_SHUFFLE = 3  # places that noise moves a word, at most (Lample et al. 2018)
_JUDGED = 1000  # lines of references that BLEU's tokenizer is chosen by

Replaced = Callable[[str, int, int], None]
"""Told of a file with lines that are not UTF-8: its path, how many, and the first one's number."""


@dataclass(frozen=True)
class Distillation:
    """The target side becomes the teachers' translations of the source side.

    Args:
        source: The file that is translated.
        target: The file of its references.
        choose: Which of a line's translations, one of ``CHOICES``.
        keep_original: Whether the pairs as they were follow the distilled ones.
    """

    source: str
    target: str
    choose: str = "best"
    keep_original: bool = False

    @property
    def text(self) -> str:
        """The file that is translated."""
        return self.source

    @property
    def inputs(self) -> dict[str, str]:
        """The files that are read, by what the record calls them."""
        return {"source": self.source, "target": self.target}

    @property
    def options(self) -> dict[str, Any]:
        """What changes the pairs."""
        return {"choose": self.choose, "keep_original": self.keep_original}

    def check(self) -> None:
        """Raises a ``Seq2SeqError`` for an option that is wrong."""
        if self.choose not in CHOICES:
            raise Seq2SeqError(f"choose: {unknown_name(self.choose, CHOICES)}")

    def pairs(self, made: Iterable[str], replaced: Replaced) -> Iterator[tuple[str, str]]:
        """Puts pairs together, in the order of the files."""
        yield from zip(_lines(self.source, replaced), made, strict=True)
        if self.keep_original:
            yield from zip(_lines(self.source), _lines(self.target, replaced), strict=True)


@dataclass(frozen=True)
class BackTranslation:
    """The source side becomes a model's translations of text in the target language.

    Args:
        target: The text.
        tag: A word in front of each synthetic source, so that a model can tell it from a real one.
        noise: The probability with which a word of a synthetic source is left out, and with which
            ``BLANK`` takes its place; words also change places. 0: no noise.
    """

    target: str
    tag: str | None = None
    noise: float = 0.0

    @property
    def text(self) -> str:
        """The file that is translated."""
        return self.target

    @property
    def inputs(self) -> dict[str, str]:
        """The files that are read, by what the record calls them."""
        return {"target": self.target}

    @property
    def options(self) -> dict[str, Any]:
        """What changes the pairs."""
        return {"tag": self.tag, "noise": self.noise}

    @property
    def symbols(self) -> list[str]:
        """The words that a tokenizer should know as one piece each."""
        return [one for one in (self.tag, BLANK if self.noise else None) if one is not None]

    def check(self) -> None:
        """Raises a ``Seq2SeqError`` for an option that is wrong."""
        if not 0.0 <= self.noise < 1.0:
            raise Seq2SeqError(f"noise is {self.noise}; it must be at least 0 and below 1")
        if self.tag is not None and self.tag.split() != [self.tag]:
            raise Seq2SeqError(f"tag is {self.tag!r}; it must be one word, such as <BT>")

    def pairs(self, made: Iterable[str], replaced: Replaced) -> Iterator[tuple[str, str]]:
        """Puts pairs together, in the order of the text."""
        both = zip(made, _lines(self.target, replaced), strict=True)
        for number, (source, target) in enumerate(both, start=1):
            if self.noise:
                source = noisy(source, self.noise, np.random.default_rng(number))  # noqa: PLW2901
            # An empty source stays empty: the tag alone would be trained on.
            yield f"{self.tag} {source}" if self.tag and source else source, target


Plan = Distillation | BackTranslation


def noisy(text: str, probability: float, random: np.random.Generator) -> str:
    """Leaves words out, puts ``BLANK`` in the place of others, and shuffles them a little.

    Each word goes by the probability, then each that is left is blanked by it, and no word moves
    more than three places (Edunov et al. 2018, section 3). One word at least stays.
    """
    words = text.split()
    if not words:
        return text
    stays = random.random(len(words)) >= probability
    if not stays.any():
        stays[random.integers(len(words))] = True
    left = [word for word, one in zip(words, stays, strict=True) if one]
    blank = random.random(len(left)) < probability
    order = np.argsort(np.arange(len(left)) + random.uniform(0, _SHUFFLE + 1, len(left)))
    return " ".join(BLANK if blank[i] else left[i] for i in order)


def nearest(
    several: Sequence[Sequence[str]], references: Sequence[str], metric: str, tokenize: str
) -> list[str]:
    """Chooses of each line's translations the one nearest to its reference.

    Args:
        several: The translations of each line, of which the first one wins a tie.
        references: A line each.
        metric: "bleu" or "chrf", of each sentence by itself.
        tokenize: BLEU's tokenizer.

    Returns:
        A translation for each line.
    """
    texts = [text for one in several for text in one]
    repeated = [line for line, one in zip(references, several, strict=True) for _ in one]
    scored = (
        sentence_chrf(texts, repeated)
        if metric == "chrf"
        else sentence_bleu(texts, repeated, tokenize)
    )
    scores = iter(scored)
    return [max([(next(scores), -i, text) for i, text in enumerate(one)])[2] for one in several]


def described(models: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Says which models translate: where they lie, and the SHA-256 of what they consist of."""
    return [_described(ModelFolder.open(one)) for one in models]


def _described(folder: ModelFolder) -> dict[str, Any]:
    sums = digests(folder.card)
    if not sums:  # of a version that kept none
        main = WEIGHTS if folder.file(WEIGHTS).exists() else ENCODER
        sums = {main: file_digest(folder.file(main))}
    sums = {**sums, "tokenizer": folder.tokenizers.digest}
    return {"path": str(folder.path), "sha256": dict(sorted(sums.items()))}


def check_plan(plan: Plan, output: Path) -> dict[str, int]:
    """Checks inputs and output before anything is loaded, and counts the lines of each input.

    Args:
        plan: What is made of what.
        output: The folder.

    Returns:
        The lines of each input, by its name.

    Raises:
        Seq2SeqError: If an input is missing or empty, the sides are out of step, an option is wrong
            or the output is something else already.
    """
    plan.check()
    check_names(output, *plan.inputs.values())
    occupied = output.is_symlink() or output.exists()
    empty = output.is_dir() and not any(output.iterdir())
    if occupied and not empty and not (output / SYNTHETIC).is_file():
        raise _already(output)
    counts = {}
    for name, path in plan.inputs.items():
        if path == STANDARD:
            raise Seq2SeqError("standard input cannot be read again after a stop: name a file")
        check_file(path)
        counts[name] = count_lines(path) or 0
    paths = list(plan.inputs.values())
    for name, path in plan.inputs.items():
        check_counts(paths[0], next(iter(counts.values())), path, counts[name])
    return counts


def _already(output: Path) -> Seq2SeqError:
    return Seq2SeqError(f"{output}: already exists: name another folder, or remove it")


def synthesize(
    plan: Plan,
    output: Path,
    translator: Translator | TranslatorPool,
    request: Request,
    *,
    models: Sequence[Mapping[str, Any]],
    running: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    replaced: Replaced = lambda *_: None,
) -> dict[str, Any]:
    """Makes a folder of synthetic pairs, or goes on where a killed call has come to.

    Lines are kept as they are translated, in ``OUTPUT.unfinished``; the folder appears when it is
    complete. One that was made of the same before is left as it is.

    Args:
        plan: What is made of what.
        output: The folder.
        translator: The models, loaded.
        request: How they translate.
        models: What ``described`` says of them.
        running: How else they were loaded, as far as it may change translations.
        progress: Told how far it is; None: nobody.
        say: Told what an earlier call has left to do.
        warn: Told what a reader should know of the translations.
        replaced: Told of an input's lines that are not UTF-8.

    Returns:
        What ``synthetic.json`` has.

    Raises:
        Seq2SeqError: If the plan cannot be carried out, or not by the request, an earlier call had
            other inputs or options, the inputs change meanwhile, or a file cannot be written.
    """
    counts = check_plan(plan, output)
    if isinstance(plan, Distillation) and plan.choose != "best" and request.options.n_best < 2:
        raise Seq2SeqError(
            f"choose = '{plan.choose}' needs several translations of a line: draw 2 samples or "
            "more, or use a beam of 2 or more"
        )
    sums = {name: file_digest(path) for name, path in plan.inputs.items()}
    asked = {
        "verb": "distil" if isinstance(plan, Distillation) else "backtranslate",
        "sha256": sums,
        "models": [dict(one["sha256"]) for one in models],
        "options": {**plan.options, **_searched(request), **(running or {})},
    }
    record = {
        "seq2seq": __version__,
        **asked,
        "models": [dict(one) for one in models],
        "sha256": checked_json.digest(asked),
        "inputs": {
            name: {"path": path, "lines": counts[name], "sha256": sums[name]}
            for name, path in plan.inputs.items()
        },
    }
    if (output / SYNTHETIC).is_file():
        found = checked_json.read(output / SYNTHETIC)
        if found.get("sha256") != record["sha256"]:
            raise _already(output)
        say(f"{output} was made of the same before, and is left as it is")
        if unfinished_folder(output).exists():  # a kill right after the output had appeared
            with UnfinishedLines(output, asked, "translating") as work:
                work.finish()
        return found
    total = next(iter(counts.values()))
    with UnfinishedLines(output, asked, "translating") as work:
        if work.lines:
            say(f"going on after {work.lines:,} of {total:,} lines that are translated already")
        _translate(plan, work, total, translator, request, progress or Progress(), warn)
        record = _publish(plan, output, work, record, replaced)
        work.finish()
    return record


def _searched(request: Request) -> dict[str, Any]:
    """How lines are translated, as JSON has it."""
    found = asdict(request)
    options: dict[str, Any] = found.pop("options")
    found = {**options, "mbr": found["mbr"], "long": found["long"]}
    plain: dict[str, Any] = json.loads(json.dumps(found, default=lambda one: one.model_dump()))
    return plain


def _translate(
    plan: Plan,
    work: UnfinishedLines,
    total: int,
    translator: Translator | TranslatorPool,
    request: Request,
    progress: Progress,
    warn: Callable[[str], None],
) -> None:
    """Translates what is left, and keeps the lines of some whole windows at a time.

    So all windows are the same, wherever an earlier call was killed, and with them all batches.
    """
    references, tokenize = None, ""
    if isinstance(plan, Distillation) and plan.choose != "best":
        tokenize = tokenizer_for(islice(_lines(plan.target), _JUDGED)).name
        references = islice(_lines(plan.target), work.lines, None)
    warnings = Warnings(warn)
    progress.start("translating", total - work.lines)
    left = islice(_lines(plan.text), work.lines, None)
    found = translator.run(left, request, advance=progress.advance)
    while several := list(islice(found, request.batch_size * BATCHES_A_WINDOW)):
        for number, one in enumerate(several, start=work.lines + 1):
            warnings.add(number, one)
        if references is None:
            work.add([best_translation(one).text for one in several])
        else:
            texts = [[one.text for one in line] for line in several]
            given = list(islice(references, len(several)))
            work.add(nearest(texts, given, plan.options["choose"], tokenize))
    progress.finish()
    warnings.finish()


def _publish(
    plan: Plan,
    output: Path,
    work: UnfinishedLines,
    record: dict[str, Any],
    replaced: Replaced,
) -> dict[str, Any]:
    """Writes the folder, and returns its record."""
    for name, path in plan.inputs.items():
        if file_digest(path) != record["inputs"][name]["sha256"]:
            raise DataError(
                f"{path}: has changed since its translation began: remove {work.path} to begin anew"
            )
    pairs = 0
    first, second = SYNTHETIC_PAIR
    with write_errors(output), new_folder(output) as partial:
        with new_file(partial / first) as sources, new_file(partial / second) as targets:
            for source, target in plan.pairs(work.read(), replaced):
                sources.write(f"{source}\n".encode("utf-8", "replace"))
                targets.write(f"{target}\n".encode("utf-8", "replace"))
                pairs += 1
        record = {
            **record,
            "pairs": pairs,
            "translated": work.lines,
            "empty": sum(not line for line in work.read()),
            "outputs": {
                name: {"lines": pairs, "sha256": file_digest(partial / name)}
                for name in SYNTHETIC_PAIR
            },
        }
        checked_json.write(partial / SYNTHETIC, record)
    return record


def _lines(path: str, replaced: Replaced = lambda *_: None) -> Iterator[str]:
    return input_lines(path, lambda count, first: replaced(path, count, first))
