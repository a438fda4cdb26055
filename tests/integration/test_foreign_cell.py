"""A cell of a package outside this one, in one file, found by its entry point."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Gers and Schmidhuber 2000
PEEPHOLE = """
import torch
from torch import nn

from seq2seq.nn.cells import GatedCell
from seq2seq.recipe import Section


class PeepholeCell(GatedCell):
    class Options(Section):
        forget_bias: float = 1.0

    gates = 4  # i, f, g, o
    parts = 2  # the state is (h, c)
    bound = 1.0  # no number of h is larger: exported models may round it to 8 bits

    def __init__(self, input_size, hidden_size, options=None):
        super().__init__(input_size, hidden_size, options)
        self.peepholes = nn.Parameter(torch.empty(3, hidden_size))

    @torch.no_grad()
    def reset_parameters(self, rule):
        super().reset_parameters(rule)
        self.peepholes.uniform_(-0.1, 0.1)
        self.bias_ih[self.hidden_size : 2 * self.hidden_size] = self.options.forget_bias

    def step(self, projected_BG, state):
        hidden, memory = state
        enter, forget, new, leave = (projected_BG + self.recur(hidden)).chunk(4, dim=-1)
        see_i, see_f, see_o = self.peepholes
        enter = torch.sigmoid(enter + see_i * memory)
        forget = torch.sigmoid(forget + see_f * memory)
        memory = forget * memory + enter * torch.tanh(new)
        return torch.sigmoid(leave + see_o * memory) * torch.tanh(memory), memory
"""

# ONNX's own LSTM knows peepholes: gates i, o, f, c, and P in the order i, o, f.
REFERENCE = """
import numpy as np, onnx, onnxruntime, torch
from onnx import TensorProto, helper, numpy_helper
from seq2seq.recipe import Model
from seq2seq.nn.cells import make_cell

cell = make_cell(Model.model_validate({"encoder": {"cell": "peephole"}}).encoder.cell, 3, 4)
torch.manual_seed(1)
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
print("equal")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "my_cells").mkdir()
    (folder / "my_cells/__init__.py").touch()
    (folder / "my_cells/peephole.py").write_text(PEEPHOLE, encoding="utf-8")
    info = folder / "my_cells-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-cells\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[seq2seq.cells]\npeephole = my_cells.peephole:PeepholeCell\n"
    )
    return folder


def run(package: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(package), str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_arithmetic_is_that_of_onnx(package: Path) -> None:
    assert run(package, "-c", REFERENCE) == "equal\n"


def test_its_options_are_the_recipe_s(package: Path) -> None:
    show = "-m seq2seq recipe show quickstart --full --set model.encoder.cell".split()
    told = run(package, *show[:-1], f"{show[-1]}=peephole")
    assert 'kind = "peephole"\nforget_bias = 1.0\n' in told


@pytest.mark.timeout(600)
def test_it_obeys_the_laws_of_every_cell(package: Path) -> None:
    laws = "-m pytest -q -p no:cacheprovider tests/conformance/test_cells.py -k peephole".split()
    assert re.search(r"\d\d passed", run(package, *laws))
