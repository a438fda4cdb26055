from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pairs import problem, read_pairs

from seq2seq.data.reading import parquet
from seq2seq.recipe.data import ParquetSource
from seq2seq.storage.lines import LONGEST_LINE
from seq2seq.text.cleaning import RawPair


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


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
        such = (
            f': say it in the recipe, such as {{path = "{path}", source = "source", '
            'target = "target"}, or '
            """--set 'data.train.source="source"' --set 'data.train.target="target"' """
            "(of validation pairs data.val)"
        )
        for keys, message in {
            ("sauce", "target"): (
                ": no column 'sauce' (did you mean 'source'?); there is: source, target, number, t"
                f"{such}"
            ),
            ("number", "target"): ": column 'number' holds int64, not text",
            ("t.fr", "target"): f": no column 't.fr'; there is: en{such}",
            ("source.en", "target"): f": no column 'source.en'{such}",
            ("source", "target"): ", row 2: 'source' must be text, not null",
        }.items():
            source = ParquetSource(path=path, source=keys[0], target=keys[1])
            assert problem(source) == path + message
        text = write(tmp_path / "text.parquet", "not parquet at all")
        assert problem(ParquetSource(path=text)).startswith(f"{text}: not Parquet, or damaged (")

    def test_memory_is_bounded_by_what_rows_hold(self, tmp_path: Path) -> None:
        """One value named thousands of times is in memory once, and few long rows are read."""
        value = "x" * 100_000
        path = self.write(tmp_path / "f.parquet", source=[value] * 3000, target=["y"] * 3000)
        sizes = []
        for pair in read_pairs(ParquetSource(path=path)):
            sizes.append(len(pair.source))
            assert pa.total_allocated_bytes() < 2**25
        assert sizes == [len(value)] * 3000

    def test_a_value_is_no_longer_than_a_line(self, tmp_path: Path) -> None:
        long = "x" * (LONGEST_LINE + 1)
        path = self.write(tmp_path / "f.parquet", source=["a", long], target=["b", "c"])
        assert problem(ParquetSource(path=path)) == (
            f"{path}, row 2: 'source' is longer than 16,777,216 bytes: not a sentence"
        )
        path = self.write(tmp_path / "g.parquet", source=[long * 3], target=["b"])
        assert problem(ParquetSource(path=path)) == (
            f"{path}, row group 0: a value is longer than 16,777,216 bytes: not a sentence"
        )

    def test_a_long_value_among_small_rows_is_not_copied(self, tmp_path: Path) -> None:
        """Arrow has unpacked it with its page; it becomes no bytes of Python's."""
        texts = [f"line {n}" for n in range(1000)]
        texts[700] = "x" * (2 * LONGEST_LINE)
        path = str(tmp_path / "f.parquet")
        pq.write_table(pa.table({"source": texts, "target": texts}), path)
        (batch,) = pq.ParquetFile(path, read_dictionary=["source"]).iter_batches(1000)
        values = parquet._column(batch, ["source"])
        assert [n for n, value in enumerate(values) if value is parquet._LONG] == [700]
        assert [value for n, value in enumerate(values) if n != 700] == [
            text.encode() for n, text in enumerate(texts) if n != 700
        ]
        assert problem(ParquetSource(path=path)) == (
            f"{path}, row 701: 'source' is longer than 16,777,216 bytes: not a sentence"
        )

    def test_dictionaries_with_many_values(self, tmp_path: Path) -> None:
        kind = pa.dictionary(pa.int32(), pa.string())
        texts = [f"text {n * n % 977}" for n in range(5000)]
        path = self.write(tmp_path / "f.parquet", source=pa.array(texts).cast(kind), target=texts)
        assert [pair[1:3] for pair in read_pairs(ParquetSource(path=path))] == [
            (text, text) for text in texts
        ]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = str(tmp_path / "f.parquet")
    columns = [pa.array([text]) for text in "abc"]
    pq.write_table(pa.Table.from_arrays(columns, names=["source", "target", "source"]), path)
    assert problem(ParquetSource(path=path)) == (
        f"{path}: more than one column is called 'source': rename one of them"
    )
