"""``seq2seq translate``: translates lines of text."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Annotated

from seq2seq.cli import console, files
from seq2seq.cli.files import FORMATS, write_translations
from seq2seq.cli.options import Model, OptionGroup, argument, check_choice, flag, option
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
from seq2seq.errors import Seq2SeqError, listed, number_of
from seq2seq.formats import FORMATS as DOCUMENTS
from seq2seq.formats import LARGEST, read_document
from seq2seq.storage.atomic import real_path
from seq2seq.storage.layout import MODEL_FILES, plain_name
from seq2seq.storage.lines import STANDARD, Pause, check_counts, count_lines, input_bytes, name_of

if TYPE_CHECKING:
    from seq2seq.formats.document import Document
    from seq2seq.inference.results import ScoredTranslation
    from seq2seq.search import Constraints

EXAMPLE = console.example(
    "seq2seq translate runs/quickstart input.en -o output.de --beam 5",
    "seq2seq translate runs/quickstart input.en --sample 20 --mbr chrf -o output.de",
    "seq2seq translate runs/quickstart page.html --format-in html -o page.de.html",
    'echo "The old man sleeps." | seq2seq translate runs/quickstart --format jsonl',
)
PROMPT = "> "
_INPUT, _OUTPUT = 0, 1  # numbers of the standard streams
_BY_LINE = "what belongs to each line of INPUT has no place, as a document is no list of lines"
_FOR_LINES = {
    "--format": "a document is written in its own format",
    "--n-best": "a document takes one translation of each text (N are for --mbr to choose among)",
    "--alignments": _BY_LINE,
    "--attention": _BY_LINE,
    "--prefix": _BY_LINE,
    "--constraints": _BY_LINE,
}
_REMEDY = (
    ': write {"prefix": "...", "force": ["..."], "avoid": ["..."]}, or {} for a line without '
    "constraints"
)


@dataclass(frozen=True)
class Constrained(Terminology):
    """What translations must look like."""

    prefix: Annotated[
        str | None,
        option("FILE", "Text that each translation begins with: one line for each line of INPUT."),
    ] = None
    constraints: Annotated[
        str | None,
        option(
            "FILE",
            "JSON Lines, one line for each line of INPUT, with any of "
            '{"prefix": "...", "force": ["..."], "avoid": ["..."]}; or an empty line. A list in '
            "the place of a phrase to force has alternatives.",
        ),
    ] = None

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        return [*self.by_line, *([self.glossary] if self.glossary is not None else [])]

    @property
    def by_line(self) -> list[str]:
        """Those of them that have as many lines as the input."""
        return [file for file in (self.prefix, self.constraints) if file is not None]

    def check(self, source: str) -> int | None:
        """Checks that these files have as many lines as the input, if they can be counted.

        Returns the number of the input's lines, if it was counted.
        """
        files.check_standard_input(source, *self.files)
        count = count_lines(source) if self.by_line else None
        for file in self.by_line:
            other = count_lines(file)
            if count is not None and other is not None:
                check_counts(source, count, file, other)
        return count


@dataclass(frozen=True)
class Written(OptionGroup):
    """Output."""

    output: Annotated[
        str,
        option(
            "FILE",
            "The file to write; an existing one is replaced.",
            "-o",
            "--output",
            show_default="standard output",
        ),
    ] = STANDARD
    format_: Annotated[
        str | None,
        option(
            "NAME",
            "text: one translation per line; nbest: INDEX ||| TEXT ||| SCORE for each "
            "translation, INDEX counting lines from 0; jsonl: a JSON object per line, with scores, "
            "tokens and alignments.  [default: text, or nbest with --n-best]",
            "--format",
        ),
    ] = None
    format_in: Annotated[
        str | None,
        option(
            "NAME",
            "INPUT is a document, of which all but the translated text stays as it is: html, "
            "markdown, po, srt or xliff.  [default: lines of text]",
        ),
    ] = None
    n_best: Annotated[
        int | None,
        option(
            "N",
            "Write the N best translations of each line, all different; there may be fewer.",
            min=1,
        ),
    ] = None
    alignments: Annotated[
        str | None,
        option(
            "FILE",
            "Also write which word was translated from which: pairs i-j of source word i and "
            "target word j, from 0.",
        ),
    ] = None
    attention: Annotated[
        str | None,
        option(
            "FILE.npz",
            "Also write the attention weights of each target token over the source tokens: a "
            "matrix for each line, named by its number from 1.",
        ),
    ] = None

    verbose: Annotated[
        bool, flag("--verbose", "Tell of each line that is warned of, not only how many there are.")
    ] = False

    @property
    def files(self) -> list[str]:
        """The files that are written."""
        return [self.output, *(file for file in (self.alignments, self.attention) if file)]

    def format_of(self, sampled: Sampled) -> str:
        """The format to write, one of ``FORMATS``; a ``Seq2SeqError`` if options contradict."""
        if self.n_best is not None and sampled.sample is not None:
            raise Seq2SeqError(
                "--n-best is for beam search, while --sample N already draws N translations: leave "
                "--n-best out, and give --format nbest or jsonl to see all of them"
            )
        check_choice(self.format_, "--format", FORMATS)
        several = self.n_best is not None and sampled.mbr is None
        if several and self.format_ == "text":
            raise Seq2SeqError(
                "--format text writes one translation per line, so --n-best would have no effect: "
                "leave one of them out, or give --format nbest or jsonl"
            )
        return self.format_ or ("nbest" if several else "text")

    def check_document(self, constrained: Constrained, mbr: str | None) -> None:
        """Raises a ``Seq2SeqError`` if options are not for documents, but for lines."""
        check_choice(self.format_in, "--format-in", DOCUMENTS)
        if self.format_in is None:
            return
        for name in [*self.given(), *constrained.given()]:
            if name in _FOR_LINES and not (name == "--n-best" and mbr):
                raise Seq2SeqError(f"--format-in: {_FOR_LINES[name]}: leave {name} out")

    def check(self, models: Sequence[str], *inputs: str) -> None:
        """Raises a ``Seq2SeqError`` if an output is an input, a model's, or another output."""
        for file in self.files:
            check_output(file, models, *inputs)
        if self.attention == STANDARD:
            raise Seq2SeqError(
                "--attention writes a binary file, which cannot go to standard output: name a file"
            )
        kept = [file for file in self.files if file != os.devnull]
        places = [_identity(file, _OUTPUT) or real_path(file) for file in kept]
        for file, place in zip(kept, places, strict=True):
            if places.count(place) > 1:
                name = _output_name(file)
                raise Seq2SeqError(f"{name}: named for two outputs: give each its own file")


def translate(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    constrained: Constrained,
    written: Written,
    running: RunningMany,
    source: Annotated[
        str,
        argument(
            "INPUT",
            "Text to translate, UTF-8, one sentence per line.",
            show_default="standard input",
        ),
    ] = STANDARD,
) -> None:
    """Translate lines of text.

    n lines in, n lines out, in the same order and in constant memory. In a terminal it prompts for
    lines until Ctrl-D. With --format-in, INPUT is a document, which is read at once.
    """
    from seq2seq.inference.glossary import GlossaryReport
    from seq2seq.inference.request import request_and_constraints
    from seq2seq.inference.results import Warnings, best_translation

    check_together(searching, penalties, sampled, running)
    written.check_document(constrained, sampled.mbr)
    written.check(running.models(model), source, *constrained.files)
    format_ = written.format_of(sampled)
    count = constrained.check(source)
    glossary = constrained.load()
    report = GlossaryReport(console.warn if written.verbose else None)
    document = None
    if written.format_in is not None:
        data = input_bytes(source, LARGEST[written.format_in])
        document = read_document(data, written.format_in, name_of(source))
    with running.loaded(model) as translator:
        options = options_of(translator.search_options, searching, penalties, sampled, lengths)
        attends = bool(written.alignments or written.attention)
        if attends or (format_ == "jsonl" and translator.has_attention):
            options = replace(options, attention=True)
        prompts = document is None and source == written.output == STANDARD and _at_a_terminal()
        read: deque[str] = deque()
        warnings = Warnings(console.warn, each=written.verbose)
        request, constraints = request_and_constraints(
            translator.search_options,
            translator.options,
            options=options,
            n_best=written.n_best,
            batch_size=1 if prompts else running.batch_size or 64,
            constraints=(
                _read_constraints(constrained.constraints, constrained.prefix)
                if constrained.by_line
                else None
            ),
            mbr=sampled.mbr,
            long=lengths.long,
            details=attends or format_ != "text",
            glossary=glossary,
        )

        def note(line: int, several: Sequence[ScoredTranslation]) -> None:
            warnings.add(line, several)
            report.add(line, best_translation(several).terms)

        if document is not None:
            translated = partial(translator.run, request=request)
            _translate_document(document, written.output, translated, note)
        else:
            piped = source == STANDARD or not Path(source).is_file()
            given = _prompted_lines() if prompts else files.read_lines(source, pauses=piped)
            opened = write_translations(
                written.output,
                format_,
                written.alignments,
                written.attention,
                at_once=prompts
                or running.batch_size == 1
                or (piped and written.output == STANDARD),
            )
            with opened as write, _progress(written.output, count or source) as advance:
                found = translator.run(_kept(given, read), request, constraints, advance)
                for number, several in enumerate(found, start=1):
                    write(read.popleft(), several)
                    note(number, several)
                    if prompts:
                        warnings.finish()
        warnings.finish()
        if glossary is not None:
            console.tell(str(report))


def _translate_document(
    document: Document,
    output: str,
    run: Callable[..., Iterator[list[ScoredTranslation]]],
    note: Callable[[int, Sequence[ScoredTranslation]], None],
) -> None:
    """Translates the segments of a document, and writes it when all are there."""
    from seq2seq.inference.results import best_translation

    segments, translations = document.segments, []
    with files.write_lines(output) as file:
        with _progress(output, len(segments)) as advance:
            found = run(segments, constraints=None, advance=advance)
            for line, several in zip(document.lines, found, strict=True):
                translations.append(best_translation(several).text)
                note(line, several)
        left: list[int] = []
        file.write_text(document.written(translations, left.append))
    if left:
        lines = f"{'line' if len(left) == 1 else 'lines'} {listed(left, len(left))}"
        console.warn(document.kept.format(f"{number_of(len(left), 'text')} ({lines})"))
    for warning in document.warnings:
        console.warn(warning)


@contextmanager
def _progress(output: str, lines: int | str) -> Iterator[Callable[[float], None] | None]:
    """Shows how many lines are done, of a number or of a file's, unless standard output does."""
    if output == STANDARD:
        yield None
        return
    with console.progress() as shown:
        shown.start("translating", partial(count_lines, lines) if isinstance(lines, str) else lines)
        yield shown.advance
        shown.finish()


def _kept(source: Iterable[str], read: deque[str]) -> Iterator[str]:
    """Keeps the lines that are under way, since what is written may quote them."""
    for line in source:
        if not isinstance(line, Pause):
            read.append(line)
        yield line


def _read_constraints(constraints: str | None, prefix: str | None) -> Iterator[Constraints]:
    """Reads the constraints on each line, from JSON Lines, or a file of prefixes, or both."""
    from seq2seq.inference.wire import constraints_of, read_object

    objects = repeat("") if constraints is None else files.read_lines(constraints)
    prefixes = repeat("") if prefix is None else files.read_lines(prefix)
    for number, (line, begin) in enumerate(zip(objects, prefixes, strict=False), start=1):
        where = f"{constraints}, line {number}"
        found = constraints_of(read_object(line.strip() or "{}", where, _REMEDY), where)
        if begin and found.prefix:
            raise Seq2SeqError(
                f"{where}: has a prefix, but {prefix} has one for the same line: remove one of them"
            )
        yield replace(found, prefix=begin) if begin else found


def check_output(output: str, models: Sequence[str], *inputs: str) -> None:
    """Raises a ``Seq2SeqError`` if writing would destroy something that the command reads."""
    written = _identity(output, _OUTPUT, regular=True)
    if written and written in [_identity(path, _INPUT, regular=True) for path in inputs]:
        raise Seq2SeqError(
            f"{_output_name(output)}: is an input, and would be overwritten: write to another file"
        )
    if output == STANDARD or not Path(output).name:
        return
    resolved = real_path(output)
    for folder in map(real_path, models):
        inside = resolved.parts[len(folder.parts) :] if resolved.is_relative_to(folder) else ()
        if inside and plain_name(inside[0]) in MODEL_FILES:
            raise Seq2SeqError(f"{output}: belongs to the model: write to another file")


def _identity(file: str, standard: int, *, regular: bool = False) -> tuple[int, int] | None:
    """What two names of one file have in common; None: it is not there (or not ``regular``).

    ``standard`` is the number of the open file that "-" is.
    """
    with suppress(OSError, ValueError):
        found = os.fstat(standard) if file == STANDARD else os.stat(file)  # noqa: PTH116
        if S_ISREG(found.st_mode) or not regular:
            return found.st_dev, found.st_ino
    return None


def _output_name(output: str) -> str:
    return "standard output" if output == STANDARD else output


# ---------------------------------------------------------------------------------------------
# Translating for a person at a terminal


def _at_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _prompted_lines() -> Iterator[str]:
    """Prompts for lines, and tells how long each took; Ctrl-D ends, Ctrl-C drops the line.

    What was typed can be edited and comes back with the arrow keys; it is not saved.
    """
    with suppress(ImportError):  # where Python was built without it, lines are typed plainly
        import readline  # noqa: F401 - input() edits lines from now on
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        begun = time.perf_counter()
        yield line
        if line.strip():
            console.tell(f"({time.perf_counter() - begun:.2f} s)")
