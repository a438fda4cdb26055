"""The reference engine: a translation model in torch, as the search sees it.

Shapes: B sentences, N rows, S source length, V vocabulary, k candidates a row.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from seq2seq.inference.engines import RowLayout, widened
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.models.decoder import DecoderState
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import built_with
from seq2seq.nn.attention import Memory
from seq2seq.nn.waits import Waits
from seq2seq.search.model import Candidates, Distribution, Floats32, Ints, SourceBatch, top_k
from seq2seq.storage.layout import WEIGHTS


@dataclass(frozen=True)
class EngineState:
    """What the engine keeps between steps; opaque to the search.

    ``place_N`` says where each row stands in a table with a line for each sentence in memory; None:
    the table is the rows, only reshaped.
    """

    decoder: DecoderState  # N rows
    rows: RowLayout  # the sentence of each row, and the sentences in memory
    memory: Memory  # these sentences, which the rows attend to, as wide as the longest
    place_N: Tensor | None
    sources: Memory  # all of the batch
    lengths_B: Ints

    def spread(self, x_NX: Tensor) -> Tensor:
        """Lays rows out in the table (A, W, X), with zeros in empty places."""
        shape = (len(self.rows.memory_A), self.rows.width, x_NX.shape[1])
        if self.place_N is None:
            return x_NX.reshape(shape)
        table = x_NX.new_zeros(shape[0] * shape[1], shape[2])
        table[self.place_N] = x_NX
        return table.reshape(shape)

    def gather(self, table_AWX: Tensor) -> Tensor:
        """Takes the rows (N, X) out of the table."""
        rows = table_AWX.flatten(0, 1)
        return rows if self.place_N is None else rows[self.place_N]


class TorchEngine:
    """A ``StepModel`` over a :class:`TranslationModel`, put into evaluation mode at the start.

    ``precision`` is the type for matrix products.
    """

    def __init__(self, model: TranslationModel, precision: torch.dtype = torch.float32) -> None:
        self.model = model
        self.precision = precision
        self.vocab_size = model.output.out_features
        self.device = model.output.weight.device

    @classmethod
    def load(cls, model: ModelFolder, *, threads: int | None = None) -> TorchEngine:
        """The engine of a run or model folder; on a GPU if there is one."""
        if threads is not None:
            torch.set_num_threads(threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        engine = cls(load_model(model).to(device))
        if device == "cpu":
            weakref.finalize(engine, Waits(torch.get_num_threads()).end)
        return engine

    def _autocast(self) -> AbstractContextManager[None]:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled)

    def start(self, source: SourceBatch) -> EngineState:
        """Encodes a batch."""
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            ids_BS = torch.from_numpy(source.ids).to(self.device)
            lengths_B = torch.from_numpy(source.lengths).to(self.device)
            decoder, memory = self.model.start(ids_BS, lengths_B)
        rows = RowLayout.first(len(source))
        return EngineState(decoder, rows, memory, None, memory, source.lengths)

    def step(
        self,
        state: EngineState,
        parent_N: Ints,
        token_N: Ints,
        k: int,
        suppress: Sequence[int] = (),
    ) -> tuple[Candidates, EngineState]:
        """Feeds each row its token and finds the best next ones."""
        with torch.inference_mode(), self._autocast():
            logits_NV, attention, state = self._advance(state, parent_N, token_N)
            total_N1 = torch.logsumexp(logits_NV, dim=-1, keepdim=True)
            logits_NV[:, list(suppress)] -= torch.inf
            best_Nk, tokens_Nk = _best(logits_NV, k)
            log_probs_Nk = best_Nk - total_N1.cpu().numpy()
        return Candidates(log_probs_Nk, tokens_Nk, attention), state

    def distribution(
        self, state: EngineState, parent_N: Ints, token_N: Ints
    ) -> tuple[Distribution, EngineState]:
        """Feeds each row its token and gives the log-probabilities of all next ones."""
        with torch.inference_mode(), self._autocast():
            logits_NV, attention, state = self._advance(state, parent_N, token_N)
            log_probs = torch.log_softmax(logits_NV, dim=-1).cpu().numpy()
        return Distribution(log_probs, attention), state

    def _advance(
        self, state: EngineState, parent_N: Ints, token_N: Ints
    ) -> tuple[Tensor, Floats32 | None, EngineState]:
        """Logits (N, V), attention (N, S) and the state after."""
        state = self._moved(state, parent_N)
        tokens = torch.from_numpy(token_N).to(self.device)
        attend = None if self.model.decoder.attention is None else partial(self._attend, state)
        readout, decoder, weights = self.model.decoder.step(
            tokens, state.decoder, state.memory, attend
        )
        attention = None
        if weights is not None:
            width = state.sources.mask_BS.shape[1]
            attention = widened(weights.float().cpu().numpy(), width)
        logits_NV = self.model.output(readout).float()
        return logits_NV, attention, replace(state, decoder=decoder)

    def _attend(
        self, state: EngineState, query_NQ: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor]:
        """Attends from every row to its sentence, whose rows are like target positions."""
        assert self.model.decoder.attention is not None
        context, weights = self.model.decoder.attention(state.spread(query_NQ), memory)
        return state.gather(context), state.gather(weights)

    def _moved(self, state: EngineState, parent_N: Ints) -> EngineState:
        """Moves the rows; what they attend to, only where a row now belongs to another sentence."""
        before = state.rows
        if np.array_equal(parent_N, np.arange(len(before.sentence_N))):
            return state
        decoder = state.decoder.select(torch.from_numpy(parent_N).to(self.device))
        if self.model.decoder.attention is None:
            return replace(state, decoder=decoder, rows=before.moved(parent_N, least_used=0.0))
        rows = before.moved(parent_N, least_used=1.0)
        if rows is before:
            return replace(state, decoder=decoder)
        place_N = None if rows.is_table else torch.from_numpy(rows.places).to(self.device)
        memory = state.memory
        if rows.memory_A is not before.memory_A:
            width = int(state.lengths_B[rows.memory_A].max())
            kept_A = torch.from_numpy(rows.memory_A).to(self.device)
            memory = state.sources.narrow(width).select(kept_A)
        return replace(state, decoder=decoder, rows=rows, memory=memory, place_N=place_N)


def _best(logits_NV: Tensor, k: int) -> tuple[Floats32, Ints]:
    """The k greatest of each row, equal ones in the order of their tokens."""
    if k == 1:  # of equal ones torch.max takes the first; torch.topk takes any
        best_N1, token_N1 = torch.max(logits_NV, dim=-1, keepdim=True)
        return best_N1.cpu().numpy(), token_N1.cpu().numpy()
    best, tokens = torch.topk(logits_NV, min(k + 1, logits_NV.shape[1]), dim=-1)
    best_Nk, tokens_Nk = best.cpu().numpy(), tokens.cpu().numpy()
    tied_N = ((best_Nk[:, 1:] == best_Nk[:, :-1]) & (best_Nk[:, 1:] > -np.inf)).any(axis=1)
    if tied_N.any():  # seldom in float32, often in bfloat16
        rows = np.flatnonzero(tied_N)
        tied_RV = logits_NV[torch.from_numpy(rows).to(logits_NV.device)].cpu().numpy()
        best_Nk[rows, :k], tokens_Nk[rows, :k] = top_k(tied_RV, k)
    return best_Nk[:, :k], tokens_Nk[:, :k]


def load_model(model: ModelFolder) -> TranslationModel:
    """Builds a folder's network and reads its weights."""
    weights = model.weights(load)
    source, target = model.tokenizers.source, model.tokenizers.target
    # The weights take the place of the first ones; orthogonal ones take seconds to draw.
    options = model.recipe.model.model_copy(update={"recurrent_init": "uniform"})

    def build() -> TranslationModel:
        return TranslationModel(options, source.size, target.size)

    return built_with(build, weights, model.file(WEIGHTS)).eval()
