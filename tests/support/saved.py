"""A model as training publishes it, tiny, with weights that say something different every time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from support.models import randomize
from support.tokenizers import save

from seq2seq import recipe
from seq2seq.inference.export import published_graphs
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

LINES = [
    f"{who} {does} {what}"
    for who in ("the old man", "a child", "my sister")
    for does in ("sees", "reads", "likes")
    for what in ("a letter", "the green house", "two books")
]


def tiny_recipe(**decoder: Any) -> recipe.Recipe:
    side = {"embedding": 8, "hidden": 12}
    return recipe.Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"encoder": side, "decoder": {**side, "attention": "general", **decoder}},
            "translation": {"max_extra": 3, "max_ratio": 1.0},
        }
    )


def tokenizers_of(seed_lines: list[str]) -> Tokenizers:
    return train_tokenizers(recipe.Tokenizer(vocab_size=30), seed_lines, seed_lines)


def save_tiny_model(folder: Path, *, seed: int = 3, **decoder: Any) -> Path:
    ours, tokenizers = tiny_recipe(**decoder), tokenizers_of(LINES)
    model = TranslationModel(ours.model, tokenizers.source.size, tokenizers.target.size)
    randomize(model, seed=seed, scale=0.7)
    (folder / "recipe.toml").write_text(recipe_to_toml(ours), encoding="utf-8", newline="\n")
    save(tokenizers, folder)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    save_file(weights, folder / "weights.safetensors")
    graphs = published_graphs(ours.model, weights)
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in graphs.items()}
    card = {"name": "tiny", "tokenizer_sha256": tokenizers.digest, "files": sums}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder
