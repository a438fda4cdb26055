"""The feed of a stream: what it feeds, from any place on, to any number of processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny import write_recipe

from seq2seq.data.batching import Place
from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import DataError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.tasks import task_for
from seq2seq.training.batches import Share, UpdateBatches
from seq2seq.training.batches import streamed as stream_feed
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.batches.streamed import Exchange, StreamedBatches
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.session import batches_for

START = Place()
ENDLESS = ["training.epochs=none", "training.updates=9", "training.validation.every=3"]
COUNT = 700
_EXTRA = (PAD, EOS, BOS)


def streamed(folder: Path, *assignments: str) -> Recipe:
    settings = ["data.stream.buffer=1024", *ENDLESS, *assignments]
    return load_recipe(str(folder / "tiny.toml"), settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("stream")
    write_recipe(folder, COUNT)
    return folder, prepare(streamed(folder), folder / "data")


def stream_of(
    prepared: PreparedData,
    recipe: Recipe,
    share: Share | None = None,
    exchange: Exchange | None = None,
) -> StreamedBatches:
    return StreamedBatches(prepared, recipe, collate, share, exchange)


def taken(feed: StreamedBatches, count: int, place: Place = START) -> list[UpdateBatches]:
    with closing(feed.updates(place)) as works:
        return list(islice(works, count))


def same(one: UpdateBatches, other: UpdateBatches) -> bool:
    """Whether two updates learn the same from the same pairs, and lead to the same place."""
    return (
        one.place == other.place
        and one.place.mark == other.place.mark
        and all(map(np.array_equal, one.all_indices, other.all_indices))
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for a, b in zip(one.batches, other.batches, strict=True)
            for name in ("source_BS", "inputs_BT", "labels_BT", "where_M")
        )
    )


def texts(works: list[UpdateBatches], prepared: PreparedData) -> list[tuple[str, str]]:
    found = []
    for work in works:
        for pairs in work.batches:
            for source, target in zip(pairs.source_BS, pairs.inputs_BT, strict=True):
                rows = [
                    [n for n in row.tolist() if n not in (PAD, EOS, BOS)]
                    for row in (source, target)
                ]
                (a,), (b,) = (
                    tokenizer.decode([row])
                    for tokenizer, row in zip(
                        (prepared.tokenizers.source, prepared.tokenizers.target), rows, strict=True
                    )
                )
                found.append((a, b))
    return found


def until(feed: StreamedBatches, buffer: int, place: Place = START) -> list[UpdateBatches]:
    """All updates before a buffer."""
    found = []
    with closing(feed.updates(place)) as works:
        for work in works:
            found.append(work)
            if work.place.pool >= buffer:
                return found
    raise AssertionError


def test_the_recipe_chooses_the_feed(made: tuple[Path, PreparedData]) -> None:
    folder, prepared = made
    recipe = streamed(folder)
    feed = batches_for(prepared, recipe, task_for(recipe), ProcessGroup())
    assert isinstance(feed, StreamedBatches)
    assert (len(feed), feed.unit, feed.left_out()) == (1024, "buffer", 0)
    recipe = load_recipe(str(folder / "tiny.toml"))
    stored = prepare(recipe, folder / "stored")
    chosen = batches_for(stored, recipe, task_for(recipe), ProcessGroup())
    assert isinstance(chosen, PreparedBatches)


def test_buffers_hold_the_corpus_over_and_over(made: tuple[Path, PreparedData]) -> None:
    folder, prepared = made
    feed = stream_of(prepared, streamed(folder))
    works = until(feed, 7)
    assert [work.place.pool for work in works[:-1]] == sorted(w.place.pool for w in works[:-1])
    lines = [
        (folder / f"train.{side}").read_text(encoding="utf-8").rstrip("\n").split("\n")
        for side in ("en", "de")
    ]
    pairs = list(zip(*lines, strict=True))
    expected = Counter(pairs[n % COUNT] for n in range(7 * 1024))
    assert Counter(texts(works, prepared)) == expected
    sizes = [pairs.labels_BT.shape[1] for work in works[:40] for pairs in work.batches]
    assert sizes != sorted(sizes)
    padding = sum(int((pairs.labels_BT == PAD).sum()) for work in works for pairs in work.batches)
    tokens = sum(len(pairs.where_M) for work in works for pairs in work.batches)
    assert padding < 0.15 * tokens


@pytest.mark.parametrize("more", [[], ["training.accumulate=3", "tokenizer.sampling={alpha=0.3}"]])
def test_going_on_from_any_place(made: tuple[Path, PreparedData], more: list[str]) -> None:
    folder, prepared = made
    recipe = streamed(folder, *more)
    whole = until(stream_of(prepared, recipe), 2)
    assert len(whole) > 30
    for number in (0, 1, len(whole) // 2 - 1, len(whole) // 2, len(whole) - 9):
        values = json.loads(json.dumps(asdict(whole[number].place)))
        rest = whole[number + 1 :][:8]
        again = taken(stream_of(prepared, recipe), len(rest), Place(**values))
        assert all(same(*both) for both in zip(rest, again, strict=True))


def test_the_largest_come_first_and_change_nothing(made: tuple[Path, PreparedData]) -> None:
    folder, prepared = made
    recipe = streamed(folder)
    feed = stream_of(prepared, recipe)
    largest = [pairs for _, pairs in feed.largest()]
    works = until(feed, 1)
    widest = max(max(p.source_BS.shape[1], p.labels_BT.shape[1]) for w in works for p in w.batches)
    assert max(largest[0].source_BS.shape[1], largest[0].labels_BT.shape[1]) == widest
    assert all(
        same(*both) for both in zip(works, until(stream_of(prepared, recipe), 1), strict=True)
    )


def test_lines_and_sizes(made: tuple[Path, PreparedData]) -> None:
    folder, prepared = made
    feed = stream_of(prepared, streamed(folder))
    lines = (folder / "train.en").read_text(encoding="utf-8").split("\n")
    with closing(feed.updates(Place())) as works:
        for work in works:
            for indices, pairs in zip(work.all_indices, work.batches, strict=True):
                numbers = feed.provenance(indices).numbers
                sources = [
                    prepared.tokenizers.source.encode([lines[n - 1]])[0] for n in numbers.tolist()
                ]
                assert [len(one) + 1 for one in sources] == pairs.source_lengths_B.tolist()
                assert feed.sizes(int(indices[0]))[0] == len(sources[0])
            if work.place.pool == 2:
                break


class Meeting:
    """Lets threads exchange what they have, as processes would."""

    def __init__(self, world: int) -> None:
        self._barrier = threading.Barrier(world, timeout=60)
        self._given: list[bytes] = [b""] * world
        self.sent = [0] * world

    def exchange(self, rank: int) -> Exchange:
        def exchange(own: bytes) -> list[bytes]:
            self._given[rank] = own
            self.sent[rank] += len(own)
            self._barrier.wait()
            everyone = list(self._given)
            self._barrier.wait()
            return everyone

        return exchange


def test_trying_the_largest_batches_waits_for_no_other_process(
    made: tuple[Path, PreparedData],
) -> None:
    """A signal ends it in each process by itself."""
    folder, prepared = made

    def exchange(own: bytes) -> list[bytes]:
        raise AssertionError

    recipe = streamed(folder)
    feed = stream_of(prepared, recipe, Share(1, 2), exchange)
    alone = stream_of(prepared, recipe, Share(1, 2))
    both = zip(feed.largest(), alone.largest(), strict=True)
    assert all(np.array_equal(ours, others) for (ours, _), (others, _) in both)


def test_other_text_on_another_machine_is_noticed(
    made: tuple[Path, PreparedData], tmp_path: Path
) -> None:
    folder, prepared = made
    shutil.copytree(folder, tmp_path / "there")
    for side in ("en", "de"):
        path = tmp_path / f"there/train.{side}"
        text = path.read_text(encoding="utf-8")
        path.write_text(f"more\n{text}", encoding="utf-8", newline="\n")
    meeting = Meeting(2)
    found: dict[int, str] = {}

    def process(rank: int, place: Path) -> None:
        feed = stream_of(prepared, streamed(place), Share(rank, 2), meeting.exchange(rank))
        with pytest.raises(DataError) as error:
            taken(feed, 1)
        found[rank] = str(error.value)

    places = [folder, tmp_path / "there"]
    threads = [threading.Thread(target=process, args=both) for both in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert found[0].startswith("process 1 of 2 reads other training text than process 0: ")


def test_a_change_within_the_first_buffer_is_noticed(tmp_path: Path) -> None:
    """Also where that buffer was read already, for its largest batches."""
    write_recipe(tmp_path, COUNT)
    recipe = streamed(tmp_path)
    prepared = prepare(recipe, tmp_path / "data")
    place = taken(stream_of(prepared, recipe), 3)[-1].place
    path = tmp_path / "train.en"
    path.write_text("more" + path.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
    feed = stream_of(prepared, recipe)
    list(feed.largest())
    with pytest.raises(DataError, match=r"train, line 1: not what it was when training was inter"):
        taken(feed, 1, place)


def test_helpers_are_out_of_reach_of_what_is_sent_to_our_group(
    made: tuple[Path, PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prepared = made
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(stream_feed, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(stream_feed, "usable_processors", lambda: 4)

    class Seen(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Seen)
    feed = stream_of(prepared, streamed(folder))
    with closing(feed.updates(START)) as works:
        next(works)
        assert started
        assert os.getpgid(0) not in {os.getpgid(one.pid) for one in started}
    for one in started:
        one.wait(10)  # they end with the feed all the same


@pytest.mark.parametrize("meet", [True, False], ids=["shared out", "each alone"])
def test_any_number_of_processes_learns_the_same(
    made: tuple[Path, PreparedData], meet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seq2seq.data import arrow as storage

    monkeypatch.setattr(storage, "BATCH_PAIRS", 100)  # so that each has several blocks to work on
    folder, prepared = made
    recipe = streamed(folder, "training.accumulate=2")
    alone = taken(stream_of(prepared, recipe), 60)
    meeting = Meeting(2)
    found: dict[int, list[UpdateBatches]] = {}

    def process(rank: int) -> None:
        exchange = meeting.exchange(rank) if meet else None
        feed = stream_of(prepared, recipe, Share(rank, 2), exchange)
        found[rank] = taken(feed, 60)

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((sent > 0) == meet for sent in meeting.sent)
    for together, first, second in zip(alone, found[0], found[1], strict=True):
        assert first.place == second.place == together.place
        assert first.place.mark == together.place.mark
        for work in (first, second):
            assert all(map(np.array_equal, work.all_indices, together.all_indices))
        if len(together.all_indices) == 2:
            parts = [*first.batches, *second.batches]
            for part, whole in zip(parts, together.batches, strict=True):
                assert np.array_equal(part.source_BS, whole.source_BS)


def test_helpers_give_what_this_process_gives(
    made: tuple[Path, PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prepared = made
    alone = taken(stream_of(prepared, streamed(folder)), 20)
    monkeypatch.setattr(stream_feed, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(stream_feed, "usable_processors", lambda: 4)
    feed = stream_of(prepared, streamed(folder))
    assert all(same(*both) for both in zip(alone, taken(feed, 20), strict=True))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    write_recipe(tmp_path, 400)
    for side in ("en", "de"):
        path = tmp_path / f"train.{side}"
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        lines[10] = ""
        lines[20] = lines[20] * 40
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    recipe = streamed(tmp_path, "training.max_pieces=200", "cleaning.max_length=none")
    feed = stream_of(prepare(recipe, tmp_path / "data"), recipe)
    notes = [work.notes for work in until(feed, 2) if work.notes is not None]
    assert [one["buffer"] for one in notes] == [0, 1]
    assert notes[1]["counts"] == {"read": 2048, "empty": 6, "max_pieces": 6}
    assert notes[1]["passes"] == {"train": 5}
    indices = np.concatenate([batch for work in until(feed, 1) for batch in work.all_indices])
    assert not {11, 21} & set(feed.provenance(indices).numbers.tolist())


def test_a_buffer_of_which_nothing_is_left(made: tuple[Path, PreparedData]) -> None:
    folder, prepared = made
    feed = stream_of(prepared, streamed(folder, "training.max_pieces=2"))
    with pytest.raises(DataError) as error:
        taken(feed, 1)
    assert str(error.value) == (
        "nothing is left to train on of the buffer that begins at line 1 of train (read 1,024, "
        "max_pieces 1,024): look at the text and at the recipe's cleaning and training.max_pieces"
    )


@pytest.fixture
def two(tmp_path: Path) -> Callable[[], Recipe]:
    write_recipe(tmp_path, 300)
    talks = "".join(f"talk {n}\tRede {n}\n" for n in range(40))
    (tmp_path / "talks.tsv").write_text(talks, encoding="utf-8")
    corpora = (
        f"data.train=[['{tmp_path}/train.en', '{tmp_path}/train.de'], "
        f"{{path='{tmp_path}/talks.tsv', weight=0.25}}]"
    )
    return lambda: streamed(tmp_path, corpora)


def test_lines_of_several_corpora_are_named(two: Callable[[], Recipe], tmp_path: Path) -> None:
    recipe = two()
    feed = stream_of(prepare(recipe, tmp_path / "data"), recipe)
    seen: Counter[str] = Counter()
    with closing(feed.updates(Place())) as works:
        for work in works:
            for indices in work.all_indices:
                lines = feed.provenance(indices)
                assert lines.corpora is not None
                seen.update(lines.corpora)
            if work.place.pool == 5:
                break
    assert abs(seen["talks"] - 5 * 1024 / 5) < 1
    assert seen["talks"] + seen["train"] >= 5 * 1024 - 2
