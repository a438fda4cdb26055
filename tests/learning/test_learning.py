"""Models learn what they should be able to learn: minutes each, marked slow."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.quickstart import pairs

import seq2seq
from seq2seq.training.monitoring import Silent

WORDS = ["red", "blue", "green", "black", "white", "brown", "pink", "grey"]

RECIPE = """
name = "toy"

[data]
train = ["train.src", "train.trg"]
val = ["val.src", "val.trg"]

[tokenizer]
vocab_size = 30

[model.encoder]
embedding = 32
hidden = 64
dropout = 0.0

[model.decoder]
embedding = 32
hidden = 64
dropout = 0.0
attention = "none"
state_feeding = true

[training]
epochs = 12
batch_tokens = 600
learning_rate = 4e-3
label_smoothing = 0.0
average = {kind = "ema", decay = 0.99}

[training.schedule]
kind = "cosine"
warmup = 100
"""


def write_task(folder: Path, reverse: bool) -> Path:
    """Three to seven words to be said again, perhaps backwards."""
    rng = random.Random(1)
    for split, count in (("train", 6000), ("val", 200)):
        with (
            (folder / f"{split}.src").open("w", encoding="utf-8", newline="\n") as source,
            (folder / f"{split}.trg").open("w", encoding="utf-8", newline="\n") as target,
        ):
            for _ in range(count):
                words = [rng.choice(WORDS) for _ in range(rng.randint(3, 7))]
                source.write(" ".join(words) + "\n")
                target.write(" ".join(reversed(words) if reverse else words) + "\n")
    path = folder / "toy.toml"
    path.write_text(RECIPE, encoding="utf-8", newline="\n")
    return path


CELLS = {
    "lstm": ['model.encoder.cell="lstm"', 'model.decoder.cell="lstm"'],
    "gru": ['model.encoder.cell="gru"', 'model.decoder.cell="gru"'],
    "rnn tanh": ['model.encoder.cell="rnn"', 'model.decoder.cell="rnn"'],
    "rnn relu": [
        'model.encoder.cell={kind="rnn",activation="relu"}',
        'model.decoder.cell={kind="rnn",activation="relu"}',
        'model.recurrent_init="identity"',
        "training.learning_rate=3e-3",
        "training.epochs=16",
    ],
}


def accuracy(folder: Path, assignments: list[str]) -> float:
    """The share of validation lines that a trained model gets right, greedily."""
    recipe = seq2seq.load_recipe(str(folder / "toy.toml"), assignments)
    seq2seq.train(recipe, folder / "run", threads=1, monitor=Silent())
    sources = (folder / "val.src").read_text(encoding="utf-8").split("\n")[:-1]
    targets = (folder / "val.trg").read_text(encoding="utf-8").split("\n")[:-1]
    found = seq2seq.Translator.load(folder / "run").translate(sources, beam=1)
    return sum(a == b for a, b in zip(found, targets, strict=True)) / len(targets)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True], ids=["copy", "reverse"])
def test_every_cell_learns_with_attention(tmp_path: Path, cell: str, reverse: bool) -> None:
    write_task(tmp_path, reverse)
    attention = 'model.decoder.attention="general"'
    assert accuracy(tmp_path, [*CELLS[cell], attention]) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gated_cells_carry_a_sentence_in_their_state_alone(tmp_path: Path, cell: str) -> None:
    write_task(tmp_path, reverse=True)
    assert accuracy(tmp_path, CELLS[cell]) >= 0.9


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_is_learned(tmp_path: Path) -> None:
    result = seq2seq.train("quickstart", tmp_path / "run", monitor=Silent())
    translator = seq2seq.Translator.load(result.run)
    sources, references = zip(*pairs("test"), strict=True)
    found = translator.translate(list(sources))
    (bleu,) = seq2seq.corpus_scores(found, [list(references)], metrics=("bleu",))
    assert bleu.value >= 90.0
