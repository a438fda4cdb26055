"""Corpora read on and on: the same rows from any mark, shares, and what cannot be read."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from seq2seq.data.dataset import PreparedData, sketch_digest
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.data.reading import stream
from seq2seq.data.reading.stream import Mark, Streams
from seq2seq.errors import DataError
from seq2seq.recipe import Data, Recipe
from seq2seq.storage.lines import offset_after

Make = Callable[..., Recipe]
Row = tuple[str, int, bytes, bytes]

COUNT = 2500


def pairs(count: int = COUNT, tag: str = "") -> list[tuple[str, str]]:
    return [(f"{tag}source ä {n}", f"{tag}target {n} " + "x" * (n % 7)) for n in range(count)]


def write(path: Path, lines: list[str]) -> str:
    data = "".join(f"{line}\n" for line in lines).encode()
    packers = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(packers.get(path.suffix, bytes)(data))
    return str(path)


def lines_source(folder: Path, suffix: str = "") -> Any:
    sides = zip(*pairs(), strict=True)
    return [write(folder / f"a.{n}{suffix}", list(side)) for n, side in enumerate(sides)]


def tsv(folder: Path) -> Any:
    return write(folder / "a.tsv", [f"{a}\t{b}\r" for a, b in pairs()])


def jsonl(folder: Path) -> Any:
    rows = [json.dumps({"source": a, "target": b}) for a, b in pairs()]
    return write(folder / "a.jsonl", [line for row in rows for line in ("", row)])


def parquet(folder: Path) -> Any:
    source, target = zip(*pairs(), strict=True)
    table = pa.table({"source": list(source), "target": list(target)})
    pq.write_table(table, folder / "a.parquet", row_group_size=700)
    return str(folder / "a.parquet")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A data set of three shards, read by the library itself."""
    datasets = pytest.importorskip("datasets")
    shards = []
    rows = pairs()
    for number, begin in enumerate((0, 900, 1300)):
        part = rows[begin : (900, 1300, COUNT)[number]]
        texts = [json.dumps({"en": a, "de": b}) for a, b in part]
        shards.append(write(tmp_path / f"{number}.jsonl", texts))
    real = datasets.load_dataset

    def load(path: str, **options: Any) -> Any:
        assert path == "some/data"
        assert options.pop("streaming")
        assert options == {"name": None, "split": "train", "revision": None}
        cache = str(tmp_path / "cache")
        return real("json", data_files=shards, split="train", streaming=True, cache_dir=cache)

    monkeypatch.setattr(datasets, "load_dataset", load)
    return {"kind": "hub", "name": "some/data", "split": "train", "source": "en", "target": "de"}


SOURCES: dict[str, Callable[[Path], Any]] = {
    "lines": lines_source,
    "gzip": lambda folder: lines_source(folder, ".gz"),
    "zstandard": lambda folder: lines_source(folder, ".zst"),
    "tsv": tsv,
    "jsonl": jsonl,
    "parquet": parquet,
}


def data_of(train: Any, temperature: float = 1.0) -> Data:
    return Data.model_validate({"train": train, "temperature": temperature, "stream": True})


def rows(streams: Streams) -> list[Row]:
    """The next buffer."""
    names = [one.name for one in streams.named]
    return [
        (names[corpus], *(block.column(name)[n].as_py() for name in ("line", "source", "target")))
        for corpus, block in streams.read()
        for n in range(block.num_rows)
    ]


def check_marks(data: Data, expected: list[tuple[str, str]], buffer: int = 1024) -> None:
    """Reading on from any mark, and from marks of what was read on, gives the same rows."""
    whole = Streams(data, buffer)
    marks: list[Mark] = []
    buffers: list[list[Row]] = []
    for _ in range(4):
        marks.append(json.loads(json.dumps(whole.mark())))
        buffers.append(rows(whole))
    texts = [(source.decode(), target.decode()) for one in buffers for *_, source, target in one]
    assert texts == [expected[n % len(expected)] for n in range(4 * buffer)]
    for begin in range(4):
        again = Streams(data, buffer, marks[begin])
        for number in range(begin, 4):
            assert again.number == number
            mark = json.loads(json.dumps(again.mark()))
            assert rows(again) == buffers[number]
            once_more = Streams(data, buffer, mark)  # a run may be killed more than once
            assert rows(once_more) == buffers[number]


@pytest.mark.parametrize("kind", SOURCES)
def test_reading_goes_on_from_any_mark(kind: str, tmp_path: Path) -> None:
    check_marks(data_of(SOURCES[kind](tmp_path)), pairs())


def test_the_hub_goes_on_from_any_mark(hub: Any) -> None:
    check_marks(data_of(hub), pairs())


@pytest.mark.parametrize("tells", ["nothing", "where it began", "no JSON"])
def test_where_datasets_cannot_be_believed_rows_are_counted(
    hub: Any, monkeypatch: pytest.MonkeyPatch, tells: str
) -> None:
    """Releases before 5.0 told, once resumed, that they stood at the beginning."""
    from datasets import IterableDataset

    real = IterableDataset.state_dict
    first: list[Any] = []

    def told(self: IterableDataset) -> Any:
        first.append(real(self))
        return {"nothing": {}, "where it began": first[0], "no JSON": {"a": object()}}[tells]

    monkeypatch.setattr(IterableDataset, "state_dict", told)
    check_marks(data_of(hub), pairs())


def test_the_first_file_without_a_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n3")
    (tmp_path / "b").write_bytes(b"x\ny\nz\n")
    data = data_of([str(tmp_path / "a"), str(tmp_path / "b")])
    check_marks(data, [("1", "x"), ("2", "y"), ("3", "z")], buffer=4)


def test_a_mark_of_a_file_is_a_place_in_it(tmp_path: Path) -> None:
    source = lines_source(tmp_path)
    streams = Streams(data_of(source), 1024)
    streams.read()
    (mark,) = streams.mark()["corpora"]
    for path, offset in zip(source, mark["offsets"], strict=True):
        lines = Path(path).read_bytes().split(b"\n")
        assert offset == sum(len(line) + 1 for line in lines[:1024])
    assert offset_after(source[0], 0, 10**6) == Path(source[0]).stat().st_size


def test_shares_are_exact_in_the_long_run(tmp_path: Path) -> None:
    first = write(tmp_path / "big.tsv", ["\t".join(pair) for pair in pairs(1000, "b")])
    second = write(tmp_path / "small.tsv", ["\t".join(pair) for pair in pairs(10, "s")])
    train = [{"path": first, "weight": 4.0}, {"path": second, "weight": 1.0}]
    for temperature, expected in ((1.0, 0.2), (2.0, 1 / 3)):
        streams = Streams(data_of(train, temperature), 100)
        seen: Counter[str] = Counter()
        for number in range(1, 50):
            seen.update(name for name, *_ in rows(streams))
            assert abs(seen["small"] - expected * 100 * number) < 1
            assert abs(seen["big"] - (1 - expected) * 100 * number) <= 1


def test_a_changed_corpus_is_noticed_where_it_is_read_on(tmp_path: Path) -> None:
    source = tsv(tmp_path)
    streams = Streams(data_of(source), 1024)
    streams.read()
    mark = streams.mark()
    mark["first"] = stream.first_rows(streams.read())
    assert len(Streams(data_of(source), 1024, mark).read()) == 1
    write(tmp_path / "a.tsv", [f"{a}\t{b}!" for a, b in pairs()])
    with pytest.raises(DataError) as error:
        Streams(data_of(source), 1024, mark).read()
    assert str(error.value) == (
        "a, line 1,025: not what it was when training was interrupted there: the corpus has "
        "changed; put back what it was, or begin a new run"
    )


def test_a_corpus_without_pairs_is_no_endless_loop(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^data\.train \(a\): there are no pairs: leave it out"):
        Streams(data_of(str(tmp_path / "a.jsonl")), 1024).read()


def test_files_that_do_not_pair_are_told_when_they_end(tmp_path: Path) -> None:
    sources, targets = write(tmp_path / "a", ["a"] * 3000), write(tmp_path / "b", ["b"] * 2999)
    streams = Streams(data_of([sources, targets]), 1024)
    for number in (0, 1):
        assert streams.number == number
        streams.read()
    mark = streams.mark()
    for one in (streams, Streams(data_of([sources, targets]), 1024, mark)):
        with pytest.raises(DataError, match=r"a has 3,000 lines but .*b has 2,999"):
            one.read()


def test_memory_is_flat(tmp_path: Path) -> None:
    """Many more lines, read through: no more memory."""

    def lines(count: int) -> Iterator[bytes]:
        return (f"source {n}\ttarget {n}\n".encode() for n in range(count))

    peaks = []
    for count in (150_000, 400_000):
        path = tmp_path / f"{count}.tsv"
        with path.open("wb") as file:
            file.writelines(lines(count))
        streams = Streams(data_of(str(path)), 4096)
        tracemalloc.start()
        while streams.mark()["corpora"][0]["passes"] == 0:
            streams.read()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


# -- preparing ------------------------------------------------------------------------------


@pytest.fixture
def streamed(corpus: dict[str, list[str]], recipe_for: Make) -> Callable[..., Recipe]:
    def make(stream: Any = True, **tables: Any) -> Recipe:
        data = {**recipe_for().data.model_dump(exclude_none=True), "stream": stream}
        training = {"epochs": None, "updates": 5, "validation": {"every": 5}}
        return recipe_for(data=data, training=training, **tables)

    return make


def test_nothing_of_the_training_text_is_stored(
    corpus: dict[str, list[str]], streamed: Make, recipe_for: Make, tmp_path: Path
) -> None:
    data = prepare(streamed(), tmp_path / "out")
    names = sorted(path.name for path in data.folder.iterdir())
    expected = ["manifest.json", "recipe.toml", "test.arrow", "tokenizer.model", "val.arrow"]
    assert names == expected
    stored = prepare(recipe_for(), tmp_path / "stored")
    assert data.tokenizers.digest == stored.tokenizers.digest  # of so few pairs, all are the sample
    train = data.report.splits[0]
    assert (train.name, train.read, train.kept) == ("train (sample)", 900, 900)
    assert train.source == stored.report.splits[0].source
    again = PreparedData.open(data.folder)
    assert again.stored is None
    with pytest.raises(DataError) as error:
        _ = again.train
    assert str(error.value) == (
        f"{data.folder}: its training pairs are streamed (data.stream), and none are stored: "
        "prepare a part of them by a recipe without data.stream"
    )


def test_a_sample_ends_where_it_is_large_enough(streamed: Make, tmp_path: Path) -> None:
    data = prepare(streamed(tokenizer={"vocab_size": 60, "max_lines": 100}), tmp_path / "out")
    assert data.report.splits[0].read == 900  # a turn of the corpora is read as a whole
    model = data.folder / "tokenizer.model"
    given = prepare(streamed(tokenizer={"model": str(model)}), tmp_path / "given")
    assert given.tokenizers.digest == data.tokenizers.digest


def test_a_sample_may_end_before_a_corpus_has_its_turn(streamed: Make, tmp_path: Path) -> None:
    recipe = streamed(tokenizer={"vocab_size": 60, "max_lines": 100})
    tables = recipe.model_dump()
    (tmp_path / "b.tsv").write_text("a\tb\n", encoding="utf-8")
    tables["data"]["train"] = [tables["data"]["train"], {"path": str(tmp_path / "b.tsv")}]
    data = prepare(Recipe.model_validate(tables), tmp_path / "out")
    assert [one.read for one in data.report.splits[0].corpora] == [900, 0]


def test_what_fits(streamed: Make, recipe_for: Make, tmp_path: Path) -> None:
    data = prepare(streamed(), tmp_path / "out")
    data.check_fits(streamed({"buffer": 2048}))
    assert is_prepared(streamed({"buffer": 2048}), data.folder)
    with pytest.raises(DataError, match=r"data\.stream is true there but not given in the recipe"):
        data.check_fits(recipe_for())
    assert data.changed_inputs(streamed()) == []
    with (tmp_path / "train.a").open("a", encoding="utf-8") as file:
        file.write("more\n")
    assert data.changed_inputs(streamed()) == [str(tmp_path / "train.a")]


def test_a_sketch_sees_the_size_and_the_ends(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = bytearray(range(256)) * 20_000
    found = set()
    for place in (None, 0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        if place is not None:
            changed[place] ^= 1
        path.write_bytes(changed)
        found.add(sketch_digest(path))
    path.write_bytes(content[:-1])
    found.add(sketch_digest(path))
    assert len(found) == 5
