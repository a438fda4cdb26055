"""``seq2seq export``: makes a model folder that translates fast, anywhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from seq2seq.cli import console
from seq2seq.cli.options import argument, flag, option
from seq2seq.errors import MissingExtraError

EXAMPLE = console.example(
    "seq2seq export runs/quickstart -o models/quickstart",
    'echo "The old man sleeps." | seq2seq translate models/quickstart --precision int8',
)


def export(
    run: Annotated[str, argument("RUN", "The folder of a run, or of a model with weights.")],
    output: Annotated[Path, option("MODEL", "The folder to create.", "-o", "--output")],
    shortlist: Annotated[
        Path | None,
        option(
            "DATA",
            "Also learn from the prepared corpus DATA which target tokens each source token "
            "may need (requires attention); translate --shortlist then considers no others.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, flag("--overwrite", "Replace the folder if it is an exported model.")
    ] = False,
) -> None:
    """Gather what translating needs in one folder.

    The folder has the network as ONNX graphs, in float32 and in int8, and everything else that
    translating needs. It does not need torch.
    """
    from seq2seq.inference.export import check_target, export_model

    check_target(output, overwrite=overwrite, run=run)
    learned = None
    try:
        if shortlist is not None:
            from seq2seq.inference.shortlist_learning import shortlist_of

            with console.progress() as progress:
                learned = shortlist_of(run, shortlist, progress=progress)
        made = export_model(run, output, shortlist=learned, overwrite=overwrite)
    except ModuleNotFoundError as error:
        what = "exporting this run" if shortlist is None else "learning a shortlist"
        raise MissingExtraError(what, "train", error.name or "torch") from None
    width = max(map(len, made.sizes))
    for name, size in made.sizes.items():
        console.show(f"{name:{width}}  {size / 1e6:7.2f} MB")
    other = "the model's"
    for precision, difference in made.differences.items():
        if difference is None:
            console.show(
                f"{precision}: not compared with the model, which needs torch and its parts' "
                "packages"
            )
            other = f"those in {precision}"
            continue
        console.show(
            f"{precision}: log-probabilities differ from {other} by {difference:.1e} on average"
        )
    following = shlex.join(["seq2seq", "translate", str(made.path), "input.txt"])
    console.show(f"\nexported {made.path}; next:\n  {following}")
