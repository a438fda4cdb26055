"""``seq2seq evaluate``: translates a test set and scores the translations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

from seq2seq.cli import console, files
from seq2seq.cli.options import Model, argument, excludes, needs, option
from seq2seq.cli.score import Scoring
from seq2seq.cli.search_options import (
    Lengths,
    Penalties,
    RunningMany,
    Sampled,
    Searching,
    Terminology,
    check_together,
    options_of,
)
from seq2seq.cli.translate import check_output
from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.storage.encodings import is_valid
from seq2seq.storage.lines import check_counts, corpus_blocks, split_block

EXAMPLE = console.example(
    "seq2seq evaluate runs/quickstart test.en test.de",
    "seq2seq evaluate runs/quickstart test.en test.de --sample 30 --mbr chrf",
)


def evaluate(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    terminology: Terminology,
    running: RunningMany,
    scoring: Scoring,
    source: Annotated[
        str | None,
        argument(
            "SOURCE", "Text to translate; -: standard input.", show_default="the recipe's data.test"
        ),
    ] = None,
    references: Annotated[
        list[str] | None, argument("REFERENCE", "Its translation; one or more files.")
    ] = None,
    n_best: Annotated[
        int | None,
        option("N", "With --mbr: choose among the N best instead of the whole beam.", min=2),
    ] = None,
    output: Annotated[
        str | None,
        option("FILE", "Also write the translations to a file.", "-o", "--output"),
    ] = None,
) -> None:
    """Translate a test set and score it.

    The scores are sacreBLEU's BLEU, chrF and TER, with their signatures.
    """
    from seq2seq.inference.glossary import GlossaryReport
    from seq2seq.inference.request import request_and_constraints
    from seq2seq.inference.results import Warnings, best_translation, warned

    check_together(searching, penalties, sampled, running)
    scoring.check()  # not only after an hour of translating
    needs(n_best, "--n-best", sampled.mbr, "--mbr NAME")
    excludes(n_best, "--n-best", sampled.sample, "--sample")
    glossary, report = terminology.load(), GlossaryReport()
    sources, referenced, inputs = _test_set(model, source, references or [])
    if output is not None:
        more = [] if terminology.glossary is None else [terminology.glossary]
        check_output(output, running.models(model), *inputs, *more)
    with running.loaded(model) as translator:
        options = options_of(translator.search_options, searching, penalties, sampled, lengths)
        request, _ = request_and_constraints(
            translator.search_options,
            translator.options,
            options=options,
            n_best=n_best,
            batch_size=running.batch_size or 64,
            mbr=sampled.mbr,
            long=lengths.long,
            glossary=glossary,
        )
        translations: list[str] = []
        # Opened first: an output that cannot be written must not be found out after an hour.
        with (
            files.write_lines(output) if output is not None else nullcontext() as file,
            console.progress() as shown,
        ):
            shown.start("translating", len(sources))
            found = translator.run(sources, request, advance=shown.advance)
            for number, several in enumerate(warned(found, Warnings(console.warn)), start=1):
                report.add(number, best_translation(several).terms)
                translations.append(best_translation(several).text)
                if file is not None:
                    file.write(translations[-1])
            shown.finish()
    if glossary is not None:
        console.tell(str(report))
    scoring.show(translations, referenced, {"model": model, "beam": options.beam})


def _test_set(
    model: str, source: str | None, references: list[str]
) -> tuple[list[str], list[list[str]], tuple[str, ...]]:
    """The lines of a test set's source and of each reference, and the files that they are from."""
    if source is None:
        sources, referenced, inputs = _test_set_of(model)
        return sources, [referenced], inputs
    if not references:
        raise Seq2SeqError(
            f"{source}: its translation is missing: give SOURCE and REFERENCE, or neither for the "
            "test set of the model's recipe"
        )
    files.check_standard_input(source, *references)
    lines = files.all_lines(source)
    translated = [files.all_lines(path) for path in references]
    for path, read in zip(references, translated, strict=True):
        check_counts(source, len(lines), path, len(read))
    return lines, translated, (source, *references)


def _test_set_of(model: str) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The test set that a model's recipe names; all of its pairs, as it was prepared."""
    from seq2seq.inference.model_folder import ModelFolder
    from seq2seq.recipe.data import LinesSource

    test = ModelFolder.open(model).recipe.data.test
    if test is None:
        raise Seq2SeqError(
            f"{model}: its recipe names no test set (data.test): name the two files of one, "
            f"'seq2seq evaluate {model} SOURCE REFERENCE'"
        )
    if isinstance(test, LinesSource):
        paths = (test.source_path, test.target_path)
        if test.encoding is None:
            lines, (translated,), _ = _test_set(model, paths[0], [paths[1]])
            return lines, translated, paths
        sources, references = map(_decoded, paths, test.encodings)
        check_counts(paths[0], len(sources), paths[1], len(references))
        return sources, references, paths
    try:
        from seq2seq.data.reading.corpus import encodings_of, read_pairs, source_files
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading data.test", "train", error.name or "pyarrow") from None
    pairs = [pair for pair in read_pairs(test) if not pair.misread]
    if not pairs:
        raise Seq2SeqError(f"{model}: the test set of its recipe (data.test) has no pairs")
    inputs = source_files(test)
    if wrong := [pair.line for pair in pairs if pair.invalid_utf8]:
        name, encoding = next(zip(inputs, encodings_of(test), strict=False), ("data.test", None))
        files.warn_replaced(name, len(wrong), wrong[0], encoding)
    return [pair.source for pair in pairs], [pair.target for pair in pairs], inputs


def _decoded(path: str, encoding: str | None) -> list[str]:
    blocks = corpus_blocks(path, encoding=encoding)
    lines = [line for block in blocks for line in split_block(block)]
    if wrong := [number for number, line in enumerate(lines, 1) if not is_valid(line)]:
        files.warn_replaced(path, len(wrong), wrong[0], encoding)
    return [line.decode("utf-8", "replace") for line in lines]
