"""``seq2seq backtranslate``: text of the target language becomes pairs to train on."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

from seq2seq.cli import console
from seq2seq.cli.distil import Pairs, make, pair_of
from seq2seq.cli.options import Model, argument, option
from seq2seq.cli.search_options import Lengths, Penalties, RunningMany, Sampled, Searching

EXAMPLE = console.example(
    "seq2seq backtranslate runs/de-en news.de --tag '<BT>' -o data/back",
    "seq2seq backtranslate runs/de-en news.de --sample 1 --top-k 10 -o data/sampled",
)


def backtranslate(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    running: RunningMany,
    text: Annotated[str, argument("TARGET", "Text in the target language, a sentence a line.")],
    output: Pairs,
    tag: Annotated[
        str | None,
        option("WORD", "Put a word in front of each synthetic source, to tell it from real ones."),
    ] = None,
    noise: Annotated[
        float,
        option(
            "X",
            "Leave out each word of a synthetic source with probability X, put <BLANK> in the "
            "place of others as often, and let words change places, three at most.",
        ),
    ] = 0.0,
) -> None:
    """Translate text of the target language into sources.

    MODEL translates from the target language to the source language. The folder has source.txt (the
    translations), target.txt (the text) and synthetic.json. The same command goes on where it was
    stopped or killed.
    """
    from seq2seq.inference.synthesis import BackTranslation

    plan = BackTranslation(text, tag, noise)
    make(plan, output, model, (searching, penalties, sampled, lengths, running))
    train = json.dumps([["SOURCE", "TARGET"], pair_of(output)], ensure_ascii=False)
    symbols = json.dumps(plan.symbols, ensure_ascii=False)
    settings = [f"data.train={train}"]
    if plan.symbols:
        settings.append(f"tokenizer.user_defined_symbols={symbols}")
    words = [word for one in settings for word in ("--set", one)]
    console.show(f"  {shlex.join(['seq2seq', 'train', 'RECIPE', *words, '-o', 'runs/mixed'])}")
