"""What the numpy engine must know of a network to read its weights: parts, names and shapes.

The names are those that torch gives the parameters of ``models/translation.py``; a shared one
has the name of its first place.
"""

from __future__ import annotations

from collections.abc import Iterator

from seq2seq.errors import ModelError
from seq2seq.inference.numpy_attention import NUMPY_ATTENTIONS
from seq2seq.inference.numpy_cells import NUMPY_CELLS
from seq2seq.recipe import Model

Shape = tuple[int, ...]

SOURCE_TABLE = "encoder.embedding.table.weight"
TARGET_TABLE = "decoder.embedding.table.weight"


def supported(options: Model) -> bool:
    """Whether the numpy engine has all parts of a model.

    Args:
        options: The recipe's model table.

    Returns:
        Whether no cell or attention is one that only torch knows.
    """
    return not _unknown_parts(options)


def check_supported(options: Model) -> None:
    """Refuses models that the numpy engine does not have all parts of.

    Args:
        options: The recipe's model table.

    Raises:
        ModelError: If a cell or attention is one that only torch knows.
    """
    unknown = _unknown_parts(options)
    if unknown:
        raise ModelError(
            f"this model's {unknown[0]} needs torch: pip install 'seq2seq[train]' (and choose the "
            f"engine 'torch' or 'auto'); without it there are the cells {', '.join(NUMPY_CELLS)} "
            f"and the attentions none, {', '.join(NUMPY_ATTENTIONS)}"
        )


def _unknown_parts(options: Model) -> list[str]:
    cells = (options.encoder.cell.kind, options.decoder.cell.kind)
    unknown = [f"cell {kind!r}" for kind in cells if kind not in NUMPY_CELLS]
    if options.decoder.attention not in ("none", *NUMPY_ATTENTIONS):
        unknown.append(f"attention {options.decoder.attention!r}")
    return unknown


def bridge_kind(options: Model) -> str:
    """What ``bridge = "auto"`` comes to, as ``models/bridge.py`` has it.

    Args:
        options: The recipe's model table.

    Returns:
        "copy", "linear" or "zero".

    Raises:
        ModelError: If states shall be copied between layers of different sizes.
    """
    encoder, decoder = options.encoder, options.decoder
    parts = [NUMPY_CELLS[side.cell.kind].parts for side in (encoder, decoder)]
    fits = encoder.hidden == decoder.hidden and parts[0] >= parts[1]
    if options.bridge == "copy" and not fits:
        raise ModelError(
            f"model.bridge = 'copy' needs states of one size: the encoder's has {parts[0]} x "
            f"{encoder.hidden}, the decoder's {parts[1]} x {decoder.hidden}; set model.bridge to "
            "'auto' or 'linear'"
        )
    if options.bridge == "auto":
        return "copy" if fits else "linear"
    return options.bridge


def parameter_shapes(options: Model, source_size: int, target_size: int) -> dict[str, Shape]:
    """The parameters of a recipe's network, in torch's order.

    Args:
        options: The recipe's model table, one that is ``supported``.
        source_size: The source vocabulary.
        target_size: The target vocabulary.

    Returns:
        Shapes by name, each shared parameter once.

    Raises:
        ModelError: If sizes do not fit each other.
    """
    return dict(_parameters(options, source_size, target_size))


def _parameters(options: Model, source_size: int, target_size: int) -> Iterator[tuple[str, Shape]]:
    encoder, decoder = options.encoder, options.decoder
    yield SOURCE_TABLE, (source_size, encoder.embedding)
    directions = 2 if encoder.directions == "both" else 1
    for layer in range(encoder.layers):
        inputs = encoder.hidden if layer else encoder.embedding
        for direction in range(directions):
            cell = f"encoder.stack.layers.{layer}.{direction}"
            yield from _cell(cell, encoder.cell.kind, inputs, encoder.hidden // directions)

    if options.tie != "all":
        yield TARGET_TABLE, (target_size, decoder.embedding)
    yield from _attention(options)
    summary = encoder.hidden if decoder.state_feeding else 0
    fed = decoder.embedding if decoder.feeding == "input" else 0
    upper = encoder.hidden if decoder.feeding == "upper" else 0
    for layer in range(decoder.layers):
        inputs = decoder.hidden + upper if layer else decoder.embedding + fed + summary
        cell = f"decoder.stack.layers.{layer}.0"
        yield from _cell(cell, decoder.cell.kind, inputs, decoder.hidden)
    context = encoder.hidden if decoder.attention != "none" else 0
    joined = decoder.hidden + context + summary
    yield from _linear("decoder.readout", joined, decoder.embedding)

    if bridge_kind(options) == "linear":
        for layer in range(decoder.layers):
            for part in range(NUMPY_CELLS[decoder.cell.kind].parts):
                yield from _linear(f"bridge.maps.{layer}.{part}", encoder.hidden, decoder.hidden)
    if options.tie == "none":
        yield "output.weight", (target_size, decoder.embedding)
    yield "output.bias", (target_size,)


def _cell(prefix: str, kind: str, inputs: int, hidden: int) -> Iterator[tuple[str, Shape]]:
    gates = NUMPY_CELLS[kind].gates * hidden
    yield f"{prefix}.weight_ih", (gates, inputs)
    yield f"{prefix}.weight_hh", (gates, hidden)
    yield f"{prefix}.bias_ih", (gates,)
    yield f"{prefix}.bias_hh", (gates,)


def _attention(options: Model) -> Iterator[tuple[str, Shape]]:
    name = options.decoder.attention
    if name == "none":
        return
    sizes = {"Q": options.decoder.hidden, "D": options.encoder.hidden, "1": 1}
    for parameter, letters in NUMPY_ATTENTIONS[name].shapes.items():
        yield f"decoder.attention.{parameter}", tuple(sizes[letter] for letter in letters)


def _linear(prefix: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{prefix}.weight", (outputs, inputs)
    yield f"{prefix}.bias", (outputs,)
