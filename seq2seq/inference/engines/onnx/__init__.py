"""The engine for processors: a model's graphs in ONNX Runtime, as the search sees them.

The rows of one sentence attend to one copy of its memory, which stays where the encoder put it
until a quarter of the sentences are done.

Shapes: B sentences, A sentences under way, W rows of a sentence, N rows, S source length, E
embedding, V vocabulary, k candidates a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load

from seq2seq.errors import ModelError, Seq2SeqError, is_out_of_memory
from seq2seq.ids import BOS, EOS, SUPPRESSED
from seq2seq.inference.engines import RowLayout, widened
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.shortlist import SelectedHead, Shortlist, ShortlistHead
from seq2seq.processors import usable_processors
from seq2seq.recipe import Model
from seq2seq.search.model import Candidates, Distribution, Ints, SourceBatch, top_k
from seq2seq.storage.layout import BODIES, OUTPUT, SHORTLIST, STEPS

Arrays = Mapping[str, Any]

_ALL_TOKENS = np.zeros(1, dtype=np.int64)  # k = 0: the graph gives the probabilities of all tokens
_SOURCES = ("values", "keys", "mask", "cell_bias", "readout_bias")
_SPIN_MICROSECONDS = "50"  # as long as a step's shortest waits; more costs where others have work
_LEAST_USED = 0.75  # of a memory's sentences; with fewer under way it is copied to a smaller one


class EngineState(NamedTuple):
    """What the engine keeps between steps; opaque to the search.

    Attributes:
        states: The decoder's states by the names of the step's inputs, N rows.
        rows: The sentence of each row, and the sentences in memory.
        memory: The step's inputs that stay the same while ``rows`` does.
        sources: What the encoder gives to the steps, B sentences.
        lengths_B: Real tokens of each source.
        width: S, of the batch.
        output: The output layer of these sentences, where they have a shortlist.
    """

    states: Arrays
    rows: RowLayout
    memory: Arrays
    sources: Arrays
    lengths_B: Ints
    width: int
    output: SelectedHead | None


class OnnxEngine:
    """A ``StepModel`` over a model's graphs.

    With a shortlist ``head`` is the output layer, and the step's graph one that does not choose.
    """

    def __init__(
        self,
        encoder: onnxruntime.InferenceSession,
        step: onnxruntime.InferenceSession,
        options: Model,
        vocab_size: int,
        head: ShortlistHead | None = None,
    ) -> None:
        self._encoder = encoder
        self._step = step
        self.vocab_size = vocab_size
        self._attends = options.decoder.attention != "none"
        self._feeds = options.decoder.feeding == "input"
        self._feeds_state = options.decoder.state_feeding
        self._embedding = options.decoder.embedding
        self._features = features_name(options)
        self._given = [output.name for output in encoder.get_outputs()]
        states = sorted(name for name in self._given if name.startswith("state_"))
        self._states = [*states, *(["fed"] if self._feeds else [])]
        self._head = head
        self._outputs = [
            *[name.replace("state", "next") for name in states],
            *dict.fromkeys(["readout"] * self._feeds + [self._features] * (head is not None)),
            *(["attention"] if self._attends else []),
            *([] if head else ["log_probs", "tokens"]),
        ]

    @classmethod
    def load(
        cls,
        model: ModelFolder,
        *,
        precision: str = "float32",
        threads: int | None = None,
        shortlist: bool = False,
    ) -> OnnxEngine:
        """The engine of a model that has graphs."""
        threads = threads or usable_processors()
        head = _head(model) if shortlist else None
        names = model.encoder(precision), (BODIES if shortlist else STEPS)[precision]
        graphs = [model.graph_file(name) for name in names]
        try:
            encoder, step = (open_session(graph, threads) for graph in graphs)
            target_size = model.tokenizers.target.size
            engine = cls(encoder, step, model.recipe.model, target_size, head)
            engine._try(model.tokenizers.source.size)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{model.path}: ONNX Runtime cannot use this model: {reason}"
            ) from error
        return engine

    def _try(self, source_size: int) -> None:
        """Runs one step on two tiny sentences: the graphs may be those of another model.

        Any error says that they are. Compared are names, types and sizes: later steps rely on them.
        """
        sources = SourceBatch.from_rows([[source_size - 1, EOS], [EOS]])
        both = np.arange(2)
        candidates, after = self.step(self.start(sources), both, np.full(2, BOS), 1, SUPPRESSED)
        found, _ = self.distribution(after, both, np.full(2, self.vocab_size - 1))
        sizes: dict[str, tuple[Any, tuple[int, int], type]] = {
            "log_probs": (candidates.log_probs, (2, 1), np.float32),
            "tokens": (candidates.tokens, (2, 1), np.int64),
            "distribution": (found.log_probs, (2, self.vocab_size), np.float32),
        }
        if self._attends:
            sizes["attention"] = (found.attention, (2, 2), np.float32)
        for name, (array, shape, kind) in sizes.items():
            if array is None or array.shape != shape or array.dtype != kind:
                raise ValueError(f"{name} must be {shape} numbers of {kind.__name__}")
        if not (candidates.tokens >= 0).all() or not (candidates.tokens < self.vocab_size).all():
            raise ValueError("tokens must be in the vocabulary")

    def start(self, source: SourceBatch) -> EngineState:
        """Encodes a batch."""
        width = int(source.lengths.max())
        ids_BS = np.ascontiguousarray(source.ids[:, :width])
        found = _run(self._encoder, None, {"ids": ids_BS, "lengths": source.lengths})
        given = dict(zip(self._given, found, strict=True))
        states = {name: given.pop(name) for name in self._states if name != "fed"}
        if self._feeds:
            states["fed"] = np.zeros((len(source), self._embedding), dtype=np.float32)
        rows = RowLayout.first(len(source))
        memory = self._placed(rows, {name: given[name] for name in given if name in _SOURCES})
        output = None if self._head is None else self._head.select(ids_BS, source.lengths)
        return EngineState(states, rows, memory, given, source.lengths, width, output)

    def step(
        self,
        state: EngineState,
        parent_N: Ints,
        token_N: Ints,
        k: int,
        suppress: Sequence[int] = (),
    ) -> tuple[Candidates, EngineState]:
        """Feeds each row its token and finds the best next ones."""
        if state.output is not None:
            found, after = self._run(state, parent_N, token_N)
            best = state.output.best(found[self._features], after.rows.sentence_N, k, suppress)
            return Candidates(*best, found.get("attention")), after
        # The graph leaves out just the special tokens.
        if tuple(suppress) != SUPPRESSED or k > self.vocab_size - len(SUPPRESSED):
            every, after = self.distribution(state, parent_N, token_N)
            every.log_probs[:, list(suppress)] -= np.inf
            return Candidates(*top_k(every.log_probs, k), every.attention), after
        found, after = self._run(state, parent_N, token_N, k=np.array([k], dtype=np.int64))
        return Candidates(found["log_probs"], found["tokens"], found.get("attention")), after

    def distribution(
        self, state: EngineState, parent_N: Ints, token_N: Ints
    ) -> tuple[Distribution, EngineState]:
        """Feeds each row its token and gives the log-probabilities of all next ones."""
        if state.output is not None:
            found, after = self._run(state, parent_N, token_N)
            log_probs = state.output.log_probs(found[self._features], after.rows.sentence_N)
            return Distribution(log_probs, found.get("attention")), after
        found, after = self._run(state, parent_N, token_N, k=_ALL_TOKENS)
        return Distribution(found["log_probs"], found.get("attention")), after

    def _run(
        self, state: EngineState, parent_N: Ints, token_N: Ints, **choice: Ints
    ) -> tuple[dict[str, Any], EngineState]:
        rows = state.rows.moved(parent_N, _LEAST_USED if self._attends else 0.0)
        memory = state.memory if rows is state.rows else self._memory(state, rows)
        inputs = {"parent": parent_N, "token": token_N, **choice, **state.states, **memory}
        every = _run(self._step, self._outputs, inputs)
        found = dict(zip(self._outputs, every, strict=True))
        if self._attends:
            found["attention"] = widened(found["attention"], state.width)
        # The new states come first, in the order of `_states`; "fed" is the readout.
        states = dict(zip(self._states, every, strict=False))
        _, _, _, sources, lengths_B, width, output = state  # much faster than `_replace`
        return found, EngineState(states, rows, memory, sources, lengths_B, width, output)

    def _memory(self, state: EngineState, rows: RowLayout) -> Arrays:
        """What the rows read of their sentences; dropped are those that no row needs."""
        memory = dict(state.memory)
        if rows.memory_A is not state.rows.memory_A:
            width = int(state.lengths_B[rows.memory_A].max())
            for name in ("values", "keys"):
                memory[name] = state.sources[name][rows.memory_A, :width]
            memory["mask"] = state.sources["mask"][rows.memory_A, :, :width]
        return self._placed(rows, memory)

    def _placed(self, rows: RowLayout, memory: dict[str, Any]) -> Arrays:
        """Adds which sentence's memory each row reads."""
        if self._feeds_state:
            memory["sentence"] = rows.sentence_N
        if self._attends:
            memory |= {"place": rows.places, "row": rows.table()}
        return memory


def features_name(options: Model) -> str:
    """The output of a step's graph that an output layer outside of it reads."""
    return "features" if options.lexical or options.output.kind != "linear" else "readout"


def _run(
    session: onnxruntime.InferenceSession, outputs: Sequence[str] | None, inputs: Arrays
) -> list[Any]:
    try:
        found: list[Any] = session.run(outputs, inputs)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise ModelError(f"the model's graphs cannot be run: {reason}") from error
    return found


def _head(model: ModelFolder) -> ShortlistHead:
    if not (model.path / SHORTLIST).exists():
        way = "exported without a shortlist" if model.is_exported else "a run has no shortlist"
        raise Seq2SeqError(
            f"{model.path}: {way}: export the run with --shortlist DATA, its prepared data, and "
            "translate with that"
        )
    model.graph_file(SHORTLIST)
    shortlist = Shortlist.load(model.path / SHORTLIST)
    shortlist.check_fits(model.tokenizers.source.size, model.tokenizers.target.size)
    path = model.file(OUTPUT)
    try:
        arrays = load(model.graph_file(OUTPUT))
        weight_VE, bias_V = arrays["weight"], arrays["bias"]
    except (SafetensorError, LookupError) as error:
        raise ModelError(f"{path}: damaged, or not an output layer: {error}") from None
    floats = weight_VE.dtype == bias_V.dtype == np.float32
    if not floats or weight_VE.ndim != 2 or bias_V.shape != weight_VE.shape[:1]:
        raise ModelError(f"{path}: not an output layer: export the model again")
    if len(bias_V) != model.tokenizers.target.size:
        raise ModelError(f"{path}: of another model: it has {len(bias_V):,} target pieces")
    return ShortlistHead(weight_VE, bias_V, shortlist)


def open_session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Readies a graph, with threads of its own.

    A thread that waits tries again for a moment only, and then sleeps. By default it would hold its
    core for a thousand times as long: with another process on two cores, or while the threads of
    the other graph have work, two threads were then half as fast as one.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what it warns of is no user's to mend, errors are raised
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
