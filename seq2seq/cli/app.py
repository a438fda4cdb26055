"""The program ``seq2seq``: its verbs, and what is common to them.

Nothing heavy is imported here, nor by the verbs' files before they run: help must be instant.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from seq2seq.cli import (
    console,
    evaluate,
    export,
    inspect,
    prepare,
    recipe,
    report,
    score,
    train,
    translate,
)
from seq2seq.cli.options import GroupedCommand, expanded

app = typer.Typer(
    name="seq2seq",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Example:
  seq2seq train quickstart -o runs/quickstart
  echo "The old man sleeps." | seq2seq translate runs/quickstart

\b
Exit codes: 0 success; 1 failed for a reason other than the input, such as a full disk;
2 wrong usage or input; 130 interrupted, also if training was saved and can be resumed.""",
)
app.command(epilog=prepare.EXAMPLE)(console.reported(prepare.prepare))
app.command(epilog=train.EXAMPLE)(console.reported(train.train))
app.command(epilog=translate.EXAMPLE, cls=GroupedCommand)(
    console.reported(expanded(translate.translate))
)
app.command(epilog=evaluate.EXAMPLE, cls=GroupedCommand)(
    console.reported(expanded(evaluate.evaluate))
)
app.command(epilog=score.EXAMPLE, cls=GroupedCommand)(console.reported(expanded(score.score)))
app.command(epilog=export.EXAMPLE)(console.reported(export.export))
app.command(epilog=report.EXAMPLE)(console.reported(report.report))
app.add_typer(inspect.app, name="inspect")
app.add_typer(recipe.app, name="recipe")


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
    console.tell(f"error: {message.rstrip('.')}; see {context.command_path} --help")
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
