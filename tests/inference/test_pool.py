from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from multiprocessing import Pipe, active_children
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any, TypeVar

import pytest
from support.tiny import tiny_recipe

import seq2seq
from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference.pool import TranslatorPool, _Done, _work, logger
from seq2seq.inference.translator import Translator
from seq2seq.search import Wish
from seq2seq.training.monitoring import Silent

T = TypeVar("T")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    fast = ["training.epochs=1", "training.validation.bleu=false"]
    recipe = tiny_recipe(folder, [*fast, "training.early_stopping.metric=loss"], 100)
    seq2seq.prepare(recipe, folder / "data", processes=1)
    seq2seq.train(recipe, folder / "run", data=folder / "data", threads=1, monitor=Silent())
    return folder / "run"


def test_order_is_kept_and_memory_constant(model: Path) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"the dog sees {taken} cats"

    with TranslatorPool(model, 2, threads=1) as pool:
        stream = pool.stream(endless(), beam=1, batch_size=2)
        assert taken == 0
        found = [next(stream)[0].text for _ in range(60)]
        assert taken <= 60 + 2 * 4 * 2 * 3
        stream.close()
    assert not active_children()
    lines = [f"the dog sees {n} cats" for n in range(1, 61)]
    assert found == Translator.load(model, threads=1).translate(lines, beam=1)


def test_wishes_go_along(model: Path) -> None:
    wishes = [Wish(prefix="Der"), Wish()]
    with TranslatorPool([model, model], 1, threads=1, weights=[1.0, 2.0]) as pool:
        found = list(pool.stream(["a dog", "a cat"], wishes=wishes, beam=2, batch_size=1))
    assert found[0][0].text.startswith("Der")
    assert pool.has_attention is False


def test_an_error_in_a_process(model: Path) -> None:
    wishes = [Wish(), Wish(avoided=[" "])]
    with TranslatorPool(model, 2, threads=1) as pool:
        with pytest.raises(Seq2SeqError, match=r"^line 2: the phrase ' ' is empty"):
            list(pool.stream(["a dog", "a cat"], wishes=wishes, beam=1))
        assert len(list(pool.stream(["a dog"], beam=1))) == 1  # the pool is as it was
    assert not active_children()


def test_what_is_wrong_is_said_before_a_process_starts(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Seq2SeqError, match=r"^processes is 0; 1 or more is allowed$"):
        TranslatorPool(model, 0)
    with pytest.raises(ModelError, match="no such folder"):
        TranslatorPool(tmp_path / "nowhere", 2)
    with pytest.raises(Seq2SeqError, match=r"^beam is 0; "):
        TranslatorPool(model, 2).stream(["a"], beam=0)


def test_a_process_that_is_killed(model: Path) -> None:
    def lines() -> Iterator[str]:
        yield from ["a dog"] * 4  # a window, after which the process is idle
        (process,) = active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)  # so that it is at work when it is killed
        threading.Timer(1.0, process.kill).start()
        yield from ["a dog"] * 4

    with TranslatorPool(model, 1, threads=1) as pool:
        stream = pool.stream(lines(), beam=1, batch_size=1)
        with pytest.raises(Seq2SeqError, match=r"ended \(exit code -9\)") as error:
            list(stream)
        assert error.value.exit_code == 1
        assert len(list(pool.stream(["a dog"], beam=1))) == 1  # another took its place


def test_the_processes_stay_open(model: Path) -> None:
    expected = Translator.load(model, threads=1).translate(["a dog", "a cat"], beam=1)
    with TranslatorPool(model, 1, threads=1) as pool:
        assert not active_children()
        seen = set()
        for number in range(6):
            stream = pool.stream(["a dog", "a cat"] * 5, beam=1, batch_size=1)
            found = [one[0].text for one, _ in zip(stream, range(2 + number), strict=False)]
            assert found[:2] == expected  # also after a stream that was left before its end
            stream.close()
            seen |= {process.pid for process in active_children()}
        assert len(seen) == 1
    assert not active_children()
    with pytest.raises(Seq2SeqError, match=r"^the pool is closed: open a new one$"):
        list(pool.stream(["a dog"]))


def test_threads_share_a_pool(model: Path) -> None:
    lines = {n: [f"the dog sees {n} cats", f"{n} dogs"] * 20 for n in range(4)}
    alone = Translator.load(model, threads=1)
    found: dict[int, list[str]] = {}
    with TranslatorPool(model, 2, threads=1) as pool:

        def work(number: int) -> None:
            stream = pool.stream(lines[number], beam=1, batch_size=2)
            found[number] = [one[0].text for one in stream]

        threads = [threading.Thread(target=work, args=(number,)) for number in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {n: alone.translate(several, beam=1) for n, several in lines.items()}


def test_a_stream_that_stands_still_holds_up_no_other(model: Path) -> None:
    lines = [f"the dog sees {n} cats" for n in range(40)]
    with TranslatorPool(model, 2, threads=1) as pool:
        still = pool.stream(lines, beam=1, batch_size=1)
        found = [next(still)]
        for _ in range(2):
            list(pool.stream(lines, beam=1, batch_size=1))
        assert [*found, *still] == list(pool.stream(lines, beam=1, batch_size=1))
        still = pool.stream(lines, beam=1, batch_size=1)
        next(still)
    with pytest.raises(Seq2SeqError, match="the pool is closed: open a new one"):
        list(still)
    assert not active_children()


def test_processes_killed_while_idle_are_replaced(model: Path) -> None:
    lines = [f"the dog sees {n} cats" for n in range(40)]
    with TranslatorPool(model, 2, threads=1) as pool:
        found = list(pool.stream(lines, beam=1, batch_size=1))
        killed = active_children()
        for process in killed:
            process.kill()
            process.join(timeout=60)
        assert killed
        assert list(pool.stream(lines, beam=1, batch_size=1)) == found
        assert not {one.pid for one in active_children()} & {one.pid for one in killed}


def test_ctrl_c_leaves_the_pool_as_it_was(model: Path) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with TranslatorPool(model, 1, threads=1) as pool:
            stream = pool.stream(repeat("the dog sees the cat"), beam=8, batch_size=200)
            interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
            for endless in (stream, pool.stream(repeat("a dog"), beam=1)):  # the 2nd waits for it
                threading.Timer(0.5, interrupt).start()
                with pytest.raises(KeyboardInterrupt):
                    for _ in endless:
                        pass
            assert len(_in_time(lambda: list(pool.stream(["a dog"] * 9, beam=1)))) == 9
    finally:
        signal.signal(signal.SIGINT, previous)
    assert not active_children()


@pytest.mark.parametrize("refused", ["", "translating"])
def test_a_thread_that_the_system_refuses(
    refused: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def may_start(thread: threading.Thread) -> None:
        if thread.name.startswith(refused):
            raise RuntimeError("can't start new thread")
        start(thread)

    with TranslatorPool(model, 1, threads=1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", may_start)
            with pytest.raises(Seq2SeqError, match="no more threads: ask for fewer --processes"):
                list(pool.stream(["a dog"], beam=1))
        assert len(_in_time(lambda: list(pool.stream(["a dog"], beam=1)))) == 1


def test_slow_lines_hold_up_no_other_stream(model: Path) -> None:
    reading, more = threading.Event(), threading.Event()

    def slow() -> Iterator[str]:
        yield "a dog"
        reading.set()
        assert more.wait(timeout=120)
        yield "a cat"

    with TranslatorPool(model, 1, threads=1) as pool, ThreadPoolExecutor() as others:
        waits = others.submit(lambda: list(pool.stream(slow(), beam=1, batch_size=1)))
        assert reading.wait(timeout=120)
        found = _in_time(lambda: list(pool.stream(["a dog", "a cat"], beam=1, batch_size=1)))
        assert not waits.done()
        more.set()
        assert waits.result(timeout=120) == found


def test_a_pool_may_read_from_its_own_stream(model: Path) -> None:
    with TranslatorPool(model, 2, threads=1) as pool:
        lines = [f"the dog sees {n} cats" for n in range(30)]
        once = (one[0].text for one in pool.stream(lines, beam=1, batch_size=1))
        twice = pool.stream(once, beam=1, batch_size=1)
        assert len(_in_time(lambda: list(twice))) == len(lines)


@pytest.mark.parametrize(("line", "kind"), [(None, "NoneType"), (b"a dog", "bytes"), (5, "int")])
def test_a_line_that_is_no_string(
    model: Path, line: Any, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    told = rf"^line 6: must be a string, not {kind}$"
    lines = [*["a dog"] * 5, line]
    with TranslatorPool(model, 1, threads=1) as pool, pytest.raises(Seq2SeqError, match=told):
        list(pool.stream(lines, beam=1, batch_size=1))
    with pytest.raises(Seq2SeqError, match=told):
        Translator.load(model).translate(lines, beam=1)
    assert "Traceback" not in capfd.readouterr().err


def test_no_model_and_no_threads() -> None:
    with pytest.raises(Seq2SeqError, match="no model is given; give the folder of one"):
        TranslatorPool([], 2)
    with pytest.raises(Seq2SeqError, match="threads is 0; 1 or more is allowed"):
        TranslatorPool("model", 2, threads=0)


def test_a_single_text_is_refused(model: Path) -> None:
    told = r"^lines is a single string; give a list of lines, also of one: \[line\]$"
    with pytest.raises(Seq2SeqError, match=told):
        TranslatorPool(model, 2).stream("a dog")
    with pytest.raises(Seq2SeqError, match=told):
        Translator.load(model).translate("a dog")


def test_ctrl_c_ends_all_of_them(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("the dog sees the cat\n" * 50_000, encoding="utf-8")
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        "    from seq2seq.cli import main\n"
        f"    sys.argv = ['seq2seq', 'translate', {str(model)!r}, 'in', '--processes', '2']\n"
        "    main()\n"
    )
    (tmp_path / "run.py").write_text(script, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b"\n")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in err.decode().splitlines() if not line.startswith("warning: ")] == [
        "interrupted"
    ]
    until = time.monotonic() + 30
    while left := _has_members(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not left


def test_ctrl_c_at_any_moment_leaves_the_pool_in_order(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread may be between any two lines, also of Python's own that hold a lock."""
    # Python's logging, up to 3.12, keeps a handler's lock then; that is not the pool's.
    monkeypatch.setattr(logger, "disabled", True)
    pool = TranslatorPool(model, 2, threads=1)
    (found,) = pool.stream(["the dog"], beam=1)  # at once, from here on
    monkeypatch.setattr(pool, "_translated", lambda window: _Done([found] * len(window.lines), []))
    random, interrupted, may_end = Random(1), 0, False

    def end(*_: object) -> None:
        nonlocal may_end
        if may_end:
            may_end = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, end)
    try:
        for _ in range(4000):
            try:
                may_end = True
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 5e-4))
                list(pool.stream(["the dog"] * 40, beam=1, batch_size=1))
                may_end = False
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        may_end = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100
    all_of_them = _in_time(lambda: list(pool.stream(["the dog"] * 40, beam=1, batch_size=1)))
    assert all_of_them == [found] * 40
    _in_time(pool.close)


def test_a_process_without_memory_says_so(
    model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("handlers", "propagate"):  # which the process sets
        monkeypatch.setattr(logger, name, getattr(logger, name))

    def load() -> Translator:
        raise MemoryError("Unable to allocate 26.3 GiB")

    ours, theirs = Pipe()
    worker = threading.Thread(target=_work, args=(theirs, load))
    worker.start()
    ours.send(None)
    assert ours.recv().error == (
        "out of memory: fewer --processes or a smaller --batch-size need less",
        1,
    )
    ours.close()
    worker.join(timeout=60)
    assert not worker.is_alive()
    assert "Traceback" not in capfd.readouterr().err


def test_a_pool_that_nobody_closes_goes_with_its_last_name(model: Path) -> None:
    pool = TranslatorPool(model, 1, threads=1)
    list(pool.stream(["the dog"], beam=1))
    process, gone = next(iter(pool._workers)).process, weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    _in_time(process.join)
    assert process.exitcode == 0


def test_a_pool_opened_before_a_fork_serves_the_child(model: Path) -> None:
    script = (
        "import os\n"
        "from seq2seq import TranslatorPool\n"
        "if __name__ == '__main__':\n"
        f"    pool = TranslatorPool({str(model)!r}, 1, threads=1)\n"
        "    if child := os.fork():\n"
        "        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "    with pool:\n"
        "        os._exit(len(list(pool.stream(['the dog', 'the cat'], beam=1))))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 2


def _in_time(work: Callable[[], T]) -> T:
    """What is done in another thread, for which is not waited for ever."""
    done: SimpleQueue[T] = SimpleQueue()
    threading.Thread(target=lambda: done.put(work()), daemon=True).start()
    return done.get(timeout=120)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
