"""A saved model from the outside: what is checked, which engine runs it, what must be installed."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from support.saved import LINES, save_tiny_model, tokenizers_of
from threadpoolctl import ThreadpoolController, threadpool_limits

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference import engines, numpy_engine
from seq2seq.inference.engines.choice import load_engine
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.export import export_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.numpy_engine import NumpyEngine
from seq2seq.inference.translator import Translator
from seq2seq.nn.cells import CELLS
from seq2seq.recipe.model import OtherCell
from seq2seq.text.tokenizer import Tokenizers


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def message(folder: Path, engine: str) -> str:
    with pytest.raises(Seq2SeqError) as error:
        Translator.load(folder, engine=engine)
    assert type(error.value) is ModelError
    return str(error.value)


# ---------------------------------------------------------------------------------------------
# Both engines check the same, in the same words


@pytest.fixture(params=["numpy", "torch"])
def complaint(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    return lambda folder: message(folder, request.param)


def test_another_tokenizer(folder: Path, complaint: Callable[[Path], str]) -> None:
    trained_with = Tokenizers.load(folder).digest
    other = tokenizers_of([line.upper() for line in LINES])
    other.save(folder)
    assert complaint(folder) == (
        f"{folder}: tokenizer.model is not the tokenizer that the model was trained with: "
        f"card.json gives its sha256 as {trained_with[:16]}..., not {other.digest[:16]}...; put "
        "the tokenizer of the training back"
    )


def test_a_damaged_card(folder: Path, complaint: Callable[[Path], str]) -> None:
    card = folder / "card.json"
    card.write_bytes(b'{"tokenizer_sha256": "\xff')
    assert complaint(folder) == f"{card}: damaged: it is not JSON"
    card.write_bytes(b"[]")
    assert complaint(folder) == f"{card}: damaged: it is not a JSON object"
    card.unlink()
    card.mkdir()
    assert complaint(folder) == f"{card}: cannot be read: Is a directory"


@pytest.mark.parametrize("card", [None, "{}"])
def test_a_card_that_says_nothing_of_the_tokenizer(folder: Path, card: str | None) -> None:
    (folder / "card.json").unlink()
    if card is not None:
        (folder / "card.json").write_text(card, encoding="utf-8")
    assert ModelFolder.open(folder).recipe.name == "tiny"


def test_damaged_weights(folder: Path, complaint: Callable[[Path], str]) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert complaint(folder).startswith(f"{path} is damaged or no safetensors file: ")
    path.write_bytes(b"")
    assert complaint(folder).startswith(f"{path} is damaged or no safetensors file: ")


def test_weights_of_another_network(folder: Path, complaint: Callable[[Path], str]) -> None:
    path = folder / "weights.safetensors"
    weights = load_arrays(path)
    weights["encoder.extra"] = weights.pop("decoder.readout.bias")
    save_arrays(weights, path)
    assert complaint(folder) == (
        f"{path} does not fit the recipe: it lacks decoder.readout.bias and has encoder.extra "
        "besides; recipe.toml and weights must be of one run"
    )


def test_weights_of_other_sizes(folder: Path, complaint: Callable[[Path], str]) -> None:
    path = folder / "weights.safetensors"
    weights = load_arrays(path)
    weights["output.bias"] = weights["output.bias"][:-1]
    weights["decoder.readout.weight"] = weights["decoder.readout.weight"].T.copy()
    save_arrays(weights, path)
    assert complaint(folder) == (
        f"{path}: decoder.readout.weight is (24, 8), recipe and tokenizer ask for (8, 24); "
        "recipe.toml, tokenizer and weights must be of one run"
    )


# ---------------------------------------------------------------------------------------------
# Which engine


def test_all_engines_translate_alike(saved: Path, tmp_path: Path) -> None:
    lines = [*LINES, "", "a house  reads", "unseen Wörter"]
    exported = export_model(saved, tmp_path / "exported").path
    found = [
        Translator.load(folder, engine=engine).translate_nbest(lines, n_best=2, beam=4)
        for folder, engine in [(exported, "auto"), (saved, "numpy"), (saved, "torch")]
    ]
    texts = [[[one.text for one in several] for several in each] for each in found]
    assert texts[0] == texts[1] == texts[2]
    assert len({several[0] for several in texts[0]}) > 8
    scores = [[one.score for several in each for one in several] for each in found]
    np.testing.assert_allclose(scores[1], scores[2], atol=1e-4)


def engine_type(model: ModelFolder) -> type:
    return type(load_engine(model, "auto", None))


def test_numpy_is_taken_where_it_can_be(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelFolder.open(saved)
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: False)
    assert engine_type(model) is NumpyEngine
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine_type(model) is NumpyEngine  # a driver, but no GPU that torch can use
    monkeypatch.setattr(engines, "_torch", lambda: None)
    assert engine_type(model) is NumpyEngine


def test_torch_is_taken_where_it_sees_a_gpu(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(engines, "_torch", lambda: seen)
    assert engine_type(ModelFolder.open(saved)) is TorchEngine


def test_torch_is_taken_for_a_cell_of_the_users(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS, "mine", CELLS["lstm"])
    model = ModelFolder.open(saved)
    network = model.recipe.model
    update: dict[str, Any] = {"cell": OtherCell.model_construct(kind="mine")}
    network = network.model_copy(update={"decoder": network.decoder.model_copy(update=update)})
    ours = model.recipe.model_copy(update={"model": network})
    model = ModelFolder(saved, ours, model.tokenizers)
    assert engine_type(model) is TorchEngine
    monkeypatch.setattr(engines, "_torch", lambda: None)
    with pytest.raises(ModelError, match=r"^this model's cell 'mine' needs torch: pip install"):
        load_engine(model, "auto", None)


def test_threads_are_bounded(saved: Path) -> None:
    blas = ThreadpoolController().select(user_api="blas")
    if not blas.lib_controllers:
        pytest.skip("numpy's BLAS here cannot be told")
    with threadpool_limits(2, user_api="blas"):
        Translator.load(saved, engine="numpy", threads=1)
        assert {library["num_threads"] for library in blas.info()} == {1}


def test_threads_that_cannot_be_bounded_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ThreadpoolController, "_load_libraries", lambda self: None)
    with caplog.at_level(logging.WARNING, "seq2seq"):
        numpy_engine.bound_threads(3)
    assert caplog.messages == [
        "threads = 3 has no effect: numpy's matrix products are done by a library that cannot be "
        "told here; set VECLIB_MAXIMUM_THREADS=3 before starting (macOS)"
    ]


# ---------------------------------------------------------------------------------------------
# Without the training packages

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "datasets", "pyarrow", "matplotlib"):
            raise ModuleNotFoundError(f"{name} is blocked here", name=name)

sys.meta_path.insert(0, Blocked())
"""


def test_the_base_install_translates(saved: Path) -> None:
    code = (
        "import seq2seq\n"
        "translator = seq2seq.Translator.load(sys.argv[1], threads=1)\n"
        "print(*translator.translate(sys.argv[2:], beam=3), sep='\\n')\n"
        "assert 'torch' not in sys.modules\n"
    )
    lines = [*LINES[:4], ""]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + code, str(saved), *lines],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    expected = Translator.load(saved, engine="torch").translate(lines, beam=3)
    assert done.stdout.split("\n")[:-1] == expected
