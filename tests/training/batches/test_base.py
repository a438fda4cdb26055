"""Processes that make the buffers of a stream together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.tiny import write_recipe

from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe

CODE = """
import hashlib, sys
from contextlib import closing
from itertools import islice
from pathlib import Path
import torch
import torch.distributed as dist
from seq2seq.data import arrow as storage
from seq2seq.data.batching import Place
from seq2seq.data.dataset import PreparedData
from seq2seq.tasks import task_for
from seq2seq.training.batches import streamed as stream_feed
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.distributed.torch_group import TorchGroup
from seq2seq.training.session import batches_for

folder, store, rank, world = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
storage.BATCH_PAIRS = 150
prepared = PreparedData.open(folder)
group = ProcessGroup()
if world > 1:
    kept = dist.FileStore(store, world)
    dist.init_process_group("gloo", store=kept, rank=rank, world_size=world)
    group = TorchGroup(kept, rank, world, torch.device("cpu"))
sent = []
packed = stream_feed._packed
stream_feed._packed = lambda results, read: sent.append(len(results)) or packed(results, read)
recipe = prepared.recipe
feed = batches_for(prepared, recipe, task_for(recipe), group)
found = hashlib.sha256()
with closing(feed.updates(Place())) as works:
    for work in islice(works, 120):
        found.update(repr([one.tolist() for one in work.all_indices]).encode())
        found.update(repr((work.place, work.place.mark)).encode())
print(found.hexdigest(), sent[0] if sent else 0)
if world > 1:
    dist.destroy_process_group()
"""


def processes(folder: Path, store: Path, world: int) -> list[list[str]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(folder), str(store), str(rank), str(world)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for rank in range(world)
    ]
    told = []
    for process in started:
        output, complaints = process.communicate(timeout=100)
        assert process.returncode == 0, complaints
        told.append(output.split())
    return told


def test_two_processes_share_out_what_one_would_do(tmp_path: Path) -> None:
    write_recipe(tmp_path, 500)
    settings = [
        "data.stream.buffer=1024",
        "training.epochs=none",
        "training.updates=9",
        "training.validation.every=3",
    ]
    recipe = load_recipe(str(tmp_path / "tiny.toml"), settings)
    data = prepare(recipe, tmp_path / "data").folder
    ((alone, nothing),) = processes(data, tmp_path / "none", 1)
    together = processes(data, tmp_path / "store", 2)
    assert [one[0] for one in together] == [alone, alone]
    assert nothing == "0"
    parts = [int(one[1]) for one in together]
    assert min(parts) >= 3  # of eight blocks: 1024 rows of 500 over and over, by 150
    assert abs(parts[0] - parts[1]) <= 1
