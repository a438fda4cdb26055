from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import torch

from seq2seq.nn import waits
from seq2seq.processors import SPINS, WAIT_SETTINGS
from seq2seq.recipe.files import load_recipe
from seq2seq.training.precision import enough_threads, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("wish", ["float32", "bfloat16"])
def test_a_wish_is_granted(wish: str) -> None:
    assert resolve_precision(wish, CPU) == getattr(torch, wish)


def test_auto_follows_the_processor() -> None:
    """What Linux says of the processor, where there is Linux and torch can tell at all."""
    flags = Path("/proc/cpuinfo")
    known = flags.is_file() and hasattr(torch.cpu, "get_capabilities")
    words = set(flags.read_text().split()) if known else set()
    fast = bool({"avx512_bf16", "amx_bf16"} & words)
    assert resolve_precision("auto", CPU) == (torch.bfloat16 if fast else torch.float32)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_asks_for_bfloat16_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == expected


def test_a_torch_that_cannot_tell_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_auto_on_a_gpu_takes_no_emulation(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return fast or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    expected = torch.bfloat16 if fast else torch.float32
    assert resolve_precision("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("tokens", "encoder", "decoder", "expected"),
    [
        (512, 128, 128, 1),
        (512, 256, 256, 1),
        (1024, 256, 256, 2),
        (1024, 128, 256, 2),
        (2048, 384, 384, 6),
        (4096, 1024, 1024, 8),
    ],
)
def test_threads_have_enough_to_do(
    monkeypatch: pytest.MonkeyPatch, tokens: int, encoder: int, decoder: int, expected: int
) -> None:
    """Each thread has 2**17 tokens times hidden units; there are eight."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    sizes = [f"model.encoder.hidden={encoder}", f"model.decoder.hidden={decoder}"]
    recipe = load_recipe("quickstart", [*sizes, f"training.batch_tokens={tokens}"])
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    try:
        with enough_threads(None, recipe, CPU) as note:
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 8
        assert bool(note) == (expected < 8)
        for asked, device in ((8, CPU), (3, CPU), (None, torch.device("cuda"))):
            with enough_threads(asked, recipe, device) as note:
                assert (torch.get_num_threads(), note) == (asked or 8, "")
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
        with enough_threads(None, recipe, CPU) as note:
            assert (torch.get_num_threads(), note) == (8, "")
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' threads sleep at once")
@pytest.mark.parametrize(
    ("device", "asked", "watches"), [(CPU, 2, 1), (CPU, 1, 0), (torch.device("cuda"), 2, 0)]
)
def test_how_threads_wait_is_watched_while_training(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, asked: int, watches: int
) -> None:
    for name in WAIT_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", SPINS)
    monkeypatch.setattr(waits, "usable_processors", lambda: 2)

    def watching() -> int:
        return [thread.name for thread in threading.enumerate()].count("waits")

    before = torch.get_num_threads()
    with enough_threads(asked, load_recipe("quickstart"), device):
        assert watching() == watches
    assert watching() == 0
    assert torch.get_num_threads() == before
