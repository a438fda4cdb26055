"""``seq2seq export``: makes a model folder that translates fast, anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq.cli import console
from seq2seq.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from seq2seq.inference.shortlist import Shortlist

EXAMPLE = console.example(
    "seq2seq export runs/quickstart/model -o models/quickstart",
    'echo "The old man sleeps." | seq2seq translate models/quickstart --precision int8',
)


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The folder of a run, or of a model with weights.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="The folder to create.")
    ],
    shortlist: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Also learn from the prepared corpus DATA which target tokens each source token "
            "may need (requires attention); translate --shortlist then considers no others.",
        ),
    ] = None,
) -> None:
    """Export a model for fast translation.

    The folder has the network as ONNX graphs, in float32 and in int8, and everything else that
    translating needs. It does not need torch.
    """
    try:
        from seq2seq.inference.export import check_target, export_model
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "onnx":
            raise
        raise MissingExtraError("exporting", "train", "onnx") from None
    check_target(output)
    made = export_model(run, output, shortlist=_learned(run, shortlist))
    width = max(map(len, made.sizes))
    for name, size in made.sizes.items():
        console.show(f"{name:{width}}  {size / 1e6:7.2f} MB")
    for precision, difference in made.differences.items():
        console.show(
            f"{precision}: log-probabilities differ from the model's by {difference:.1e} on average"
        )
    console.show(f"\nexported {made.path}; next:\n  seq2seq translate {made.path} input.txt")


def _learned(run: str, data: Path | None) -> Shortlist | None:
    if data is None:
        return None
    try:
        from seq2seq.data.dataset import PreparedData
        from seq2seq.inference.engines.torch import load_model
        from seq2seq.inference.shortlist_learning import learn_shortlist
    except ModuleNotFoundError as error:
        raise MissingExtraError("learning a shortlist", "train", error.name or "torch") from None
    from seq2seq.inference.model_folder import ModelFolder

    folder = ModelFolder.open(run)
    prepared = PreparedData.open(data)
    if prepared.tokenizers.digest != folder.tokenizers.digest:
        raise DataError(
            f"{data}: prepared with a different tokenizer than the model's: give the corpus that "
            f"{run} was trained on"
        )
    model = load_model(folder)
    with console.progress() as progress:
        return learn_shortlist(model, folder.tokenizers, prepared.train, progress=progress)
