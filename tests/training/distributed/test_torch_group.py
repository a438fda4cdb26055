"""Several processes, started by torchrun, compute what one computes alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import together
from support.processes import torchrun
from support.tiny import tiny_recipe

from seq2seq.data.batching import Place
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.distributed.torch_group import process_group
from seq2seq.training.precision import DROPOUT, SAMPLING, stream_seed
from seq2seq.training.state import TrainingState


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("distributed")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", prepared


@pytest.fixture(scope="module", params=[2, 3], ids=lambda world: f"{world} processes")
def found(
    request: pytest.FixtureRequest,
    corpus: tuple[Path, PreparedData],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[dict[str, Any]]]:
    """What each of some processes has found."""
    out = tmp_path_factory.mktemp("found")
    recipe, prepared = corpus
    done = torchrun(request.param, "support.together", recipe, prepared.folder, out)
    assert done.returncode == 0, done.stderr
    texts = [(out / f"{rank}.json").read_text(encoding="utf-8") for rank in range(request.param)]
    return out, [json.loads(text) for text in texts]


def norm(tensors: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([one.double().norm() for one in tensors.values()]).norm())


@pytest.mark.parametrize("name", together.CASES)
def test_gradients_are_those_of_one_process(
    corpus: tuple[Path, PreparedData], found: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    out, ranks = found
    alone = together.gradients(ProcessGroup(), together.of_case(corpus[0], name), corpus[1])
    for number, (figures, expected) in enumerate(alone):
        for rank, told in enumerate(ranks):
            ours = told[name][number]
            assert ours["tokens"] == figures["tokens"]
            for key in ("loss", "nll", "norm"):
                assert ours[key] == pytest.approx(figures[key], rel=1e-5)
            tensors = load_file(out / f"{name} {number} {rank}.safetensors")
            assert tensors.keys() == expected.keys()
            apart = {key: tensors[key] - expected[key] for key in expected}
            assert norm(apart) <= 1e-6 * norm(expected)
            if rank:
                first = load_file(out / f"{name} {number} 0.safetensors")
                assert all(torch.equal(first[key], tensors[key]) for key in first)
    halved = [sum(figures["halved"] for figures in told[name]) for told in ranks]
    assert min(halved) == max(halved)
    assert (halved[0] > 0) == (name == "halved")


def test_hessian_free_updates_are_those_of_one_process(
    corpus: tuple[Path, PreparedData], found: tuple[Path, list[dict[str, Any]]]
) -> None:
    """Products over all batches, and over the first of each process; every process has the same.

    The first batches of several processes are more pairs than that of one, and padded otherwise.
    """
    out, ranks = found
    alone = together.curvature(ProcessGroup(), *corpus)
    everyone = [load_file(out / f"curvature {rank}.safetensors") for rank in range(len(ranks))]
    for each in everyone:
        assert each.keys() == alone.keys()
        assert all(torch.equal(each[key], everyone[0][key]) for key in each)
    first = {key: one for key, one in alone.items() if key.startswith("1 None ")}
    apart = {key: everyone[0][key] - first[key] for key in first}
    assert norm(apart) <= 1e-5 * norm(first)
    assert all(one.isfinite().all() for one in everyone[0].values())


def test_a_validation_is_that_of_one_process(
    corpus: tuple[Path, PreparedData], found: tuple[Path, list[dict[str, Any]]]
) -> None:
    alone = together.validation(ProcessGroup(), *corpus)
    for told in found[1]:
        ours = told["validation"]
        assert ours["loss"] == pytest.approx(alone["loss"], rel=1e-6)
        assert ours["metrics"] == alone["metrics"]
        assert ours["predictions"] == alone["predictions"]
        assert len(ours["predictions"]) == 13


def test_processes_tell_each_other(found: tuple[Path, list[dict[str, Any]]]) -> None:
    state = TrainingState(update=7, place=Place(1, 2, 3, 4), history=[{"loss": 1.5}]).to_json()
    world = len(found[1])
    for rank, whole in enumerate(found[1]):
        assert whole["told"] == {
            "rank": rank,
            "numbers": [[each + 0.5, 1e300] for each in range(world)],
            "texts": ["ä" * each for each in range(world)],
            "state": state,
            "environment": {"threads": 1},
            "a": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
            "b": [3, "torch.int64"],
            "nothing": None,
            "order": rank,
            "stop": "",
        }
        assert whole["stopped"] == "SIGTERM", "one was asked, and all have agreed"


def test_without_torchrun_there_is_a_group_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for values in ({}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "4"}):
        for name in ("WORLD_SIZE", "RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        with process_group() as group:
            assert (group.rank, group.world_size) == (0, 1)
            assert group.all_gather([1.0, 2.0]).tolist() == [[1.0, 2.0]]
            assert group.all_gather_text("a") == ["a"]
    assert not torch.distributed.is_initialized()


def test_random_streams_of_processes_differ() -> None:
    """And the first process's is that of one alone."""
    drawn = {
        stream_seed(1, purpose, number, rank)
        for purpose in (DROPOUT, SAMPLING)
        for number in range(100)
        for rank in range(100)
    }
    assert len(drawn) == 2 * 100 * 100
    assert stream_seed(1, DROPOUT, 3, 0) == stream_seed(1, DROPOUT, 3)


def test_the_command_line_says_one_thing_once(tmp_path: Path) -> None:
    """An error that all processes run into, before they know of each other and after."""
    for arguments, message in (
        (["train", "no_such_recipe"], "error: recipe 'no_such_recipe': "),
        (["train", "quickstart", "--data", str(tmp_path), "-o", str(tmp_path / "r")], "error: "),
    ):
        done: subprocess.CompletedProcess[str] = torchrun(2, "seq2seq", *arguments)
        assert done.returncode != 0
        assert done.stderr.count(message) == 1, done.stderr
        assert "unexpected" not in done.stderr
