"""The reference engine: a translation model in torch, as the search sees it.

Shapes: B sentences, N rows, S source length, V vocabulary, k candidates a row.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from seq2seq.inference.model_folder import WEIGHTS, ModelFolder, check_shapes, read_weights
from seq2seq.models.decoder import DecoderState
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.attention import Memory
from seq2seq.recipe import Recipe
from seq2seq.search.protocol import Candidates, Distribution, SourceBatch
from seq2seq.text.tokenizer import Tokenizers


@dataclass(frozen=True)
class EngineState:
    """What the engine keeps between steps; opaque to the search.

    Attributes:
        decoder: N rows.
        memory: N rows, the sources of these rows.
        sources: B rows, every source of the batch.
        sentence_N: Which sentence each row translates.
    """

    decoder: DecoderState
    memory: Memory
    sources: Memory
    sentence_N: NDArray[np.int64]


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
        return EngineState(decoder, memory, memory, np.arange(len(source.lengths)))

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
        decoder, memory, sentence_N = self._rows(state, parent_N)
        tokens = torch.from_numpy(token_N).to(self.device)
        readout, decoder, weights = self.model.decoder.step(tokens, decoder, memory)
        attention = None if weights is None else weights.float().cpu().numpy()
        logits_NV = self.model.output(readout).float()
        return logits_NV, attention, EngineState(decoder, memory, state.sources, sentence_N)

    def _rows(
        self, state: EngineState, parent_N: NDArray[np.int64]
    ) -> tuple[DecoderState, Memory, NDArray[np.int64]]:
        """Moves the rows; the memory only where a row now belongs to another sentence."""
        if len(parent_N) == len(state.sentence_N) and np.array_equal(
            parent_N, np.arange(len(parent_N))
        ):
            return state.decoder, state.memory, state.sentence_N
        decoder = state.decoder.select(torch.from_numpy(parent_N).to(self.device))
        sentence_N = state.sentence_N[parent_N]
        if np.array_equal(sentence_N, state.sentence_N):
            return decoder, state.memory, sentence_N
        memory = state.sources
        if self.model.decoder.attention is not None:
            memory = memory.select(torch.from_numpy(sentence_N).to(self.device))
        return decoder, memory, sentence_N


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
