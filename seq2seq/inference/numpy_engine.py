"""The engine of the base install: a translation model in numpy alone, as the search sees it.

It reads the weights that torch trained and gives the numbers that torch gives, in float32, for
every model that recipes describe with the built-in parts; the tests hold it to that. It starts in a
fraction of the time that importing torch takes, and on a processor one step of a small network is
faster too, since there is less around each matrix product.

Shapes: B sentences, N rows, S source length, E embedding, V vocabulary, k candidates a row.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from safetensors.numpy import load_file

from seq2seq.inference.model_folder import WEIGHTS, ModelFolder, check_shapes, read_weights
from seq2seq.inference.numpy_attention import Places, widened
from seq2seq.inference.numpy_cells import Read
from seq2seq.inference.numpy_network import (
    DecoderState,
    Given,
    NumpyBridge,
    NumpyDecoder,
    NumpyEncoder,
)
from seq2seq.inference.numpy_output import AllTokens
from seq2seq.inference.numpy_weights import (
    SOURCE_TABLE,
    TARGET_TABLE,
    check_supported,
    parameter_shapes,
)
from seq2seq.inference.shortlist import SelectedHead, Shortlist, ShortlistHead
from seq2seq.recipe import Model
from seq2seq.search.model import Candidates, Distribution, Floats32, Ints, SourceBatch

logger = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class EngineState:
    """What the engine keeps between steps; opaque to the search.

    Attributes:
        decoder: N rows.
        given: What the sources give to these rows; it changes only when a row's sentence does.
        sources: What they give, with one row a sentence of the batch.
        sentence_N: Which sentence each row translates.
        width: S, positions of the batch.
        output: The output layer, perhaps of the batch's own tokens.
    """

    decoder: DecoderState
    given: Given
    sources: Given
    sentence_N: Ints
    width: int
    output: AllTokens | SelectedHead


class NumpyEngine:
    """A ``StepModel`` over the weights of a ``TranslationModel``.

    Args:
        options: The recipe's model table.
        weights: By parameter name, as ``parameter_shapes`` has them.
        shortlist: The target pieces that each source piece may need; None: all are looked at.

    Raises:
        ModelError: If the model has a part that only torch knows, or the shortlist does not fit.
    """

    def __init__(
        self, options: Model, weights: dict[str, Floats32], *, shortlist: Shortlist | None = None
    ) -> None:
        check_supported(options)

        def read(name: str) -> Floats32:
            return np.asarray(weights[name], dtype=np.float32)

        def reading(prefix: str) -> Read:
            return lambda name: read(f"{prefix}.{name}")

        target = SOURCE_TABLE if options.tie == "all" else TARGET_TABLE
        output = target if options.tie != "none" else "output.weight"
        self._source_VE = read(SOURCE_TABLE)
        self._target_VE = read(target)
        bias_V = read("output.bias")
        self.vocab_size = len(bias_V)
        self.source_vocab_size = len(self._source_VE)
        self._output: AllTokens | ShortlistHead
        if shortlist is None:
            self._output = AllTokens(read(output).T, bias_V)
        else:
            shortlist.check_fits(self.source_vocab_size, self.vocab_size)
            self._output = ShortlistHead(read(output), bias_V, shortlist)
        self._encoder = NumpyEncoder(options, reading)
        self._bridge = NumpyBridge(options, reading)
        self._decoder = NumpyDecoder(options, reading)

    def start(self, source: SourceBatch) -> EngineState:
        """Encodes a batch.

        Args:
            source: B sentences.

        Returns:
            A state of B rows, row i for sentence i.
        """
        ids_BS = source.ids[:, : int(source.lengths.max())]
        outputs_BSD, final = self._encoder(self._source_VE, ids_BS, source.lengths)
        decoder = self._decoder.start(self._bridge(final))
        given = self._decoder.given(outputs_BSD, source.lengths, final[-1][0])
        output = self._output.select(ids_BS, source.lengths)
        rows = np.arange(len(source))
        return EngineState(decoder, given, given, rows, source.ids.shape[1], output)

    def step(
        self,
        state: EngineState,
        parent_N: Ints,
        token_N: Ints,
        k: int,
        bias: Floats32 | None = None,
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
        readout_NE, attention_NS, state = self._advance(state, parent_N, token_N)
        best = state.output.best(readout_NE, state.sentence_N, k, bias)
        return Candidates(*best, attention_NS), state

    def distribution(
        self, state: EngineState, parent_N: Ints, token_N: Ints
    ) -> tuple[Distribution, EngineState]:
        """Feeds each row its token and tells of all tokens.

        Args:
            state: The state before.
            parent_N: The row of ``state`` that each new row goes on from.
            token_N: The token that each new row is fed.

        Returns:
            Each row's log-probabilities of all tokens, and the state after.
        """
        readout_NE, attention_NS, state = self._advance(state, parent_N, token_N)
        log_probs_NV = state.output.log_probs(readout_NE, state.sentence_N)
        return Distribution(log_probs_NV, attention_NS), state

    def _advance(
        self, state: EngineState, parent_N: Ints, token_N: Ints
    ) -> tuple[Floats32, Floats32 | None, EngineState]:
        """Readouts (N, E), attention (N, S) and the state after."""
        state = _moved(state, parent_N)
        x_NE = self._target_VE[token_N]
        readout_NE, decoder, weights_NS = self._decoder.step(x_NE, state.decoder, state.given)
        if weights_NS is not None:
            weights_NS = widened(weights_NS, state.width)
        return readout_NE, weights_NS, replace(state, decoder=decoder)


def _moved(state: EngineState, parent_N: Ints) -> EngineState:
    """Moves the rows; what belongs to their sentences only where a row's sentence changes."""
    if np.array_equal(parent_N, np.arange(len(state.sentence_N))):
        return state
    decoder = state.decoder.select(parent_N)
    sentence_N = state.sentence_N[parent_N]
    if np.array_equal(sentence_N, state.sentence_N):
        return replace(state, decoder=decoder)
    given = _given(state, sentence_N)
    return replace(state, decoder=decoder, given=given, sentence_N=sentence_N)


def _given(state: EngineState, sentence_N: Ints) -> Given:
    sources, before = state.sources, state.given
    places, memory = None, None
    if before.places is not None and sources.memory is not None:
        places, memory = Places.of(sentence_N), before.memory
        if not np.array_equal(places.active_A, before.places.active_A):
            memory = sources.memory.select(places.active_A)

    def rows(bias: Floats32 | None) -> Floats32 | None:
        return None if bias is None else bias.take(sentence_N, axis=0)

    return Given(places, memory, rows(sources.cell_bias_NG), rows(sources.readout_bias_NE))


def load_engine(
    model: ModelFolder, *, threads: int | None = None, shortlist: Shortlist | None = None
) -> NumpyEngine:
    """The engine of a run or model folder.

    Args:
        model: The folder.
        threads: Bound of processor threads; None: numpy's own choice.
        shortlist: The target pieces that each source piece may need; None: all are looked at.

    Returns:
        The engine.

    Raises:
        ModelError: If the weights are missing or damaged, they or the shortlist do not fit, or
            the model has a part that only torch knows.
    """
    options = model.recipe.model
    check_supported(options)
    if threads is not None:
        bound_threads(threads)
    weights = read_weights(model.path, load_file)
    sizes = model.tokenizers.source.size, model.tokenizers.target.size
    found = {name: array.shape for name, array in weights.items()}
    check_shapes(parameter_shapes(options, *sizes), found, model.path / WEIGHTS)
    return NumpyEngine(options, weights, shortlist=shortlist)


def bound_threads(threads: int) -> None:
    """Bounds the threads of numpy's matrix products, for the whole process as torch does too.

    Args:
        threads: The most threads.
    """
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas")
    if not libraries.lib_controllers:
        logger.warning(
            "threads = %d has no effect: numpy's matrix products are done by a library that "
            "cannot be told here; set VECLIB_MAXIMUM_THREADS=%d before starting (macOS)",
            threads,
            threads,
        )
    libraries.limit(limits=threads)
