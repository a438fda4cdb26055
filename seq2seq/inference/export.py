"""Exports a trained model: a folder that translates without torch, as fast as a processor can."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.onnx import engine as onnx_engine
from seq2seq.inference.model_folder import ModelFolder, check_self_contained
from seq2seq.recipe import Model
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.search import StepModel
from seq2seq.search.model import Floats, Floats32, SourceBatch
from seq2seq.storage import atomic, checked_json
from seq2seq.storage.layout import BODIES, CARD, ENCODER, GRAPHS, OUTPUT, RECIPE, SHORTLIST, STEPS

if TYPE_CHECKING:
    from seq2seq.inference.shortlist import Shortlist

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
    """Writes a model folder: ONNX graphs in float32 and int8, tokenizer, recipe and card.

    The folder appears when it is complete and was tried, or not at all.

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
    """
    target = Path(output)
    check_target(target)
    folder = ModelFolder.open(run)
    options = folder.recipe.model
    check_supported(options)
    weights = read_weights(folder.path, load_file)
    sizes = folder.tokenizers.source.size, folder.tokenizers.target.size
    found = {name: array.shape for name, array in weights.items()}
    check_shapes(parameter_shapes(options, *sizes), found, folder.path / WEIGHTS)
    with _being_made(target) as temporary:
        _write(temporary, folder, OnnxNetwork(options, weights), shortlist)
        differences = _tried(temporary, NumpyEngine(options, weights))
        written = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
    return Exported(target, written, differences)


@contextmanager
def _being_made(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes the target if all goes well, and vanishes if not."""
    temporary = None
    try:
        parent = target.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
        yield temporary
        temporary.chmod(0o777 & ~umask())
        temporary.rename(target)
    except OSError as error:
        wrong = Seq2SeqError(f"{target}: cannot be written: {error.strerror}")
        wrong.exit_code = 1 if error.errno in (ENOSPC, EDQUOT, EIO) else 2
        raise wrong from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def check_target(target: Path) -> None:
    """Checks that a folder can be made.

    Args:
        target: The folder.

    Raises:
        Seq2SeqError: If it is there already, and not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Seq2SeqError(f"{target}: is there already: remove it, or name another folder")


def _write(
    folder: Path, model: ModelFolder, network: OnnxNetwork, shortlist: Shortlist | None
) -> None:
    files = {ENCODER: network.encoder().SerializeToString()}
    for precision in PRECISIONS:
        files[STEPS[precision]] = network.step(precision).SerializeToString()
    if shortlist is not None:
        shortlist.check_fits(model.tokenizers.source.size, model.tokenizers.target.size)
        for precision in PRECISIONS:
            body = network.step(precision, chooses=False)
            files[BODIES[precision]] = body.SerializeToString()
        weight, bias = network.output_layer()
        files[OUTPUT] = save({"weight": weight, "bias": bias})
        shortlist.save(folder / SHORTLIST)
        files[SHORTLIST] = (folder / SHORTLIST).read_bytes()
    files |= model.tokenizers.files
    files["recipe.toml"] = recipe_to_toml(model.recipe).encode("utf-8")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[CARD] = _card(model, sums)
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _card(model: ModelFolder, sums: dict[str, str]) -> bytes:
    """The run's card, with the checksums of what was made of it."""
    try:
        card = unsealed((model.path / CARD).read_bytes())
    except FileNotFoundError:
        card = {"tokenizer_sha256": model.tokenizers.digest}
    card.pop("weights_sha256", None)
    return sealed({**card, "files": sums}).encode("utf-8")


def _tried(folder: Path, trained: NumpyEngine) -> dict[str, float]:
    """Compares the graphs, as they were written, with the network that was trained."""
    model = ModelFolder.open(folder)
    random = np.random.default_rng(1)
    rows = [
        [*random.integers(EOS + 1, trained.source_vocab_size, _TRIAL_LENGTH - n).tolist(), EOS]
        for n in range(_TRIAL_SENTENCES)
    ]
    source = SourceBatch.from_rows(rows)
    tokens = random.integers(EOS + 1, trained.vocab_size, (_TRIAL_LENGTH, _TRIAL_SENTENCES))
    tokens[0] = BOS
    expected = _distributions(trained, source, tokens)
    differences: dict[str, float] = {}
    for precision in PRECISIONS:
        engine = onnx_engine.load_engine(model, precision=precision, threads=1)
        off = np.abs(_distributions(engine, source, tokens) - expected)
        differences[precision] = float(off.mean())
        if not differences[precision] <= _MOST[precision]:
            raise ModelError(
                f"in {precision} the log-probabilities are {differences[precision]:.2g} from the "
                f"model's own in the mean, more than {_MOST[precision]:g}: it was not exported"
            )
    return differences


def _distributions(
    engine: NumpyEngine | OnnxEngine, source: SourceBatch, tokens: np.ndarray
) -> Floats:
    every = np.arange(len(source))
    state: Any = engine.start(source)
    found = []
    for token_B in tokens:
        distribution, state = engine.distribution(state, every, token_B)
        found.append(distribution.log_probs.astype(np.float64))
    return np.stack(found)
