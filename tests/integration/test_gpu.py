"""What a GPU computes is what a processor computes; run by ``scripts/test -m gpu``."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.engines import (
    LOOKING,
    assert_same_steps,
    drawn,
    onnx_engine,
    random_engine,
    sources,
    weights_of,
)
from support.models import (
    cell_variants,
    make_batch,
    model_options,
    random_cell,
    random_model,
    random_pairs,
    random_tensor,
    variant_name,
)
from support.processes import run_python, torchrun
from support.published import weights_file
from support.tiny import AVERAGE, write_corpus, write_recipe
from support.told import Told
from torch import Tensor

import seq2seq
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.models.loss import Losses
from seq2seq.nn.cells import Cell

pytestmark = pytest.mark.gpu

STILL = ["training.precision=float32", "model.encoder.dropout=0.0", "model.decoder.dropout=0.0"]
every_cell = pytest.mark.parametrize("options", cell_variants(), ids=variant_name)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Without TF32, whose products have ten bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def run(
    cell: Cell, device: str, dtype: torch.dtype, how: str = "sequence", scale: float = 1.0
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Outputs, the final state and all gradients of a loss that all of both are part of."""
    cell = cell.to(device, dtype)
    lengths_B = torch.tensor([6, 1, 4], device=device)
    real = (torch.arange(6, device=device) < lengths_B[:, None])[..., None]
    x_BTE = random_tensor(3, 6, 5).to(device, dtype).requires_grad_()
    start = tuple(
        torch.tanh(random_tensor(3, 8, seed=5 + part)).to(device, dtype).requires_grad_()
        for part in range(cell.parts)
    )
    outputs, final = getattr(cell, how)(x_BTE, start, lengths_B)
    weights = random_tensor(3, 6, 8, seed=8).to(device, dtype) * real
    loss = (outputs * weights).sum() + sum((k + 2) * part.sum() for k, part in enumerate(final))
    found = torch.autograd.grad(loss * scale, [x_BTE, *start, *cell.parameters()])
    return outputs * real, [*final], [one / scale for one in found]


@every_cell
def test_a_cell_computes_what_a_processor_does(options: dict[str, Any]) -> None:
    theirs = run(random_cell(options, 5, 8), "cpu", torch.float64, "stepwise")
    for how in ("sequence", "stepwise"):
        ours = run(random_cell(options, 5, 8), "cuda", torch.float32, how)
        for one, other in zip(flat(ours), flat(theirs), strict=True):
            torch.testing.assert_close(one.cpu().double(), other, rtol=1e-4, atol=1e-4)


def flat(found: tuple[Tensor, list[Tensor], list[Tensor]]) -> list[Tensor]:
    return [found[0], *found[1], *found[2]]


@every_cell
def test_a_small_gradient_survives_bfloat16(options: dict[str, Any]) -> None:
    """That of a mean over a batch's tokens is small: float16, autocast's choice, has no such."""
    theirs = run(random_cell(options, 5, 8), "cpu", torch.float64, "stepwise")
    with torch.autocast("cuda", torch.bfloat16):
        ours = run(random_cell(options, 5, 8), "cuda", torch.float32, scale=1e-7)
    assert ours[0].dtype == torch.float32
    for one, other in zip(flat(ours), flat(theirs), strict=True):
        error = (one.cpu().double() - other).norm() / other.norm()
        assert error < 0.05, error


MODELS = [
    ({"cell": cell, "layers": 2, "directions": "both"}, {"cell": cell, "layers": 2, **decoder})
    for cell in ("lstm", "gru")
    for decoder in (
        {},
        {"attention": "general", "feeding": "upper"},
        {"attention": "additive", "feeding": "input", "state_feeding": True},
    )
]


@pytest.mark.parametrize(("encoder", "decoder"), MODELS)
@pytest.mark.parametrize("twice", [False, True])
def test_loss_and_gradients_of_models(
    encoder: dict[str, Any], decoder: dict[str, Any], twice: bool
) -> None:
    options = model_options(encoder, decoder)
    batch = make_batch(random_pairs([(3, 2), (1, 4), (5, 1), (2, 0), (0, 3)]))
    found = []
    for device in ("cpu", "cuda"):
        model = random_model(options).to(device, torch.float32).train()  # cuDNN asks for it
        loss, nll = Losses(model, 0.1, twice_differentiable=twice)(batch.to(torch.device(device)))
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([one.cpu() for one in (loss.detach(), nll, *gradients)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", [{"kind": "lstm"}, {"kind": "gru"}], ids=variant_name)
@pytest.mark.parametrize(("attention", "feeding"), LOOKING)
def test_translating_on_a_gpu_finds_what_onnx_runtime_finds(
    cell: dict[str, Any], attention: str, feeding: str
) -> None:
    options = next(drawn(cell, attention, feeding))
    model = random_engine(options).model
    theirs = onnx_engine(options, weights_of(TorchEngine(model)))
    assert_same_steps(TorchEngine(model.to("cuda")), theirs, sources())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gpu")
    recipe = write_recipe(folder)
    seq2seq.prepare(recipe, folder / "data")
    return recipe, folder / "data"


def command(corpus: tuple[Path, Path], run: Path, *settings: str) -> list[str]:
    words = [word for one in settings for word in ("--set", one)]
    return ["train", str(corpus[0]), "--data", str(corpus[1]), "-o", str(run), *words]


NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def seq2seq_command(*words: str, gpu: bool = True) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "seq2seq", *words, **({} if gpu else NO_GPU))


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def test_a_training_goes_as_on_a_processor_and_says_where_it_is(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    for gpu, name in ((True, "gpu"), (False, "cpu")):
        done = seq2seq_command(*command(corpus, tmp_path / name, *STILL), gpu=gpu)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    ours, theirs = (
        [one["loss"] for one in records(tmp_path / name, "validation")] for name in ("gpu", "cpu")
    )
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert records(tmp_path / "gpu", "train")[-1]["gpu_memory"] > 0
    about = records(tmp_path / "gpu", "session")[0]["environment"]
    assert about["gpu"] == torch.cuda.get_device_name()
    text = write_corpus(tmp_path, "val", 20)[0]
    found = [
        seq2seq_command("translate", str(tmp_path / "gpu"), str(text), "--engine", engine)
        for engine in ("torch", "onnx")
    ]
    assert [one.returncode for one in found] == [0, 0], found
    assert found[0].stdout == found[1].stdout
    assert found[0].stdout.count("\n") == 20


def test_bfloat16_learns(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        run = tmp_path / precision
        done = seq2seq_command(*command(corpus, run, f"training.precision={precision}"))
        assert done.returncode == 0, done.stderr
        losses[precision] = records(run, "validation")[-1]["loss"]
        assert all(math.isfinite(one["gradient_norm"]) for one in records(run, "train"))
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_killed_run_goes_on_to_the_same_bits(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = corpus[0].with_name("average.toml")
    recipe.write_text(corpus[0].read_text(encoding="utf-8") + AVERAGE, encoding="utf-8")
    for name, by, update in (("whole", "TERM", 0), ("r", "KILL", 14), ("r", "TERM", 0)):
        words = command((recipe, corpus[1]), tmp_path / name, "training.checkpoint_every=4")
        done = run_python(
            "-m", "support.killed", f"SIG{by}", str(update), *words, "--deterministic"
        )
        assert done.returncode == (-signal.SIGKILL if update else 0), done.stderr
    for name in ("model", "average", "optimizer"):
        ours, theirs = (
            load_file(tmp_path / run / f"last/{name}.safetensors") for run in ("r", "whole")
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    published = [weights_file(tmp_path / run).read_bytes() for run in ("r", "whole")]
    assert published[0] == published[1]


def test_a_run_moves_between_gpu_and_processor(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    for name, moments in (("whole", [(True, 0)]), ("r", [(True, 10), (False, 10), (True, 0)])):
        for gpu, update in moments:
            trained = command(corpus, tmp_path / name, *STILL)
            words = ["-m", "support.killed", "SIGTERM", str(update), *trained]
            done = run_python(*words, **({} if gpu else NO_GPU))
            assert done.returncode == (130 if update else 0), done.stderr
    ours, theirs = (
        [one["loss"] for one in records(tmp_path / name, "validation")] for name in ("r", "whole")
    )
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_torchrun_trains_on_a_gpu(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    done = torchrun(count, "seq2seq", *command(corpus, tmp_path / "r", *STILL))
    assert done.returncode == 0, done.stderr
    too_many = torchrun(count + 1, "seq2seq", *command(corpus, tmp_path / "s", *STILL))
    assert too_many.returncode != 0
    assert f"has no GPU: there are {count}" in too_many.stderr


def test_a_batch_that_does_not_fit_is_halved(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    """A training that may take little more than half of what it would take."""
    sizes = [f"model.{side}.hidden=256" for side in ("encoder", "decoder")]
    recipe = seq2seq.load_recipe(str(corpus[0]), [*STILL, *sizes, "training.batch_tokens=8000"])
    halved, losses = [], []
    for share in (1.0, 0.6):
        torch.cuda.empty_cache()
        if halved:
            allowed = share * torch.cuda.max_memory_reserved()
            whole = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(allowed / whole)
        torch.cuda.reset_peak_memory_stats()
        monitor = Told()
        try:
            run = tmp_path / str(share)
            assert seq2seq.train(recipe, run, data=corpus[1], monitor=monitor).finished
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        halved.append(monitor.steps[-1].halved)
        losses.append([one["loss"] for one in records(run, "validation")])
    assert halved[0] == 0 < halved[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
