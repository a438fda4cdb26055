"""A team of several processes, started by ``torchrun``.

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
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from seq2seq import __version__
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.workers import processors
from seq2seq.errors import DataError, Seq2SeqError, TrainingError
from seq2seq.training.distributed.group import Team
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.signals import Interrupted, StopRequest
from seq2seq.training.state import TrainingState

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another's part of an update: it may be writing a checkpoint."""
_POLL, _GRACE = 0.05, 3.0  # seconds
_TOLD, _TURN, _FAILED = "told/", "turn/", "failed"


class Processes(Team):
    """A team of several, of which each process has one.

    Args:
        store: What the processes share besides their groups.
        rank: This process.
        world: How many there are.
        device: Where it computes.
    """

    def __init__(self, store: Store, rank: int, world: int, device: torch.device) -> None:
        super().__init__()
        self.rank, self.world, self.device = rank, world, device
        self._store = store
        self._turns = 0

    def gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        asked = [self.stop.asked == name for name in self.stop.NAMES]
        own = torch.tensor([*values, *asked], dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(found, own)
        everyone: NDArray[np.float64] = torch.stack(found).numpy()
        for place, name in enumerate(self.stop.NAMES, start=len(values)):
            if everyone[:, place].any():
                self.stop.agree(name)
        return everyone[:, : len(values)]

    def texts(self, text: str) -> list[str]:
        own = text.encode()
        sizes = self.gather([len(own)])[:, 0].astype(int).tolist()
        return [one.decode() for one in exchanged(own, sizes)]

    def shared(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        told = self.texts(json.dumps(_outline(checkpoint)) if self.leads else "")[0]
        outline = json.loads(told)
        if outline is None:
            return None
        groups: dict[str, dict[str, Tensor]] = {}
        for group, names in outline["groups"].items():
            groups[group] = {}
            for name, (kind, shape) in names.items():
                if self.leads and checkpoint is not None:
                    tensor = checkpoint.groups[group][name].detach().cpu().contiguous()
                else:
                    tensor = torch.empty(shape, dtype=getattr(torch, kind))
                dist.broadcast(tensor, 0)
                groups[group][name] = tensor
        state = TrainingState.from_json(outline["state"])
        return Checkpoint(state, groups, outline["environment"])

    def note(self, threads: int) -> str:
        each = "a thread" if threads == 1 else f"{threads} threads"
        if self.device.type == "cuda":
            each = "a GPU"
        told = f"{self.world} processes train together, each with {each}"
        # torchrun sets the variable to 1 where nobody has said anything
        by_default = os.environ.get("OMP_NUM_THREADS") == "1" and threads == 1
        local = int(os.environ.get("LOCAL_WORLD_SIZE", str(self.world)))
        if by_default and self.device.type == "cpu" and processors() >= 2 * local:
            told += f"; there are {processors()} processors: --threads {processors() // local}"
        return told

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        key, self._turns = f"{_TURN}{self._turns}", self._turns + 1
        if not self.leads:
            # Not in a call that waits: it would keep signals waiting too.
            while not self._store.check([key]):
                time.sleep(_POLL)
            if self._store.get(key) == _FAILED.encode():
                raise _lost(self.world)
            yield
            return
        try:
            yield
        except BaseException:
            self._store.set(key, _FAILED)
            raise
        self._store.set(key, "done")

    def joined(self, module: nn.Module, *, unused: bool) -> nn.Module:
        return DistributedDataParallel(
            module, find_unused_parameters=unused, gradient_as_bucket_view=True
        )

    def apart(self, module: nn.Module) -> AbstractContextManager[None]:
        assert isinstance(module, DistributedDataParallel)
        context: AbstractContextManager[None] = module.no_sync()
        return context

    def joins(self, module: nn.Module) -> bool:
        return bool(module.require_backward_grad_sync)

    def stop_on_signals(self) -> AbstractContextManager[StopRequest]:
        return self._stop_on_signals(alone=False)

    def dropped_alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def dropped_together(self) -> Iterator[None]:
        dropped = False
        try:
            with self.stop.dropping():
                yield
        except Interrupted:
            dropped = True
        if self.gather([dropped]).any():
            raise Interrupted

    def tell_once(self, error: Seq2SeqError) -> None:
        """Sees to it that of processes that meet the same error one tells it.

        Args:
            error: It; changed where another has told it, or the one that it follows from.
        """
        key = _TOLD + hashlib.sha256(str(error).encode()).hexdigest()
        follows = isinstance(error, _LostError)
        try:
            if follows:
                self._wait_for_cause()
            error.told = self._store.add(key, 1) > 1 or (follows and self._store.check([_TOLD]))
            if not follows:
                self._store.set(_TOLD, "")
        except RuntimeError:  # whoever kept the store has ended
            pass

    def _wait_for_cause(self) -> None:
        """Gives the process that has failed the time to say so."""
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and not self._store.check([_TOLD]):
            time.sleep(_POLL)


class _LostError(TrainingError):
    """Another process has ended, and this one cannot go on."""


def _lost(world: int) -> _LostError:
    return _LostError(
        f"training stopped: another of its {world} processes has ended: what it or torchrun says "
        "tells why; the same command goes on from the last checkpoint"
    )


def _is_lost(error: Exception) -> bool:
    """Whether the other processes are gone; gloo has no exception of its own."""
    told = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(words in told for words in ("gloo", "nccl", "connection closed by peer"))
    )


def _outline(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """A checkpoint without its numbers, for JSON."""
    if checkpoint is None:
        return None
    groups = {
        group: {
            name: (str(one.dtype).removeprefix("torch."), list(one.shape))
            for name, one in tensors.items()
        }
        for group, tensors in checkpoint.groups.items()
    }
    state, environment = checkpoint.state.to_json(), checkpoint.environment
    return {"state": state, "environment": environment, "groups": groups}


def exchanged(
    own: bytes, sizes: Sequence[int], group: dist.ProcessGroup | None = None
) -> list[bytes]:
    """Gives every process's bytes to every process.

    Args:
        own: This process's.
        sizes: How many each has, by rank.
        group: The processes; None: all.

    Returns:
        Each one's, by rank.
    """
    padded = np.zeros(max(1, *sizes), dtype=np.uint8)
    padded[: len(own)] = np.frombuffer(own, dtype=np.uint8)
    found = [torch.empty(len(padded), dtype=torch.uint8) for _ in sizes]
    dist.all_gather(found, torch.from_numpy(padded), group)
    return [one[:size].numpy().tobytes() for one, size in zip(found, sizes, strict=True)]


def check_same(team: Team, prepared: PreparedData) -> None:
    """Checks that all processes are about to do the same.

    Args:
        team: The processes.
        prepared: The data that this one has opened.

    Raises:
        DataError: If a process has other data than the leader.
        TrainingError: If a process is of another version than the leader.
    """
    about = {
        "host": socket.gethostname(),
        "folder": str(prepared.folder),
        "data": prepared.digest,
        "version": f"seq2seq {__version__}, torch {torch.__version__}",
    }
    leader, *others = (json.loads(text) for text in team.texts(json.dumps(about)))
    for rank, other in enumerate(others, start=1):
        where = f"process {rank} of {team.world} (on {other['host']})"
        if other["data"] != leader["data"]:
            raise DataError(
                f"{other['folder']}: {where} has other data there than process 0 (on "
                f"{leader['host']}): give --data a folder that all machines see, or a copy of it "
                "under the same path on each"
            )
        if other["version"] != leader["version"]:
            raise TrainingError(
                f"{where} has {other['version']}, process 0 (on {leader['host']}) has "
                f"{leader['version']}: they must be the same"
            )


@contextmanager
def started_team() -> Iterator[Team]:
    """Joins the processes that torchrun has started beside this one.

    Yields:
        The team; of this process alone where nothing says that there are others.

    Raises:
        TrainingError: If another process ends before this one, or there is no GPU for this one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield Team()
        return
    device = _device()
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    store, rank, world = next(iter(rendezvous("env://", timeout=PATIENCE)))
    store = PrefixStore(_session(store, rank, world), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    processes = Processes(PrefixStore("team", store), rank, world, device)
    try:
        yield processes
        gc.collect()  # what still holds the group would keep its threads past the interpreter's end
        dist.barrier()  # the first to leave with a code that is not 0 makes torchrun end the others
    except Seq2SeqError as error:
        processes.tell_once(error)
        raise
    except Exception as error:
        if not _is_lost(error):
            raise
        lost = _lost(world)
        processes.tell_once(lost)
        raise lost from error
    else:
        dist.destroy_process_group()  # after an error NCCL could wait for the others for ever


def _session(store: Store, rank: int, world: int) -> str:
    """A name that the processes of this start have in common with none of an earlier one.

    torchrun keeps its store when it starts processes again, with what the dead ones have written
    there; how often it has done so, the machines do not agree on.
    """
    own, end = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    if rank:
        store.set(f"hello/{rank}", own)
        while not store.check([f"welcome/{own}"]):
            _pause(end, world)
        session = store.get(f"welcome/{own}").decode()
        store.set(f"here/{session}/{rank}", "")
        return session
    missing = set(range(1, world))
    while missing:
        for other in sorted(missing):
            if store.check([f"hello/{other}"]):  # from a living process or a dead one
                store.set(f"welcome/{store.get(f'hello/{other}').decode()}", own)
        _pause(end, world)
        missing = {other for other in missing if not store.check([f"here/{own}/{other}"])}
    return own


def _pause(end: float, world: int) -> None:
    """Not in a call that waits: it would keep signals waiting too."""
    if time.monotonic() > end:
        raise _lost(world)
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
