"""Scripted step models: what a search is told is known, and what it asks is checked and noted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from seq2seq.ids import BOS, EOS
from seq2seq.search.model import Candidates, Distribution, SourceBatch

Prefix = tuple[int, ...]
Script = Callable[[Prefix, Prefix], np.ndarray]  # (source, tokens so far) -> log-probabilities (V)
Attend = Callable[[Prefix, Prefix], np.ndarray]  # (source, tokens so far) -> weights (S)


@dataclass(frozen=True)
class Row:
    """A state's row: the whole prefix, so that a row moved wrongly is found out."""

    source: Prefix
    prefix: Prefix | None  # None: not even bos was fed


@dataclass
class ScriptedModel:
    """A StepModel that reads its log-probabilities from a function of the whole prefix."""

    vocab_size: int
    script: Script
    attend: Attend | None = None
    sizes: list[int] = field(default_factory=list)  # rows of each step
    widths: list[int] = field(
        default_factory=list
    )  # k of each step, those by distribution left out
    distributions: list[int] = field(default_factory=list)  # rows of each step by distribution
    starts: list[int] = field(default_factory=list)  # sentences of each batch

    def start(self, source: SourceBatch) -> tuple[Row, ...]:
        assert source.ids.dtype == np.int64
        assert source.lengths.dtype == np.int64
        assert len(source) > 0, "a model was asked to read nothing"
        rows = []
        for ids, length in zip(source.ids.tolist(), source.lengths.tolist(), strict=True):
            assert ids[length - 1] == EOS
            assert not any(ids[length:]), "padding is 0"
            rows.append(Row(tuple(ids[:length]), None))
        self.starts.append(len(rows))
        return tuple(rows)

    def step(
        self,
        state: tuple[Row, ...],
        parent_N: np.ndarray,
        token_N: np.ndarray,
        k: int,
        suppress: Sequence[int] = (),
    ) -> tuple[Candidates, tuple[Row, ...]]:
        assert 1 <= k <= self.vocab_size
        log_probs, attention, rows = self._feed(state, parent_N, token_N)
        self.widths.append(k)
        log_probs = log_probs.copy()
        log_probs[:, list(suppress)] -= np.inf
        order = np.argsort(-log_probs, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(log_probs, order, axis=1).astype(np.float32)
        order.setflags(write=False)  # an engine may hand out arrays that are still its own
        best.setflags(write=False)
        return Candidates(best, order, attention), rows

    def distribution(
        self, state: tuple[Row, ...], parent_N: np.ndarray, token_N: np.ndarray
    ) -> tuple[Distribution, tuple[Row, ...]]:
        log_probs, attention, rows = self._feed(state, parent_N, token_N)
        self.distributions.append(len(rows))
        return Distribution(log_probs, attention), rows

    def _feed(
        self, state: tuple[Row, ...], parent_N: np.ndarray, token_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None, tuple[Row, ...]]:
        assert parent_N.dtype == token_N.dtype == np.int64
        assert parent_N.shape == token_N.shape == (len(parent_N),)
        assert len(parent_N) > 0, "a model was asked to step nothing"
        rows = []
        for parent, token in zip(parent_N.tolist(), token_N.tolist(), strict=True):
            old = state[parent]
            if old.prefix is None:
                assert token == BOS, "the first token fed is bos"
                rows.append(Row(old.source, ()))
            else:
                rows.append(Row(old.source, (*old.prefix, token)))
        self.sizes.append(len(rows))
        log_probs = np.stack([self.script(row.source, row.prefix) for row in rows])
        if self.attend is None:
            return log_probs, None, tuple(rows)
        # Padded as far as the longest sentence of the batch, which may have left already.
        attention = np.zeros((len(rows), max(len(row.source) for row in state)), dtype=np.float32)
        for row, weights in zip(rows, attention, strict=True):
            weights[: len(row.source)] = self.attend(row.source, row.prefix)
        attention.setflags(write=False)
        return log_probs, attention, tuple(rows)

    def log_prob(self, source: Sequence[int], tokens: Sequence[int]) -> float:
        """The sum of the script's log-probabilities along a translation, eos included."""
        total = 0.0
        for place, token in enumerate((*tokens, EOS)):
            total += float(self.script(tuple(source), tuple(tokens[:place]))[token])
        return total


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Normalizes in double precision, and rounds to float32 as an engine would."""
    logits = logits.astype(np.float64)
    peak = logits.max()
    return (logits - peak - np.log(np.exp(logits - peak).sum())).astype(np.float32)


def random_script(
    vocab_size: int, seed: int, *, spread: float = 2.0, eos: float = 0.0, grain: float = 0.0
) -> Script:
    """A distribution that depends on the source and on the whole prefix.

    ``eos`` is added to its logit (higher: shorter translations); a ``grain`` above 0 rounds logits
    to its multiples, so that many candidates are exactly equal.
    """
    known: dict[tuple[Prefix, Prefix], np.ndarray] = {}

    def script(source: Prefix, prefix: Prefix) -> np.ndarray:
        key = (source, prefix)
        if key not in known:
            rng = np.random.default_rng([seed, zlib.crc32(repr(key).encode())])
            logits = rng.normal(scale=spread, size=vocab_size)
            logits[EOS] += eos
            if grain:
                logits = np.round(logits / grain) * grain
            known[key] = log_softmax(logits)
        return known[key]

    return script


def random_attention(seed: int) -> Attend:
    """Weights that depend on the source and on the whole prefix, mostly on few positions."""

    def attend(source: Prefix, prefix: Prefix) -> np.ndarray:
        rng = np.random.default_rng([seed, zlib.crc32(repr((source, prefix)).encode())])
        return rng.dirichlet(np.full(len(source), 0.3)).astype(np.float32)

    return attend


def copying_script(vocab_size: int) -> Script:
    """Says the source again, nearly for sure."""

    def script(source: Prefix, prefix: Prefix) -> np.ndarray:
        logits = np.zeros(vocab_size)
        logits[source[min(len(prefix), len(source) - 1)]] = 20.0
        return log_softmax(logits)

    return script


def table_script(vocab_size: int, table: dict[Prefix, dict[int, float]]) -> Script:
    """Probabilities by hand: prefix -> {token: probability}; all others are impossible."""

    def script(source: Prefix, prefix: Prefix) -> np.ndarray:
        del source
        log_probs = np.full(vocab_size, -np.inf, dtype=np.float32)
        for token, probability in table.get(prefix, {}).items():
            log_probs[token] = np.log(probability)
        return log_probs

    return script


def sources(count: int, *, seed: int = 0, shortest: int = 1, longest: int = 9) -> list[list[int]]:
    """Distinct sources, each ending with eos."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        length = int(rng.integers(shortest, longest + 1))
        rows.append([*rng.integers(4, 20, size=length).tolist(), 20 + number, EOS])
    return rows
