"""The command line of ``scripts/bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import translate, translate_report
from benchmarks.arguments import chosen, positive, sizes
from benchmarks.figures import write_json, write_text
from benchmarks.machine import machine
from benchmarks.model import export, given, prepared, trained
from benchmarks.peers import Trained, ready, say
from benchmarks.processes import handle_signals, hide_gpus
from benchmarks.text import Text, text_of
from seq2seq.errors import Seq2SeqError
from seq2seq.text.tokenizer import Tokenizer

PEERS = ("opennmt", "joeynmt")
# Named here, since train.py brings torch. Those on request take longer, or need a GPU.
PARTS = "speed,loop,validation,prepare"
ON_REQUEST = "bleu,memory,costs,gpu,processes"
TOOLS = "ours,fairseq"
CELLS = "rnn,irnn,gru,gru-before,lstm,lstm-chrono,lstm-coupled,lstm-peephole,lstm-norm,mgu"
CELLS += ",transition,sru,ssru,mingru,minlstm,echo"
MODELS = "attention,bare"


def parser() -> argparse.ArgumentParser:
    """What may be asked for.

    Returns:
        The parser.
    """
    whole = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure how fast this project translates and trains, and its peers beside it.",
        epilog="It can be stopped at any moment: the next call goes on with what is there.",
    )
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser(
        "translate",
        help="time every engine: start, tokens a second, memory, BLEU",
        epilog="Example: scripts/bench translate --train train.en train.de --val val.en val.de "
        "--test test.en test.de --peers",
    )
    _common(one)
    one.add_argument("--model", type=Path, help="a trained model; else one is trained")
    one.add_argument(
        "--engines",
        default=",".join(translate.ENGINES),
        help="which of ours, comma-separated (default: %(default)s)",
    )
    one.add_argument("--runs", type=positive, default=5, help="how often (default: 5)")
    one.add_argument("--single", type=positive, default=100, help="lines at batch 1 (default: 100)")
    one.add_argument("--lines", type=positive, default=1000, help="lines in all (default: 1000)")
    one.add_argument(
        "--peer-minutes", type=float, default=20, help="how long each is trained (default: 20)"
    )
    two = verbs.add_parser(
        "train",
        help="time training: tokens a second, what the loop costs, validation, preparing",
        epilog="Example: scripts/bench train --train train.en train.de --val val.en val.de "
        "--test test.en test.de --peers",
    )
    _common(two)
    two.add_argument(
        "--parts",
        default=PARTS,
        help=f"which of the parts, comma-separated (default: %(default)s; also: {ON_REQUEST})",
    )
    two.add_argument("--turns", type=positive, default=5, help="how often (default: 5)")
    two.add_argument("--updates", type=positive, default=20, help="of a turn (default: 20)")
    two.add_argument(
        "--pairs", type=positive, default=200_000, help="prepared (default: %(default)s)"
    )
    two.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where speed, loop and validation run (default: cpu)",
    )
    _on_request(two)
    _cells(
        verbs.add_parser(
            "cells",
            help="compare recurrent cells: parameters, tokens a second, BLEU after the same time",
            epilog="Example: scripts/bench cells --train train.en train.de --val val.en val.de "
            "--test test.en test.de --seconds 600",
        )
    )
    four = verbs.add_parser(
        "problems",
        help="which way to learn solves which standard problem of which length",
        epilog="Example: scripts/bench problems --problems adding,copy --lengths 50,100 --way lstm "
        "model.encoder.cell=lstm --way chrono 'model.encoder.cell={kind=\"lstm\",chrono={T}}'",
    )
    _problems(four)
    return whole


def _cells(three: argparse.ArgumentParser) -> None:
    _common(three, peers=False)
    three.add_argument(
        "--cells",
        default=CELLS,
        help="which, comma-separated (default: %(default)s)",
    )
    three.add_argument(
        "--models",
        default=MODELS,
        help="with attention, bare, or both, comma-separated (default: %(default)s)",
    )
    three.add_argument("--turns", type=positive, default=5, help="how often (default: 5)")
    three.add_argument("--updates", type=positive, default=10, help="of a turn (default: 10)")
    three.add_argument(
        "--seconds",
        type=positive,
        help="train each for as many updates as it makes in so long, and tell BLEU on val",
    )
    three.add_argument(
        "--epochs", type=positive, help="train each for so many epochs, and tell BLEU on val"
    )
    three.add_argument("--seeds", type=positive, default=1, help="trainings of each (default: 1)")


def _problems(four: argparse.ArgumentParser) -> None:
    four.add_argument(
        "--problems", default="adding", help="recipes, comma-separated (default: %(default)s)"
    )
    four.add_argument(
        "--way",
        nargs="+",
        action="append",
        metavar=("NAME", "KEY=VALUE"),
        help="a name and settings of the recipe, {T} being the length; again for each way "
        "(default: the cells rnn, gru and lstm)",
    )
    four.add_argument(
        "--lengths", type=sizes, default=(50, 100, 200, 400), help="T (default: 50,100,200,400)"
    )
    four.add_argument("--seeds", type=positive, default=3, help="of each (default: 3)")
    four.add_argument(
        "--give-up",
        action="store_true",
        help="leave out the longer lengths of a way that no seed solves a length by",
    )
    _shared(four, threads=1)


def _on_request(two: argparse.ArgumentParser) -> None:
    group = two.add_argument_group("parts on request")
    group.add_argument(
        "--minutes", type=float, default=24, help="bleu: of training, each (default: 24)"
    )
    group.add_argument(
        "--recipe",
        default="multi30k_en_de_attention",
        help="bleu: what is trained, by its name or file (default: %(default)s)",
    )
    group.add_argument(
        "--tools", default=TOOLS, help="bleu: which, comma-separated (default: %(default)s)"
    )
    group.add_argument(
        "--fairseq-options", default="", metavar="WORDS", help="bleu: more for fairseq-train"
    )
    group.add_argument(
        "--many", type=positive, default=1_000_000, help="memory: pairs (default: %(default)s)"
    )
    group.add_argument(
        "--corpora",
        type=sizes,
        default=(30_000, 300_000, 3_000_000),
        help="costs: pairs, comma-separated (default: 30000,300000,3000000)",
    )


def _common(one: argparse.ArgumentParser, *, peers: bool = True) -> None:
    pair = {"nargs": 2, "type": Path, "metavar": ("SOURCE", "TARGET")}
    for split, what in (("train", "trained on"), ("val", "validated on"), ("test", "translated")):
        one.add_argument(
            f"--{split}",
            help=f"two files, {what}; default: the corpus that comes with the package",
            **pair,  # type: ignore[arg-type]
        )
    if peers:
        one.add_argument(
            "--peers",
            nargs="?",
            const=Path("runs/bench/peers"),
            type=Path,
            metavar="FOLDER",
            help="measure the peers too, set up in FOLDER (default: runs/bench/peers)",
        )
    _shared(one, threads=2)


def _shared(one: argparse.ArgumentParser, threads: int) -> None:
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set in our recipe"
    )
    one.add_argument(
        "--threads", type=positive, default=threads, help="of each tool (default: %(default)s)"
    )
    one.add_argument(
        "--work",
        type=Path,
        default=Path("runs/bench"),
        metavar="FOLDER",
        help="for models and logs (default: %(default)s)",
    )
    one.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="NAME",
        help="write NAME.md and NAME.json (default: WORK/VERB)",
    )


def chosen_text(options: argparse.Namespace) -> Text:
    """The text that the options name.

    Args:
        options: Of the command line.

    Returns:
        The text.

    Raises:
        Seq2SeqError: If some splits are named and others not.
    """
    pairs = {"": options.train, "val_": options.val, "test_": options.test}
    missing = [
        name
        for name, pair in zip(("--train", "--val", "--test"), pairs.values(), strict=True)
        if pair is None
    ]
    if 0 < len(missing) < 3:
        raise Seq2SeqError(
            f"{' and '.join(missing)} missing: give --train, --val and --test, or none of them"
        )
    files = {
        f"{prefix}{side}": path
        for prefix, pair in pairs.items()
        for side, path in zip(("source", "target"), pair or (), strict=False)
    }
    return text_of(files)


def run_translate(options: argparse.Namespace) -> str:
    """``scripts/bench translate``.

    Args:
        options: Of the command line.

    Returns:
        The report.

    Raises:
        Seq2SeqError: If something asked for cannot be measured.
    """
    engines = chosen("--engines", options.engines, ",".join(translate.ENGINES))
    text = chosen_text(options)
    work, threads = options.work, options.threads
    ours = (
        given(options.model, work) if options.model else trained(text, work, threads, options.set)
    )
    if any(name.startswith("onnx") for name in engines):
        export(ours)
    peers = []
    if options.peers is not None:

        def make(name: str) -> Trained:
            return ready(name, text, ours.tokenizer, options.peers, options.peer_minutes)

        peers = translate.set_up_peers(make, PEERS)
    sources, references = text.test.lines()
    plan = translate.Plan(
        sources[: options.lines],
        references[: options.lines],
        Tokenizer.load(ours.tokenizer),
        threads,
        options.runs,
        options.single,
        work / "logs",
    )
    facts = machine(threads)
    tools = translate.tools_of(ours, engines, peers)
    translate.measure(tools, plan)
    found = translate_report.report(tools, plan, facts)
    _write(options, found, translate_report.as_json(tools, plan, facts))
    return found


def run_train(options: argparse.Namespace) -> str:
    """``scripts/bench train``.

    Args:
        options: Of the command line.

    Returns:
        The report.

    Raises:
        Seq2SeqError: If something asked for cannot be measured.
    """
    parts = chosen("--parts", options.parts, f"{PARTS},{ON_REQUEST}")
    tools = chosen("--tools", options.tools, TOOLS)
    if options.device == "cpu":
        hide_gpus()
    from benchmarks import train, train_report

    text = chosen_text(options)
    work, threads = options.work, options.threads
    facts = machine(threads)
    plan = train.Plan(
        text,
        prepared(text, work, options.set),
        lambda: trained(text, work, threads, options.set),
        work,
        parts,
        threads,
        options.turns,
        options.updates,
        options.pairs,
        tuple(options.set),
        train.Extent(
            options.minutes,
            options.recipe,
            tools,
            options.fairseq_options,
            options.many,
            corpora=options.corpora,
        ),
    )
    if "validation" in parts:
        plan.model()  # it may take long: first
    figures = train.measure(plan, options.peers)
    found = train_report.report(figures, facts)
    _write(options, found, train_report.as_json(figures, facts))
    return found


def run_cells(options: argparse.Namespace) -> str:
    """``scripts/bench cells``.

    Args:
        options: Of the command line.

    Returns:
        The report.

    Raises:
        Seq2SeqError: If something asked for cannot be measured.
    """
    names = chosen("--cells", options.cells, CELLS)
    models = chosen("--models", options.models, MODELS)
    hide_gpus()
    from benchmarks import cells, cells_report

    text = chosen_text(options)
    facts = machine(options.threads)
    data = prepared(text, options.work, options.set)
    plan = cells.Plan(
        text,
        data,
        options.work / "cells",
        options.threads,
        options.turns,
        options.updates,
        tuple(options.set),
        options.seconds,
        options.epochs,
        options.seeds,
    )
    figures = cells.Figures(cells.rows(names, models), plan.turns, plan.updates)
    cells.measure(plan, figures)
    found = cells_report.report(figures, facts)
    _write(options, found, cells_report.as_json(figures, facts))
    return found


def run_problems(options: argparse.Namespace) -> str:
    """``scripts/bench problems``.

    Args:
        options: Of the command line.

    Returns:
        The report.
    """
    from benchmarks import problems

    plan = problems.Plan(
        tuple(options.problems.split(",")),
        options.way or problems.WAYS,
        options.lengths,
        options.seeds,
        tuple(options.set),
        options.work / "problems",
        options.threads,
        options.give_up,
    )
    facts = machine(options.threads)
    rows = problems.measure(plan)
    found = problems.report(rows, facts)
    _write(options, found, {"machine": facts, "rows": rows})
    return found


VERBS = {
    "translate": run_translate,
    "train": run_train,
    "cells": run_cells,
    "problems": run_problems,
}


def _write(options: argparse.Namespace, found: str, figures: object) -> None:
    base = options.output or options.work / options.verb
    write_text(base.with_name(f"{base.name}.md"), found)
    write_json(base.with_name(f"{base.name}.json"), figures)
    say(f"written: {base}.md and {base}.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Its words; None: those of this process.

    Returns:
        The exit status.
    """
    options = parser().parse_args(arguments)
    try:
        print(VERBS[options.verb](options))
    except Seq2SeqError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the next call goes on with what is there.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    handle_signals()
    sys.exit(main())
