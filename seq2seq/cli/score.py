"""``seq2seq score``: scores translations that are there already, by references or by a model."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from seq2seq.cli import console, files
from seq2seq.cli.options import OptionGroup, argument, check_choice, flag, option
from seq2seq.cli.search_options import Penalties, Running
from seq2seq.errors import Seq2SeqError, number_of
from seq2seq.storage.lines import STANDARD, check_counts, count_lines, name_of

if TYPE_CHECKING:
    from seq2seq.inference.scoring import Given, Scorer

EXAMPLE = console.example(
    "seq2seq score output.de test.de", "seq2seq score --model runs/quickstart test.en output.de"
)
DEFAULT_METRICS = ("bleu", "chrf", "ter")
_NBEST = re.compile(r"([0-9]+) \|\|\| (.*?)(?: \|\|\| .*)?", flags=re.DOTALL)


@dataclass(frozen=True)
class Scoring(OptionGroup):
    """Metrics."""

    metric: Annotated[
        list[str] | None,
        option(
            "NAME", "bleu, chrf, chrf++ or ter; can be repeated.  [default: bleu, chrf and ter]"
        ),
    ] = None
    lowercase: Annotated[bool, flag("--lowercase", "Ignore case in BLEU and chrF.")] = False
    tokenize: Annotated[
        str | None,
        option(
            "NAME",
            "BLEU's tokenizer, one of sacreBLEU's: 13a, intl, zh, ja-mecab, ko-mecab, char, "
            "flores101, flores200, spm, spBLEU-1K or none.  [default: 13a, or one for the "
            "references' language if that has no spaces between words]",
        ),
    ] = None
    bootstrap: Annotated[
        int,
        option("N", "Add 95 % confidence intervals from N bootstrap resamples; 1000 is usual."),
    ] = 0
    json_: Annotated[bool, flag("--json", "Print JSON.")] = False

    def check(self) -> None:
        """Raises a ``Seq2SeqError`` for a metric, a tokenizer or a number that is not allowed."""
        from seq2seq.metrics import check_options

        check_options(self.metric or DEFAULT_METRICS, self.tokenize, self.bootstrap)

    def show(
        self, translated: list[str], references: list[list[str]], about: dict[str, Any]
    ) -> None:
        """Scores translations and prints the scores, as lines or as JSON."""
        from seq2seq.metrics import corpus_scores

        metrics = self.metric or DEFAULT_METRICS
        scores = corpus_scores(
            translated,
            references,
            metrics=metrics,
            lowercase=self.lowercase,
            tokenize=self._tokenizer(references) if "bleu" in metrics else None,
            bootstrap=self.bootstrap,
        )
        if self.json_:
            printed = {**about, "lines": len(translated), "scores": [asdict(one) for one in scores]}
            for one in printed["scores"]:
                del one["text"]  # the same in words
            console.show(json.dumps(printed, indent=2, ensure_ascii=False))
        else:
            for score in scores:
                console.show(score.text)

    def _tokenizer(self, references: list[list[str]]) -> str:
        """The tokenizer asked for, or the one that fits, which is told where it is not 13a."""
        from seq2seq.metrics import tokenizer_for

        fitting = tokenizer_for(chain.from_iterable(references))
        if self.tokenize is None:
            if fitting.reason:
                console.tell(f"BLEU is tokenized by {fitting.name}: {fitting.reason}")
            return fitting.name
        if doubt := fitting.doubt(self.tokenize):
            console.warn(f"--tokenize {doubt}")
        return self.tokenize


@dataclass(frozen=True)
class Rescoring(OptionGroup):
    """Scoring by a model (seq2seq score --model MODEL SOURCE TARGET...)."""

    model: Annotated[
        str | None,
        option(
            "MODEL",
            "Score how likely MODEL finds TARGET, given SOURCE. Each line of output has "
            "log-probability, score and perplexity, separated by tabs. If TARGET ends in .jsonl, "
            "as written by translate --format jsonl, exactly its tokens are scored.",
        ),
    ] = None
    n_best: Annotated[
        bool,
        flag(
            "--n-best",
            "TARGET has lines of the form INDEX ||| TEXT, INDEX being the line of SOURCE, from 0.",
        ),
    ] = False
    format_: Annotated[
        str | None,
        option(
            "NAME",
            "text, or jsonl: a JSON object per line, with the tokens and their "
            "log-probabilities.  [default: text]",
            "--format",
        ),
    ] = None


def score(
    hypotheses: Annotated[
        str,
        argument("HYPOTHESES", "Translations; -: standard input. With --model: the SOURCE."),
    ],
    references: Annotated[
        list[str],
        argument("REFERENCE", "One or more reference files. With --model: files of translations."),
    ],
    scoring: Scoring,
    rescoring: Rescoring,
    penalties: Penalties,
    running: Running,
) -> None:
    """Score translations against references, or by a model.

    All files are plain, detokenized text. The scores are sacreBLEU's, with their signatures; with
    --model they are the model's own, the same that seq2seq translate reports.
    """
    if rescoring.model is not None:
        _refuse(scoring.given(), "without")
        _score_by_model(hypotheses, references, rescoring, penalties, running)
        return
    _refuse([*rescoring.given(), *penalties.given(), *running.given()], "with")
    files.check_standard_input(hypotheses, *references)
    translated = files.all_lines(hypotheses)
    referenced = [files.all_lines(path) for path in references]
    for path, read in zip(references, referenced, strict=True):
        check_counts(hypotheses, len(translated), path, len(read))
    first = translated[:100]
    for name, begins in (("jsonl", re.compile(r'\{".*\}')), ("nbest", _NBEST)):
        if first and all(map(begins.fullmatch, first)):
            console.warn(
                f"{name_of(hypotheses)}: looks as if written by translate --format {name}, and is "
                "scored as it is: give the plain text that translate writes by default"
            )
    scoring.show(translated, referenced, {})


def _refuse(options: list[str], when: str) -> None:
    if options:
        verb, them = ("applies", "it") if len(options) == 1 else ("apply", "them")
        raise Seq2SeqError(f"{', '.join(options)} {verb} only {when} --model: leave {them} out")


# ---------------------------------------------------------------------------------------------
# Scoring by a model


def _score_by_model(
    source: str, targets: list[str], rescoring: Rescoring, penalties: Penalties, running: Running
) -> None:
    """Scores files of translations of one source, one after the other."""
    check_choice(rescoring.format_, "--format", ("text", "jsonl"))
    penalties.check()
    running.check()
    files.check_standard_input(source, *targets)
    if source == STANDARD and len(targets) > 1:
        raise Seq2SeqError("SOURCE is standard input, which can be read only once: give one TARGET")
    for target in targets:  # before the scores of the first are printed
        files.check_inputs(source, target, counts=not rescoring.n_best)
    from seq2seq.inference.scoring import Scorer

    assert rescoring.model is not None
    translator = running.load(rescoring.model)
    options = penalties.apply(translator.search_options)
    scorer = Scorer(translator, options.normalization, options.coverage, running.batch_size or 64)
    for target in targets:
        pairs = _pairs(source, target, n_best=rescoring.n_best)
        _score_file(target, pairs, scorer, as_json=rescoring.format_ == "jsonl")


def _pairs(source: str, target: str, *, n_best: bool) -> Iterator[tuple[str, Given]]:
    if n_best:
        return _of_nbest(source, target)
    if target.endswith(".jsonl"):
        return _of_jsonl(source, target)
    return files.read_pairs(source, target)


def _score_file(
    target: str, pairs: Iterator[tuple[str, Given]], scorer: Scorer, *, as_json: bool
) -> None:
    from seq2seq.inference.scoring import perplexity
    from seq2seq.inference.wire import json_line, score_object

    total, tokens, count = 0.0, 0, 0
    sources: deque[str] = deque()

    def noted() -> Iterator[tuple[str, Given]]:
        for source, text in pairs:
            sources.append(source)
            yield source, text

    with files.write_lines(STANDARD) as output:
        found = scorer.score(noted())
        if sys.stderr.isatty() and not sys.stdout.isatty():  # else the scores are to be seen
            found = console.with_progress(found, partial(count_lines, target), "scoring")
        for one in found:
            source, steps = sources.popleft(), len(one.token_log_probs)
            value = perplexity(one.log_prob, steps)
            if as_json:
                output.write(json_line(score_object(source, one, value)))
            else:
                output.write(f"{one.log_prob:.6f}\t{one.score:.6f}\t{value:.4f}")
            total, tokens, count = total + one.log_prob, tokens + steps, count + 1
    console.tell(
        f"{name_of(target)}: perplexity {perplexity(total, tokens):.4f}, log-probability "
        f"{total:.4f}, {number_of(count, 'line')}, {number_of(tokens, 'token')} (ends of "
        "sentences included)"
    )


def _of_jsonl(source: str, target: str) -> Iterator[tuple[str, Given]]:
    """Every hypothesis of each line, by the tokens that the search found."""
    for number, (text, line) in enumerate(files.read_pairs(source, target), start=1):
        try:
            hypotheses = json.loads(line)["hypotheses"]
            every = [[str(piece) for piece in one["tokens"]] for one in hypotheses]
        except (ValueError, KeyError, TypeError):
            raise Seq2SeqError(
                f'{name_of(target)}, line {number}: must be an object with "hypotheses", '
                'each with its "tokens", as seq2seq translate --format jsonl writes it'
            ) from None
        yield from ((text, pieces) for pieces in every)


def _of_nbest(source: str, target: str) -> Iterator[tuple[str, Given]]:
    """Translations by the index of their source line, in any order."""
    sources = list(files.read_lines(source))
    for number, line in enumerate(files.read_lines(target), start=1):
        match = _NBEST.fullmatch(line)
        where = f"{name_of(target)}, line {number}"
        if match is None:
            raise Seq2SeqError(
                f"{where}: must be INDEX ||| TEXT, or INDEX ||| TEXT ||| SCORE as "
                "seq2seq translate --n-best writes it"
            )
        index = int(match[1])
        if index >= len(sources):
            raise Seq2SeqError(
                f"{where}: has the index {index}, but {name_of(source)} has "
                f"{number_of(len(sources), 'line')}: the index must be from 0 to {len(sources) - 1}"
            )
        yield sources[index], files.unescaped(match[2])
