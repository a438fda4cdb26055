"""Exports a trained model: a folder that translates without torch, as fast as a processor can."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.onnx import OnnxEngine, open_session
from seq2seq.inference.model_folder import (
    ModelFolder,
    check_self_contained,
    digests,
    read_published,
    recipe_digest,
)
from seq2seq.recipe import Model
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.search import StepModel
from seq2seq.search.model import Floats, Floats32, SourceBatch
from seq2seq.storage import atomic, checked_json
from seq2seq.storage.layout import (
    BODIES,
    CARD,
    ENCODERS,
    EXPORTED,
    GRAPHS,
    OUTPUT,
    RECIPE,
    SHORTLIST,
    STEPS,
    TOKENIZERS,
    WEIGHTS,
)

if TYPE_CHECKING:
    from seq2seq.inference.shortlist import Shortlist

logger = logging.getLogger("seq2seq")

# How far the logarithms of probabilities may be from those of the network that was trained.
_MOST = {"float32": 1e-4, "int8": 0.5}

# Of every network, the names of a tensor with a row for each source piece and each target piece.
_SIZED = "encoder.embedding.table.weight", "output.bias"

_TRIAL_SENTENCES = 4
_TRIAL_LENGTH = 12
_SHORT_TRIAL = 6  # of a training, which is to lose no time by it


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The folder.
        sizes: Bytes of each file.
        differences: For each precision, how far log-probabilities are from those of the network
            that was trained, in the mean over random sentences. Without that network, as torch is
            not installed or a cell's package is not: None for float32, and int8 from float32.
    """

    path: Path
    sizes: dict[str, int]
    differences: dict[str, float | None]


def export_model(
    run: str | Path,
    output: str | Path,
    *,
    shortlist: Shortlist | None = None,
    overwrite: bool = False,
) -> Exported:
    """Gathers what translating needs: the graphs in float32 and int8, tokenizer, recipe and card.

    A run of an older version lacks graphs; then they are made of its weights. The folder appears
    when it is complete and was tried, or not at all.

    Args:
        run: A run's or model's folder with its weights.
        output: The folder to make.
        shortlist: Which target pieces each source piece may need; None: there is no such list.
        overwrite: Replace ``output`` if it is an exported model.

    Returns:
        What was written.

    Raises:
        Seq2SeqError: If ``output`` is there already, or cannot be written.
        ModelError: If there is no model in ``run``, or it has parts that only torch knows, or the
            graphs do not give its numbers.
        ModuleNotFoundError: If graphs are to be made, and torch or onnx are not installed.
    """
    target = Path(output)
    check_target(target, overwrite=overwrite, run=run)
    model, files, network = read_published(run, lambda: _gathered(Path(run), shortlist))
    with atomic.write_errors(target), atomic.new_folder(target, overwrite=overwrite) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if shortlist is not None:
            shortlist.save(partial / SHORTLIST)
            files[SHORTLIST] = (partial / SHORTLIST).read_bytes()
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        card = {**model.card, "tokenizer_sha256": model.tokenizers.digest, "files": sums}
        card.pop("weights_sha256", None)
        if "recipe_sha256" in card:  # an older version's recipe has fewer keys
            card["recipe_sha256"] = recipe_digest(files[RECIPE].decode("utf-8"))
        checked_json.write(partial / CARD, card)
        differences = _tried(ModelFolder.open(partial), network)
        sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    return Exported(target, sizes, differences)


def check_target(target: Path, *, overwrite: bool, run: str | Path) -> None:
    """Checks that a folder can be made; ``overwrite``: perhaps in place of an exported model."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise Seq2SeqError(
            f"{target}: already exists: name another folder, or replace an exported model with "
            "--overwrite (from Python, overwrite=True)"
        )
    if target.is_symlink() or atomic.real_path(target) in (atomic.real_path(run), Path.cwd()):
        raise Seq2SeqError(
            f"{target}: a link, the model that is exported or the current folder, none of which is "
            "replaced: name another folder"
        )
    names = {path.name for path in target.iterdir()} if target.is_dir() else {"a file"}
    if CARD not in names or (foreign := names - {CARD, RECIPE, *TOKENIZERS, *EXPORTED}):
        holds = "no model" if CARD not in names else ", ".join(sorted(foreign)[:3])
        raise Seq2SeqError(
            f"{target}: not just an exported model (it holds {holds}), so it is not replaced: name "
            "another folder"
        )


def published_graphs(options: Model, weights: Mapping[str, Any]) -> dict[str, bytes]:
    """What a training publishes beside its weights."""
    try:
        tensors = {
            name: (value.float() if value.is_floating_point() else value).detach().cpu()
            for name, value in weights.items()
        }
        graphs = build_graphs(options, {name: value.numpy() for name, value in tensors.items()})
        too_rough = _too_rough(options, tensors, graphs)
    except Exception as error:  # whatever it is, a training of days does not end by it
        reason = str(error) if isinstance(error, Seq2SeqError) else repr(error)
        _warn(f"no ONNX graphs were made, so translating this run needs torch: {reason}")
        return {}
    if "float32" in too_rough:
        _warn(
            "the ONNX graphs do not give the network's numbers, so none were published and "
            "translating this run needs torch"
        )
        return {}
    for precision in too_rough:
        del graphs[STEPS[precision]], graphs[ENCODERS[precision]]
        _warn(f"the graph in {precision} does not give the network's numbers: it was not published")
    return graphs


@cache
def _warn(text: str) -> None:
    """Warns once, not again at every validation that finds better weights."""
    logger.warning("%s", text)


def _too_rough(
    options: Model, weights: Mapping[str, Any], graphs: Mapping[str, bytes]
) -> list[str]:
    """The precisions whose graph does not give the network's numbers."""
    import torch

    from seq2seq.inference.engines.torch import TorchEngine
    from seq2seq.models.translation import TranslationModel
    from seq2seq.models.weights import load_tensors

    source_size, target_size = (len(weights[name]) for name in _SIZED)
    with torch.random.fork_rng(devices=[]):  # the training's random numbers stay what they are
        # The weights take the place of these; orthogonal ones take seconds to draw.
        drawn = options.model_copy(update={"recurrent_init": "uniform"})
        network = TranslationModel(drawn, source_size, target_size)
    load_tensors(network, weights, Path(WEIGHTS))
    trial = _trial(source_size, target_size, _SHORT_TRIAL)
    expected = _distributions(TorchEngine(network), *trial)

    def compare() -> list[str]:
        sessions = {name: open_session(graphs[name], 1) for name in GRAPHS}
        found = []
        for precision, name in STEPS.items():
            encoder = sessions[ENCODERS[precision]]
            engine = OnnxEngine(encoder, sessions[name], options, target_size)
            difference = np.abs(_distributions(engine, *trial) - expected).mean()
            if not difference <= _MOST[precision]:
                found.append(precision)
        return found

    # ONNX Runtime changes how the thread that loads it rounds the smallest numbers.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(compare).result()


def build_graphs(
    options: Model, weights: Mapping[str, Floats32], *, shortlist: bool = False
) -> dict[str, bytes]:
    """Makes a network's ONNX graphs, as the contents of files by their names.

    The weights go by the names that torch gives them, each shared one under its first name. With a
    shortlist come the step without its output layer, and that layer, instead. A part that only
    torch knows is a ``ModelError``.
    """
    from seq2seq.inference.engines.onnx.builder import PRECISIONS
    from seq2seq.inference.engines.onnx.network import OnnxNetwork

    network = OnnxNetwork(options, weights)
    if shortlist:
        weight_VE, bias_V = network.output_layer()
        models = {BODIES[name]: network.step(name, chooses=False) for name in PRECISIONS}
        files = {OUTPUT: save({"weight": weight_VE, "bias": bias_V})}
    else:
        models = {STEPS[name]: network.step(name) for name in PRECISIONS}
        models |= {ENCODERS[name]: network.encoder(name) for name in PRECISIONS}
        files = {}
    for name, model in models.items():
        files[name] = model.SerializeToString()
        check_self_contained(files[name], name)
    return files


def _gathered(
    run: Path, shortlist: Shortlist | None
) -> tuple[ModelFolder, dict[str, bytes], StepModel[Any] | None]:
    """What is read of a run: the model, the files to write, and the network to compare with."""
    model = ModelFolder.open(run)
    network = _trained(model)
    names = [name for name in GRAPHS if name in digests(model.card)]
    if model.is_exported or len(names) == len(GRAPHS):
        files = {name: model.graph_file(name) for name in names}
    else:
        files = build_graphs(model.recipe.model, _arrays(model))
    if shortlist is not None:
        shortlist.check_fits(model.tokenizers.source.size, model.tokenizers.target.size)
        files |= build_graphs(model.recipe.model, _arrays(model), shortlist=True)
    files |= model.tokenizers.files
    files[RECIPE] = recipe_to_toml(model.recipe).encode("utf-8")
    return model, files, network


def _arrays(model: ModelFolder) -> dict[str, Any]:
    """The weights in float32, however they are stored: numpy has no bfloat16."""
    from safetensors.torch import load

    return {
        name: (value.float() if value.is_floating_point() else value).numpy()
        for name, value in model.weights(load).items()
    }


def _trained(model: ModelFolder) -> StepModel[Any] | None:
    """The network that was trained; None where graphs do without it: torch or a cell is missing."""
    if model.has_graphs and not model.recipe.model.parts_are_installed():
        return None
    try:
        from seq2seq.inference.engines.torch import TorchEngine, load_model
    except ModuleNotFoundError:
        if model.has_graphs:
            return None
        raise
    return TorchEngine(load_model(model))


def _tried(model: ModelFolder, trained: StepModel[Any] | None) -> dict[str, float | None]:
    """Compares the graphs, as they were written, with the network that was trained.

    Without that network, those in float32 are trusted by their checksums, and the others are
    compared with them.
    """
    source, tokens = _trial(
        model.tokenizers.source.size, model.tokenizers.target.size, _TRIAL_LENGTH
    )
    expected = None if trained is None else _distributions(trained, source, tokens)
    differences: dict[str, float | None] = {}
    for precision in STEPS:
        engine = OnnxEngine.load(model, precision=precision, threads=1)
        found = _distributions(engine, source, tokens)
        if expected is None:
            expected, differences[precision] = found, None
            continue
        differences[precision] = difference = float(np.abs(found - expected).mean())
        if not difference <= _MOST[precision]:
            raise ModelError(
                f"in {precision} the log-probabilities are {difference:.2g} from the "
                f"model's own on average, more than {_MOST[precision]:g}: it was not exported"
            )
    return differences


def _trial(
    source_size: int, target_size: int, length: int
) -> tuple[SourceBatch, NDArray[np.int64]]:
    """Random sources, and the tokens that are fed to each at every step (T, B)."""
    random = np.random.default_rng(1)
    rows = [
        [*random.integers(EOS + 1, source_size, length - n).tolist(), EOS]
        for n in range(_TRIAL_SENTENCES)
    ]
    tokens = random.integers(EOS + 1, target_size, (length, _TRIAL_SENTENCES))
    tokens[0] = BOS
    return SourceBatch.from_rows(rows), tokens


def _distributions(
    engine: StepModel[Any], source: SourceBatch, tokens: NDArray[np.int64]
) -> Floats:
    every = np.arange(len(source))
    state: Any = engine.start(source)
    found = []
    for token_B in tokens:
        distribution, state = engine.distribution(state, every, token_B)
        found.append(distribution.log_probs.astype(np.float64))
    return np.stack(found)
