"""A saved model from the outside: what is checked, which engine runs it, what must be installed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.external_data_helper
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from support.saved import LINES, save_tiny_model, tokenizers_of

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference import engines
from seq2seq.inference.engines import load_engine
from seq2seq.inference.engines.onnx import OnnxEngine
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.export import export_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.translator import Translator
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.run import RunFolder


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


@pytest.fixture(params=["onnx", "torch"])
def complaint(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    return lambda folder: message(folder, request.param)


def test_another_tokenizer(folder: Path, complaint: Callable[[Path], str]) -> None:
    trained_with = Tokenizers.load(folder).digest
    other = tokenizers_of([line.upper() for line in LINES])
    for name, content in other.files.items():
        (folder / name).write_bytes(content)
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


def test_damaged_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert message(folder, "torch").startswith(f"{path} is damaged or no safetensors file: ")
    path.write_bytes(b"")
    assert message(folder, "torch").startswith(f"{path} is damaged or no safetensors file: ")


def test_weights_of_another_network(folder: Path) -> None:
    path = folder / "weights.safetensors"
    weights = load_arrays(path)
    weights["encoder.extra"] = weights.pop("decoder.readout.bias")
    save_arrays(weights, path)
    assert message(folder, "torch") == (
        f"{path} does not fit the recipe: it lacks decoder.readout.bias and has encoder.extra "
        "besides; recipe.toml and weights must come from the same run"
    )


def test_weights_of_other_sizes(folder: Path) -> None:
    path = folder / "weights.safetensors"
    weights = load_arrays(path)
    weights["output.bias"] = weights["output.bias"][:-1]
    weights["decoder.readout.weight"] = weights["decoder.readout.weight"].T.copy()
    save_arrays(weights, path)
    assert message(folder, "torch") == (
        f"{path}: decoder.readout.weight is (24, 8), recipe and tokenizer ask for (8, 24); "
        "recipe.toml, tokenizer and weights must come from the same run"
    )


def without_graphs(folder: Path, kind: torch.dtype) -> Path:
    """Leaves the weights alone, as numbers of another kind: both engines have to read them."""
    path = folder / "weights.safetensors"
    save_file({name: one.to(kind) for name, one in load_file(path).items()}, path)
    card = json.loads((folder / "card.json").read_bytes())
    (folder / "card.json").write_text(json.dumps({**card, "files": {}}), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("engine", ["auto", "torch", "exported"])
def test_weights_of_another_precision_are_read(
    folder: Path, tmp_path: Path, engine: str, kind: torch.dtype
) -> None:
    """They translate as the same numbers in float32 do."""
    rounded = Path(shutil.copytree(folder, tmp_path / "rounded"))
    without_graphs(folder, kind)
    without_graphs(rounded, kind)
    without_graphs(rounded, torch.float32)
    if engine == "exported":
        folder, rounded = (
            export_model(one, tmp_path / f"{one.name}-exported").path for one in (folder, rounded)
        )
    ours, theirs = (
        Translator.load(one, engine="torch" if engine == "torch" else "auto").translate_nbest(LINES)
        for one in (folder, rounded)
    )
    assert ours == theirs


@pytest.mark.parametrize("kind", [torch.int64, torch.int8, torch.bool])
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_whole_numbers_are_no_weights(folder: Path, engine: str, kind: torch.dtype) -> None:
    path = without_graphs(folder, kind)
    name = str(kind).removeprefix("torch.")
    told = (
        f"{path}: encoder.embedding.table.weight holds {name} numbers, where float32 ones are "
        "expected: these are not the weights that were trained"
    )
    assert message(folder, engine) == told
    with pytest.raises(ModelError) as caught:
        export_model(folder, folder.with_name("exported"))
    assert str(caught.value) == told


# ---------------------------------------------------------------------------------------------
# Which engine


def test_all_engines_translate_alike(saved: Path, tmp_path: Path) -> None:
    lines = [*LINES, "", "a house  reads", "unseen Wörter"]
    exported = export_model(saved, tmp_path / "exported").path
    found = [
        Translator.load(folder, engine=engine).translate_nbest(lines, n_best=2, beam=4)
        for folder, engine in [(exported, "auto"), (saved, "onnx"), (saved, "torch")]
    ]
    texts = [[[one.text for one in several] for several in each] for each in found]
    assert texts[0] == texts[1] == texts[2]
    assert len({several[0] for several in texts[0]}) > 8
    scores = [[one.score for several in each for one in several] for each in found]
    np.testing.assert_allclose(scores[1], scores[2], atol=1e-4)
    assert scores[0] == scores[1]  # the same graphs


def test_the_numpy_engine_is_gone(saved: Path) -> None:
    with pytest.raises(Seq2SeqError) as error:
        Translator.load(saved, engine="numpy")
    assert str(error.value) == (
        "engine is 'numpy', which there is no longer: use 'onnx', which is faster (or 'auto')"
    )
    with pytest.raises(Seq2SeqError, match=r"^engine is 'tpu'; allowed: auto, onnx, torch$"):
        Translator.load(saved, engine="tpu")


def engine_type(model: ModelFolder, precision: str | None = None) -> type:
    return type(load_engine(model, "auto", None, precision))


def test_onnx_runtime_is_taken_where_there_are_graphs(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelFolder.open(saved)
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: False)
    assert engine_type(model) is OnnxEngine
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine_type(model) is OnnxEngine  # a driver, but no GPU that torch can use
    monkeypatch.setattr(engines, "_torch", lambda: None)
    assert engine_type(model) is OnnxEngine


def test_torch_is_taken_where_it_sees_a_gpu(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setattr(engines, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(engines, "_torch", lambda: seen)
    model = ModelFolder.open(saved)
    assert engine_type(model) is TorchEngine
    assert engine_type(model, "int8") is OnnxEngine  # which torch does not have
    monkeypatch.setattr(type(model.recipe.model), "parts_are_installed", lambda self: False)
    assert engine_type(model) is OnnxEngine  # whose graphs need no cell's package


def older(folder: Path) -> Path:
    """A run as version 0.3.0 left it: no graphs, and a card that knows of none."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    del card["files"]
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    for graph in folder.glob("*.onnx"):
        graph.unlink()
    return folder


def test_an_older_run_is_translated_by_torch(
    saved: Path, folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    older(folder)
    translator = Translator.load(folder)
    assert type(translator.model) is TorchEngine
    assert caplog.messages == [
        f"{folder}: an older run, without ONNX graphs: torch translates it; a model that starts "
        f"and translates faster: seq2seq export {folder} -o MODEL"
    ]
    expected = Translator.load(saved).translate(LINES)
    assert translator.translate(LINES) == expected
    assert Translator.load(export_model(folder, tmp_path / "new").path).translate(LINES) == expected
    with pytest.raises(Seq2SeqError, match=r"'onnx' needs a model's ONNX graphs, which this run"):
        Translator.load(folder, engine="onnx")


def last_words_without_torch(folder: Path) -> str:
    """What loading a model says at last where torch is not installed."""
    code = "import seq2seq\nseq2seq.Translator.load(sys.argv[1])\n"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, str(folder)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )
    return done.stderr.strip().split("\n")[-1]


def test_an_older_run_without_torch(folder: Path) -> None:
    assert last_words_without_torch(older(folder)) == (
        f"seq2seq.errors.ModelError: {folder}: this run has no ONNX graphs (seq2seq 0.3 and older "
        "wrote none), so it needs torch: pip install 'seq2seq[train]'; or where torch is "
        f"installed, make a model that does without: seq2seq export {folder} -o MODEL"
    )


def test_graphs_that_the_card_does_not_know_are_not_used(saved: Path, folder: Path) -> None:
    """A network that could not be exported was published over one that could."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, "files": {}}), encoding="utf-8")
    assert type(Translator.load(folder).model) is TorchEngine
    for asked in ({"engine": "onnx"}, {"precision": "int8"}):
        with pytest.raises(Seq2SeqError) as error:
            Translator.load(folder, **asked)  # type: ignore[arg-type]
        assert str(error.value) == (
            f"{folder}: no ONNX graphs could be made of this model when it was trained: translate "
            "it with the engine 'torch', in float32 and without a shortlist"
        )
    assert last_words_without_torch(folder) == (
        f"seq2seq.errors.ModelError: {folder}: no ONNX graphs could be made of this model when it "
        "was trained, so it needs torch: pip install 'seq2seq[train]'"
    )


def test_a_graph_that_refers_to_other_files_is_refused(folder: Path) -> None:
    graph = onnx.load(str(folder / "encoder.onnx"))
    (tensor, *_) = [one for one in graph.graph.initializer if one.raw_data]
    onnx.external_data_helper.set_external_data(tensor, location="/etc/hostname")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    content = graph.SerializeToString()
    (folder / "encoder.onnx").write_bytes(content)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["files"]["encoder.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError) as error:
        Translator.load(folder)
    assert str(error.value) == (
        f"{folder / 'encoder.onnx'}: refers to data in other files, which a model may not do"
    )


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


# ---------------------------------------------------------------------------------------------
# While a training publishes

PUBLISHER = """
import sys, time
from pathlib import Path
from safetensors.torch import load_file
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.storage.lock import Lock
from seq2seq.training.run import RunFolder

run, *origins = map(Path, sys.argv[1:])
replace, unlink = Path.replace, Path.unlink

def slowly(path, target):
    time.sleep(0.01)  # so that readers come between two files
    return replace(path, target)

def slowly_gone(path, **options):
    time.sleep(0.01)
    return unlink(path, **options)

recipe = ModelFolder.open(run).recipe
run = RunFolder.__new__(RunFolder)
run.path, run.recipe, run._claimed = Path(sys.argv[1]), recipe, False
run._lock = Lock(run.path)
weights = [load_file(origin / "weights.safetensors") for origin in origins]
Path.replace, Path.unlink = slowly, slowly_gone
print("begun", flush=True)
number = 0
while True:
    number += 1
    run.publish(weights[number % 2], {"update": number % 2})
    time.sleep(0.2)
"""


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_run_is_read_while_it_publishes(tmp_path: Path, engine: str) -> None:
    folders = [tmp_path / name for name in ("first", "second", "run")]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        save_tiny_model(folder, seed=seed % 2)
    expected = [Translator.load(one, engine=engine).translate(LINES) for one in folders[:2]]
    assert expected[0] != expected[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(folders[2]), *map(str, folders[:2])],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        seen = {}
        for _ in range(40):
            found = Translator.load(folders[2], engine=engine, threads=1).translate(LINES)
            assert found in expected
            seen[found == expected[0]] = True
        assert len(seen) == 2
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("step", range(11))
def test_a_publishing_that_is_killed_leaves_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """At every rename and removal of it, the folder holds the model before or the next."""
    folders = [tmp_path / name for name in ("first", "second")]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        save_tiny_model(folder, seed=seed)
    expected = [Translator.load(one).translate(LINES) for one in folders]
    weights = [load_file(one / "weights.safetensors") for one in folders]
    calls = iter(range(99))

    def killed(name: str) -> Callable[..., Any]:
        done = getattr(Path, name)

        def call(path: Path, *arguments: Any, **options: Any) -> Any:
            if next(calls) >= step:
                raise KeyboardInterrupt
            return done(path, *arguments, **options)

        return call

    with RunFolder(tmp_path / "run", ModelFolder.open(folders[0]).recipe) as run:
        for name in ("recipe.toml", "tokenizer.model"):
            shutil.copy(folders[0] / name, run.path)
        run.publish(weights[0], {"update": 1})
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", killed("replace"))
            patched.setattr(Path, "unlink", killed("unlink"))
            with pytest.raises(KeyboardInterrupt):
                run.publish(weights[1], {"update": 2})
        new = run.published() == 2
        assert new == (step >= 6)  # five files, then the card
        for engine in ("onnx", "torch"):
            assert Translator.load(run.path, engine=engine).translate(LINES) == expected[new]
        run.publish(weights[1], {"update": 2})
        assert Translator.load(run.path).translate(LINES) == expected[1]
        assert len([*run.path.glob("*.onnx"), *run.path.glob("*.safetensors")]) == 5
