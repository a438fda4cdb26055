"""The tensors that are a model: how they begin; what checkpoints, weights and averages hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.nn.cells import Cell, errors_naming
from seq2seq.nn.initialization import initialize_embedding, initialize_linear
from seq2seq.storage.layout import RECIPE

M = TypeVar("M", bound=nn.Module)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Lists every parameter and persistent buffer once, without gradients.

    They go by the names of ``state_dict``, a tied one by its first name. Writing into them changes
    the module.
    """
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor):
            found.setdefault(id(tensor), (name, tensor.detach()))
    return dict(found.values())


class _Undrawn(TorchFunctionMode):
    """Draws no first values: on the meta device that would import torch's compiler, in seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # torch's own names
        if getattr(func, "__name__", "") == "normal_":
            return args[0] if args else kwargs["tensor"]  # torch.nn.init has a name for it
        return func(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built here have names and shapes, and neither memory nor values."""
    with torch.device("meta"), _Undrawn():
        yield


def built_with(build: Callable[[], M], tensors: Mapping[str, Tensor], origin: Path) -> M:
    """Builds a network and loads it, if it is the one whose weights they are.

    That is seen before memory is taken for it: a recipe may ask for any size. ``build`` makes it,
    ``origin`` is where the tensors are from, for messages.
    """
    with naming_recipe(origin.parent), without_memory():
        network = build()
    check_shapes(tensors_of(network), tensors, origin)
    network = build()
    load_tensors(network, tensors, origin)
    return network


@contextmanager
def naming_recipe(folder: Path) -> Iterator[None]:
    """Errors of a network that is built become a ``ModelError`` that names the folder's recipe.

    It was read without asking for the keys of its cells.
    """
    try:
        yield
    except Seq2SeqError as error:
        reason = "; ".join(str(error).splitlines())
        raise ModelError(f"{folder / RECIPE}: {reason}") from None


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Copies tensors into a module by the names that ``tensors_of`` gives, all of them or none.

    It is a ``ModelError`` if names or shapes differ; messages say that they are from ``origin``.
    """
    own = tensors_of(module)
    check_shapes(own, tensors, origin)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def check_shapes(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], origin: Path) -> None:
    """Checks that tensors that were read are those which a network wants; else a ``ModelError``.

    Messages say that they are from ``origin``.
    """
    missing, unknown = _listed(wanted, found), _listed(found, wanted)
    if missing or unknown:
        raise ModelError(
            f"{origin} does not fit the recipe: it lacks {missing or 'nothing'} and has "
            f"{unknown or 'nothing'} besides; recipe.toml and weights must come from the same run"
        )
    for name, tensor in wanted.items():
        if tensor.shape != found[name].shape:
            raise ModelError(
                f"{origin}: {name} is {tuple(found[name].shape)}, recipe and tokenizer ask for "
                f"{tuple(tensor.shape)}; recipe.toml, tokenizer and weights must come from the "
                "same run"
            )
        if tensor.is_floating_point() != found[name].is_floating_point():
            types = [str(one.dtype).removeprefix("torch.") for one in (found[name], tensor)]
            raise ModelError(
                f"{origin}: {name} holds {types[0]} numbers, where {types[1]} ones are expected: "
                "these are not the weights that were trained"
            )


def _listed(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(ours.keys() - theirs.keys()))


def initialize(model: nn.Module, rule: str) -> None:
    """Draws a model's first weights; ``rule`` says how recurrent matrices begin.

    What a cell refuses is told with its table in the recipe, named as the model's part is.
    """
    done: set[nn.Module] = set()
    for name, part in model.named_children():
        try:
            _initialize(part, rule, done)
        except ModelError as error:
            raise ModelError(f"model.{name}: {error}") from error


def _initialize(module: nn.Module, rule: str, done: set[nn.Module]) -> None:
    """Each module once, in the order of ``modules()``; what is within a cell is the cell's own."""
    if module in done:
        return
    done.add(module)
    if isinstance(module, Cell):
        with torch.no_grad(), errors_naming(type(module)):
            module.reset_parameters(rule)
        return
    if isinstance(module, nn.Embedding):
        initialize_embedding(module)
    elif isinstance(module, nn.Linear):
        initialize_linear(module)
    for child in module.children():
        _initialize(child, rule, done)
