"""The program ``seq2seq``: its verbs, and what is common to them.

A verb's file is imported when that verb is called, and nothing heavy before: help must be instant.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from seq2seq.cli import console
from seq2seq.cli.options import add_verb, verb_style
from seq2seq.errors import shortened

VERBS = {
    "prepare": "Prepare a corpus for training.",
    "train": "Train a model, or resume its training.",
    "translate": "Translate lines of text.",
    "evaluate": "Translate a test set and score it.",
    "distil": "Translate training text by its teachers, for a student.",
    "backtranslate": "Translate text of the target language into sources.",
    "score": "Score translations against references, or by a model.",
    "export": "Gather what translating needs in one folder.",
    "report": "Write the report on a run: scores, curves, examples, data, timeline.",
    "inspect": "Look into a model at work.",
    "recipe": "List, show and check recipes.",
}
"""Each verb is a file of this folder, and the first line of its help is here."""


class Verbs(TyperGroup):
    """Verbs by their names, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs' names."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Makes a verb's command; None: there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"seq2seq.cli.{cmd_name}")
        if hasattr(module, "app"):  # it has verbs of its own
            return typer.main.get_group(module.app)
        alone = typer.Typer(**_STYLE)
        add_verb(alone, cmd_name, getattr(module, cmd_name), module.EXAMPLE)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the verbs into the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


_STYLE = {**verb_style(), "pretty_exceptions_enable": False}
app = typer.Typer(
    name="seq2seq",
    cls=Verbs,
    no_args_is_help=True,
    epilog="""\b
Example:
  seq2seq train quickstart -o runs/quickstart
  echo "The old man sleeps." | seq2seq translate runs/quickstart

\b
Exit codes: 0 success; 1 failed for a reason other than the input, such as a full disk;
2 wrong usage or input; 130 interrupted, also if training was saved and can be resumed;
141 the reader of the output went away; 143 ended by SIGTERM.""",
    **_STYLE,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import seq2seq

        typer.echo(f"seq2seq {seq2seq.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error. May also follow the verb."),
    ] = False,
) -> None:
    """Machine translation with encoder-decoder RNNs: prepare, train, translate, score."""


def main() -> NoReturn:
    """Runs the command line of this process, and exits."""
    _take_names_as_utf8()
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    console.settings.debug = "--debug" in arguments[:end]
    arguments = [word for word in arguments[:end] if word != "--debug"] + arguments[end:]
    console.set_up_streams()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(arguments, prog_name="seq2seq", standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        _report_wrong_usage(error)
    finally:
        # Only Python's own shutdown is left: a second signal ends it at once, without a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    sys.exit(code if isinstance(code, int) else 0)


def _report_wrong_usage(error: Exception) -> NoReturn:
    """Prints one line where Typer would print three; its errors of usage have a context."""
    context = getattr(error, "ctx", None)
    if context is None or not hasattr(error, "format_message"):
        raise error
    message = " ".join(error.format_message().split())
    if message.startswith("Usage:"):  # a verb without the verb that it needs: print its help
        error.show()  # type: ignore[attr-defined]
        sys.exit(2)
    console.tell(f"error: {shortened(message.rstrip('.'))}; see {context.command_path} --help")
    sys.exit(2)


def _take_names_as_utf8() -> None:
    """Restarts in Python's UTF-8 mode where the locale has ASCII only.

    Python does so by itself unless PYTHONUTF8=0 forbids it. Without it, no recipe could name a file
    with an umlaut.
    """
    if sys.getfilesystemencoding() == "ascii" and sys.executable:
        again = [sys.executable, "-X", "utf8", "-m", "seq2seq", *sys.argv[1:]]
        os.execv(sys.executable, again)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Unwinds, so that temporary files are removed."""
    sys.exit(128 + number)
