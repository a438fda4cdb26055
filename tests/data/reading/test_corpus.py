"""Reading pairs: what a line is, each kind of source, and what is said of each bad input."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pairs import read_lines, read_pairs

from seq2seq.data.reading.corpus import source_files
from seq2seq.errors import DataError
from seq2seq.recipe.data import (
    HubSource,
    JsonlSource,
    LinesSource,
    ParquetSource,
    Source,
    TsvSource,
)
from seq2seq.storage.lines import LONGEST_LINE
from seq2seq.text.cleaning import RawPair


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def problem(source: Source) -> str:
    with pytest.raises(DataError) as error:
        list(read_pairs(source))
    return str(error.value)


def lines(tmp_path: Path, source: bytes | str, target: bytes | str) -> LinesSource:
    return LinesSource(
        source_path=write(tmp_path / "a.en", source), target_path=write(tmp_path / "a.de", target)
    )


class TestLines:
    def test_a_line_ends_at_a_newline_and_nowhere_else(self, tmp_path: Path) -> None:
        odd = "a\u2028b\x0bc\x0cd\x1ce\x85f\0g\rh"
        source = lines(tmp_path, f"{odd}\r\n\n x \nlast", f"1\n2\r\n\r3\t\n{odd}")
        assert list(read_pairs(source)) == [
            RawPair(1, odd, "1"),
            RawPair(2, "", "2"),
            RawPair(3, " x ", "\r3\t"),
            RawPair(4, "last", odd),
        ]

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=300).filter(lambda data: data.strip(b"\r\n")))
    def test_lines_are_what_splitting_gives(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes
    ) -> None:
        # Enough plain text first, so that nothing is taken for a binary file.
        data = b"plain\n" * 2000 + data
        path = write(tmp_path_factory.mktemp("x") / "f", data)
        expected = data.split(b"\n")
        last = expected.pop()
        expected = [line.removesuffix(b"\r") for line in expected] + ([last] if last else [])
        assert list(read_lines(path)) == expected

    def test_blocks_do_not_show(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = b"one\r\ntwo\n\nthree\r\nfour \r\n" * 20
        path = write(tmp_path / "f", text)
        expected = list(read_lines(path))
        for size in (1, 2, 3, 5, 7):
            monkeypatch.setattr("seq2seq.storage.lines._BUFFER", size)
            assert list(read_lines(path)) == expected

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    def test_packed_files(self, tmp_path: Path, suffix: str) -> None:
        pack: Callable[[bytes], bytes] = gzip.compress
        if suffix == ".zst":
            pack = zstandard.ZstdCompressor().compress
        text = "".join(f"line {n} ä\n" for n in range(30_000)).encode()
        half = len(text) // 2
        plain = write(tmp_path / "f", text)
        # Packed files may be concatenated: members, frames.
        packed = write(tmp_path / f"f{suffix}", pack(text[:half]) + pack(text[half:]))
        assert list(read_lines(packed)) == list(read_lines(plain))
        content = Path(packed).read_bytes()
        kind = {".gz": "gzip", ".zst": "zstd"}[suffix]
        cut = write(tmp_path / f"cut{suffix}", content[:-20])
        with pytest.raises(DataError) as error:
            list(read_lines(cut))
        assert str(error.value) == f"{cut}: the {kind} data ends too early: a broken copy?"
        wrong = write(tmp_path / f"wrong{suffix}", b"not packed at all\n" * 10)
        with pytest.raises(DataError) as error:
            list(read_lines(wrong))
        assert str(error.value).startswith(f"{wrong}: not {kind} data, or damaged (")
        renamed = write(tmp_path / "renamed", content)
        with pytest.raises(DataError) as error:
            list(read_lines(renamed))
        name = {".gz": "gzip", ".zst": "Zstandard"}[suffix]
        assert str(error.value) == (
            f"{renamed}: not plain text but {name} data: its name must end in {suffix}"
        )
        nothing = write(tmp_path / f"nothing{suffix}", pack(b""))
        with pytest.raises(DataError) as error:
            list(read_lines(nothing))
        assert str(error.value) == f"{nothing}: the file is empty"

    @pytest.mark.parametrize("counts", [(3, 5), (5, 3), (1, 2), (2, 1)])
    def test_mismatched_counts(self, tmp_path: Path, counts: tuple[int, int]) -> None:
        source = lines(tmp_path, "x\n" * counts[0], "y\n" * counts[1])
        assert problem(source) == (
            f"{source.source_path} has {counts[0]} lines but {source.target_path} has {counts[1]}: "
            "line n of one must be the translation of line n of the other"
        )

    def test_invalid_bytes_are_replaced_and_marked(self, tmp_path: Path) -> None:
        source = lines(tmp_path, b"fine\ncaf\xe9\n\xef\xbf\xbd\n" + b"more\n" * 9, "1\n2\n3\n" * 4)
        assert list(read_pairs(source))[:3] == [
            RawPair(1, "fine", "1"),
            RawPair(2, "caf\ufffd", "2", True),
            RawPair(3, "\ufffd", "3"),
        ]

    def test_memory_does_not_grow(self, tmp_path: Path) -> None:
        peaks = []
        code = (
            "import sys, tracemalloc\n"
            "from seq2seq.data.reading import read_blocks\n"
            "from seq2seq.recipe.data import LinesSource\n"
            "from seq2seq.storage import lines\n"
            "lines._BUFFER = 2**16\n"
            "tracemalloc.start()\n"
            "blocks = read_blocks(LinesSource(source_path=sys.argv[1], target_path=sys.argv[1]))\n"
            "count = sum(block.num_rows for block in blocks)\n"
            "print(count, tracemalloc.get_traced_memory()[1])\n"
        )
        for count in (20_000, 80_000):
            path = write(tmp_path / "f", b"some words in a line\n" * count)
            output = subprocess.run(
                [sys.executable, "-c", code, path], capture_output=True, check=True, text=True
            ).stdout
            read, peak = map(int, output.split())
            assert read == count
            peaks.append(peak)
        assert peaks[1] < 1.1 * peaks[0]


class TestBadFiles:
    """Every kind of file that is none; the message is asserted whole."""

    def source(self, path: Path | str) -> TsvSource:
        return TsvSource(path=str(path))

    def test_missing(self, tmp_path: Path) -> None:
        write(tmp_path / "train.tsv", "a\tb\n")
        path = tmp_path / "trian.tsv"
        assert problem(self.source(path)) == f"{path}: no such file (did you mean 'train.tsv'?)"
        path = tmp_path / "else"
        assert problem(self.source(path)) == f"{path}: no such file"
        path = tmp_path / "nowhere" / "train.tsv"
        assert problem(self.source(path)) == (
            f"{path}: no such file (there is no folder {path.parent} either)"
        )

    def test_folder(self, tmp_path: Path) -> None:
        assert problem(self.source(tmp_path)) == f"{tmp_path}: a folder, where a file is expected"

    def test_device(self) -> None:
        assert problem(self.source("/dev/null")) == (
            "/dev/null: not a regular file (a pipe or a device); write it to a file"
        )

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "f", "a\tb\n")

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop root, who runs tests too
        assert problem(self.source(path)) == f"{path}: cannot be read: Permission denied"

    def test_empty(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f", "")
        assert problem(self.source(path)) == f"{path}: the file is empty"

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"\x1f\x8b\x08rest", "gzip data: its name must end in .gz"),
            (b"PAR1rest", "Parquet: its name must end in .parquet, or say kind = 'parquet'"),
            (b"PK\x03\x04rest", "a zip archive: unpack it first"),
            (b"BZh91AY", "bzip2 data: unpack it first, or pack it as .gz or .zst"),
            (b"\xfd7zXZ\0", "xz data: unpack it first, or pack it as .gz or .zst"),
            ("hé".encode("utf-16"), "UTF-16 text: convert it to UTF-8"),
        ],
    )
    def test_packed_or_converted(self, tmp_path: Path, content: bytes, what: str) -> None:
        path = write(tmp_path / "f", content)
        assert problem(self.source(path)) == f"{path}: not plain text but {what}"

    @pytest.mark.parametrize(
        ("content", "share"),
        [
            (b"\0\1\2ab" * 100, "60%"),
            ("привет как дела\n".encode("koi8-r") * 20, "81%"),
            ("text".encode("utf-16-le") * 9, "50%"),
        ],
        ids=["binary", "koi8", "utf-16 without a mark"],
    )
    def test_not_text(self, tmp_path: Path, content: bytes, share: str) -> None:
        path = write(tmp_path / "f", content)
        assert problem(self.source(path)) == (
            f"{path}: not UTF-8 text ({share} of its beginning are control characters or not "
            "UTF-8): a binary file, or text in another encoding?"
        )

    def test_some_latin_1_is_text_with_faults(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f", "ein schöner Tag\tübrigens gut\n".encode("latin-1") * 50)
        assert all(pair.invalid_utf8 for pair in read_pairs(self.source(path)))

    def test_a_line_without_an_end(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f", b"a\tb\n" + b"x" * (LONGEST_LINE + 2**20 + 1))
        assert problem(self.source(path)) == (
            f"{path}, line 2: longer than 16,777,216 bytes: not a sentence"
        )


class TestTsv:
    def test_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", 'id\t"a\t b"\r\n2\tc\td\te\n')
        source = TsvSource(path=path, source=2, target=1)
        assert list(read_pairs(source)) == [RawPair(1, ' b"', '"a'), RawPair(2, "d", "c")]

    def test_too_few_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "a\tb\tc\nd\te\nf\n")
        assert problem(TsvSource(path=path, target=2)) == (
            f"{path}, line 2: 2 columns, but source = 0 and target = 2 (counted from 0) need 3, "
            "separated by tabs"
        )
        assert problem(TsvSource(path=path)).startswith(f"{path}, line 3: 1 column, but ")


class TestJsonl:
    def test_rows(self, tmp_path: Path) -> None:
        rows = [
            {"translation": {"en": "a\u2028", "de": "b\n"}, "x.y": "literal", "x": {"y": "nested"}},
            {"translation": {"en": "", "de": "\ud800!"}, "x": {"y": "nested"}},
        ]
        text = json.dumps(rows[0], ensure_ascii=False) + "\n\n" + json.dumps(rows[1]) + "\r\n"
        path = write(tmp_path / "f.jsonl", text)
        source = JsonlSource(path=path, source="translation.en", target="translation.de")
        assert list(read_pairs(source)) == [
            RawPair(1, "a\u2028", "b\n"),
            RawPair(3, "", "\ufffd!", True),
        ]
        both = JsonlSource(path=path, source="x.y", target="x.y")
        assert [pair.source for pair in read_pairs(both)] == ["literal", "nested"]

    def test_invalid_bytes(self, tmp_path: Path) -> None:
        good = b'{"source": "\xef\xbf\xbd", "target": "plain words to read"}\n'
        path = write(tmp_path / "f.jsonl", good + good.replace(b"\xef\xbf\xbd", b"\xff"))
        pairs = list(read_pairs(JsonlSource(path=path)))
        assert [(pair.source, pair.invalid_utf8) for pair in pairs] == [
            ("\ufffd", False),
            ("\ufffd", True),
        ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"source": "a"', "not JSON: Expecting ',' delimiter at character 15"),
            ("[1, 2]", "expected a JSON object, {...}, not a list"),
            ("null", "expected a JSON object, {...}, not null"),
            (
                '{"sorce": "a", "target": "b"}',
                "no key 'source' (did you mean 'sorce'?); there is: sorce, target",
            ),
            ("{}", "no key 'source'"),
            ('{"source": 3, "target": "b"}', "'source' must be text, not a number"),
            ('{"source": "a", "target": null}', "'target' must be text, not null"),
            ('{"source": "a", "target": ["b"]}', "'target' must be text, not a list"),
            ('{"source": true, "target": "b"}', "'source' must be text, not true or false"),
            ('{"source": {"x": "y"}, "target": "b"}', "'source' must be text, not an object"),
        ],
    )
    def test_bad_lines(self, tmp_path: Path, line: str, message: str) -> None:
        path = write(tmp_path / "f.jsonl", f'{{"source": "a", "target": "b"}}\n{line}\n')
        assert problem(JsonlSource(path=path)) == f"{path}, line 2: {message}"

    def test_nested_beyond_reason(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.jsonl", "[" * 200_000)
        assert problem(JsonlSource(path=path)).startswith(
            f"{path}, line 1: JSON that cannot be read: "
        )

    def test_a_key_that_stops_short(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.jsonl", '{"t": {"en": "a", "de": "b"}}')
        assert problem(JsonlSource(path=path, source="t.en", target="t.fr")) == (
            f"{path}, line 1: no key 't.fr'; there is: en, de"
        )


class TestParquet:
    def write(self, path: Path, **columns: object) -> str:
        pq.write_table(pa.table(columns), path, row_group_size=3)
        return str(path)

    def test_columns(self, tmp_path: Path) -> None:
        count = 20_000
        path = self.write(
            tmp_path / "f.parquet",
            translation=[{"en": f"e{n}", "de": f"d{n}"} for n in range(count)],
            other=list(range(count)),
        )
        source = ParquetSource(path=path, source="translation.en", target="translation.de")
        pairs = list(read_pairs(source))
        assert pairs == [RawPair(n + 1, f"e{n}", f"d{n}") for n in range(count)]
        assert pq.ParquetFile(path).num_row_groups > 1

    @pytest.mark.parametrize(
        "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
    )
    def test_types_of_text(self, tmp_path: Path, kind: pa.DataType) -> None:
        path = self.write(
            tmp_path / "f.parquet",
            **{"a.b": pa.array(["x", "y\n"]).cast(kind), "c": pa.array(["z", ""]).cast(kind)},
        )
        assert list(read_pairs(ParquetSource(path=path, source="a.b", target="c"))) == [
            RawPair(1, "x", "z"),
            RawPair(2, "y\n", ""),
        ]

    def test_invalid_bytes(self, tmp_path: Path) -> None:
        raw = pa.array([b"caf\xe9"]).view(pa.string())
        path = self.write(tmp_path / "f.parquet", source=raw, target=["b"])
        assert list(read_pairs(ParquetSource(path=path))) == [RawPair(1, "caf\ufffd", "b", True)]

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path / "f.parquet",
            source=["a", None],
            target=["b", "c"],
            number=[1, 2],
            t=[{"en": "a"}] * 2,
        )
        for keys, message in {
            ("sauce", "target"): (
                ": no column 'sauce' (did you mean 'source'?); there is: source, target, number, t"
            ),
            ("number", "target"): ": column 'number' holds int64, not text",
            ("t.fr", "target"): ": no column 't.fr'; there is: en",
            ("source.en", "target"): ": no column 'source.en'",
            ("source", "target"): ", row 2: 'source' must be text, not null",
        }.items():
            source = ParquetSource(path=path, source=keys[0], target=keys[1])
            assert problem(source) == path + message
        text = write(tmp_path / "text.parquet", "not parquet at all")
        assert problem(ParquetSource(path=text)).startswith(f"{text}: not Parquet, or damaged (")


class TestHub:
    """The loading code itself, on folders of this machine taken for data sets."""

    @pytest.fixture(autouse=True)
    def _no_network(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the network was touched")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
        return

    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    def test_a_local_data_set(self, tmp_path: Path, kind: str) -> None:
        rows = [{"translation": {"en": f"e{n}\u2028", "de": f"d{n}"}} for n in range(50)]
        folder = tmp_path / "set"
        folder.mkdir()
        for split, some in (("train", rows[:40]), ("test", rows[40:])):
            if kind == "jsonl":
                write(folder / f"{split}.jsonl", "\n".join(map(json.dumps, some)))
            else:
                pq.write_table(pa.Table.from_pylist(some), folder / f"{split}.parquet")
        keys = {"source": "translation.en", "target": "translation.de"}
        source = HubSource(name=str(folder), split="train", **keys)
        assert source_files(source) == ()
        assert list(read_pairs(source)) == [
            RawPair(n + 1, f"e{n}\u2028", f"d{n}") for n in range(40)
        ]
        test = HubSource(name=str(folder), split="test", **keys)
        assert len(list(read_pairs(test))) == 10
        wrong = HubSource(name=str(folder), split="test", source="translation.fr", target="x")
        assert problem(wrong) == (
            f"data set '{folder}', split 'test', row 1: no key 'translation.fr'; there is: en, de"
        )
        assert problem(HubSource(name=str(folder), split="dev", **keys)).startswith(
            f"data set '{folder}', split 'dev': cannot be read: "
        )

    def test_a_data_set_that_is_not_there(self, tmp_path: Path) -> None:
        name = str(tmp_path / "nowhere")
        source = HubSource(name=name, split="train", source="a", target="b")
        assert problem(source).startswith(f"data set '{name}', split 'train': cannot be read: ")


def test_local_kinds_import_no_datasets(tmp_path: Path) -> None:
    path = write(tmp_path / "f.tsv", "a\tb\n")
    code = (
        "import sys; from seq2seq.data.reading.corpus import read_pairs\n"
        "from seq2seq.recipe.data import TsvSource\n"
        "list(read_pairs(TsvSource(path=sys.argv[1])))\n"
        "print({'datasets', 'huggingface_hub', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, path]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"set()\n"
