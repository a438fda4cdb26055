"""Exporting: what is written, what is refused, and what damage is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from support.mutations import with_right_sums
from support.published import weights_file
from support.saved import LINES, save_tiny_model

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.inference import export
from seq2seq.inference.engines import check_precision, load_engine
from seq2seq.inference.engines.onnx import OnnxEngine
from seq2seq.inference.engines.onnx.builder import PRECISIONS
from seq2seq.inference.export import export_model
from seq2seq.inference.model_folder import ModelFolder, recipe_digest
from seq2seq.inference.shortlist import Shortlist
from seq2seq.inference.translator import Translator
from seq2seq.search import SourceBatch, greedy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(run, tmp_path_factory.mktemp("models") / "tiny").path


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


def test_what_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made = export_model(run, tmp_path / "empty")
    assert made.path == tmp_path / "empty"
    graphs = [f"{one}.onnx" for one in ("encoder.int8", "encoder", "step.int8", "step")]
    names = ["card.json", *graphs[:2], "recipe.toml", *graphs[2:], "tokenizer.model"]
    assert list(made.sizes) == names == sorted(path.name for path in made.path.iterdir())
    assert all(made.sizes[path.name] == path.stat().st_size for path in made.path.iterdir())
    assert made.differences["float32"] < 1e-5
    assert 1e-4 < made.differences["int8"] < 0.2
    assert list(tmp_path.iterdir()) == [made.path]
    card = json.loads((made.path / "card.json").read_text(encoding="utf-8"))
    assert card["name"] == "tiny"
    assert sorted(card["files"]) == names[1:]


def test_exporting_again_gives_the_same_bytes(run: Path, exported: Path, tmp_path: Path) -> None:
    again = export_model(run, tmp_path / "again").path
    for path in exported.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_nothing_of_the_users_is_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with pytest.raises(Seq2SeqError, match=f"{name}: already exists: name another"):
            export_model(run, tmp_path / name)
    with pytest.raises(Seq2SeqError, match=r"file/model: cannot be written: "):
        export_model(run, tmp_path / "file" / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert export_model(run, tmp_path / "models" / "new").path.is_dir()  # its folder is made


def test_only_an_exported_model_is_replaced(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (folder / "card.json").read_bytes()
    (folder / "card.json").write_bytes(b"damaged")
    (folder / "shortlist.safetensors").touch()  # of the model that was there
    export_model(run, folder, overwrite=True)
    assert (folder / "card.json").read_bytes() == expected
    assert not (folder / "shortlist.safetensors").exists()

    (folder / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(Seq2SeqError, match=r"not just an exported model \(it holds letter.txt\)"):
        export_model(run, folder, overwrite=True)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(Seq2SeqError, match=r"it holds no model"):
        export_model(run, tmp_path / "empty.txt", overwrite=True)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(Seq2SeqError, match="a link, the model that is exported"):
        export_model(run, tmp_path / "link", overwrite=True)
    (folder / "letter.txt").unlink()
    with pytest.raises(Seq2SeqError, match="a link, the model that is exported"):
        export_model(folder, folder, overwrite=True)
    monkeypatch.chdir(folder)
    with pytest.raises(Seq2SeqError, match="or the current folder"):
        export_model(run, ".", overwrite=True)


def test_graphs_that_give_other_numbers_are_not_left_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export._MOST, "int8", 1e-9)
    with pytest.raises(ModelError, match=r"in int8 the log-probabilities are .* it was not export"):
        export_model(run, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("precision", "left", "words"),
    [
        ("int8", {"encoder.onnx", "step.onnx"}, "the graph in int8 does not give the network's"),
        ("float32", set(), "the ONNX graphs do not give the network's numbers, so none were"),
    ],
)
def test_graphs_that_give_other_numbers_are_not_published(
    precision: str,
    left: set[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    export._warn.cache_clear()
    monkeypatch.setitem(export._MOST, precision, 1e-12)
    save_tiny_model(tmp_path)
    (warning,) = caplog.messages
    assert words in warning
    assert {path.name for path in tmp_path.glob("*.onnx")} == left
    other = tmp_path / "other"
    other.mkdir()
    save_tiny_model(other)
    assert caplog.messages == [warning]  # said once, not at each validation
    model = ModelFolder.open(tmp_path)
    assert model.has_graphs == bool(left)
    assert not model.has_precision("int8")
    with pytest.raises(Seq2SeqError) as error:
        Translator.load(tmp_path, precision="int8")
    assert ("no graph in int8" in str(error.value)) == bool(left)
    assert ("no ONNX graphs could be made of this model" in str(error.value)) != bool(left)
    assert type(Translator.load(tmp_path).model).__name__ == (
        "OnnxEngine" if left else "TorchEngine"
    )


def test_comparing_takes_no_random_numbers_from_the_training(run: Path) -> None:
    model = ModelFolder.open(run)
    before = torch.random.get_rng_state()
    torch.set_flush_denormal(False)  # a training, which rounds them, may have run before
    assert len(export.published_graphs(model.recipe.model, model.weights(load))) == 4
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (torch.tensor([1e-40]) * 1.0).item() > 0  # nor are the smallest numbers rounded to 0


def test_weights_that_are_not_the_recipes(run: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path, hidden=16)
    shutil.copy(weights_file(run), other)
    with pytest.raises(ModelError, match="must come from the same run"):
        export_model(other, tmp_path / "model")


@pytest.mark.parametrize("name", ["encoder.onnx", "step.onnx"])
def test_every_flipped_bit_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    for place in range(0, len(content), len(content) // 7):
        content[place] ^= 1
        (folder / name).write_bytes(content)
        content[place] ^= 1
        with pytest.raises(ModelError, match=f"{name}: damaged: not what card.json says"):
            Translator.load(folder)
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(ModelError, match="damaged"):
        Translator.load(folder)


def test_the_graph_that_is_not_used_is_not_read(folder: Path) -> None:
    (folder / "step.int8.onnx").unlink()
    assert Translator.load(folder).translate(LINES[:1])
    with pytest.raises(ModelError, match=r"step\.int8\.onnx: missing: export the model again"):
        load_engine(ModelFolder.open(folder), "auto", 1, "int8")


def test_a_run_of_an_older_version(run: Path, tmp_path: Path) -> None:
    """Its recipe lacks a key that is new, and its encoder's graph serves both precisions."""
    old = Path(shutil.copytree(run, tmp_path / "run"))
    ModelFolder.open(old).file("encoder.int8.onnx").unlink()
    text = (old / "recipe.toml").read_text(encoding="utf-8").replace("lexical = false\n", "")
    (old / "recipe.toml").write_text(text, encoding="utf-8")
    card = json.loads((old / "card.json").read_text(encoding="utf-8"))
    del card["files"]["encoder.int8.onnx"]
    card["recipe_sha256"] = recipe_digest(text)
    (old / "card.json").write_text(json.dumps(card), encoding="utf-8")
    theirs = Translator.load(old, precision="int8").translate(LINES)
    made = export_model(old, tmp_path / "model").path
    assert (made / "encoder.int8.onnx").exists()
    ours = Translator.load(made, precision="int8").translate(LINES)
    assert len(ours) == len(theirs) == len(LINES)


def test_a_card_without_sums(folder: Path) -> None:
    (folder / "card.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"it has no checksum of encoder\.onnx; export the model"):
        Translator.load(folder)


def test_what_an_engine_cannot_do(run: Path, exported: Path) -> None:
    trained, made = ModelFolder.open(run), ModelFolder.open(exported)
    assert isinstance(load_engine(made, "auto", 1), OnnxEngine)
    assert isinstance(load_engine(trained, "onnx", 1, "int8"), OnnxEngine)
    with pytest.raises(Seq2SeqError, match="the engine 'torch' has no int8: export the model"):
        load_engine(trained, "torch", 1, "int8")
    with pytest.raises(ModelError, match=r"an exported model has no weights\.safetensors"):
        load_engine(made, "torch", 1)
    with pytest.raises(Seq2SeqError, match=r"precision is 'int4' \(did you mean 'int8'\?\)"):
        check_precision("int4")


def test_a_run_is_exported_where_torch_is_not_installed(
    run: Path, exported: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'datasets', 'pyarrow', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import seq2seq\n"
        "print(seq2seq.export_model(sys.argv[1], sys.argv[2]).differences)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(run), str(tmp_path / "made")],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("{'float32': None, 'int8': 0.0")
    for path in exported.iterdir():
        assert path.read_bytes() == (tmp_path / "made" / path.name).read_bytes(), path.name


def test_a_shortlist_goes_with_the_model(run: Path, exported: Path, tmp_path: Path) -> None:
    sizes = ModelFolder.open(run).tokenizers
    every = np.broadcast_to(np.arange(sizes.target.size), (sizes.source.size, sizes.target.size))
    shortlist = Shortlist(every.astype(np.int32), np.zeros(0, np.int32), sizes.target.size)
    made = export_model(run, tmp_path / "model", shortlist=shortlist)
    assert {"body.onnx", "body.int8.onnx", "output.safetensors"} < set(made.sizes)
    folder = ModelFolder.open(made.path)
    source = SourceBatch.from_rows([[5, 9, 7, EOS], [8, EOS]])
    for precision in PRECISIONS:
        ours = load_engine(folder, "auto", 1, precision, shortlist=True)
        found, expected = (
            greedy(engine, source, max_lengths=[6, 6])
            for engine in (ours, load_engine(folder, "auto", 1, "float32"))
        )
        if precision == "float32":
            assert [one.tokens for one in found] == [one.tokens for one in expected]
        assert len(found) == 2
    with pytest.raises(Seq2SeqError, match="exported without a shortlist: export the run with"):
        load_engine(ModelFolder.open(exported), "auto", 1, shortlist=True)
    with pytest.raises(Seq2SeqError, match="the engine 'torch' has no shortlist"):
        load_engine(ModelFolder.open(run), "torch", 1, shortlist=True)
    for kind in (torch.bfloat16, torch.float16, torch.int64):
        output = made.path / "output.safetensors"
        arrays = {name: one.to(kind) for name, one in load(output.read_bytes()).items()}
        output.write_bytes(save(arrays))
        with_right_sums(made.path, output.name)
        with pytest.raises(ModelError, match=r"output\.safetensors: (damaged, or )?not an output"):
            load_engine(ModelFolder.open(made.path), "auto", 1, shortlist=True)
    (made.path / "shortlist.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"shortlist\.safetensors: damaged"):
        load_engine(folder, "auto", 1, shortlist=True)


def test_an_exported_model_translates_where_nothing_else_is_installed(exported: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'datasets', 'pyarrow', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from seq2seq.inference.translator import Translator\n"
        "print(Translator.load(sys.argv[1]).translate(sys.argv[2:]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(exported), *LINES[:3]],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert found.stdout.strip() == str(Translator.load(exported).translate(LINES[:3]))
