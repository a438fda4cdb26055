"""What a recipe may name: cells and attentions, those built in and those of other packages.

A name stands for a class by its address, so that a recipe is checked without importing torch. A
package of your own offers a cell by an entry point, in its ``pyproject.toml``::

    [project.entry-points."seq2seq.cells"]
    peephole = "my_package.peephole:PeepholeCell"
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from seq2seq.errors import ModelError, is_terminated, unknown_name


class Registry:
    """Classes of one kind by the names that recipes use.

    Messages call one ``what`` ("cell"). Other packages offer theirs as entry points of ``group``;
    ``own`` are the package's, or their addresses ("module:Class"), by name.
    """

    def __init__(self, what: str, group: str, own: dict[str, Any]) -> None:
        self.what = what
        self.group = group
        self.own = own
        self._names: dict[type[Any], str] = {}  # of the classes that were loaded

    def names(self) -> tuple[str, ...]:
        """All names, the package's own first."""
        offered = {entry.name for entry in _offered(self.group)}
        return (*self.own, *sorted(offered - self.own.keys()))

    def check(self, name: str) -> str:
        """Gives a name back if it is there; its class is not imported.

        A ValueError says that it is not, or that more than one package offers it.
        """
        if name not in self.names():
            raise ValueError(
                f"{unknown_name(name, self.names())}; a{'n' * (self.what[0] in 'aeiou')} "
                f"{self.what} of another package is known once that package is installed (entry "
                f"points {self.group!r})"
            )
        self._offer(name)
        return name

    def load(self, name: str) -> type[Any]:
        """Imports the class of a name; a ``ModelError`` says why that cannot be."""
        try:
            self.check(name)
            entry = self._offer(name)
        except ValueError as error:
            words = str(error).replace("unknown name", f"unknown {self.what}", 1)
            raise ModelError(words) from None
        own = self.own.get(name)
        if isinstance(own, type):
            self._names[own] = name
            return own
        address = own or (entry.value if entry else "")
        try:
            module, _, attribute = address.partition(":")
            found: type[Any] = getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a module may end the program as it is imported
            if is_terminated(error):
                raise
            if own and isinstance(error, ImportError):
                raise  # a missing torch, which the caller names with its remedy
            words = str(error)
            if isinstance(error, SystemExit) or not words:
                words = repr(error)
            raise ModelError(
                f"the {self.what} {name!r} ({address}, of the package {_package(entry)}) cannot be "
                f"imported: {words}"
            ) from error
        self._names[found] = name
        return found

    def described(self, loaded: type[Any]) -> str:
        """A class that was loaded, for messages: its name, its address and its package."""
        name = self._names.get(loaded, "?")
        entry = next((entry for entry in _offered(self.group) if entry.name == name), None)
        package = _package(entry) if entry else loaded.__module__.partition(".")[0]
        address = f"{loaded.__module__}:{loaded.__qualname__}"
        return f"the {self.what} {name!r} ({address}, of the package {package})"

    def _offer(self, name: str) -> EntryPoint | None:
        """Another package's entry point of a name; None: it is one of the package's own."""
        offers = [entry for entry in _offered(self.group) if entry.name == name]
        packages = ["seq2seq"] * (name in self.own) + [_package(entry) for entry in offers]
        if len(packages) > 1:
            raise ValueError(
                f"{name!r} is offered by {' and by '.join(packages)}: give it another name in one "
                "of them, or uninstall one"
            )
        return offers[0] if offers else None


@cache
def _offered(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _package(entry: EntryPoint | None) -> str:
    return entry.dist.name if entry and entry.dist else "?"


def own_keys_known() -> bool:
    """Whether the cells' own keys can be told here: they stand beside code that needs torch."""
    return find_spec("torch") is not None


CELLS = Registry(
    "cell",
    "seq2seq.cells",
    {
        "rnn": "seq2seq.nn.cells.rnn:RnnCell",
        "gru": "seq2seq.nn.cells.gru:GruCell",
        "lstm": "seq2seq.nn.cells.lstm:LstmCell",
        "mgu": "seq2seq.nn.cells.mgu:MguCell",
        "transition": "seq2seq.nn.cells.transition:TransitionCell",
        "sru": "seq2seq.nn.cells.sru:SruCell",
        "ssru": "seq2seq.nn.cells.ssru:SsruCell",
        "mingru": "seq2seq.nn.cells.mingru:MinGruCell",
        "minlstm": "seq2seq.nn.cells.minlstm:MinLstmCell",
        "echo": "seq2seq.nn.cells.echo:EchoCell",
    },
)
ATTENTIONS = Registry(
    "attention",
    "seq2seq.attentions",
    {
        "dot": "seq2seq.nn.attention:DotAttention",
        "general": "seq2seq.nn.attention:GeneralAttention",
        "additive": "seq2seq.nn.attention:AdditiveAttention",
    },
)
