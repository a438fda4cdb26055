"""What a run's folder lets in, keeps and leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.saved import save_tiny_model
from support.tiny import tiny_recipe
from support.told import Told

from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import DataError, ModelError, RecipeError, TrainingError
from seq2seq.inference.model_folder import ModelFolder, recipe_digest
from seq2seq.recipe.files import load_recipe, recipe_from_toml
from seq2seq.storage import checked_json
from seq2seq.storage.layout import CARD, GRAPHS, RECIPE, RUN, WEIGHTS, plain_name, published_name
from seq2seq.storage.lock import LOCK, Lock
from seq2seq.training.monitoring import Silent
from seq2seq.training.run import RunFolder
from seq2seq.training.session import train
from seq2seq.training.state import TrainingResult

SETTINGS = ("training.updates=20", "training.epochs=9", "training.validation.bleu=false")
LOSS = 'training.early_stopping={metric="loss",patience=9}'


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("folder")
    prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", folder / "prepared"


def run(corpus: tuple[Path, Path], path: Path, *assignments: str) -> tuple[TrainingResult, Told]:
    told, recipe = Told(), load_recipe(str(corpus[0]), [*SETTINGS, LOSS, *assignments])
    return train(recipe, path, data=corpus[1], threads=1, monitor=told), told


# -- the lock -------------------------------------------------------------------------------


def test_the_lock_names_its_process(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(ModelError) as caught:
        Lock(tmp_path)
    assert str(caught.value) == (
        f"another process is training in {tmp_path}: process {os.getpid()} on "
        f"{socket.gethostname()}: wait for it, stop it, or give -o another folder"
    )
    lock.release()
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path).release()


@pytest.mark.parametrize("left", [b"", b"nonsense", b"[]", b'{"process": 1, "host": "here"}\n' * 9])
def test_the_file_of_a_killed_process_locks_nobody_out(tmp_path: Path, left: bytes) -> None:
    (tmp_path / LOCK).write_bytes(left)
    lock = Lock(tmp_path)
    content = json.loads((tmp_path / LOCK).read_bytes())
    assert content == {"process": os.getpid(), "host": socket.gethostname()}
    lock.release()


def test_the_graphs_of_an_earlier_model_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    model = ModelFolder.open(save_tiny_model(tmp_path / "model"))
    weights = load_file(model.path / WEIGHTS)
    with RunFolder(tmp_path / "run", model.recipe) as run:
        run.publish(weights, {})
        assert {*GRAPHS, WEIGHTS, CARD} <= {plain_name(path.name) for path in run.path.iterdir()}
        monkeypatch.setattr("seq2seq.tasks.translation.published_graphs", lambda *_: {})
        run.publish(weights, {})
        left = {plain_name(path.name) for path in run.path.iterdir()}
    assert left & {*GRAPHS, WEIGHTS, CARD} == {WEIGHTS, CARD}


# -- what is left ---------------------------------------------------------------------------


def test_a_refused_training_leaves_nothing(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = load_recipe(str(corpus[0]), ["tokenizer.vocab_size=149"])
    with pytest.raises(DataError, match="prepared with a different recipe"):
        train(recipe, tmp_path / "runs/new/r", data=corpus[1], monitor=Silent())
    recipe = load_recipe("quickstart", ['data.train="none"'])
    with pytest.raises(RecipeError, match=r"data\.train: missing"):
        train(recipe, tmp_path / "runs/new/r", monitor=Silent())
    with pytest.raises(DataError, match="no such folder"):
        train(recipe, tmp_path / "r", data=tmp_path / "nowhere", monitor=Silent())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="no such folder"):
        train(recipe, tmp_path / "mine", data=tmp_path / "nowhere", monitor=Silent())
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


# -- other lengths --------------------------------------------------------------------------


def test_a_finished_run_goes_on_for_longer(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "r"
    first, _ = run(corpus, path)
    assert (first.finished, first.updates) == (True, 20)
    second, told = run(corpus, path, "training.updates=30", "training.keep_checkpoints=1")
    assert (second.finished, second.updates) == (True, 30)
    assert told.lines[:2] == [
        "resuming from update 20",
        "the recipe has changed: training.updates 20 -> 30, training.keep_checkpoints 3 -> 1; the "
        "next learning rate by its schedule is 0.00125",
    ]  # half a cosine at two thirds: 5e-3 (1 + cos(2 pi / 3)) / 2
    stored = recipe_from_toml((path / "recipe.toml").read_text(encoding="utf-8"), "stored")
    assert (stored.training.updates, stored.training.keep_checkpoints) == (30, 1)
    same, told = run(corpus, path, "training.updates=30", "training.keep_checkpoints=1")
    assert (same.updates, told.lines) == (30, ["this run has already finished: the recipe's end"])


def test_a_run_can_be_made_shorter(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(corpus, tmp_path / "r", "training.updates=10")
    result, told = run(corpus, tmp_path / "r", "training.updates=5")
    assert (result.finished, result.updates) == (True, 10)
    assert told.lines == [
        "this run has already finished: the recipe's end; it has 10 updates, more than the recipe "
        "asks for"
    ]


@pytest.mark.parametrize(
    "change",
    [
        'training.early_stopping={metric="bleu"}',
        "training.learning_rate=1e-4",
        "training.batch_tokens=500",
        "training.accumulate=3",
        "model.encoder.hidden=20",
        "seed=9",
    ],
)
def test_what_would_make_another_run_may_not_change(
    corpus: tuple[Path, Path], tmp_path: Path, change: str
) -> None:
    run(corpus, tmp_path / "r", "training.updates=1")
    before = (tmp_path / "r/recipe.toml").read_bytes()
    bleu = "training.validation.bleu=true"
    with pytest.raises(ModelError, match="holds a run with a different recipe"):
        run(corpus, tmp_path / "r", "training.updates=1", bleu, change)
    assert (tmp_path / "r/recipe.toml").read_bytes() == before


def test_an_edited_recipe_of_the_run_is_noticed(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    """Even where it is the very one that the run is to go on with."""
    run(corpus, tmp_path / "r", "training.updates=2")
    file = tmp_path / "r/recipe.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("learning_rate = 0.005", "learning_rate = 0.007"), "utf-8")
    with pytest.raises(ModelError) as caught:
        train(load_recipe(str(file)), tmp_path / "r", data=corpus[1], monitor=Silent())
    assert str(caught.value) == (
        f"{tmp_path / 'r'} holds a run with a different recipe: training.learning_rate is 0.005 "
        "there "
        f"and 0.007 here; give -o a new folder (to begin with its weights, --init-from "
        f"{tmp_path / 'r'}), or train with the run's own recipe.toml"
    )
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, LOSS, "training.updates=2"])
    train(recipe, tmp_path / "r", data=corpus[1], monitor=Silent())
    assert file.read_text(encoding="utf-8") == text, "with the right recipe it is mended"


def test_a_run_of_an_older_version_goes_on(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(corpus, tmp_path / "r", "training.updates=2")
    digest = PreparedData.open(corpus[1]).digest
    (tmp_path / "r/run.json").write_text(json.dumps({"data": digest}), encoding="utf-8")
    result, _ = run(corpus, tmp_path / "r", "training.updates=4")
    assert result.updates == 4


def test_a_run_of_a_version_with_fewer_keys_goes_on_and_translates(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "r"
    run(corpus, path, "training.updates=2")
    whole = (path / RECIPE).read_text(encoding="utf-8")
    fewer = whole.replace("coverage = 0.0\n", "")
    assert fewer != whole
    (path / RECIPE).write_text(fewer, encoding="utf-8")
    changes = {RUN: {"recipe": fewer}, CARD: {"recipe_sha256": recipe_digest(fewer)}}
    for name, values in changes.items():
        checked_json.write(path / name, {**checked_json.read(path / name), **values})
    before = ModelFolder.open(path)

    run(corpus, path, "training.updates=2")
    assert (path / RECIPE).read_text(encoding="utf-8") == whole
    after = ModelFolder.open(path)
    assert after.recipe == before.recipe
    assert {**after.card, "recipe_sha256": recipe_digest(fewer)} == before.card


def test_what_a_kill_left_of_the_model_before_goes_from_a_finished_run(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "r"
    run(corpus, path, "training.updates=2")
    files = sorted(one.name for one in path.iterdir())
    for name in (WEIGHTS, *GRAPHS):
        (path / published_name(name, 64 * "0")).write_bytes(b"of the model before")
    run(corpus, path, "training.updates=2")
    assert sorted(one.name for one in path.iterdir()) == files


# -- changed data ---------------------------------------------------------------------------


def test_a_corpus_that_has_changed_is_refused_unless_told(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, [*SETTINGS, LOSS, "training.updates=2"])
    train(recipe, tmp_path / "r", threads=1, monitor=Silent())
    recipe = tiny_recipe(tmp_path, [*SETTINGS, LOSS, "training.updates=4"])
    changed = tmp_path / "train.de"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text.replace("e", "a", 1), encoding="utf-8", newline="\n")
    message = (
        f"{changed}: changed since {tmp_path / 'r/data'} was prepared (the SHA-256 differs): "
        "prepare again into another folder and begin a new run with it, or train on "
        "with what was prepared: --changed-data"
    )
    with pytest.raises(DataError) as caught:
        train(recipe, tmp_path / "r", threads=1, monitor=Silent())
    assert str(caught.value) == message
    with pytest.raises(DataError) as caught:
        train(recipe, tmp_path / "new", data=tmp_path / "r/data", threads=1, monitor=Silent())
    assert str(caught.value) == message
    told = Told()
    result = train(recipe, tmp_path / "r", threads=1, changed_data=True, monitor=told)
    assert result.updates == 4
    assert (
        f"warning: changed since they were prepared: {changed}; training goes on with what was "
        "prepared"
    ) in told.lines
    lines = (tmp_path / "r/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = [one for one in map(json.loads, lines) if one["kind"] == "changed_data"]
    assert found == [{"kind": "changed_data", "update": 2, "files": [str(changed)]}]
    changed.write_text(text, encoding="utf-8", newline="\n")
    told = Told()
    assert train(recipe, tmp_path / "r", threads=1, monitor=told).updates == 4
    changed.unlink()  # prepared data need the corpus no more
    assert train(recipe, tmp_path / "r", threads=1, monitor=told).updates == 4


@pytest.mark.parametrize("given", [False, True])
def test_a_run_goes_on_after_its_files_were_renamed(tmp_path: Path, given: bool) -> None:
    """The same bytes under other names, which its recipe now says; prepared inside or beside."""
    recipe = tiny_recipe(tmp_path, [*SETTINGS, LOSS, "training.updates=2"])
    data = prepare(recipe, tmp_path / "data", processes=1).folder if given else None
    train(recipe, tmp_path / "r", data=data, threads=1, monitor=Silent())
    (tmp_path / "elsewhere").mkdir()
    for name in ("train.en", "train.de", "val.en", "val.de"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / f"my-{name}")
    text = (tmp_path / "tiny.toml").read_text(encoding="utf-8")
    moved = re.sub(r'"((train|val)\.(en|de))"', r'"elsewhere/my-\1"', text)
    assert moved != text
    (tmp_path / "tiny.toml").write_text(moved, encoding="utf-8")
    told = Told()
    recipe = load_recipe(str(tmp_path / "tiny.toml"), [*SETTINGS, LOSS, "training.updates=4"])
    result = train(recipe, tmp_path / "r", data=data, threads=1, monitor=told)
    assert (result.updates, told.lines[0]) == (4, "resuming from update 2")
    assert "changed since" not in "".join(told.lines)


def test_the_folder_is_free_again_after_a_failure(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, LOSS])
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "r", recipe):
        _ = 1 / 0
    assert not (tmp_path / "r").exists()


# -- what others do to the folder -----------------------------------------------------------


def test_a_copy_without_links_goes_on(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(corpus, tmp_path / "r", "training.updates=20")
    whole, _ = run(corpus, tmp_path / "r", "training.updates=30")
    run(corpus, tmp_path / "half", "training.updates=20")
    shutil.copytree(tmp_path / "half", tmp_path / "copy", symlinks=False)
    assert not (tmp_path / "copy/last").is_symlink()
    result, _ = run(corpus, tmp_path / "copy", "training.updates=30")
    assert (result.updates, result.best) == (30, {**whole.best, "seconds": result.best["seconds"]})
    assert (tmp_path / "copy/last").resolve() == (tmp_path / "copy/checkpoints/update-00000030")


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
@pytest.mark.parametrize("new", [False, True])
def test_a_link_leads_no_training_elsewhere(
    corpus: tuple[Path, Path], tmp_path: Path, name: str, new: bool
) -> None:
    """In an unpacked run it may lead to a folder of the user's; nothing is written or removed."""
    path, others = tmp_path / "r", tmp_path / "others"
    if new:
        path.mkdir()
    else:
        run(corpus, path, "training.updates=2")
        shutil.rmtree(path / name, ignore_errors=True)
    for place in ("update-00000001", ".partial-update-00000002", ".partial-x"):
        (others / place).mkdir(parents=True)
        (others / place / "mine").write_bytes(b"precious")
    before = sorted(others.rglob("*"))
    (path / name).symlink_to(others)
    with pytest.raises(ModelError) as caught:
        run(corpus, path, "training.updates=4", "training.tensorboard=true")
    assert str(caught.value) == (
        f"{path / name}: a link, where training writes and removes files: remove it, or put the "
        "folder itself there (to keep a run on another disk, link the run's whole folder)"
    )
    assert sorted(others.rglob("*")) == before


def test_a_checkpoint_that_is_a_link_goes_and_what_it_leads_to_stays(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "r"
    run(corpus, path, "training.updates=10", "training.validation.every=5")
    (old,) = (path / "checkpoints").glob("update-00000005")
    old.rename(tmp_path / "kept")
    old.symlink_to(tmp_path / "kept")
    files = sorted(one.name for one in (tmp_path / "kept").iterdir())
    keep = "training.keep_checkpoints=1"
    run(corpus, path, "training.updates=30", "training.validation.every=5", keep)
    assert not old.is_symlink()
    assert sorted(one.name for one in (tmp_path / "kept").iterdir()) == files


def gone(path: Path, *names: str) -> None:
    for name in names:
        (path / name).unlink()
    if not names:
        shutil.rmtree(path)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ((), "the folder"),
        (("run.json",), "run.json"),
        (("run.json", "recipe.toml"), "run.json and recipe.toml"),
    ],
)
def test_a_run_that_is_deleted_while_it_trains_ends(
    corpus: tuple[Path, Path], tmp_path: Path, names: tuple[str, ...], what: str
) -> None:
    path = tmp_path / "r"

    class Deleting(Silent):
        def validated(self, update: int, *_: object) -> None:
            if update == 10:
                gone(path, *names)

    recipe = load_recipe(str(corpus[0]), [*SETTINGS, LOSS])
    with pytest.raises(TrainingError) as caught:
        train(recipe, path, data=corpus[1], threads=1, monitor=Deleting())
    assert str(caught.value) == (
        f"training stopped: {what} of the run {path} was deleted while it trained, so nothing "
        "more can be saved there: begin a new run"
    )
    assert not (path / "checkpoints/update-00000020").exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("training", [False, True])
def test_a_run_whose_folder_was_moved_writes_nothing_into_the_next(
    corpus: tuple[Path, Path], tmp_path: Path, training: bool
) -> None:
    path, moved = tmp_path / "r", tmp_path / "moved"
    there: dict[Path, bytes] = {}
    locks: list[Lock] = []

    class Moving(Silent):
        def validated(self, update: int, *_: object) -> None:
            if update == 20:
                path.rename(moved)
                run(corpus, path, "training.updates=2", "model.encoder.hidden=24")
                locks.extend([Lock(path)] if training else [])
                there.update(contents(path))

    recipe = load_recipe(str(corpus[0]), [*SETTINGS, LOSS])
    pages: list[Path] = []
    with pytest.raises(TrainingError) as caught:
        train(
            recipe, path, data=corpus[1], threads=1, monitor=Moving(),
            page=lambda folder, _: pages.append(folder if there else moved),
        )  # fmt: skip
    assert str(caught.value) == (
        f"training stopped: {path} is another folder, or another training's, since its own was "
        "moved, deleted or unlocked while it trained, so nothing more can be saved there: go on "
        "where it was moved to, or begin a new run"
    )
    assert caught.value.exit_code == 1
    assert contents(path) == there
    assert path not in pages
    for lock in locks:
        lock.release()
    result, told = run(corpus, moved)
    assert (result.updates, told.lines[0]) == (20, "resuming from update 10")
    again, _ = run(corpus, path, "training.updates=4", "model.encoder.hidden=24")
    assert again.updates == 4


@pytest.mark.parametrize("begun", [False, True])
def test_a_checkpoint_of_another_run_is_not_taken(
    corpus: tuple[Path, Path], tmp_path: Path, begun: bool
) -> None:
    other, path = tmp_path / "other", tmp_path / "r"
    run(corpus, other, "training.updates=10", "training.learning_rate=1e-4")
    if begun:
        run(corpus, path, "training.updates=5")
    foreign = path / "checkpoints/update-00000010"
    shutil.copytree(other / "checkpoints" / foreign.name, foreign)
    before = contents(path / "checkpoints")
    with pytest.raises(ModelError) as caught:
        run(corpus, path, "training.updates=10")
    assert str(caught.value) == (
        f"checkpoint {foreign} is of another run: remove it to go on without it, or train in the "
        "folder of its own run"
    )
    assert contents(path / "checkpoints") == before
    shutil.rmtree(foreign)
    result, told = run(corpus, path, "training.updates=10")
    assert (result.updates, "resuming from update 5" in told.lines) == (10, begun)


def test_a_run_that_was_copied_or_moved_whole_goes_on(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    run(corpus, tmp_path / "r", "training.updates=10")
    shutil.copytree(tmp_path / "r", tmp_path / "copy", symlinks=True)
    (tmp_path / "r").rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        _, told = run(corpus, tmp_path / name, "training.updates=20")
        assert told.lines[0] == "resuming from update 10"
        _, told = run(corpus, tmp_path / name, "training.updates=30")
        assert told.lines[0] == "resuming from update 20"


def test_a_run_and_checkpoints_without_marks_go_on(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    """Those of version 0.3.0; also where a run went back to that version and on from there."""
    marked, old = tmp_path / "marked", tmp_path / "old"
    run(corpus, marked, "training.updates=10")
    shutil.copytree(marked, old, symlinks=True)
    state = "checkpoints/update-00000010/state.json"
    for file, key in ((marked / state, "run"), (old / RUN, "id")):
        content = checked_json.read(file)
        del content[key]
        checked_json.write(file, content)
    for folder in (marked, old):
        for updates in (20, 30):
            _, told = run(corpus, folder, f"training.updates={updates}")
            assert told.lines[0] == f"resuming from update {updates - 10}"


def test_a_finished_run_without_its_page_gets_it(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(corpus, tmp_path / "r", "training.updates=2")
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, LOSS, "training.updates=2"])
    pages: list[tuple[Path, bool]] = []

    def page(folder: Path, final: bool) -> None:
        pages.append((folder, final))
        (folder / "report.html").touch()

    for _ in range(2):
        train(recipe, tmp_path / "r", data=corpus[1], monitor=Silent(), page=page)
    assert pages == [(tmp_path / "r", True)]


@pytest.mark.parametrize("damage", ["[" * 200_000, "", "null", '{"format": 1, "state": []}'])
def test_a_state_that_is_damaged_in_any_way_falls_back(
    corpus: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    run(corpus, tmp_path / "r", "training.updates=20")
    state = tmp_path / "r/checkpoints/update-00000020/state.json"
    state.write_text(damage, encoding="utf-8")
    result, told = run(corpus, tmp_path / "r", "training.updates=20")
    assert result.updates == 20
    assert told.about("trying the one before")
    assert told.about("resuming from update 10")


def test_a_file_by_a_path_with_dots_is_the_same_even_if_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("t.en", "t.de")]
    for file in files:
        file.write_text("".join(f"word {n}\n" for n in range(200)), encoding="utf-8")
    (tmp_path / "other").mkdir()
    small = [*SETTINGS, LOSS, "training.updates=1", "data.held_out=20"]
    monkeypatch.chdir(tmp_path)
    train(load_recipe(["t.en", "t.de"], small), tmp_path / "r", monitor=Silent())
    monkeypatch.chdir(tmp_path / "other")
    again = load_recipe(["../t.en", "../t.de"], small)
    assert train(again, tmp_path / "r", monitor=Silent()).finished
    files[0].write_text("another\n" * 200, encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.en: changed since .*--changed-data"):
        train(again, tmp_path / "r", monitor=Silent())


def test_a_run_of_other_files_says_to_give_another_folder(tmp_path: Path) -> None:
    for name in ("a.en", "a.de", "b.en", "b.de"):
        text = "".join(f"{name} {n}\n" for n in range(200))
        (tmp_path / name).write_text(text, encoding="utf-8")
    small = [*SETTINGS, LOSS, "training.updates=1", "data.held_out=20"]

    def begin(name: str) -> None:
        files = [tmp_path / f"{name}.en", tmp_path / f"{name}.de"]
        train(load_recipe(files, small), tmp_path / "my r", monitor=Silent())

    begin("a")
    with pytest.raises(DataError) as caught:
        begin("b")
    assert str(caught.value) == (
        f"{tmp_path}/my r/data: was prepared with a different recipe: data.train.source_path is "
        f"'{tmp_path}/a.en' there but '{tmp_path}/b.en' in the recipe; data.train.target_path is "
        f"'{tmp_path}/a.de' there but '{tmp_path}/b.de' in the recipe: give -o a new folder, or go "
        f"on with this run: seq2seq train '{tmp_path}/my r/recipe.toml' -o '{tmp_path}/my r'"
    )


def test_data_of_a_run_that_never_began_is_not_replaced_for_another(tmp_path: Path) -> None:
    """The training was killed before it wrote run.json, or someone prepared there."""
    settings = [*SETTINGS, LOSS, "training.updates=1"]
    recipe = tiny_recipe(tmp_path, settings)
    prepare(recipe, tmp_path / "r/data", processes=1)
    other = load_recipe(str(tmp_path / "tiny.toml"), [*settings, "cleaning.max_length=9"])
    with pytest.raises(DataError) as caught:
        train(other, tmp_path / "r", monitor=Silent())
    assert str(caught.value) == (
        f"{tmp_path / 'r/data'}: holds data of another recipe, other files or an older version: "
        "choose another folder, remove this one, or replace it (seq2seq prepare --overwrite)"
    )
    assert train(recipe, tmp_path / "r", monitor=Silent()).finished
