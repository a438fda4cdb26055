"""Exports a trained model: a folder that translates without torch, as fast as a processor can."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.onnx import OnnxEngine
from seq2seq.inference.model_folder import ModelFolder, check_self_contained, read_published
from seq2seq.recipe import Model
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.search import StepModel
from seq2seq.search.model import Floats, Floats32, SourceBatch
from seq2seq.storage import atomic, checked_json
from seq2seq.storage.layout import BODIES, CARD, ENCODER, GRAPHS, OUTPUT, RECIPE, SHORTLIST, STEPS

if TYPE_CHECKING:
    from seq2seq.inference.shortlist import Shortlist

logger = logging.getLogger("seq2seq")

# How far the logarithms of probabilities may be from those of the network that was trained.
_MOST = {"float32": 1e-4, "int8": 0.5}

_TRIAL_SENTENCES = 4
_TRIAL_LENGTH = 12


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The folder.
        sizes: Bytes of each file.
        differences: For each precision, how far log-probabilities are from those of the network
            that was trained, in the mean over random sentences.
    """

    path: Path
    sizes: dict[str, int]
    differences: dict[str, float]


def export_model(
    run: str | Path, output: str | Path, *, shortlist: Shortlist | None = None
) -> Exported:
    """Gathers what translating needs: the graphs in float32 and int8, tokenizer, recipe and card.

    A run of an older version has no graphs; then they are made of its weights. The folder appears
    when it is complete and was tried, or not at all.

    Args:
        run: A run's or model's folder with its weights.
        output: The folder to make.
        shortlist: Which target pieces each source piece may need; None: there is no such list.

    Returns:
        What was written.

    Raises:
        Seq2SeqError: If ``output`` is there already, or cannot be written.
        ModelError: If there is no model in ``run``, or it has parts that only torch knows, or the
            graphs do not give its numbers.
        ModuleNotFoundError: If graphs are to be made, and torch or onnx are not installed.
    """
    target = Path(output)
    check_target(target)
    model, files, network = read_published(run, lambda: _gathered(Path(run), shortlist))
    with atomic.write_errors(target), atomic.new_folder(target) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if shortlist is not None:
            shortlist.save(partial / SHORTLIST)
            files[SHORTLIST] = (partial / SHORTLIST).read_bytes()
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        card = {**model.card, "tokenizer_sha256": model.tokenizers.digest, "files": sums}
        card.pop("weights_sha256", None)
        checked_json.write(partial / CARD, card)
        differences = _tried(ModelFolder.open(partial), network)
        sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    return Exported(target, sizes, differences)


def check_target(target: Path) -> None:
    """Checks that a folder can be made."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Seq2SeqError(f"{target}: already exists: remove it, or name another folder")


def published_graphs(options: Model, weights: Mapping[str, Any]) -> dict[str, bytes]:
    """What a training publishes beside its weights."""
    try:
        arrays = {
            name: (value.float() if value.is_floating_point() else value).detach().cpu().numpy()
            for name, value in weights.items()
        }
        return build_graphs(options, arrays)
    except Exception as error:  # whatever it is, a training of days does not end by it
        reason = str(error) if isinstance(error, Seq2SeqError) else repr(error)
        logger.warning("no ONNX graphs were made, so translating this run needs torch: %s", reason)
        return {}


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
        models[ENCODER] = network.encoder()
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
    weights = model.weights(load)
    network = _trained(model)
    if model.has_graphs:
        files = {name: model.graph_file(name) for name in GRAPHS}
    else:
        files = build_graphs(model.recipe.model, weights)
    if shortlist is not None:
        shortlist.check_fits(model.tokenizers.source.size, model.tokenizers.target.size)
        files |= build_graphs(model.recipe.model, weights, shortlist=True)
    files |= model.tokenizers.files
    files[RECIPE] = recipe_to_toml(model.recipe).encode("utf-8")
    return model, files, network


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


def _tried(model: ModelFolder, trained: StepModel[Any] | None) -> dict[str, float]:
    """Compares the graphs, as they were written, with the network that was trained.

    Without that network, those in float32 are trusted by their checksums, and the others are
    compared with them.
    """
    random = np.random.default_rng(1)
    sizes = model.tokenizers.source.size, model.tokenizers.target.size
    rows = [
        [*random.integers(EOS + 1, sizes[0], _TRIAL_LENGTH - n).tolist(), EOS]
        for n in range(_TRIAL_SENTENCES)
    ]
    source = SourceBatch.from_rows(rows)
    tokens = random.integers(EOS + 1, sizes[1], (_TRIAL_LENGTH, _TRIAL_SENTENCES))
    tokens[0] = BOS
    expected = None if trained is None else _distributions(trained, source, tokens)
    differences: dict[str, float] = {}
    for precision in STEPS:
        engine = OnnxEngine.load(model, precision=precision, threads=1)
        found = _distributions(engine, source, tokens)
        expected = found if expected is None else expected
        differences[precision] = float(np.abs(found - expected).mean())
        if not differences[precision] <= _MOST[precision]:
            raise ModelError(
                f"in {precision} the log-probabilities are {differences[precision]:.2g} from the "
                f"model's own on average, more than {_MOST[precision]:g}: it was not exported"
            )
    return differences


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
