from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pairs import problem, read_pairs

from seq2seq.data.reading.corpus import source_files
from seq2seq.recipe.data import HubSource
from seq2seq.text.cleaning import RawPair


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


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
            f"data set '{folder}', split 'test', row 1: no key 'translation.fr'; there is: en, de: "
            'say it in the recipe, such as {source = "translation.en", target = "translation.de"}'
        )
        assert problem(HubSource(name=str(folder), split="dev", **keys)).startswith(
            f"data set '{folder}', split 'dev': cannot be read: "
        )

    @pytest.mark.parametrize("name", ["text", "json", "csv"])
    def test_the_current_folder_is_no_data_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "secret.txt", "a line")
        source = HubSource(name=name, split="train", source="text", target="text")
        assert problem(source).startswith(f"data set {name!r}: reads files of a kind, ")
        (tmp_path / "some").mkdir()
        source = HubSource(name="some", split="train", source="text", target="text")
        assert problem(source).startswith("data set 'some': there is a file or folder of this ")

    def test_a_data_set_that_is_not_there(self, tmp_path: Path) -> None:
        name = str(tmp_path / "nowhere")
        source = HubSource(name=name, split="train", source="a", target="b")
        assert problem(source).startswith(f"data set '{name}', split 'train': cannot be read: ")
