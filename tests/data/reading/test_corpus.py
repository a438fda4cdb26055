"""Reading pairs: what a line is, each kind of source, and what is said of each bad input."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pairs import problem, read_lines, read_pairs

from seq2seq.data.reading.corpus import invalid_text_error
from seq2seq.data.reading.rows import Start
from seq2seq.errors import DataError
from seq2seq.recipe.data import (
    JsonlSource,
    LinesSource,
    TsvSource,
)
from seq2seq.recipe.files import load_recipe
from seq2seq.storage.lines import LONGEST_LINE
from seq2seq.text.cleaning import RawPair


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


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
        ],
    )
    def test_packed_or_converted(self, tmp_path: Path, content: bytes, what: str) -> None:
        path = write(tmp_path / "f", content)
        assert problem(self.source(path)) == f"{path}: not plain text but {what}"

    @pytest.mark.parametrize(
        ("content", "share"),
        [
            (b"\0\1\2ab" * 100, "60%"),
            (bytes(range(1, 256)) * 9, "61%"),
        ],
    )
    def test_not_text(self, tmp_path: Path, content: bytes, share: str) -> None:
        path = write(tmp_path / "f", content)
        assert problem(self.source(path)).startswith(f"{path}: not UTF-8 text ({share} of its ")

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
        path = write(tmp_path / "f.tsv", 'id\t"a\t b"\tx\r\n2\tc\td\te\n')
        source = TsvSource(path=path, source=2, target=1)
        assert list(read_pairs(source)) == [RawPair(1, ' b"', '"a'), RawPair(2, "d", "c")]

    def test_too_few_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "a\tb\tc\nd\te\tg\n")
        assert problem(TsvSource(path=path, source=0, target=3)) == (
            f"{path}, line 1: 3 columns, but source = 0 and target = 3 (counted from 0) need 4, "
            "separated by tabs"
        )
        path = write(tmp_path / "g.tsv", "a b\nc d\n")
        assert problem(TsvSource(path=path)) == (
            f"{path}, line 1: 1 column, where a source and a target are needed, separated by a tab"
        )

    def test_a_part_with_few_pairs_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "a\tb\n" * 9 + "x\n" * 2)
        found = read_pairs(TsvSource(path=path), Start(8))
        assert [pair.misread for pair in found] == ["", "columns", "columns"]

    def test_one_column_is_not_both_sides(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "en\tde\nA dog\tEin Hund\n")
        assert problem(TsvSource(path=path, source="de", target=1)) == (
            f"{path}: source = 'de' and target = 1 are the same column"
        )

    def test_a_line_with_another_number_of_columns_is_no_pair(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "f.tsv", "A\tman sings.\tEin\nA dog\tEin Hund\nA cat\tEine\n\nx\ty\n"
        )
        assert list(read_pairs(TsvSource(path=path))) == [
            RawPair(1, "", "", misread="columns"),
            RawPair(2, "A dog", "Ein Hund"),
            RawPair(3, "A cat", "Eine"),
            RawPair(4, "", "", misread="columns"),
            RawPair(5, "x", "y"),
        ]

    def test_where_most_lines_are_no_pairs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "a\tb\n" * 100 + "c\n" * 101)
        assert problem(TsvSource(path=path)) == (
            f"{path}: 101 of 201 lines have other than 2 columns, first line 101: is it a file of "
            "pairs, separated by one tab each?"
        )
        write(tmp_path / "f.tsv", "a\tb\n" * 100 + "c\n" * 100)
        assert len([one for one in read_pairs(TsvSource(path=path)) if not one.misread]) == 100

    @pytest.mark.parametrize(
        ("header", "seen"),
        [
            ("en\tde", True),
            ("English\tGerman", True),
            ("source_text\ttarget_text", True),
            ("Sentence (en)\tSentence (fr)", True),
            ("SRC\tTGT", True),
            ("zh-CN\tpt_br", False),  # "cn" and "br" are no languages
            ("A dog.\tEin Hund.", False),
            ("Hallo\tHello", False),
            ("de\tde", False),
            ("en\t", False),
        ],
    )
    def test_a_header_is_seen_by_its_names(self, tmp_path: Path, header: str, seen: bool) -> None:
        path = write(tmp_path / "f.tsv", f"{header}\nA cat\tEine Katze\n")
        pair = RawPair(1, *header.split("\t"))
        dropped = RawPair(1, "", "", misread="header")
        assert next(read_pairs(TsvSource(path=path))) == (dropped if seen else pair)
        assert next(read_pairs(TsvSource(path=path, header=False))) == pair
        assert next(read_pairs(TsvSource(path=path, header=True))) == dropped

    def test_columns_by_name(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "\ufeffid\t en\tde \n1\tA dog\tEin Hund\n")
        source = TsvSource(path=path, source="de", target="en")
        assert list(read_pairs(source))[1:] == [RawPair(2, "Ein Hund", "A dog")]
        assert list(read_pairs(source, Start(1))) == [RawPair(2, "Ein Hund", "A dog")]
        assert problem(TsvSource(path=path, source="fr", target="en")) == (
            f"{path}: no column 'fr' in its first line; there is: id, en, de"
        )

    def test_a_name_that_two_columns_have(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.tsv", "de\ten\ten\nHund\tdog\tThe dog\n")
        assert problem(TsvSource(path=path, source="de", target="en")) == (
            f"{path}: 2 columns are called 'en': give the number of the one that is meant, counted "
            "from 0 (the first is 1)"
        )
        numbered = TsvSource(path=path, source="de", target=2)
        assert list(read_pairs(numbered))[1:] == [RawPair(2, "Hund", "The dog")]

    @pytest.mark.parametrize(
        ("first", "named"), [("id\ten\tde", ("en", "de")), ("0\tNo, sir.\tNein, Herr.", (1, 2))]
    )
    def test_ids_never_become_the_source(
        self, tmp_path: Path, first: str, named: tuple[str | int, str | int]
    ) -> None:
        path = write(tmp_path / "f.tsv", f"{first}\n1\tA dog\tEin Hund\n2\tA cat\tEine Katze\n")
        told = problem(TsvSource(path=path))
        values = map(json.dumps, named)
        sets = [
            f"data.train.{key}={value}"
            for key, value in zip(("source", "target"), values, strict=True)
        ]
        shown = ", ".join(f"{n} {text!r}" for n, text in enumerate(first.split("\t")))
        choice = "source = {}, target = {}".format(*map(json.dumps, named))
        assert told == (
            f"{path}, line 1: 3 columns ({shown}), and nothing says which are the source and the "
            f'target: say it in the recipe, such as {{path = "{path}", {choice}}}, '
            f"or --set {shlex.quote(sets[0])} --set {shlex.quote(sets[1])} (of "
            "validation pairs data.val)"
        )
        recipe = load_recipe([path], sets)
        assert recipe.data.train == TsvSource(path=path, source=named[0], target=named[1])
        read = list(read_pairs(TsvSource(path=path, source=named[0], target=named[1])))
        assert read[-1] == RawPair(3, "A cat", "Eine Katze")
        assert problem(TsvSource(path=path, target=2)) == told  # half said


class TestEncodings:
    def test_each_kind_is_read_in_its_encoding(self, tmp_path: Path) -> None:
        rows = [("Größe", "ça"), ("weiß", "où")] * 20
        expected = [RawPair(n, *row) for n, row in enumerate(rows, 1)]
        for encoding in ("latin-1", "utf-16", "utf-8"):
            tsv = "".join(f"{a}\t{b}\n" for a, b in rows).encode(encoding)
            path = write(tmp_path / "f.tsv", tsv)
            assert list(read_pairs(TsvSource(path=path, encoding=encoding))) == expected
            objects = (json.dumps({"source": a, "target": b}, ensure_ascii=False) for a, b in rows)
            path = write(
                tmp_path / "f.jsonl.gz", gzip.compress("\n".join(objects).encode(encoding))
            )
            assert list(read_pairs(JsonlSource(path=path, encoding=encoding))) == expected
            left, right = ("\n".join(side) for side in zip(*rows, strict=True))
            both = lines(tmp_path, left.encode(encoding), right.encode(encoding))
            both = both.model_copy(update={"encoding": encoding})
            assert list(read_pairs(both)) == expected
            unlike = lines(tmp_path, left.encode(encoding), right.encode("cp1252"))
            unlike = unlike.model_copy(update={"encoding": (encoding, "cp1252")})
            assert list(read_pairs(unlike, Start(30))) == expected[30:]

    def test_the_file_and_its_likely_encoding_are_told(self, tmp_path: Path) -> None:
        english, german = "A small green house.\n" * 97, "Ein kleines grünes Häuschen.\n" * 97
        source = lines(tmp_path, english, (german + "x\n" * 0).encode("latin-1"))
        assert str(invalid_text_error(source)) == (
            f"{source.target_path}: not UTF-8: 97 of 97 lines cannot be decoded (first: line 1); "
            "probably cp1252: if so, give its table in the recipe the key "
            'encoding = "cp1252", or --set data.train.encoding=cp1252 (of validation pairs '
            "data.val.encoding; where one of two files is UTF-8, a list by side: "
            '\'["utf-8","cp1252"]\')'
        )
        typed = shlex.split('data.train.encoding=\'["utf-8","cp1252"]\'')
        named = load_recipe([source.source_path, source.target_path], typed).data.train
        assert isinstance(named, LinesSource)
        assert tuple(named.encodings) == ("utf-8", "cp1252")
        assert invalid_text_error(named) is None
        assert invalid_text_error(lines(tmp_path, english, german)) is None


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
                "no key 'source' (did you mean 'sorce'?); there is: sorce, target: say it in the "
                'recipe, such as {path = "PATH", source = "sorce", target = "target"}, or --set '
                "'data.train.source=\"sorce\"' --set 'data.train.target=\"target\"' (of "
                "validation pairs data.val)",
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
        assert problem(JsonlSource(path=path)) == (
            f"{path}, line 2: {message.replace('PATH', path)}"
        )

    def test_nested_beyond_reason(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.jsonl", "[" * 200_000)
        assert problem(JsonlSource(path=path)).startswith(
            f"{path}, line 1: JSON that cannot be read: "
        )

    def test_a_key_that_stops_short(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.jsonl", '{"t": {"en": "a", "de": "b"}}')
        assert problem(JsonlSource(path=path, source="t.en", target="t.fr")) == (
            f"{path}, line 1: no key 't.fr'; there is: en, de: say it in the recipe, such as "
            f'{{path = "{path}", source = "t.en", target = "t.de"}}, or '
            """--set 'data.train.source="t.en"' --set 'data.train.target="t.de"' """
            "(of validation pairs data.val)"
        )

    def test_a_million_keys_are_a_short_message(self, tmp_path: Path) -> None:
        keys = {f"\x1b[31m{n:>60}": "text" for n in range(200_000)}
        path = write(tmp_path / "f.jsonl", json.dumps({**keys, "en": "a", "fr": "b"}))
        told = problem(JsonlSource(path=path))
        assert len(told) < 2000
        assert told.isprintable()
        assert "and 9,990 more" in told
        few = write(tmp_path / "few.jsonl", '{"en": "a", "fr": "b"}')
        assert problem(JsonlSource(path=few)) == (
            f"{few}, line 1: no key 'source'; there is: en, fr: say it in the recipe, such as "
            f'{{path = "{few}", source = "en", target = "fr"}}, or '
            """--set 'data.train.source="en"' --set 'data.train.target="fr"' """
            "(of validation pairs data.val)"
        )


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
