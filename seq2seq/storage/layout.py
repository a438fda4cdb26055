"""Every file name of runs, models and prepared folders, once."""

from __future__ import annotations

import re
from pathlib import Path

RECIPE = "recipe.toml"
LOCK = ".lock"
TOKENIZER = "tokenizer.model"
SOURCE_TOKENIZER = "source.model"
TARGET_TOKENIZER = "target.model"
TOKENIZERS = (TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER)
"""The joint one, or the two sides' own."""

# A model's folder: recipe, tokenizers and these.
WEIGHTS = "weights.safetensors"
CARD = "card.json"
ENCODER = "encoder.onnx"
ENCODERS = {"float32": ENCODER, "int8": "encoder.int8.onnx"}
"""Version 0.7.0 and older had the first alone, for both."""
STEPS = {"float32": "step.onnx", "int8": "step.int8.onnx"}
GRAPHS = (*ENCODERS.values(), *STEPS.values())
"""What a training publishes beside its weights, for translating without torch."""
BODIES = {"float32": "body.onnx", "int8": "body.int8.onnx"}
"""The step without its output layer, where the model has a shortlist."""
OUTPUT = "output.safetensors"
"""That output layer by itself."""
SHORTLIST = "shortlist.safetensors"
EXPORTED = (*GRAPHS, *BODIES.values(), OUTPUT, SHORTLIST)

# A run's folder: that of a model, and these.
RUN = "run.json"
CHECKPOINTS = "checkpoints"
BEST = "best"
LAST = "last"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
EXAMPLES = "examples.json"
REPORT = "report.html"
TENSORBOARD = "tensorboard"
DATA = "data"
"""The prepared folder of a run that prepared its own."""
OLD_VAL = "old_val.arrow"
"""The validation set of the model that a run was fine-tuned from."""

# A checkpoint's folder.
STATE = "state.json"

# A prepared folder.
MANIFEST = "manifest.json"
SPLITS = ("train", "val", "test")

# A folder of synthetic pairs, and the one beside it while they are made.
SYNTHETIC_PAIR = ("source.txt", "target.txt")
SYNTHETIC = "synthetic.json"
UNFINISHED = ".unfinished"
"""What that folder's name ends in."""
UNFINISHED_LINES = "lines.txt"

RUN_FILES = frozenset(
    (
        RECIPE, *TOKENIZERS, WEIGHTS, CARD, RUN, CHECKPOINTS, BEST, LAST, METRICS, CURVES, EXAMPLES,
        REPORT, TENSORBOARD, DATA, OLD_VAL, *GRAPHS,
    )
)  # fmt: skip
"""All names that a run's folder can hold, in their plain form, but for the lock."""
MODEL_FILES = RUN_FILES | {*EXPORTED, LOCK}
"""All names that are of a run or an exported model, so that no output should overwrite them."""


def split_file(split: str) -> str:
    """Names the file of a split's pairs in a prepared folder."""
    return f"{split}.arrow"


PREPARED_FILES = frozenset((RECIPE, MANIFEST, *TOKENIZERS, *map(split_file, SPLITS)))
"""All names that a prepared folder can hold."""


def published_name(name: str, digest: str) -> str:
    """Names a run's file of a content by its SHA-256, so that no file of a model is ever replaced.

    ``weights.safetensors`` becomes ``weights-0123456789abcdef.safetensors``. The card alone says
    which files are the model's, and it is the last to be written.
    """
    path = Path(name)
    return f"{path.stem}-{digest[:16]}{path.suffix}"


def published_file(folder: Path, name: str, digest: str) -> Path:
    """Where a run has a file of a content; runs of older versions gave it its plain name."""
    path = folder / published_name(name, digest)
    return path if path.exists() else folder / name


def plain_name(name: str) -> str:
    """The name that ``published_name`` was given; other names as they are."""
    return re.sub(r"-[0-9a-f]{16}(?=\.[a-z]+$)", "", name)


def checkpoint_name(update: int) -> str:
    """Names the checkpoint that is written at an update."""
    return f"update-{update:08d}"


def update_of(checkpoint: Path) -> int:
    """Tells the update that a checkpoint was written at, by its name."""
    return int(checkpoint.name.removeprefix("update-"))


def checkpoint_folders(folder: Path) -> list[Path]:
    """Finds complete checkpoints, the newest first; their folder need not be there."""
    if not folder.is_dir():
        return []
    named = [one for one in folder.iterdir() if re.fullmatch(r"update-\d{8,}", one.name)]
    return sorted(named, key=update_of, reverse=True)
