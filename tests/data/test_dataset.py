"""Reading prepared data: gathering equals a loop, and every way a folder can be wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.arrow import SCHEMA, id_column, writer
from seq2seq.data.dataset import PairDataset, PreparedData, Ragged
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import DataError, ModelError
from seq2seq.recipe import Recipe
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.checked_json import SUM, digest

ROW = st.tuples(
    st.lists(st.integers(0, 2**31 - 1), max_size=6),
    st.lists(st.integers(0, 2**31 - 1), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.integers(1, 2**40),
)


def store(path: Path, batches: list[list[tuple[object, ...]]]) -> PairDataset:
    with writer(path, SCHEMA) as file:
        for rows in batches:
            columns = [[row[n] for row in rows] for n in range(5)]
            arrays = [id_column(columns[0]), id_column(columns[1])]  # type: ignore[arg-type]
            arrays += [pa.array(columns[n], SCHEMA.field(n).type) for n in (2, 3, 4)]
            file.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    return PairDataset.open(path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(ROW, max_size=5), max_size=5).filter(any), st.data())
def test_gathering_equals_a_loop(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[object, ...]]],
    data: st.DataObject,
) -> None:
    dataset = store(tmp_path_factory.mktemp("x") / "f.arrow", batches)
    rows = [row for batch in batches for row in batch]
    assert len(dataset) == len(rows)
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    indices = np.array(wanted, dtype=np.int64)
    for side, ragged in enumerate(dataset.ids(indices)):
        assert [row.tolist() for row in ragged] == [rows[n][side] for n in wanted]
        assert (ragged.values.dtype, ragged.offsets.dtype) == (np.int32, np.int64)
        assert len(ragged) == len(wanted)
    sources, targets = dataset.texts(indices)
    assert sources == [rows[n][2] for n in wanted]
    assert targets == [rows[n][3] for n in wanted]
    assert dataset.lines(indices).tolist() == [rows[n][4] for n in wanted]
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    for side, lengths in enumerate(dataset.lengths(start, stop)):
        assert lengths.tolist() == [len(row[side]) for row in rows[start:stop]]  # type: ignore[arg-type]
        assert lengths.dtype == np.int32


def test_pairs_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"
    dataset = store(path, [[([1], [2], "a", "b", 1)], [([3], [4], "c", "d", 2)]])
    for fetch in (dataset.ids, dataset.texts, dataset.lines):
        for wrong in (2, -1):
            with pytest.raises(IndexError) as error:
                fetch(np.array([0, wrong]))
            assert str(error.value) == f"pair {wrong} of 2 in {path}"
    for start, stop in ((-1, 1), (0, 3), (2, 1)):
        with pytest.raises(IndexError) as error:
            dataset.lengths(start, stop)
        assert str(error.value) == f"pairs {start} to {stop} of 2 in {path}"
    rows = Ragged(np.array([5, 6, 7], dtype=np.int32), np.array([0, 2, 3]))
    assert rows[-1].tolist() == [7]
    with pytest.raises(IndexError, match=r"^row 2 of 2$"):
        rows[2]


def test_pickling_carries_the_path(tmp_path: Path) -> None:
    rows = [([n], [n, n], str(n), "x" * n, n + 1) for n in range(1000)]
    dataset = store(tmp_path / "f.arrow", [rows])  # type: ignore[list-item]
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 500
    again = pickle.loads(pickled)
    assert again.texts(np.array([7, 3])) == dataset.texts(np.array([7, 3]))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"
    store(path, [[([1], [2], "a", "b", 1)]])
    whole = path.read_bytes()
    for content in (whole[:-30], b"", b"nonsense, and quite some of it"):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            PairDataset.open(path)
        assert str(error.value).startswith(f"{path}: damaged (")
        assert str(error.value).endswith("): prepare it again")
    missing = tmp_path / "missing"
    with pytest.raises(DataError) as error:
        PairDataset.open(missing)
    assert str(error.value) == f"{missing}: no such file"
    schema = pa.schema([("a", pa.int64())])
    with writer(path, schema) as file:
        file.write_batch(pa.record_batch([pa.array([1])], schema=schema))
    with pytest.raises(DataError) as error:
        PairDataset.open(path)
    assert str(error.value) == f"{path}: not a file of prepared pairs: prepare it again"


def test_a_file_without_pairs_or_with_nulls_is_none(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"
    nothing = pa.record_batch([pa.nulls(1, field.type) for field in SCHEMA], schema=SCHEMA)
    for batches in ([], [nothing]):
        with writer(path, SCHEMA) as file:
            for batch in batches:
                file.write_batch(batch)
        with pytest.raises(DataError) as error:
            PairDataset.open(path)
        assert str(error.value) == f"{path}: not a file of prepared pairs: prepare it again"


def test_a_packed_file_is_none(tmp_path: Path) -> None:
    """What Arrow unpacks lies elsewhere in memory, where nothing is to be gathered."""
    path = tmp_path / "f.arrow"
    ids = pa.array([[1] * 999], SCHEMA.field("source_ids").type)
    batch = pa.record_batch([ids, ids, ["a"], ["b"], [1]], schema=SCHEMA)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA, options=options) as out:
        out.write_batch(batch)
    with pytest.raises(DataError) as error:
        PairDataset.open(path)
    assert str(error.value) == f"{path}: not a file of prepared pairs: prepare it again"


def test_pieces_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    pairs = store(tmp_path / "f.arrow", [[([7], [], "a", "b", 1)], [([1], [2, 9], "a", "b", 2)]])
    pairs.check(8, 10)
    for sizes in ((7, 10), (8, 9)):
        with pytest.raises(DataError) as error:
            pairs.check(*sizes)
        assert "damaged (there are pieces that the tokenizer, with its " in str(error.value)
    with pytest.raises(DataError):
        store(tmp_path / "g.arrow", [[([-5], [], "a", "b", 1)]]).check(8, 10)


def test_a_piece_is_no_null(tmp_path: Path) -> None:
    kind = SCHEMA.field("source_ids").type
    ids = pa.ListArray.from_arrays([0, 1], pa.array([None], pa.int32()), type=kind)
    batch = pa.record_batch([ids, ids, ["a"], ["b"], [1]], schema=SCHEMA)
    with writer(tmp_path / "f.arrow", SCHEMA) as file:
        file.write_batch(batch)
    with pytest.raises(DataError, match=r"damaged \("):
        PairDataset.open(tmp_path / "f.arrow").check(10, 10)


def test_places_are_within_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"
    store(path, [[([1, 2, 3], [4], "a", "b", 1)]])
    content = bytearray(path.read_bytes())
    place = content.index(np.array([0, 3], np.int32).tobytes())  # the offsets of the source's ids
    content[place + 4 : place + 8] = np.array([10**6], np.int32).tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged \("):
        PairDataset.open(path).check(10, 10)


@pytest.mark.parametrize("change", ["empty", "pieces"])
def test_a_folder_is_not_believed_for_its_hashes(prepared: PreparedData, change: str) -> None:
    path = prepared.folder / "val.arrow"
    path.unlink()
    if change == "empty":
        with writer(path, SCHEMA):
            pass
    else:
        store(path, [[([2**31 - 1], [5], "a", "b", 1)]])
    manifest = prepared.folder / "manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told["files"]["val.arrow"] = file_digest(path)
    del told[SUM]
    manifest.write_text(json.dumps({**told, SUM: digest(told)}), encoding="utf-8")
    assert open_error(prepared.folder).startswith(f"{path}: ")


@pytest.fixture
def prepared(
    corpus: dict[str, list[str]], recipe_for: Callable[..., Recipe], tmp_path: Path
) -> PreparedData:
    return prepare(recipe_for(), tmp_path / "out")


def open_error(folder: Path, kind: type[Exception] = DataError, verify: bool = True) -> str:
    with pytest.raises(kind) as error:
        PreparedData.open(folder, verify=verify)
    return str(error.value)


def test_folders_that_are_none(prepared: PreparedData, tmp_path: Path) -> None:
    missing, file, other = tmp_path / "missing", tmp_path / "file", tmp_path / "other"
    file.touch()
    other.mkdir()
    assert open_error(missing) == (
        f"{missing}: no such folder: 'seq2seq prepare RECIPE -o {missing}' makes it"
    )
    assert open_error(file) == (
        f"{file}: a file, not a folder: 'seq2seq prepare RECIPE -o {file}' makes it"
    )
    assert open_error(other) == (
        f"{other}: not a prepared folder (it has no manifest.json): "
        "'seq2seq prepare RECIPE -o FOLDER' makes one"
    )
    manifest = prepared.folder / "manifest.json"
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**whole, "digest": "0" * 64}))
    assert open_error(prepared.folder) == (
        f"{manifest}: damaged (it does not match its sum): prepare it again"
    )
    del whole["own_sha256"]
    manifest.write_text("[]")
    assert open_error(prepared.folder) == (
        f"{manifest}: damaged (it is not a JSON object): prepare it again"
    )
    manifest.write_text("{")
    assert open_error(prepared.folder) == (
        f"{manifest}: damaged (it is not JSON): prepare it again"
    )
    for content, found in (({**whole, "format": 99}, "99"), ({}, "None")):
        manifest.write_text(json.dumps(content))
        assert open_error(prepared.folder) == (
            f"{manifest}: its format is {found}, this version reads 1: prepare it again"
        )
    manifest.write_text(json.dumps({"format": 1, "digest": "", "files": {}, "inputs": {}}))
    assert open_error(prepared.folder) == (
        f"{manifest}: damaged (no recipe, recipe_digest, report): prepare it again"
    )
    manifest.write_text(json.dumps({**whole, "files": {}}))
    assert open_error(prepared.folder) == (
        f"{prepared.folder}: damaged (no train and no val): prepare it again"
    )


@pytest.mark.parametrize("name", ["train.arrow", "val.arrow", "tokenizer.model", "recipe.toml"])
def test_damage_is_noticed(prepared: PreparedData, name: str) -> None:
    path = prepared.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert open_error(prepared.folder) == (
        f"{path}: damaged or changed since it was prepared (its SHA-256 is not the one in "
        "manifest.json): prepare the folder again"
    )
    path.unlink()
    assert open_error(prepared.folder) == (
        f"{path}: cannot be read: No such file or directory: prepare the folder again"
    )


def test_without_verifying_what_is_missing_is_still_noticed(prepared: PreparedData) -> None:
    folder = prepared.folder
    (folder / "tokenizer.model").unlink()
    assert open_error(folder, ModelError, verify=False) == (
        f"{folder}: no tokenizer: expected tokenizer.model, or source.model and target.model"
    )
    (folder / "recipe.toml").unlink()
    assert open_error(folder, verify=False).startswith(
        f"{folder / 'recipe.toml'}: cannot be read ("
    )


def test_a_folder_can_be_moved(prepared: PreparedData, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(prepared.folder, moved)
    again = PreparedData.open(moved)
    assert again.digest == prepared.digest
    assert again.recipe == prepared.recipe
    assert again.tokenizers.digest == prepared.tokenizers.digest


def test_what_fits(
    prepared: PreparedData, recipe_for: Callable[..., Recipe], tmp_path: Path
) -> None:
    fits = prepared.check_fits
    fits(recipe_for())
    fits(recipe_for(data={}))
    fits(recipe_for(seed=7, training={"epochs": 1}, model={"bridge": "zero"}))
    fits(recipe_for(tokenizer={"vocab_size": 90, "sampling": {"alpha": 0.2}}))
    other = recipe_for(
        data={"val": "x.tsv"},
        cleaning={"max_length": 9, "min_letters": 0.5, "empty": False},
        tokenizer={"vocab_size": 91, "kind": "bpe"},
    )
    with pytest.raises(DataError) as error:
        fits(other)
    val = prepared.recipe.data.val
    assert val is not None
    assert str(error.value) == (
        f"{prepared.folder}: was prepared with a different recipe: "
        "data.val.kind is 'lines' there but 'tsv' in the recipe; "
        f"data.val.source_path is '{tmp_path / 'val.a'}' there but not given in the recipe "
        "and 9 more: "
        "prepare again into another folder, or change the recipe"
    )


def test_a_given_model_fits_by_its_content(
    prepared: PreparedData, recipe_for: Callable[..., Recipe], tmp_path: Path
) -> None:
    here, there, else_ = (tmp_path / f"{name}.model" for name in ("here", "there", "else"))
    for path in (here, there):
        path.write_bytes(prepared.tokenizers.source.proto)
    else_.write_bytes(b"other")
    data = prepare(recipe_for(tokenizer={"model": str(here)}), tmp_path / "given")
    data.check_fits(recipe_for(tokenizer={"model": str(there)}))
    for wrong in (None, str(else_), str(tmp_path / "missing.model")):
        with pytest.raises(DataError) as error:
            data.check_fits(recipe_for(tokenizer={"model": wrong}))
        shown = repr(wrong) if wrong else "not given"
        assert f"tokenizer.model is '{here}' there but {shown} in the recipe" in str(error.value)
    with pytest.raises(DataError, match=r"tokenizer\.model is not given there but "):
        prepared.check_fits(recipe_for(tokenizer={"vocab_size": 90, "model": str(here)}))
