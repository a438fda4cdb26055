"""``seq2seq score --model``: what a model thinks of translations that are there already."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq.cli import console, lines
from seq2seq.cli.groups import OptionGroup
from seq2seq.cli.outputs import finite, json_line
from seq2seq.cli.running import Running
from seq2seq.cli.searching import Penalties
from seq2seq.cli.translate import with_progress
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.inference.results import ScoredTranslation
    from seq2seq.inference.scoring import Given, Scorer

FORMATS = ("text", "jsonl")
_NBEST = re.compile(r"([0-9]+) \|\|\| (.*?)(?: \|\|\| .*)?", flags=re.DOTALL)


@dataclass(frozen=True)
class Rescoring(OptionGroup):
    """Scores of a model instead: seq2seq score --model MODEL SOURCE TARGET..."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Score how likely a model thinks TARGET is, given SOURCE: for each line "
            "log-probability, score and perplexity, with tabs between. Of a TARGET that ends in "
            ".jsonl, as translate --format jsonl writes it, the very pieces are scored.",
        ),
    ] = None
    n_best: Annotated[
        bool,
        typer.Option(
            "--n-best", help="TARGET holds lines INDEX ||| TEXT, the index that of SOURCE's line."
        ),
    ] = False
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="text, or jsonl: an object a line, with the tokens and their log-probabilities.  "
            "[default: text]",
        ),
    ] = None

    @classmethod
    def heading(cls) -> str:
        """The words above the group's options.

        Returns:
            The heading.
        """
        return "Scores of a model instead (seq2seq score --model MODEL SOURCE TARGET...)"


def rescore(
    source: str,
    targets: list[str],
    rescoring: Rescoring,
    penalties: Penalties,
    running: Running,
) -> None:
    """Scores files of translations, one after the other.

    Args:
        source: The file that they are translations of.
        targets: The files.
        rescoring: The model, and what is written.
        penalties: How scores are made.
        running: How it is run.

    Raises:
        Seq2SeqError: If a file cannot be read or does not fit the source, or an option is wrong.
        ModelError: If there is no model, or it is damaged.
    """
    format_ = rescoring.format_ or "text"
    if format_ not in FORMATS:
        raise Seq2SeqError(f"--format is {format_!r}; allowed: {', '.join(FORMATS)}")
    penalties.check()
    running.check()
    if [source, *targets].count(lines.STANDARD) > 1:
        raise Seq2SeqError("standard input can be read only once: give - for one file")
    if source == lines.STANDARD and len(targets) > 1:
        raise Seq2SeqError("SOURCE is standard input, which can be read once: give one TARGET")
    from seq2seq.inference.scoring import Scorer

    assert rescoring.model is not None
    translator = running.load(rescoring.model)
    options = penalties.apply(translator.search_options)
    scorer = Scorer(translator, options.normalization, options.coverage, running.batch_size or 64)
    for target in targets:
        _score_file(
            target,
            _pairs(source, target, n_best=rescoring.n_best),
            scorer,
            as_json=format_ == "jsonl",
        )


def _pairs(source: str, target: str, *, n_best: bool) -> Iterator[tuple[str, Given]]:
    if n_best:
        return _indexed(source, target)
    return _as_found(source, target) if target.endswith(".jsonl") else parallel(source, target)


def _score_file(
    target: str, pairs: Iterator[tuple[str, Given]], scorer: Scorer, *, as_json: bool
) -> None:
    from seq2seq.inference.scoring import perplexity

    total, tokens, count = 0.0, 0, 0
    sources: deque[str] = deque()

    def kept() -> Iterator[tuple[str, Given]]:
        for source, text in pairs:
            sources.append(source)
            yield source, text

    with lines.write_lines(lines.STANDARD) as output:
        found = scorer.score(kept())
        if sys.stderr.isatty() and not sys.stdout.isatty():  # else the scores are to be seen
            found = with_progress(found, lines.count_lines(target), "scoring")
        for one in found:
            source, steps = sources.popleft(), len(one.token_log_probs)
            value = perplexity(one.log_prob, steps)
            if as_json:
                output.write(_json(source, one, value))
            else:
                output.write(f"{one.log_prob:.6f}\t{one.score:.6f}\t{value:.4f}")
            total, tokens, count = total + one.log_prob, tokens + steps, count + 1
    console.tell(
        f"{lines.name_of(target)}: perplexity {perplexity(total, tokens):.4f}, log-probability "
        f"{total:.4f}, {count:,} lines, {tokens:,} tokens with ends"
    )


def _json(source: str, one: ScoredTranslation, value: float) -> str:
    return json_line(
        {
            "source": source,
            "text": one.text,
            "log_prob": finite(one.log_prob),
            "score": finite(one.score),
            "perplexity": finite(value),
            "tokens": one.tokens,
            "token_log_probs": [finite(step) for step in one.token_log_probs],
        }
    )


def parallel(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Reads two files that belong together, line by line.

    Args:
        source: A file; "-": standard input.
        target: Another.

    Yields:
        A line of each.

    Raises:
        Seq2SeqError: If one cannot be read, or has fewer lines than the other.
    """
    left, right = lines.count_lines(source), lines.count_lines(target)
    if left is not None and right is not None:
        lines.check_counts(source, left, target, right)
    sources, targets = lines.read_lines(source), lines.read_lines(target)
    count = 0
    for text in sources:
        other = next(targets, None)
        if other is None:
            break
        yield text, other
        count += 1
    else:
        if next(targets, None) is None:
            return
    raise Seq2SeqError(
        f"{lines.name_of(source)} and {lines.name_of(target)} have different numbers of lines: one "
        f"ends after line {count:,}; line n of one must belong to line n of the other"
    )


def _as_found(source: str, target: str) -> Iterator[tuple[str, Given]]:
    """Every hypothesis of each line, by the pieces that the search found."""
    for number, (text, line) in enumerate(parallel(source, target), start=1):
        try:
            hypotheses = json.loads(line)["hypotheses"]
            every = [[str(piece) for piece in one["tokens"]] for one in hypotheses]
        except (ValueError, KeyError, TypeError):
            raise Seq2SeqError(
                f'{lines.name_of(target)}, line {number}: must be an object with "hypotheses", '
                'each with its "tokens", as seq2seq translate --format jsonl writes it'
            ) from None
        yield from ((text, pieces) for pieces in every)


def _indexed(source: str, target: str) -> Iterator[tuple[str, Given]]:
    """Translations by the index of their source line, in any order."""
    sources = list(lines.read_lines(source))
    for number, line in enumerate(lines.read_lines(target), start=1):
        match = _NBEST.fullmatch(line)
        where = f"{lines.name_of(target)}, line {number}"
        if match is None:
            raise Seq2SeqError(
                f"{where}: must be INDEX ||| TEXT, perhaps with ||| SCORE behind, as "
                "seq2seq translate --n-best writes it"
            )
        index = int(match[1])
        if index >= len(sources):
            raise Seq2SeqError(
                f"{where}: has the index {index}, but {lines.name_of(source)} has "
                f"{len(sources):,} lines: indices from 0 to {len(sources) - 1} are allowed"
            )
        yield sources[index], match[2]
