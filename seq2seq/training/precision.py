"""The type for matrix products: bfloat16 where the processor computes in it, else float32."""

from __future__ import annotations

import torch


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
