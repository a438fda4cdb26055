"""``seq2seq score``: BLEU, chrF and TER of translations that are there already."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.cli import console, lines
from seq2seq.cli.rescoring import Rescoring, rescore
from seq2seq.cli.running import Running
from seq2seq.cli.searching import Penalties
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.metrics import Score

EXAMPLE = console.example(
    "seq2seq score output.de test.de",
    "seq2seq score --model runs/quickstart test.en output.de",
)
DEFAULT = ("bleu", "chrf", "ter")

Lowercase = Annotated[bool, typer.Option("--lowercase", help="Ignore case in BLEU and chrF.")]
Tokenize = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="BLEU's tokenizer: 13a, intl, char, zh, none, ja-mecab or ko-mecab.  [default: 13a]",
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(
        metavar="N", help="Add 95 % confidence intervals from N resamplings; 1000 is usual."
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="bleu, chrf, chrf++ or ter; repeatable.  [default: all but chrf++]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def score(
    hypotheses: Annotated[
        str,
        typer.Argument(
            metavar="HYPOTHESES", help="Translations; -: standard input. With --model: the SOURCE."
        ),
    ],
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="REFERENCE",
            help="One or more reference files. With --model: files of translations.",
        ),
    ],
    rescoring: Rescoring,
    penalties: Penalties,
    running: Running,
    metrics: Metrics = None,
    lowercase: Lowercase = False,
    tokenize: Tokenize = None,
    bootstrap: Bootstrap = 0,
    as_json: AsJson = False,
) -> None:
    """Score translations against references, or by a model.

    Both are plain, detokenized text. The scores are sacreBLEU's, with their signatures; with
    --model they are the model's own, those that seq2seq translate reports.
    """
    against_references = {
        "--metric": metrics,
        "--lowercase": lowercase,
        "--tokenize": tokenize,
        "--bootstrap": bootstrap,
        "--json": as_json,
    }
    if rescoring.model is not None:
        _refuse([name for name, value in against_references.items() if value], "without --model")
        rescore(hypotheses, references, rescoring, penalties, running)
        return
    _refuse([*rescoring.given(), *penalties.given(), *running.given()], "with --model")
    from seq2seq.metrics import corpus_scores

    if [hypotheses, *references].count(lines.STANDARD) > 1:
        raise Seq2SeqError("standard input can be read only once: give - for one file")
    translated = lines.all_lines(hypotheses)
    referenced = [lines.all_lines(path) for path in references]
    for path, read in zip(references, referenced, strict=True):
        lines.check_counts(hypotheses, len(translated), path, len(read))
    scores = corpus_scores(
        translated,
        referenced,
        metrics=metrics or DEFAULT,
        lowercase=lowercase,
        tokenize=tokenize,
        bootstrap=bootstrap,
    )
    print_scores(scores, as_json, {"lines": len(translated)})


def _refuse(options: list[str], only: str) -> None:
    if options:
        does = "does" if len(options) == 1 else "do"
        raise Seq2SeqError(f"{', '.join(options)} {does} something only {only}: leave it out")


def print_scores(scores: list[Score], as_json: bool, about: dict[str, Any]) -> None:
    """Prints scores, each with its signature.

    Args:
        scores: The scores.
        as_json: Whether to print JSON.
        about: What else the JSON says.
    """
    if as_json:
        told = {**about, "scores": [asdict(one) for one in scores]}
        for one in told["scores"]:
            del one["text"]  # the same in words
        console.show(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for one in scores:
            console.show(one.text)
