"""A group of several processes, started by ``torchrun``.

Gradients are added up by torch's ``DistributedDataParallel``, and everything else goes through a
group of its own on the processors (gloo), so that a training on GPUs never waits there for a
number.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from seq2seq import __version__
from seq2seq.data.dataset import PreparedData
from seq2seq.errors import DataError, Seq2SeqError, TrainingError
from seq2seq.processors import started_by_torchrun, usable_processors
from seq2seq.training.batches import Exchange
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.signals import Interrupted
from seq2seq.training.state import TrainingState

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another's part of an update: it may be writing a checkpoint."""
_POLL, _GRACE = 0.05, 3.0  # seconds
_REPORTED, _TURN, _FAILED = "reported/", "turn/", "failed"  # keys and a value in the store


class TorchGroup(ProcessGroup):
    """Several processes in torch.distributed's default group, with their key-value store."""

    def __init__(self, store: Store, rank: int, world_size: int, device: torch.device) -> None:
        super().__init__()
        self.rank, self.world_size, self.device = rank, world_size, device
        self._store = store
        self._turns = 0

    def all_gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        asked = [self.stop.asked == name for name in self.stop.NAMES]
        own = torch.tensor([*values, *asked], dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.world_size)]
        dist.all_gather(found, own)
        everyone: NDArray[np.float64] = torch.stack(found).numpy()
        for place, name in enumerate(self.stop.NAMES, start=len(values)):
            if everyone[:, place].any():
                self.stop.agree(name)
        return everyone[:, : len(values)]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            dist.all_reduce(tensor)

    def all_gather_text(self, text: str) -> list[str]:
        own = text.encode()
        sizes = self.all_gather([len(own)])[:, 0].astype(int).tolist()
        return [one.decode() for one in _all_gather_bytes(own, sizes)]

    def broadcast(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        about, content = None, b""
        if self.rank == 0 and checkpoint is not None:
            state, environment = checkpoint.state.to_json(), checkpoint.environment
            about = {"state": state, "environment": environment, "groups": [*checkpoint.groups]}
            content = save(
                {
                    f"{group}/{name}": tensor.detach().cpu().contiguous()
                    for group, tensors in checkpoint.groups.items()
                    for name, tensor in tensors.items()
                }
            )
        about = json.loads(self.broadcast_bytes(json.dumps(about).encode()))
        if about is None:
            return None
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in about["groups"]}
        for name, tensor in load(self.broadcast_bytes(content)).items():
            group, _, rest = name.partition("/")
            groups[group][rest] = tensor
        return Checkpoint(TrainingState.from_json(about["state"]), groups, about["environment"])

    def broadcast_bytes(self, content: bytes) -> bytes:
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0)
        data = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0 and content:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        dist.broadcast(data, 0)
        return data.numpy().tobytes()

    def exchange(self) -> Exchange:
        group = dist.new_group(backend="gloo", timeout=TIMEOUT)

        def everyone(own: bytes) -> list[bytes]:
            sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
            dist.all_gather(sizes, torch.tensor([len(own)]), group)
            return _all_gather_bytes(own, [int(size) for size in sizes], group)

        return everyone

    def describe(self, threads: int) -> str:
        each = "a thread" if threads == 1 else f"{threads} threads"
        if self.device.type == "cuda":
            each = "a GPU"
        text = f"{self.world_size} processes train together, each with {each}"
        # torchrun sets the variable to 1 where nobody has said anything
        by_default = os.environ.get("OMP_NUM_THREADS") == "1" and threads == 1
        local = int(os.environ.get("LOCAL_WORLD_SIZE", str(self.world_size)))
        usable = usable_processors()
        if by_default and self.device.type == "cpu" and usable >= 2 * local:
            text += f"; there are {usable} processors: --threads {usable // local}"
        return text

    @contextmanager
    def rank_0_first(self) -> Iterator[None]:
        key, self._turns = f"{_TURN}{self._turns}", self._turns + 1
        if self.rank:
            # Polled: a call that waits would keep signals waiting too.
            while not self._store.check([key]):
                time.sleep(_POLL)
            if self._store.get(key) == _FAILED.encode():
                raise _lost(self.world_size)
            yield
            return
        try:
            yield
        except BaseException:
            self._store.set(key, _FAILED)
            raise
        self._store.set(key, "done")

    def data_parallel(self, module: nn.Module, *, unused_parameters: bool) -> nn.Module:
        return DistributedDataParallel(
            module, find_unused_parameters=unused_parameters, gradient_as_bucket_view=True
        )

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        assert isinstance(module, DistributedDataParallel)
        context: AbstractContextManager[None] = module.no_sync()
        return context

    def will_sync(self, module: nn.Module) -> bool:
        return bool(module.require_backward_grad_sync)

    def interruptible_if_alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def interruptible_together(self) -> Iterator[None]:
        dropped = False
        try:
            with self.stop.interruptible():
                yield
        except Interrupted:
            dropped = True
        if self.all_gather([dropped]).any():
            raise Interrupted

    def report_once(self, error: Seq2SeqError) -> None:
        """Marks an error as printed where another process prints it, or its cause."""
        key = _REPORTED + hashlib.sha256(str(error).encode()).hexdigest()
        follows = isinstance(error, _LostError)
        try:
            if follows:
                self._wait_for_cause()
            repeated = self._store.add(key, 1) > 1
            error.reported_elsewhere = repeated or (follows and self._store.check([_REPORTED]))
            if not follows:
                self._store.set(_REPORTED, "")
        except RuntimeError:  # whoever kept the store has ended
            pass

    def _wait_for_cause(self) -> None:
        """Gives the process that failed first the time to say so."""
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and not self._store.check([_REPORTED]):
            time.sleep(_POLL)


class _LostError(TrainingError):
    """Another process has ended, and this one cannot go on."""


def _lost(world_size: int) -> _LostError:
    return _LostError(
        f"training stopped: another of its {world_size} processes has ended: see what it or "
        "torchrun has printed; run the same command again to resume from the last checkpoint"
    )


def _is_lost(error: Exception) -> bool:
    """Whether the other processes are gone; gloo has no exception of its own."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(words in text for words in ("gloo", "nccl", "connection closed by peer"))
    )


def _all_gather_bytes(
    own: bytes, sizes: Sequence[int], group: dist.ProcessGroup | None = None
) -> list[bytes]:
    """Gathers bytes of every process, by rank."""
    padded = np.zeros(max(1, *sizes), dtype=np.uint8)
    padded[: len(own)] = np.frombuffer(own, dtype=np.uint8)
    found = [torch.empty(len(padded), dtype=torch.uint8) for _ in sizes]
    dist.all_gather(found, torch.from_numpy(padded), group)
    return [one[:size].numpy().tobytes() for one, size in zip(found, sizes, strict=True)]


def check_same(group: ProcessGroup, prepared: PreparedData) -> None:
    """Checks that all processes train on the same data, with the same versions.

    Raises ``DataError`` or ``TrainingError`` where one has others than rank 0.
    """
    about = {
        "host": socket.gethostname(),
        "folder": str(prepared.folder),
        "data": prepared.digest,
        "version": f"seq2seq {__version__}, torch {torch.__version__}",
    }
    first, *others = (json.loads(text) for text in group.all_gather_text(json.dumps(about)))
    for rank, other in enumerate(others, start=1):
        where = f"process {rank} of {group.world_size} (on {other['host']})"
        if other["data"] != first["data"]:
            raise DataError(
                f"{other['folder']}: {where} has other data there than process 0 (on "
                f"{first['host']}): give --data a folder that all machines see, or a copy of it "
                "under the same path on each"
            )
        if other["version"] != first["version"]:
            raise TrainingError(
                f"{where} has {other['version']}, process 0 (on {first['host']}) has "
                f"{first['version']}: they must be the same"
            )


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Joins the processes that torchrun has started beside this one, if it has.

    Raises ``TrainingError`` if another ends before this one, or there is no GPU for this one.
    """
    if not started_by_torchrun():
        yield ProcessGroup()
        return
    device = _device()
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    store, rank, world_size = next(iter(rendezvous("env://", timeout=TIMEOUT)))
    store = PrefixStore(_session(store, rank, world_size), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    group = TorchGroup(PrefixStore("group", store), rank, world_size, device)
    try:
        yield group
        gc.collect()  # what still holds the group would keep its threads past the interpreter's end
        dist.barrier()  # the first to leave with a code that is not 0 makes torchrun end the others
    except Seq2SeqError as error:
        group.report_once(error)
        raise
    except Exception as error:
        if not _is_lost(error):
            raise
        lost = _lost(world_size)
        group.report_once(lost)
        raise lost from error
    else:
        dist.destroy_process_group()  # after an error NCCL could wait for the others for ever


def _session(store: Store, rank: int, world_size: int) -> str:
    """A name that all processes of this start agree on, and no earlier start has had.

    torchrun keeps its store when it restarts processes, with what the dead ones have written there,
    and the machines do not agree on the number of restarts.
    """
    own, end = uuid.uuid4().hex, time.monotonic() + TIMEOUT.total_seconds()
    if rank:
        store.set(f"hello/{rank}", own)
        while not store.check([f"welcome/{own}"]):
            _pause(end, world_size)
        session = store.get(f"welcome/{own}").decode()
        store.set(f"here/{session}/{rank}", "")
        return session
    missing = set(range(1, world_size))
    while missing:
        for other in sorted(missing):
            if store.check([f"hello/{other}"]):  # from a living process or a dead one
                store.set(f"welcome/{store.get(f'hello/{other}').decode()}", own)
        _pause(end, world_size)
        missing = {other for other in missing if not store.check([f"here/{own}/{other}"])}
    return own


def _pause(end: float, world_size: int) -> None:
    """Waits a moment before the next look into the store: a blocking call would delay signals."""
    if time.monotonic() > end:
        raise _lost(world_size)
    time.sleep(_POLL)


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise TrainingError(
            f"process {local + 1} of this machine has no GPU: there are {count}; start as many "
            f"processes (--nproc-per-node {count}), or set CUDA_VISIBLE_DEVICES= to train on "
            "processors"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
