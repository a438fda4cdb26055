"""OpenNMT-py as its own ``onmt_translate`` runs it, model loaded once: ``MODEL CONFIG THREADS``.

Splitting into pieces and joining them is done outside its clock.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from loop import Translate, serve


def load() -> tuple[Translate, dict[str, Any]]:
    """Loads the model.

    Returns:
        What translates.
    """
    import torch
    from onmt.bin.translate import _get_parser
    from onmt.inference_engine import InferenceEnginePY
    from onmt.utils.parse import ArgumentParser

    model, _, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    arguments = ["-model", model, "-src", "unused", "-output", "/dev/null", "-gpu", "-1"]
    opt = _get_parser().parse_args(arguments)
    ArgumentParser.validate_translate_opts(opt)
    ArgumentParser._get_all_transform_translate(opt)
    ArgumentParser._validate_transforms_opts(opt)
    ArgumentParser.validate_translate_opts_dynamic(opt)
    engine = InferenceEnginePY(opt)

    def translate(lines: Sequence[str], batch: int, beam: int) -> list[str]:
        engine.opt.batch_size = batch
        engine.opt.beam_size = engine.translator.beam_size = beam
        _, found = engine.infer_list([line for line in lines if line])  # it drops empty ones
        texts = iter(best[0] for best in found)
        return [next(texts) if line else "" for line in lines]

    return translate, {}


if __name__ == "__main__":
    serve(load)
