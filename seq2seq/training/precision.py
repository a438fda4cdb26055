"""The type for matrix products: bfloat16 where the processor computes in it, else float32."""

from __future__ import annotations

import os

import torch


def bound_primitive_cache() -> None:
    """Keeps oneDNN from remembering every shape of batch it has met.

    It compiles each operation for each shape and keeps 1,024 of the results, which for batches of
    many lengths grows to gigabytes over the first epochs. A quarter of them costs a few percent of
    the time. It must be said before oneDNN is first used; a setting of the user's is left alone.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


def resolve_precision(wish: str, device: torch.device) -> torch.dtype:
    """What the recipe's ``training.precision`` means on this machine.

    Args:
        wish: "float32", "bfloat16" or "auto".
        device: Where training runs.

    Returns:
        ``torch.float32`` or ``torch.bfloat16``. Weights and optimizer are float32 either way.
    """
    if wish != "auto":
        return getattr(torch, wish)  # type: ignore[no-any-return]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32
