"""The reference engine: a translation model in torch, as the search sees it.

Shapes: B sentences, N rows, S source length, V vocabulary, k candidates a row.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from seq2seq.inference.model_folder import WEIGHTS, ModelFolder, check_shapes, read_weights
from seq2seq.inference.numpy_attention import Places
from seq2seq.models.decoder import DecoderState
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.attention import Memory
from seq2seq.recipe import Recipe
from seq2seq.search.model import Candidates, Distribution, SourceBatch
from seq2seq.text.tokenizer import Tokenizers


@dataclass(frozen=True)
class Shared:
    """The memory of the sentences that rows still translate, one copy for all rows of a sentence.

    Attributes:
        memory: A sentences, no wider than the longest of them.
        places: Where the rows stand in a table with a line for each of these sentences.
        index_N: The same, counted along the lines; None: the table is a mere reshape of the rows.
    """

    memory: Memory
    places: Places
    index_N: Tensor | None

    def spread(self, x_NX: Tensor) -> Tensor:
        """Lays rows out in the table, with zeros in empty places.

        Args:
            x_NX: The rows.

        Returns:
            (A, W, X).
        """
        shape = (len(self.places.active_A), self.places.width, x_NX.shape[1])
        if self.index_N is None:
            return x_NX.reshape(shape)
        table = x_NX.new_zeros(shape[0] * shape[1], shape[2])
        table[self.index_N] = x_NX
        return table.reshape(shape)

    def gather(self, table_AWX: Tensor) -> Tensor:
        """Takes the rows out of the table.

        Args:
            table_AWX: The table.

        Returns:
            (N, X).
        """
        rows = table_AWX.flatten(0, 1)
        return rows if self.index_N is None else rows[self.index_N]


@dataclass(frozen=True)
class EngineState:
    """What the engine keeps between steps; opaque to the search.

    Attributes:
        decoder: N rows.
        sentence_N: Which sentence each row translates.
        sources: Every source of the batch.
        lengths_B: Their lengths.
        shared: What the rows attend to; None: the model has no attention.
    """

    decoder: DecoderState
    sentence_N: NDArray[np.int64]
    sources: Memory
    lengths_B: NDArray[np.int64]
    shared: Shared | None


class TorchEngine:
    """A ``StepModel`` over a :class:`TranslationModel`.

    Args:
        model: The model; put into evaluation mode while the engine works.
        precision: The type for matrix products.
    """

    def __init__(self, model: TranslationModel, precision: torch.dtype = torch.float32) -> None:
        self.model = model
        self.precision = precision
        self.vocab_size = model.output.out_features
        self.source_vocab_size = model.encoder.embedding.table.num_embeddings
        self.device = model.output.weight.device

    def _autocast(self) -> AbstractContextManager[None]:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled)

    def start(self, source: SourceBatch) -> EngineState:
        """Encodes a batch.

        Args:
            source: B sentences.

        Returns:
            A state of B rows, row i for sentence i.
        """
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            ids_BS = torch.from_numpy(source.ids).to(self.device)
            lengths_B = torch.from_numpy(source.lengths).to(self.device)
            decoder, memory = self.model.start(ids_BS, lengths_B)
            sentence_N = np.arange(len(source.lengths))
            shared = None
            if self.model.decoder.attention is not None:
                shared = Shared(memory, Places.of(sentence_N), None)
        return EngineState(decoder, sentence_N, memory, source.lengths, shared)

    def step(
        self,
        state: EngineState,
        parent_N: NDArray[np.int64],
        token_N: NDArray[np.int64],
        k: int,
        bias: NDArray[np.float32] | None = None,
    ) -> tuple[Candidates, EngineState]:
        """Feeds each row its token and finds the best next ones.

        Args:
            state: The state before.
            parent_N: The row of ``state`` that each new row goes on from.
            token_N: The token that each new row is fed.
            k: How many candidates a row.
            bias: Added to the log-probabilities before the choice, (1, V).

        Returns:
            The k best tokens a row with their log-probabilities, best first, and the state after.
        """
        with torch.inference_mode(), self._autocast():
            logits_NV, attention, state = self._advance(state, parent_N, token_N)
            total_N1 = torch.logsumexp(logits_NV, dim=-1, keepdim=True)
            if bias is not None:
                logits_NV = logits_NV + torch.from_numpy(bias).to(self.device)
            best, ids = _best(logits_NV, k)
            candidates = Candidates((best - total_N1).cpu().numpy(), ids.cpu().numpy(), attention)
        return candidates, state

    def distribution(
        self, state: EngineState, parent_N: NDArray[np.int64], token_N: NDArray[np.int64]
    ) -> tuple[Distribution, EngineState]:
        """Feeds each row its token and tells of all tokens.

        Args:
            state: The state before.
            parent_N: The row of ``state`` that each new row goes on from.
            token_N: The token that each new row is fed.

        Returns:
            Each row's log-probabilities of all tokens, and the state after.
        """
        with torch.inference_mode(), self._autocast():
            logits_NV, attention, state = self._advance(state, parent_N, token_N)
            log_probs = torch.log_softmax(logits_NV, dim=-1).cpu().numpy()
        return Distribution(log_probs, attention), state

    def _advance(
        self, state: EngineState, parent_N: NDArray[np.int64], token_N: NDArray[np.int64]
    ) -> tuple[Tensor, NDArray[np.float32] | None, EngineState]:
        """Logits (N, V), attention (N, S) and the state after."""
        state = self._moved(state, parent_N)
        tokens = torch.from_numpy(token_N).to(self.device)
        shared = state.shared
        readout, decoder, weights = self.model.decoder.step(
            tokens,
            state.decoder,
            state.sources if shared is None else shared.memory,
            None if shared is None else partial(self._attend, shared),
        )
        attention = None
        if weights is not None:
            # The longest sentences may be done and their positions dropped: here they come back.
            missing = state.sources.mask_BS.shape[1] - weights.shape[1]
            attention = functional.pad(weights.float(), (0, missing)).cpu().numpy()
        logits_NV = self.model.output(readout).float()
        return logits_NV, attention, replace(state, decoder=decoder)

    def _attend(self, shared: Shared, query_NQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attends from every row to its sentence: the rows of one are as target positions."""
        assert self.model.decoder.attention is not None
        context, weights = self.model.decoder.attention(shared.spread(query_NQ), memory)
        return shared.gather(context), shared.gather(weights)

    def _moved(self, state: EngineState, parent_N: NDArray[np.int64]) -> EngineState:
        """Moves the rows; what they attend to, only where a row now belongs to another sentence."""
        if np.array_equal(parent_N, np.arange(len(state.sentence_N))):
            return state
        decoder = state.decoder.select(torch.from_numpy(parent_N).to(self.device))
        sentence_N = state.sentence_N[parent_N]
        if state.shared is None or np.array_equal(sentence_N, state.sentence_N):
            return replace(state, decoder=decoder, sentence_N=sentence_N)
        shared = self._shared(state, state.shared, Places.of(sentence_N))
        return replace(state, decoder=decoder, sentence_N=sentence_N, shared=shared)

    def _shared(self, state: EngineState, before: Shared, places: Places) -> Shared:
        index = None
        if not places.full:
            flat_N = places.line_N * places.width + places.slot_N
            index = torch.from_numpy(flat_N).to(self.device)
        memory, active_A = before.memory, places.active_A
        if not np.array_equal(active_A, before.places.active_A):
            width = int(state.lengths_B[active_A].max())
            memory = state.sources.narrow(width).select(torch.from_numpy(active_A).to(self.device))
        return Shared(memory, places, index)


def _best(logits_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k == 1:
        return torch.max(logits_NV, dim=-1, keepdim=True)
    return torch.topk(logits_NV, k, dim=-1)


def load_model(folder: Path, recipe: Recipe, tokenizers: Tokenizers) -> TranslationModel:
    """Builds a recipe's network and reads its weights.

    Args:
        folder: A run or model folder.
        recipe: The recipe stored there.
        tokenizers: The tokenizers stored there; they give the vocabulary sizes.

    Returns:
        The model, in evaluation mode.

    Raises:
        ModelError: If there are no weights, or they are damaged, or do not fit recipe and
            tokenizer.
    """
    weights = read_weights(folder, load_file)
    model = TranslationModel(recipe.model, tokenizers.source.size, tokenizers.target.size)
    load_weights(model, weights, folder / WEIGHTS)
    return model.eval()


def load_weights(model: TranslationModel, weights: dict[str, Tensor], origin: Path) -> None:
    """Copies weights into a model, all of them or none.

    Args:
        model: Changed in place.
        weights: By parameter name, each shared one once.
        origin: Where they are from, for messages.

    Raises:
        ModelError: If names or shapes differ.
    """
    parameters = dict(model.named_parameters())
    check_shapes(
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        {name: tuple(weight.shape) for name, weight in weights.items()},
        origin,
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def load_engine(model: ModelFolder, *, threads: int | None = None) -> TorchEngine:
    """The engine of a run or model folder.

    Args:
        model: The folder.
        threads: Bound of processor threads; None: torch's own choice.

    Returns:
        The engine, on the GPU where there is one.

    Raises:
        ModelError: If the weights are missing or damaged or do not fit.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchEngine(load_model(model.path, model.recipe, model.tokenizers).to(device))
