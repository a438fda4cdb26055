"""The mean of fairseq's checkpoints: ``OUTPUT CHECKPOINT...``; runs in its own environment."""

from __future__ import annotations

import sys

import torch


def main(output: str, *paths: str) -> None:
    """Averages.

    Args:
        output: The checkpoint to write; all but the weights is the last one's.
        *paths: Those to read.
    """
    total: dict[str, torch.Tensor] = {}
    for path in paths:
        last = torch.load(path, map_location="cpu", weights_only=False)
        for name, weight in last["model"].items():
            total[name] = total.get(name, 0) + weight.double() / len(paths)
    last["model"] = {name: total[name].to(one.dtype) for name, one in last["model"].items()}
    torch.save(last, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
