"""The recipe's tables on data: where pairs come from, which are dropped, how they are tokenized.

Or no text at all, but one of the standard problems for recurrent networks: ``PROBLEMS``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from seq2seq.recipe.base import (
    AUTO,
    MOST,
    NAME,
    ONE,
    SEVERAL,
    SIDES,
    PositiveInt,
    Section,
    Strings,
    left_out,
)
from seq2seq.storage.encodings import encoding_problem


def _encoding(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('must be the name of an encoding, such as "latin-1"')
    if problem := encoding_problem(value):
        raise ValueError(problem)
    return value


def _encodings(value: Any) -> Any:
    """One encoding for both files, or a list of two."""
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError('a list here means ["the source\'s encoding", "the target\'s"]')
        return tuple(map(_encoding, value))
    return _encoding(value)


def _column(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    if not is_number and not (isinstance(value, str) and value):
        raise ValueError("must be a column's number, counted from 0, or its name in the header")
    return value


Encoding = Annotated[str, BeforeValidator(_encoding)]
"""What a file is coded in. None: UTF-8, and it is an error if much of it is not."""
File = Annotated[str, Field(min_length=1)]
Column = Annotated[int | str, BeforeValidator(_column, json_schema_input_type=int | str)]


class LinesSource(Section):
    """Two files, line n of one translating line n of the other; ``.gz`` and ``.zst`` unpacked.

    ``encoding`` is that of both, or a list: the source's and the target's.
    """

    kind: Literal["lines"] = "lines"
    source_path: File
    target_path: File
    encoding: (
        Annotated[
            str | tuple[str, str],
            BeforeValidator(_encodings, json_schema_input_type=str | list[str]),
        ]
        | None
    ) = None

    @property
    def encodings(self) -> tuple[str | None, str | None]:
        """The encoding of each file; None: UTF-8, as nothing else was said."""
        given = self.encoding
        return given if isinstance(given, tuple) else (given, given)


class TsvSource(Section):
    """One file, a pair a line, columns split at tabs and never quoted.

    Columns are numbers, counted from 0, or names in the header, which is the first line. Where one
    is not given, the file must have two. Without ``header``, one is known by the usual names.
    """

    kind: Literal["tsv"] = "tsv"
    path: File
    source: Column | None = None
    target: Column | None = None
    header: bool | None = None
    encoding: Encoding | None = None

    def _broken_rules(self) -> dict[str, bool]:
        given = [column for column in (self.source, self.target) if column is not None]
        return {
            "source and target are the same column": (
                len(given) == 2 and self.source == self.target
            ),
            "source and target are found by name in the header: header = false has none": (
                self.header is False and any(isinstance(column, str) for column in given)
            ),
        }


class JsonlSource(Section):
    """JSON Lines, an object a pair; a dotted key (``translation.en``) reaches into objects."""

    kind: Literal["jsonl"] = "jsonl"
    path: File
    source: str = "source"
    target: str = "target"
    encoding: Encoding | None = None


class ParquetSource(Section):
    """Parquet; a dotted key reaches into struct columns."""

    kind: Literal["parquet"] = "parquet"
    path: File
    source: str = "source"
    target: str = "target"


class HubSource(Section):
    """A data set of the Hugging Face hub, streamed through ``datasets.load_dataset``."""

    kind: Literal["hub"] = "hub"
    name: str
    config: str | None = None
    split: str
    revision: str | None = None
    source: str
    target: str


class Part(Section):
    """What a corpus has besides, where several are mixed.

    Twice the ``weight``, twice the chance of each of its pairs. ``label`` is what messages and
    reports call it; by default it is the file's name, or the data set's.
    """

    weight: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0
    label: Annotated[str, Field(pattern=NAME)] | None = None


class LinesPart(Part, LinesSource):
    """Two files, one of several corpora."""


class TsvPart(Part, TsvSource):
    """A file of tab-separated pairs, one of several corpora."""


class JsonlPart(Part, JsonlSource):
    """A file of JSON Lines, one of several corpora."""


class ParquetPart(Part, ParquetSource):
    """A Parquet file, one of several corpora."""


class HubPart(Part, HubSource):
    """A data set of the hub, one of several corpora."""


SUFFIX_KINDS = {".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
"""What a file is, by its name's end; ``.gz`` and ``.zst`` may follow."""


def kind_of_file(path: str) -> str | None:
    """The kind of source that a file is by its name; None: it may be lines of text."""
    suffixes = Path(path).suffixes
    while suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    return SUFFIX_KINDS.get(suffixes[-1] if suffixes else "")


def _with_kind(table: dict[str, Any]) -> dict[str, Any]:
    """A table without a kind says it by its keys, or by its file's name."""
    path = table.get("path")
    kind = kind_of_file(path) if isinstance(path, str) else None
    if {"source_path", "target_path"} <= table.keys():
        kind = "lines"
    return table if "kind" in table or kind is None else {"kind": kind, **table}


def _source_shorthand(value: Any) -> Any:
    """Two paths are line-aligned files; one path says its kind by its suffix."""
    if isinstance(value, dict):
        return _with_kind(value)
    if isinstance(value, list | tuple):
        if len(value) != 2 or not all(isinstance(item, str) for item in value):
            raise ValueError(
                'a list here means ["source file", "target file"]: two strings; several corpora '
                "are a list of such lists or of tables"
            )
        if all(kind_of_file(item) for item in value):
            raise ValueError(
                f"{value[0]!r} and {value[1]!r} are a corpus each, not the two sides of one: "
                "several corpora are a list of tables, [{path = ...}, {path = ...}]"
            )
        return {"kind": "lines", "source_path": value[0], "target_path": value[1]}
    if isinstance(value, str):
        kind = kind_of_file(value)
        if kind is None:
            raise ValueError(
                f"cannot tell what {value!r} is: give two files, or one that ends in "
                ".tsv, .jsonl or .parquet (perhaps .gz or .zst), or a table with a kind"
            )
        return {"kind": kind, "path": value}
    return value


_Shorthand = BeforeValidator(
    _source_shorthand, json_schema_input_type=list[str] | str | dict[str, Any]
)

Source = Annotated[
    Annotated[
        LinesSource | TsvSource | JsonlSource | ParquetSource | HubSource,
        Field(discriminator="kind"),
    ],
    _Shorthand,
]

AnyPart = Annotated[
    Annotated[
        LinesPart | TsvPart | JsonlPart | ParquetPart | HubPart,
        Field(discriminator="kind"),
    ],
    _Shorthand,
]


def _one_or_several(value: Any) -> str:
    """Two strings are the two files of one corpus; tables or lists in a list are corpora."""
    listed = isinstance(value, list | tuple)
    return SEVERAL if listed and any(isinstance(i, list | dict | Part) for i in value) else ONE


Train = Annotated[
    Annotated[Source, Tag(ONE)] | Annotated[tuple[AnyPart, ...], Field(strict=False), Tag(SEVERAL)],
    Discriminator(_one_or_several),
]


class Stream(Section):
    """Training pairs are read while training goes on, and never stored.

    They are shuffled, and sorted into batches, ``buffer`` at a time: so many are in memory.
    """

    buffer: Annotated[int, Field(ge=1024, le=MOST)] = 65536


def _switch(value: Any) -> Any:
    """Lets ``stream = true`` stand for a table of defaults."""
    return ({} if value else None) if isinstance(value, bool) else value


class Traits(NamedTuple):
    """What a recipe must know of a problem; ``data/problems`` draws it."""

    least: int  # the smallest length
    stream: bool = False  # a target at every step, and no end that means anything
    numbers: bool = True  # targets are numbers, with the mean squared error; else classes


PROBLEMS = {
    "adding": Traits(10),
    "multiplication": Traits(10),
    "xor": Traits(10, numbers=False),
    "temporal_order": Traits(10, numbers=False),
    "copy": Traits(1, numbers=False),
    "memorization": Traits(1, numbers=False),
    "narma10": Traits(20, stream=True),
    "mackey_glass": Traits(20, stream=True),
    "memory": Traits(20, stream=True),
}
Name = Literal[
    "adding", "multiplication", "xor", "temporal_order", "copy", "memorization", "narma10",
    "mackey_glass", "memory",
]  # fmt: skip
WASHOUT = 100
"""Steps at a stream's beginning that do not count, where the recipe does not say."""


class Data(Section):
    """Where the pairs come from. ``prepare`` needs train; translating needs none.

    Where no ``val`` is named, a tenth of the training pairs is held out for validation, at most
    ``held_out`` of them. A stream holds out none: it needs val.

    Of several training corpora, each has a share of the pairs that is proportional to
    (its pairs x its weight) ** (1 / ``temperature``); in a stream, whose sizes are unknown, to
    weight ** (1 / ``temperature``).

    With ``kind = "problem"`` there is no text: ``problem`` names a standard problem of so large a
    ``length``. Its sequences are drawn by ``seed`` as they are needed, and nothing is stored. The
    first ``washout`` steps of a stream do not count.
    """

    kind: Literal["problem"] | None = None
    problem: Name | None = None
    length: Annotated[int, Field(ge=1, le=100_000)] | None = None
    train_size: Annotated[int, Field(ge=1, le=2**30)] | None = None  # None: 1,000,000
    val_size: Annotated[int, Field(ge=1, le=2**20)] | None = None  # None: 1,000
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None  # None: 1
    washout: Annotated[int, Field(ge=0, le=100_000)] | None = None
    train: Train | None = None
    val: Source | None = None
    test: Source | None = None
    held_out: Annotated[int, Field(ge=1, le=100_000)] = 1000
    temperature: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0
    stream: Annotated[
        Stream | None, BeforeValidator(_switch, json_schema_input_type=bool | Stream | None)
    ] = None

    @property
    def traits(self) -> Traits | None:
        """What is known of the problem; None: the data is text."""
        return None if self.kind is None or self.problem is None else PROBLEMS[self.problem]

    @property
    def first_step(self) -> int:
        """The first step of a stream that counts; 0 of other problems."""
        if self.traits is None or not self.traits.stream:
            return 0
        return WASHOUT if self.washout is None else self.washout

    def missing(self) -> list[str]:
        """What must be named before this can be prepared or trained on, a line each."""
        if self.kind is not None:
            return []
        wanted = {"train": ""}
        if self.stream is not None:
            wanted["val"] = " (a stream holds out no pairs)"
        return [
            f"data.{split}: missing{why}: name the files, for instance --set "
            f'\'data.{split}=["FILE.en","FILE.de"]\''
            for split, why in wanted.items()
            if not getattr(self, split)
        ]

    def _broken_rules(self) -> dict[str, bool]:
        parts = self.train if isinstance(self.train, tuple) else ()
        labels = [part.label for part in parts if part.label is not None]
        default = type(self).model_fields["held_out"].default
        return {
            "temperature needs several corpora in train": (
                self.temperature != 1.0 and len(parts) < 2
            ),
            "held_out is of use where no val is named: leave one of them out": (
                self.val is not None and self.held_out != default
            ),
            **{
                f"two corpora in train have the label {label!r}": labels.count(label) > 1
                for label in labels
            },
            **self._broken_rules_of_problems(),
        }

    def _broken_rules_of_problems(self) -> dict[str, bool]:
        own = ("problem", "length", "train_size", "val_size", "seed", "washout")
        text = ("train", "val", "test", "stream")
        given = [key for key in own if getattr(self, key) is not None]
        if self.kind is None:
            return {f"{' and '.join(given)}: only with kind = 'problem'": bool(given)}
        named = [key for key in text if getattr(self, key) is not None]
        broken = {
            "kind = 'problem' needs problem and length, such as problem = 'adding', length = 100": (
                self.problem is None or self.length is None
            ),
            f"{' and '.join(named)}: text, and kind = 'problem' has none: leave one of them out": (
                bool(named)
            ),
        }
        if self.traits is None or self.length is None:
            return broken
        first, streams = self.first_step, [name for name, one in PROBLEMS.items() if one.stream]
        return broken | {
            f"length = {self.length} is too short: problem = {self.problem!r} needs at least "
            f"{self.traits.least}": self.length < self.traits.least,
            f"length = {self.length} must be above washout = {first}, or no step counts": (
                self.length <= first
            ),
            f"washout is for streams ({', '.join(streams)}), not for problem = {self.problem!r}": (
                self.washout is not None and not self.traits.stream
            ),
        }


class Cleaning(Section):
    """Rules that drop pairs from the training set; each may be left out, each is counted.

    Lengths are in words (split at white space) where ``unit`` is "words", else in characters:
    scripts without spaces want "characters".
    """

    empty: bool = True
    unit: Literal["words", "characters"] = "words"
    max_length: PositiveInt | None = 250
    max_ratio: Annotated[float, Field(gt=1.0, le=1e9)] | None = None
    duplicates: bool = False
    identical: bool = False
    invalid_utf8: bool = True
    control_characters: bool = True
    min_letters: Annotated[float, Field(ge=0.0, le=1.0)] | None = None


class Sampling(Section):
    """Subword regularization: a line is seen in many splits (Kudo 2018; Provilkov et al. 2020).

    For unigram, ``alpha`` smooths the distribution over splits (lower: more varied); for BPE it is
    the chance of dropping a merge (higher: more varied).
    """

    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    sides: Literal["source", "target", "both"] = "both"


Rule = Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"]
_SMALLEST, _LARGEST = 8, 1_000_000


class Sizes(Section):
    """The size of each side's vocabulary."""

    source: Annotated[int, Field(ge=_SMALLEST, le=_LARGEST)]
    target: Annotated[int, Field(ge=_SMALLEST, le=_LARGEST)]


class Rules(Section):
    """By what each side is normalized."""

    source: Rule = "nmt_nfkc"
    target: Rule = "identity"


def _size(value: Any) -> Any:
    if isinstance(value, Sizes | dict):
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not _SMALLEST <= value <= _LARGEST:
        raise ValueError(
            f"must be a whole number from {_SMALLEST} to {_LARGEST:,}, 'auto', or a table "
            f"{{source = N, target = N}}, not {value!r}"
        )
    return value


def _rule(value: Any) -> Any:
    if isinstance(value, Rules | dict):
        return value
    allowed = ("auto", *get_args(Rule))
    if value not in allowed:
        raise ValueError(
            f"unknown value {value!r}; allowed: {', '.join(allowed)}, or a table "
            "{source = RULE, target = RULE}"
        )
    return value


def _form(value: Any) -> str:
    return ONE if isinstance(value, int | str) else SIDES


_Size = Annotated[
    Annotated[int, Tag(ONE)] | Annotated[Sizes, Tag(SIDES)],
    Discriminator(_form),
    BeforeValidator(_size, json_schema_input_type=int | Sizes),
]
_Rules = Annotated[
    Annotated[str, Tag(ONE)] | Annotated[Rules, Tag(SIDES)],
    Discriminator(_form),
    BeforeValidator(_rule, json_schema_input_type=Rule | Rules),
]


class Tokenizer(Section):
    """SentencePiece. Ids are fixed: pad 0, unk 1, bos 2, eos 3.

    By itself, the size suits the amount of text, the source is normalized by "nmt_nfkc", and the
    target is kept as it is: the same rule is its own only where that changes nothing.
    """

    kind: Literal["unigram", "bpe"] = "unigram"
    joint: bool = True
    vocab_size: Annotated[_Size, AUTO] = 8000
    character_coverage: Annotated[float, Field(ge=0.98, le=1.0)] = 1.0
    byte_fallback: bool = False
    normalization: Annotated[_Rules, AUTO] = Rules()
    user_defined_symbols: Strings = ()
    max_lines: PositiveInt = 2_000_000  # lines a side that SentencePiece is trained on
    model: File | None = None  # a trained .model, used for both sides
    source_model: File | None = None
    target_model: File | None = None
    sampling: Sampling | None = None

    @property
    def sizes(self) -> tuple[int | None, int | None]:
        """The source's and the target's vocabulary size; None: as it suits the text."""
        size = self.vocab_size
        if "vocab_size" in left_out(self):
            return None, None
        return (size.source, size.target) if isinstance(size, Sizes) else (size, size)

    @property
    def rules(self) -> tuple[str, str] | None:
        """By what the source and the target are normalized; None: it depends on the text."""
        rule = self.normalization
        if "normalization" in left_out(self):
            return None
        return (rule.source, rule.target) if isinstance(rule, Rules) else (rule, rule)

    @model_serializer(mode="wrap")
    def _dumped(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is left out stays so in a dump, too: only preparing chooses it."""
        return {**dump(self), **dict.fromkeys(left_out(self), "auto")}

    def _broken_rules(self) -> dict[str, bool]:
        one, two = bool(self.model), [bool(self.source_model), bool(self.target_model)]
        return {
            "source_model and target_model go together: give both or neither": (
                any(two) and not all(two)
            ),
            "give either model (both sides) or source_model and target_model": one and any(two),
            "model serves both sides: it needs joint = true": one and not self.joint,
            "a vocab_size for each side needs joint = false": (
                isinstance(self.vocab_size, Sizes) and self.joint
            ),
        }
