"""``seq2seq evaluate``: translates a test set and scores the translations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

from seq2seq.cli import console, files
from seq2seq.cli.options import Model, argument, option
from seq2seq.cli.score import Scoring
from seq2seq.cli.search_options import (
    Lengths,
    Penalties,
    RunningMany,
    Sampled,
    Searching,
    check_together,
    options_of,
)
from seq2seq.cli.translate import check_output

EXAMPLE = console.example("seq2seq evaluate runs/quickstart test.en test.de")


def evaluate(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    running: RunningMany,
    scoring: Scoring,
    source: Annotated[str, argument("SOURCE", "Text to translate; -: standard input.")],
    reference: Annotated[str, argument("REFERENCE", "Its translation.")],
    output: Annotated[
        str | None,
        option("FILE", "Also write the translations to a file.", "-o", "--output"),
    ] = None,
) -> None:
    """Translate a test set and score it.

    The scores are sacreBLEU's BLEU, chrF and TER, with their signatures.
    """
    from seq2seq.inference.results import best_translation

    check_together(searching, penalties, sampled, running)
    scoring.check()  # not only after an hour of translating
    if output is not None:
        check_output(output, model, source, reference)
    files.check_standard_input(source, reference)
    sources, references = files.all_lines(source), files.all_lines(reference)
    files.check_counts(source, len(sources), reference, len(references))
    with running.loaded(model) as translator:
        options = options_of(translator.search_options, searching, penalties, sampled, lengths)
        found = translator.stream(
            sources,
            options=options,
            batch_size=running.batch_size or 64,
            mbr=sampled.mbr,
            long=lengths.long,
        )
        translations: list[str] = []
        # Opened first: an output that cannot be written must not be found out after an hour.
        with files.write_lines(output) if output is not None else nullcontext() as file:
            for several in console.with_progress(found, len(sources), "translating"):
                translations.append(best_translation(several).text)
                if file is not None:
                    file.write(translations[-1])
    scoring.show(translations, [references], {"model": model, "beam": options.beam})
