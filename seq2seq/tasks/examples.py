"""A validation's best and worst translations, and what was attended to: for ``examples.json``.

Chosen by sentence chrF (Popović 2015), which unlike BLEU tells one bad sentence from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, model_validator

from seq2seq.ids import BOS, EOS
from seq2seq.metrics import CHRF_SIGNATURE, chrf, sentence_chrf
from seq2seq.search.model import SourceBatch, StepModel
from seq2seq.text.tokenizer import Tokenizer, Tokenizers

SHOWN = 12
MAPS = 6
_FEWEST, _MOST = 4, 24  # words a side of a sentence whose attention is worth a picture
_BINS = 20
_END = "∎"


class _Example(BaseModel):
    line: int
    source: str
    reference: str
    hypothesis: str
    chrf: float


class _Map(BaseModel):
    line: int
    source: list[str]
    target: list[str]
    weights: list[list[float]]

    @model_validator(mode="after")
    def _has_a_row_a_word(self) -> Self:
        if len(self.weights) != len(self.target):
            raise ValueError("there must be as many rows of weights as words of the target")
        return self


class ExamplesShape(BaseModel):
    """What is relied on of ``examples.json``: what ``examples_of`` gives, of an update."""

    update: int
    lines: int
    chrf: float
    signature: str
    histogram: Annotated[list[NonNegativeInt], Field(min_length=1)]
    best: list[_Example]
    worst: list[_Example]
    attention: list[_Map]


@dataclass(frozen=True)
class Translations:
    """What a validation translated, line by line."""

    sources: Sequence[str]
    references: Sequence[str]
    hypotheses: Sequence[str]


def examples_of(
    translations: Translations,
    model: StepModel[Any],
    tokenizers: Tokenizers,
    *,
    backwards: bool = False,
) -> dict[str, Any]:
    """Chooses the examples of a validation, whose translations the model has made.

    They are plain values: "lines", "chrf" and its "signature", the "histogram" of the lines' chrF,
    the "best" and the "worst" translations, and maps of "attention". ``backwards``: the model
    writes from right to left.
    """
    scores = sentence_chrf(translations.hypotheses, translations.references)
    order = _ranked(translations, scores)
    count = min(SHOWN, (len(order) + 1) // 2)
    best = order[:count]
    worst = order[: count - 1 : -1][:SHOWN] if len(order) > count else []
    counts, _ = np.histogram(scores, bins=_BINS, range=(0.0, 100.0))
    return {
        "lines": len(scores),
        "chrf": chrf(translations.hypotheses, translations.references),
        "signature": CHRF_SIGNATURE,
        "histogram": counts.tolist(),
        "best": [_example(translations, i, scores[i]) for i in best],
        "worst": [_example(translations, i, scores[i]) for i in worst],
        "attention": _attention(translations, order, model, tokenizers, backwards),
    }


def _ranked(translations: Translations, scores: Sequence[float]) -> list[int]:
    """The lines that have a reference, best first; of equals the one with the longer reference."""
    known = [i for i, reference in enumerate(translations.references) if reference.strip()]
    return sorted(known, key=lambda i: (-scores[i], -len(translations.references[i]), i))


def _example(translations: Translations, index: int, score: float) -> dict[str, Any]:
    return {
        "line": index + 1,
        "source": translations.sources[index],
        "reference": translations.references[index],
        "hypothesis": translations.hypotheses[index],
        "chrf": round(score, 2),
    }


def _attention(
    translations: Translations,
    order: Sequence[int],
    model: StepModel[Any],
    tokenizers: Tokenizers,
    backwards: bool,
) -> list[dict[str, Any]]:
    """Maps of a few sentences of medium length, from good to bad translations."""

    def fits(text: str) -> bool:
        return _FEWEST <= len(text.split()) <= _MOST

    fitting = [
        i for i in order if fits(translations.sources[i]) and fits(translations.hypotheses[i])
    ]
    places = np.linspace(0, len(fitting) - 1, min(MAPS, len(fitting))).astype(int).tolist()
    maps = []
    for place in places:
        index = fitting[place]
        found = attention_map(
            translations.sources[index],
            translations.hypotheses[index],
            model,
            tokenizers,
            backwards=backwards,
        )
        if found is None:
            return []
        maps.append({"line": index + 1, **found})
    return maps


def attention_map(
    source: str,
    hypothesis: str,
    model: StepModel[Any],
    tokenizers: Tokenizers,
    *,
    backwards: bool = False,
) -> dict[str, Any] | None:
    """Where a model looks in a source while it is made to say a hypothesis.

    It has "source" and "target" words, the end counted, and "weights": for each target word the
    share of its attention on each source word. None for a model without attention.
    """
    (read,) = tokenizers.source.encode([source])
    (said,) = tokenizers.target.encode([hypothesis])
    state = model.start(SourceBatch.from_rows([[*read, EOS]]))
    row = np.zeros(1, dtype=np.int64)
    weights: list[NDArray[np.float32]] = []
    for token in (BOS, *(said[::-1] if backwards else said)):
        candidates, state = model.step(state, row, np.array([token]), 1)
        if candidates.attention is None:
            return None
        weights.append(candidates.attention[0])
    if backwards:
        weights = [*weights[-2::-1], weights[-1]]
    columns, source_words = _words(read, tokenizers.source)
    rows, target_words = _words(said, tokenizers.target)
    pieces_TS = np.stack(weights)
    words = np.add.reduceat(np.add.reduceat(pieces_TS, columns, axis=1), rows, axis=0)
    counts = np.diff([*rows, len(weights)])
    shares = (words / counts[:, None]).round(3)
    return {
        "source": source_words,
        "target": target_words,
        "weights": [[float(f"{share:.3f}") for share in one] for one in shares],
    }


def _words(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[list[int], list[str]]:
    """Where each word begins among the pieces, and its text; the end is the last."""
    pieces = tokenizer.pieces(ids)
    begins = [i for i, piece in enumerate(pieces) if i == 0 or piece.startswith("▁")]
    ends = [*begins[1:], len(ids)]
    texts = tokenizer.decode([ids[a:b] for a, b in zip(begins, ends, strict=False)])
    return [*begins, len(ids)], [*texts, _END]
