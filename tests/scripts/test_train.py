"""The benchmark of training: what it counts, and what it reads from others."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.__main__ import main
from benchmarks.fairseq import speeds
from benchmarks.model import RECIPE
from benchmarks.peers import PeerError
from benchmarks.text import Side, Text
from benchmarks.train_report import Figures, report
from benchmarks.training import Bench, Cell, bare_flops, cells, forward_products
from benchmarks.upkeep import Call, Loop, outside, prepare_speeds, watched
from support.ragged import ragged
from support.tiny import tiny_recipe
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.data.collate import collate
from seq2seq.data.preparing.prepare import prepare
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe.files import load_recipe

SMALL = [
    f"model.{side}.{name}={size}"
    for side in ("encoder", "decoder")
    for name, size in (("embedding", 6), ("hidden", 8))
]


@pytest.mark.parametrize("feeding", ["none", "input"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_products_are_those_that_torch_counts(cell: str, feeding: str) -> None:
    settings = [f"model.{side}.cell={cell}" for side in ("encoder", "decoder")]
    recipe = load_recipe(str(RECIPE), [*SMALL, *settings, f"model.decoder.feeding={feeding}"])
    # In float64 the layers are not fused, and torch's counter sees every product.
    model = TranslationModel(recipe.model, 11, 11).double().eval()
    rows = np.random.default_rng(1).integers(4, 11, (3, 5)).tolist()
    pairs = collate(ragged(rows), ragged([row[:4] for row in rows]))
    with FlopCounterMode(display=False) as counter:
        model.output(model(pairs))
    # Where a bias is folded into its product as one more column, torch counts that too.
    biases = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "encoder" in name and name.endswith("bias_ih")
    )
    more = counter.get_total_flops() - 2 * forward_products(model, pairs)
    assert more in (0, 2 * biases * int(pairs.source_lengths_B.sum()))


def test_padding_counts_as_no_product() -> None:
    model = TranslationModel(load_recipe(str(RECIPE), SMALL).model, 11, 11)

    def products(*rows: list[int]) -> int:
        return forward_products(model, collate(ragged(rows), ragged(rows)))

    short, long = [4, 5], [6, 7, 8, 9]
    assert products(short, long) == products(short) + products(long)


def test_the_table_has_every_row_of_the_peers() -> None:
    names = [cell.name for cell in cells()]
    assert len(names) == len(set(names)) == 8
    assert {cell.precision for cell in cells()} == {"float32", "bfloat16"}
    for cell in cells():
        recipe = load_recipe(str(RECIPE), cell.settings)
        assert recipe.training.batch_tokens == 4096
        assert recipe.training.precision == cell.precision
        assert recipe.model.encoder.embedding == 256
        assert recipe.model.encoder.hidden == recipe.model.decoder.hidden == 512


def test_a_turn_is_measured(tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(tiny_recipe(tmp_path, count=100), data, processes=1)
    cell = Cell("LSTM, float32", ("training.precision=float32", *SMALL, "training.batch_tokens=99"))
    bench = Bench(cell, data, updates=2)
    bench.turn()
    assert len(cell.speed) == len(cell.share) == 1
    assert cell.speed[0] > 0
    assert 0 < cell.share[0] < 1
    bench.forget()
    assert not cell.speed
    assert not cell.share


def test_a_bare_product_takes_time() -> None:
    assert 1e8 < bare_flops("float32", torch.device("cpu"), seconds=0.01) < 1e15


def test_time_in_no_span_is_outside() -> None:
    assert outside([(0, 1), (1, 3)]) == 0
    assert outside([(10, 11), (12, 13), (14, 15)]) == pytest.approx(2 / 5)


def test_the_loop_and_preparing_are_measured(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, count=100)
    data = tmp_path / "data"
    prepare(recipe, data, processes=1)
    sampling = ["training.batch_tokens=99", "tokenizer.sampling={alpha=0.3}"]
    loop = Loop(data, 1, 6, sampling)
    for ready_first in (False, True):
        share, between = loop.turn(ready_first)
        assert share < 1
        assert 0 < between < 1
    assert [name for name, *_ in loop.calls] == ["update"] * 11

    side = Side(tmp_path / "train.en", tmp_path / "train.de")
    val = Side(tmp_path / "val.en", tmp_path / "val.de")
    text = Text("tiny", side, val, val)
    work = tmp_path / "work"
    ours, bare = prepare_speeds(text, data / "tokenizer.model", work, pairs=250, processes=1)
    assert 0 < ours < bare
    assert list(work.iterdir()) == []


def test_methods_are_watched_and_given_back() -> None:
    class Worker:
        def work(self, seconds: float) -> float:
            time.sleep(seconds)
            return seconds

    original = Worker.work
    calls: list[Call] = []
    with watched(Worker, ["work"], calls) as spans:
        assert Worker().work(0.01) == 0.01
        time.sleep(0.02)
        Worker().work(seconds=0.01)
    assert len(spans) == 2
    assert 0.01 <= spans[0][1] - spans[0][0] < 0.02 + spans[1][0] - spans[0][1]
    assert outside(spans) > 0
    assert Worker.work is original
    assert calls == [("work", (0.01,), {}), ("work", (), {"seconds": 0.01})]


RECORD = (
    '2026-01-01 00:00:00 | INFO | train_inner | {"epoch": 1, "update": 0.1, "loss": "9.1", '
    '"wps": "%s", "ups": "0.5"}'
)


def test_speeds_are_read_from_the_log_of_fairseq() -> None:
    log = [RECORD % 1000.5, "noise", RECORD % 2000, RECORD % 2070.25, RECORD % 2100]
    assert speeds([*log, '| INFO | train | {"wps": "7"}']) == [1000.5, 2000, 2070.25, 2100]
    with pytest.raises(PeerError, match=r"^fairseq logged 1 records of training: too few$"):
        speeds(log[:2])


def test_the_report_sets_us_beside_fairseq() -> None:
    fast = Cell("LSTM, float32", (), [4000, 2000], [0.8, 0.7])
    fed = Cell("LSTM, float32, input feeding", (), [2000, 1000], [0.5, 0.5])
    figures = Figures(
        [fast, fed], 2, 20, fairseq=[1000, 500], loop=[0.011], sampled=[0.02, 0.04],
        between=[0.001], validation=[8.0], lines=1000, prepare=[80, 60], bare=[100, 100],
        problems=["no GPU"],
    )  # fmt: skip
    words = " ".join(report(figures, {"processor": "abacus"}).split())
    assert "| LSTM, float32 | 3,000 (2,000–4,000) | 0.75 (0.70–0.80), aim 0.75 |" in words
    assert "| 4.00, aim 2.3 |" in words
    assert "| 2.00, aim 1 |" in words
    assert "| outside forward, backward, update, % | 1.1 | 3 |" in words
    assert "| the same with subword sampling, % | 3.0 (2.0–4.0) | 3 |" in words
    assert "| of it between their calls, % | 0.1 | – |" in words
    assert "| validation, BLEU of 1,000 lines, s | 8.0 | 10 |" in words
    assert "| prepare as a share of it | 0.70 (0.60–0.80) | 0.7 |" in words
    assert words.endswith("Not measured: no GPU")
    alone = report(Figures([fast], 2, 20), {})
    assert "fairseq" not in alone


def test_a_part_that_is_unknown_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--parts", "speed,lop"]) == 2
    assert capsys.readouterr().err == (
        "bench: --parts: there is no 'lop'; allowed: speed, loop, validation, prepare, bleu, "
        "memory, costs, gpu, processes\n"
    )
    assert main(["train", "--parts", "bleu", "--tools", "marian"]) == 2
    assert capsys.readouterr().err == (
        "bench: --tools: there is no 'marian'; allowed: ours, fairseq\n"
    )
