"""The reservoir of an echo state network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import cell_options, random_tensor

from seq2seq.models.weights import without_memory
from seq2seq.nn.cells import Cell, make_cell


def reservoir(hidden: int, kind: torch.dtype = torch.float64, **options: float) -> Cell:
    cell = make_cell(cell_options({"kind": "echo", **options}), 3, hidden).to(kind)
    torch.manual_seed(1)
    with torch.no_grad():
        cell.reset_parameters("orthogonal")
    return cell


@pytest.mark.parametrize("radius", [0.01, 0.9, 1.25])
@pytest.mark.parametrize(("hidden", "connections"), [(2, 1), (20, 1), (50, 10), (50, 64)])
def test_its_spectral_radius_is_exact(hidden: int, connections: int, radius: float) -> None:
    for kind, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        cell = reservoir(hidden, kind, spectral_radius=radius, connections=connections)
        values = np.linalg.eigvals(cell.weight_hh.double().numpy())
        assert abs(values).max() == pytest.approx(radius, rel=tolerance)


def test_each_unit_reads_as_many_others_as_asked_for() -> None:
    for connections, expected in ((1, 1), (10, 10), (99, 29)):
        cell = reservoir(30, connections=connections)
        assert (cell.weight_hh != 0).sum(dim=1).tolist() == [expected] * 30
        assert not cell.weight_hh.diagonal().any()


def test_weights_of_inputs_are_within_their_scale() -> None:
    cell = reservoir(400, input_scale=0.3, bias_scale=0.2)
    for weight, scale in ((cell.weight_ih, 0.3), (cell.bias_ih, 0.2)):
        assert scale - 0.01 < weight.max() < scale
        assert -scale < weight.min() < 0.01 - scale
    assert not reservoir(4, bias_scale=0.0).bias_ih.any()


def test_nothing_is_learned_and_all_is_saved() -> None:
    cell = reservoir(8)
    assert not [*cell.parameters()]
    assert [*cell.state_dict()] == ["weight_ih", "weight_hh", "bias_ih"]


@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_it_forgets_its_first_state(leak: float) -> None:
    """The echo state property (Jaeger 2001), here with singular values below 1, which ensures it.

    Two states come nearer by at least 1 - leak * (1 - the largest singular value) a step.
    """
    cell = reservoir(50, spectral_radius=0.3, leak=leak)
    most = 1 - leak * (1 - float(torch.linalg.matrix_norm(cell.weight_hh, 2)))
    assert most < 1
    x_BTE = random_tensor(1, 40, 3)
    one, other = (
        cell.sequence(x_BTE, (torch.tanh(random_tensor(1, 50, seed=seed)),))[0] for seed in (1, 2)
    )
    apart_T = (one - other)[0].norm(dim=1)
    assert (apart_T[1:] <= most * apart_T[:-1] + 1e-15).all()
    assert apart_T[-1] < 1e-3 * apart_T[0]


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_its_states_are_reservoirpys(leak: float) -> None:
    nodes = pytest.importorskip("reservoirpy.nodes")
    cell = reservoir(20, leak=leak)
    weights = {"Win": cell.weight_ih, "W": cell.weight_hh, "bias": cell.bias_ih}
    theirs = nodes.Reservoir(lr=leak, **{name: one.numpy() for name, one in weights.items()})
    x_BTE = random_tensor(1, 30, 3)
    found, _ = cell.sequence(x_BTE, cell.initial_state(1, x_BTE))
    assert found[0].numpy() == pytest.approx(theirs.run(x_BTE[0].numpy()), abs=1e-12)


def test_where_only_its_shape_is_asked_for_nothing_is_drawn() -> None:
    with without_memory():
        cell = make_cell(cell_options({"kind": "echo"}), 3, 4)
        cell.reset_parameters("orthogonal")
    assert cell.weight_hh.shape == (4, 4)
