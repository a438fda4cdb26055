"""A cell of a package outside this one, in one file, found by its entry point.

It is the LSTM with peepholes (Gers and Schmidhuber 2000), as docs/code.md has it, to the letter.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from support.published import weights_file

import seq2seq
from seq2seq.data.dataset import PreparedData

ROOT = Path(__file__).parents[2]

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}

RECIPE = """
name = "digits"

[data]
train = ["train.en", "train.de"]
val = ["val.en", "val.de"]

[tokenizer]
vocab_size = 30

[model.encoder]
cell = {kind = "peephole", peephole_scale = 0.5}
embedding = 16
hidden = 32
dropout = 0.0

[model.decoder]
cell = {kind = "peephole", peephole_scale = 0.5}
embedding = 16
hidden = 32
dropout = 0.0

[training]
updates = 80
batch_tokens = 300
learning_rate = 1e-2
schedule = {kind = "cosine", warmup = 5}
checkpoint_every = 10

[training.validation]
every = 80
"""

# ONNX's own LSTM knows peepholes: gates i, o, f, c, and P in the order i, o, f. Then the command
# line, in the same process.
REFERENCE = """
import sys
import numpy as np, onnx, onnxruntime, torch
from seq2seq.cli.app import main
from onnx import TensorProto, helper, numpy_helper
from seq2seq.recipe import Model
from seq2seq.nn.cells import make_cell

cell = make_cell(Model.model_validate({"encoder": {"cell": "peephole"}}).encoder.cell, 3, 4)
torch.manual_seed(1)
with torch.no_grad():
    cell.reset_parameters("orthogonal")
torch.nn.init.normal_(cell.peepholes)
torch.nn.init.normal_(cell.bias_hh)

def ordered(value):
    i, f, g, o = value.detach().numpy().reshape(4, 4, -1)
    return np.concatenate([i, o, f, g]).astype(np.float32)

i, f, o = cell.peepholes.detach().numpy()
weights = {
    "W": ordered(cell.weight_ih)[None],
    "R": ordered(cell.weight_hh)[None],
    "B": np.concatenate([ordered(cell.bias_ih), ordered(cell.bias_hh)])[:, 0][None],
    "P": np.concatenate([i, o, f])[None],
}
node = helper.make_node("LSTM", ["X", "W", "R", "B", "", "", "", "P"], ["Y"], hidden_size=4)
info = helper.make_tensor_value_info
graph = helper.make_graph(
    [node], "g", [info("X", TensorProto.FLOAT, [5, 2, 3])], [info("Y", TensorProto.FLOAT, None)],
    [numpy_helper.from_array(value, name) for name, value in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
x = torch.randn(5, 2, 3)
session = onnxruntime.InferenceSession(model.SerializeToString())
(expected,) = session.run(None, {"X": x.numpy()})
with torch.no_grad():
    found, _ = cell.sequence(x.transpose(0, 1), cell.initial_state(2, x))
np.testing.assert_allclose(found.transpose(0, 1), expected[:, 0], atol=1e-6)

sys.argv = ["seq2seq", *sys.argv[1:]]
main()
"""

# In a process that has the package: a run never stopped, the rest of one that was killed, and both
# engines.
REST = """
import json
import sys
from pathlib import Path

import seq2seq
from seq2seq.training.monitoring import Silent

folder = Path(sys.argv[1])
for run in ("whole", "killed"):
    recipe = folder / "digits.toml"
    seq2seq.train(recipe, folder / run, data=folder / "data", threads=1, monitor=Silent())
seq2seq.prepare(recipe, folder / "prepared with it")
seq2seq.export_model(folder / "killed", folder / "exported")
lines = (folder / "val.en").read_text(encoding="utf-8").splitlines()
found = {}
for name, model, engine in [
    ("torch", "killed", "torch"), ("run", "killed", "onnx"), ("exported", "exported", "onnx"),
]:
    translator = seq2seq.Translator.load(folder / model, engine=engine, threads=1)
    best = translator.translate_nbest(lines, options=seq2seq.SearchOptions(beam=3))
    found[name] = [(one.text, one.log_prob) for one, *_ in best]
print(json.dumps(found))
"""


def shown(kind: str, word: str) -> str:
    """The blocks of docs/code.md of a kind in which a word stands."""
    page = (ROOT / "docs/code.md").read_text(encoding="utf-8")
    found = re.findall(rf"^```{kind}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (block,) = (block for block in found if word in block)
    return str(block)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it, as pip does it."""
    folder = tmp_path_factory.mktemp("site")
    code = shown("python", "class UgrnnCell") + shown("python", "class PeepholeCell")
    (folder / "my_cells.py").write_text(code, encoding="utf-8")
    project = tomllib.loads(shown("toml", "seq2seq.cells"))["project"]
    name, version, offered = project["name"], project["version"], project["entry-points"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = (f"{key} = {value}\n" for key, value in offered["seq2seq.cells"].items())
    (info / "entry_points.txt").write_text("[seq2seq.cells]\n" + "".join(lines))
    return folder


def run(package: Path, *arguments: str, code: int = 0) -> str:
    path = os.pathsep.join([str(package), str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def write_corpus(folder: Path) -> None:
    """Numbers of one to three digits: learned in a hundred updates."""
    dice = random.Random(1)
    for split, count in (("train", 300), ("val", 12)):
        rows = [dice.choices(list(WORDS), k=dice.randint(1, 3)) for _ in range(count)]
        for side, words in (("en", rows), ("de", [[WORDS[one] for one in row] for row in rows])):
            text = "".join(" ".join(row) + "\n" for row in words)
            (folder / f"{split}.{side}").write_text(text, encoding="utf-8", newline="\n")


def test_its_arithmetic_is_that_of_onnx_and_its_options_are_the_recipe_s(package: Path) -> None:
    cell = "model.encoder.cell"
    settings = ["--set", f"{cell}=peephole", "--set", f"{cell}.peephole_scale=0.5"]
    told = run(package, "-c", REFERENCE, *"recipe show quickstart --full".split(), *settings)
    assert 'kind = "peephole"\npeephole_scale = 0.5\n' in told


@pytest.mark.timeout(600)
def test_it_trains_goes_on_after_a_kill_is_exported_and_translates(
    package: Path, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    recipe, data = tmp_path / "digits.toml", tmp_path / "data"
    recipe.write_text(RECIPE, encoding="utf-8")
    instead = ["model.encoder.cell=lstm", "model.decoder.cell=lstm"]
    seq2seq.prepare(seq2seq.load_recipe(str(recipe), instead), data)
    whole, killed, exported = (tmp_path / name for name in ("whole", "killed", "exported"))
    first = [str(recipe), str(data), str(killed), "update", "16"]
    run(package, "-m", "support.killed", *first, code=-signal.SIGKILL)
    assert (killed / "last").exists()
    assert not (killed / "card.json").exists()
    found = json.loads(run(package, "-c", REST, str(tmp_path)))
    assert weights_file(whole).read_bytes() == weights_file(killed).read_bytes()
    for name in ("last/model.safetensors", "last/optimizer.safetensors"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name

    texts, log_probs = zip(*found["torch"], strict=True)
    assert len(set(texts)) > 4
    assert all(texts)
    for name in ("run", "exported"):
        assert tuple(text for text, _ in found[name]) == texts
        np.testing.assert_allclose([number for _, number in found[name]], log_probs, atol=1e-4)

    # Here the package is not installed: graphs do without it, the network in torch cannot.
    lines = (tmp_path / "val.en").read_text(encoding="utf-8").splitlines()
    again = tmp_path / "exported again"
    seq2seq.export_model(killed, again)
    options = seq2seq.SearchOptions(beam=3)
    for folder in (killed, exported, again):
        translator = seq2seq.Translator.load(folder, engine="onnx", threads=1)
        assert tuple(translator.translate(lines, options=options)) == texts
    missing = r"unknown cell 'peephole'.* known once that package is installed"
    with pytest.raises(seq2seq.ModelError, match=missing):
        seq2seq.Translator.load(killed, engine="torch", threads=1)
    with pytest.raises(seq2seq.RecipeError, match=missing.replace("cell", "kind", 1)):
        seq2seq.load_recipe(str(recipe))
    prepared = PreparedData.open(tmp_path / "prepared with it")
    assert prepared.recipe.model.encoder.cell.kind == "peephole"
    assert prepared.digest == PreparedData.open(data).digest


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_it_obeys_the_laws_of_every_cell(package: Path) -> None:
    laws = "-m pytest -q -p no:cacheprovider tests/conformance/test_cells.py -k peephole".split()
    assert re.search(r"\d\d passed", run(package, *laws))
