"""Each option of ``seq2seq translate`` on a model that was trained: alone, and with others."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.inference.postprocess import expected_utilities, probabilities

LINES = (
    "The old man sleeps.\n\nThe dog sees a cat in the garden.\nShe reads.\n"
    "We do not know the man.\n"
)
Hypotheses = list[list[dict[str, Any]]]


@pytest.fixture
def told(run: Callable, attending: Path) -> Callable[..., Hypotheses]:
    """The hypotheses of each line, as JSON tells them."""

    def ask(*options: str, lines: str = LINES) -> Hypotheses:
        command = ("translate", str(attending / "run"), "--format", "jsonl", "--threads", "1")
        done = run(*command, *options, stdin=lines.encode())
        assert done.code == 0, done.err
        objects = [json.loads(line) for line in done.out.splitlines()]
        assert [one["source"] for one in objects] == lines.splitlines()
        for one in objects:
            for hypothesis in one["hypotheses"]:
                hypothesis["source_tokens"] = one["source_tokens"]
        return [one["hypotheses"] for one in objects]

    return ask


def best(hypotheses: Hypotheses) -> list[dict[str, Any]]:
    """The best of each line, but for empty lines and loops, which are cut shorter than found."""
    found = [one[0] for one in hypotheses if one[0]["source_tokens"] and not looped(one[0])]
    assert found
    return found


def looped(one: dict[str, Any]) -> bool:
    return any(note["kind"] == "looped" for note in one["notes"])


def texts(hypotheses: Hypotheses) -> list[str]:
    return [several[0]["text"] for several in hypotheses]


def test_what_json_tells(told) -> None:
    found = told("--n-best", "2")
    assert found[1] == [
        {
            "text": "",
            "score": 0.0,
            "log_prob": 0.0,
            "tokens": [],
            "token_log_probs": [],
            "alignment": None,
            "truncated": False,
            "notes": [],
            "source_tokens": [],
        }
    ]
    for several in (found[0], *found[2:]):
        assert len(several) == len({one["text"] for one in several}) == 2
        for one in several:
            assert one["text"].strip() == "".join(one["tokens"]).replace("▁", " ").strip()
            assert len(one["token_log_probs"]) == len(one["tokens"]) + 1
            assert sum(one["token_log_probs"]) == pytest.approx(one["log_prob"], abs=1e-5)
            if not looped(one):  # then it was cut, and is shorter than its score
                assert one["score"] == pytest.approx(one["log_prob"] / (len(one["tokens"]) + 1))
            assert one["alignment"] == [list(pair) for pair in one["alignment"]]
            assert len(one["alignment"]) <= len(one["text"].split())
            assert all(i < len(LINES.splitlines()[0].split()) + 9 for i, _ in one["alignment"])


def test_lengths(told) -> None:
    assert all(len(one["tokens"]) >= 7 for one in best(told("--min-length", "7")))
    assert all(len(several[0]["tokens"]) <= 2 for several in told("--max-length", "2"))
    longer = best(told("--min-ratio", "0.9", "--max-ratio", "1.2"))
    assert all(len(one["tokens"]) >= 0.9 * len(one["source_tokens"]) for one in longer)
    for several in told("--max-ratio", "0.25"):
        assert len(several[0]["tokens"]) <= 0.25 * len(several[0]["source_tokens"]) + 2


def test_repetition(told) -> None:
    def repeats(hypotheses: Hypotheses) -> int:
        firsts = [several[0]["tokens"] for several in hypotheses]
        return sum(len(tokens) - len(set(tokens)) for tokens in firsts)

    free = repeats(told("--min-length", "12"))
    assert free > 0
    assert repeats(told("--min-length", "12", "--no-repeat", "1")) == 0
    assert repeats(told("--min-length", "12", "--repetition-penalty", "50")) < free


def test_length_penalties(told) -> None:
    length = {"none": lambda _: 1.0, "length": lambda n: n**0.5, "gnmt": lambda n: (5 + n) / 6}
    for name, power in (("none", ()), ("length", ("0.5",)), ("gnmt", ("1.0",))):
        alpha = [word for value in power for word in ("--alpha", value)]
        for one in best(told("--length-penalty", name, *alpha)):
            divisor = length[name](len(one["tokens"]) + 1)
            assert one["score"] == pytest.approx(one["log_prob"] / divisor)
    assert best(told("--alpha", "0"))[0]["score"] == pytest.approx(
        best(told("--alpha", "0"))[0]["log_prob"]
    )


def test_coverage(told) -> None:
    def penalties(hypotheses: Hypotheses) -> list[float]:
        return [
            one["score"] - one["log_prob"] / (len(one["tokens"]) + 1) for one in best(hypotheses)
        ]

    assert penalties(told()) == pytest.approx([0.0] * len(best(told())), abs=1e-6)
    assert all(value < -0.01 for value in penalties(told("--coverage", "0.05")))


def test_samples_that_are_bound_to_be_greedy(told) -> None:
    greedy = texts(told("--beam", "1"))
    for options in (("--top-k", "1"), ("--top-p", "0.0001"), ("--temperature", "0.0001")):
        assert texts(told("--sample", "1", *options)) == greedy


def test_samples_depend_on_the_seed_alone(told) -> None:
    def drawn(count: int, *options: str) -> list[list[str]]:
        found = told("--sample", str(count), "--temperature", "2", *options)
        return [[one["text"] for one in several] for several in found]

    first = drawn(4)
    assert [len(several) for several in first] == [4, 1, 4, 4, 4]
    assert drawn(4, "--seed", "1", "--batch-size", "1") == first
    assert drawn(4, "--seed", "2") != first
    assert drawn(2) == [several[:2] for several in first]


def test_text_has_the_best_sample(told, run, attending: Path) -> None:
    drawn = told("--sample", "5", "--temperature", "2")
    command = ("translate", str(attending / "run"), "--sample", "5", "--temperature", "2")
    done = run(*command, stdin=LINES.encode())
    expected = [max(several, key=lambda one: one["score"])["text"] for several in drawn]
    assert done.out.splitlines() == expected


@pytest.mark.parametrize("utility", ["chrf", "bleu"])
def test_mbr_over_samples(told, utility: str) -> None:
    ask = ("--sample", "6", "--temperature", "1.5")
    for several, ranked in zip(told(*ask), told(*ask, "--mbr", utility), strict=True):
        if not several[0]["source_tokens"]:
            continue
        drawn = [one["text"] for one in several]
        different = list(dict.fromkeys(drawn))
        values = expected_utilities(different, [drawn.count(text) for text in different], utility)
        assert ranked[0]["score"] == pytest.approx(max(values))
        assert ranked[0]["text"] == different[values.index(max(values))]
        assert {one["text"] for one in ranked} == set(different)


def test_mbr_over_the_n_best(told) -> None:
    ask = ("--beam", "4", "--n-best", "4")
    several, ranked = told(*ask)[0], told(*ask, "--mbr", "chrf")[0]
    weights = probabilities([one["log_prob"] for one in several])
    values = expected_utilities([one["text"] for one in several], weights, "chrf")
    assert [one["score"] for one in ranked] == pytest.approx(sorted(values, reverse=True))


def test_groups(told) -> None:
    ask = ("--beam", "4", "--n-best", "4")
    assert told(*ask, "--groups", "2", "--diversity", "0")[0] != told(*ask, "--groups", "4")[0]
    alike = told(*ask, "--groups", "4", "--diversity", "0")[0]
    assert len(alike) == 1  # four groups of one that do not heed each other find the same


def test_several_models(told, attending: Path) -> None:
    run = str(attending / "run")
    alone = told()
    for options in ((), ("--combine", "probability"), ("--weights", "3,1")):
        together = told("--with", run, *options)
        assert texts(together) == texts(alone)
        assert [one["log_prob"] for one in best(together)] == pytest.approx(
            [one["log_prob"] for one in best(alone)], abs=1e-4
        )


def test_wishes(told, here: Path) -> None:
    Path("prefix").write_text("Der  A\n\n\nSie\n\n", encoding="utf-8")
    begun = texts(told("--prefix", "prefix"))
    assert begun[0].startswith("Der  A")
    assert begun[3].startswith("Sie")
    wishes = ({}, {}, {"force": ["Katze", "Mann"]}, {"avoid": ["Sie", "sie"]}, {"prefix": "Wir"})
    Path("c").write_text("".join(json.dumps(one) + "\n" for one in wishes), encoding="utf-8")
    free, bound = texts(told("--beam", "6")), texts(told("--beam", "6", "--constraints", "c"))
    assert bound[:2] == free[:2]
    assert {"Katze", "Mann"} <= {word.strip(".,") for word in bound[2].split()}
    assert not {"Sie", "sie"} & {word.strip(".,") for word in bound[3].split()}
    assert bound[4].startswith("Wir")


def test_alignments_and_attention(told, run, attending: Path, here: Path) -> None:
    found = told("--sample", "1", "--alignments", "al", "--attention", "at.npz")
    rows = Path("al").read_text(encoding="utf-8").split("\n")
    assert len(rows) == 6
    assert rows[1] == rows[5] == ""
    assert rows[0] == " ".join(f"{i}-{j}" for i, j in found[0][0]["alignment"]) != ""
    with np.load("at.npz") as matrices:
        assert list(matrices) == ["1", "2", "3", "4", "5"]
        for number, several in enumerate(found, start=1):
            matrix, one = matrices[str(number)], several[0]
            assert matrix.dtype == np.float32
            if not one["source_tokens"]:
                assert matrix.size == 0
                continue
            assert matrix.shape == (len(one["tokens"]) + 1, len(one["source_tokens"]) + 1)
            np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("search", [("--beam", "1"), ("--beam", "3"), ("--groups", "3")])
def test_alignments_of_every_search(run, attending: Path, here: Path, search) -> None:
    command = ("translate", str(attending / "run"), "-", "-o", "out", "--alignments", "al")
    assert run(*command, *search, stdin=LINES.encode()).code == 0
    out = Path("out").read_text(encoding="utf-8").split("\n")
    links = Path("al").read_text(encoding="utf-8").split("\n")
    for source, text, row in zip(LINES.split("\n"), out, links, strict=True):
        pairs = [tuple(map(int, word.split("-"))) for word in row.split()]
        assert bool(pairs) is bool(text)
        assert all(i < len(source.split()) and j < len(text.split()) for i, j in pairs)


def test_long_lines(run, attending: Path) -> None:
    sentence = "The old man sleeps. "
    command = ("translate", str(attending / "run"), "--threads", "1")
    parts = run(*command, stdin=(sentence * 60).encode() + b"\n\n")
    assert parts.out.count("\n") == 2
    assert "left out" not in parts.err
    cut = run(*command, "--long", "truncate", stdin=(sentence * 60).encode() + b"\n\n")
    assert "line 1: " in cut.err
    assert "the rest was left out" in cut.err
    kept = run(*command, "--long", "keep", stdin=(sentence * 60).encode() + b"\n\n")
    assert parts.out not in (cut.out, kept.out)
    assert "left out" not in kept.err
    assert kept.out.count("\n") == cut.out.count("\n") == 2


UGLY = (
    b"The dog\x00 sees.\n\n \t\nThe\xe2\x80\xa8man\n\xff\xfe the \xc3\nThe dog\r\n"
    b"\xed\xa0\x80 dog\n" + b"the cat sees " * 90 + b"\n\xf0\x9f\x90\x95\n||| a ||| b\n\x85\nend"
)
EXTRAS = [
    ("--alignments", "al"),
    ("--attention", "at.npz"),
    ("--no-repeat", "2"),
    ("--repetition-penalty", "1.3"),
    ("--min-length", "2"),
    ("--max-length", "9"),
    ("--min-ratio", "0.3"),
    ("--allow-unknown",),
    ("--coverage", "0.1"),
    ("--length-penalty", "gnmt"),
    ("--prefix", "prefix"),
    ("--constraints", "wishes"),
    ("--batch-size", "3"),
]
SEARCHES = [
    ("--beam", "1"),
    ("--beam", "2", "--mbr", "bleu"),
    ("--beam", "4", "--groups", "2", "--diversity", "0.3"),
    ("--sample", "2", "--top-k", "5", "--mbr", "chrf"),
    ("--sample", "1", "--top-p", "0.8", "--temperature", "0.7"),
]


@pytest.mark.parametrize("format_", ["text", "nbest", "jsonl"])
@pytest.mark.parametrize("search", SEARCHES, ids=" ".join)
def test_ugly_lines_under_combined_options(
    run, attending: Path, here: Path, search: tuple[str, ...], format_: str
) -> None:
    count = UGLY.count(b"\n") + 1
    Path("ugly").write_bytes(UGLY)
    Path("prefix").write_text("Der\n" + "\n" * (count - 1), encoding="utf-8")
    wishes = '{"avoid": ["Hund"]}\n' * (count - 1) + '{"prefix": "Die", "avoid": ["Mann"]}\n'
    Path("wishes").write_text(wishes, encoding="utf-8")
    extras = random.Random(" ".join((*search, format_))).sample(EXTRAS, 5)
    if "--sample" in search:
        extras = [extra for extra in extras if extra[0] != "--coverage"]
    options = [*search, *(word for extra in extras for word in extra)]
    command = ("translate", str(attending / "run"), "ugly", "-o", "out", "--threads", "1")
    done = run(*command, "--format", format_, *options)
    assert done.code == 0, (options, done.err)
    lines = Path("out").read_bytes().decode().split("\n")
    assert lines.pop() == ""
    if format_ == "nbest":
        numbers = [int(line.partition(" ||| ")[0]) for line in lines]
        assert sorted(set(numbers)) == sorted(dict.fromkeys(numbers)) == list(range(count))
        assert numbers == sorted(numbers)
    else:
        assert len(lines) == count
    if "al" in options:
        assert Path("al").read_bytes().count(b"\n") == count
    if format_ == "jsonl":
        sources = [json.loads(line)["source"] for line in lines]
        assert sources[0] == "The dog\x00 sees."
        assert sources[3] == "The\u2028man"


def test_processes_give_the_same(run, attending: Path, here: Path) -> None:
    Path("in").write_bytes(b"".join(b"The dog sees %d cats.\n" % n for n in range(40)) + UGLY)
    command = ("translate", str(attending / "run"), "in", "--threads", "1", "--long", "truncate")
    options = ("--batch-size", "4", "--alignments")
    one = run(*command, *options, "al1", "-o", "one")
    two = run(*command, *options, "al2", "-o", "two", "--processes", "2")
    assert (one.code, two.code) == (0, 0), two.err
    assert Path("one").read_bytes() == Path("two").read_bytes()
    assert Path("al1").read_bytes() == Path("al2").read_bytes()
    told = [[line for line in done.err.splitlines() if "line" in line] for done in (one, two)]
    assert "\n".join(told[1]).count("line 48: ") >= 1
    assert any("not UTF-8" in line for line in told[1])


def test_evaluate_takes_the_same_options(run, attending: Path, here: Path) -> None:
    Path("in").write_text(LINES, encoding="utf-8")
    command = (str(attending / "run"), "in", "--threads", "1", "--sample", "3", "--mbr", "chrf")
    assert run("translate", *command, "-o", "out", "--max-length", "6").code == 0
    done = run(
        "evaluate", *command[:2], "out", *command[2:], "--max-length", "6", "--metric", "chrf"
    )
    assert done.code == 0
    assert " = 100.00" in done.out
