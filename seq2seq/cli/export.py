"""``seq2seq export``: a trained model becomes one that translates fast, anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq.cli import console
from seq2seq.errors import MissingExtraError

EXAMPLE = console.example(
    "seq2seq export runs/quickstart/model -o models/quickstart",
    'echo "The old man sleeps." | seq2seq translate models/quickstart --precision int8',
)


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, or another with weights.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="The folder to make.")
    ],
) -> None:
    """Export a model for fast translation.

    The folder holds the network as ONNX graphs, in float32 and in int8, and all that translating
    needs besides; torch is not part of it.
    """
    try:
        from seq2seq.inference.export import export_model
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "onnx":
            raise
        raise MissingExtraError("exporting", "train", "onnx") from None
    made = export_model(run, output)
    width = max(map(len, made.sizes))
    for name, size in made.sizes.items():
        console.show(f"{name:{width}}  {size / 1e6:7.2f} MB")
    for precision, difference in made.differences.items():
        console.show(
            f"{precision}: log-probabilities are {difference:.1e} from the model's own in the mean"
        )
    console.show(f"\nexported {made.path}; next:\n  seq2seq translate {made.path} input.txt")
