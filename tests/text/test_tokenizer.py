"""Tokenizers: fixed ids, exact repetition, sampling by seed, and what their errors say."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tokenizers import sample, save

from seq2seq import recipe
from seq2seq.errors import DataError, ModelError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.text.tokenizer import (
    Tokenizer,
    Tokenizers,
    run_interruptibly,
    suitable_size,
    train_tokenizers,
)

TESTS = Path(__file__).parents[1]

SYLLABLES = ("ba", "ko", "lin", "mer", "tu", "schra", "pé", "ño")
SOURCES = [
    " ".join(SYLLABLES[i % 8] + SYLLABLES[i * j % 7] for j in range(1, 2 + i % 9))
    for i in range(400)
]
TARGETS = [line.replace("a", "ä").title() for line in SOURCES]


def options(**keys: object) -> recipe.Tokenizer:
    return recipe.Tokenizer.model_validate({"vocab_size": 60, **keys})


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizers(options(kind=request.param), SOURCES, TARGETS).source


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def bytes_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    wish = options(kind=request.param, byte_fallback=True, vocab_size=320, normalization="identity")
    return train_tokenizers(wish, SOURCES, TARGETS).source


def sp_model(**keys: object) -> bytes:
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SOURCES), model_writer=proto, vocab_size=50, minloglevel=3, **keys
    )
    return proto.getvalue()


def test_ids_are_fixed_and_size_is_the_recipes(tokenizer: Tokenizer) -> None:
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert tokenizer.pieces([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert tokenizer.size == 60
    assert tokenizer.digest == hashlib.sha256(tokenizer.proto).hexdigest()


def test_round_trip_of_the_training_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(SOURCES)
    assert tokenizer.decode(ids) == SOURCES
    assert all(number > EOS for row in ids for number in row)
    assert tokenizer.decode([[PAD, BOS, *ids[0], EOS, PAD]]) == SOURCES[:1]
    assert "".join(tokenizer.pieces(ids[0])).replace("▁", " ").strip() == SOURCES[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_any_text_survives_with_byte_fallback(bytes_tokenizer: Tokenizer, texts: list[str]) -> None:
    # Without normalization only runs of the space itself are joined, and U+2581 is the space.
    expected = [
        " ".join(filter(None, text.replace("▁", " ").replace("\0", " ").split(" ")))
        for text in texts
    ]
    texts = [text.replace("\0", " ") for text in texts]
    assert bytes_tokenizer.decode(bytes_tokenizer.encode(texts)) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_string_is_encoded(tokenizer: Tokenizer, texts: list[str]) -> None:
    rows = tokenizer.encode(texts)
    assert len(rows) == len(texts)
    assert len(tokenizer.decode(rows)) == len(texts)
    assert all(0 < number < tokenizer.size for row in rows for number in row)
    # A batch is its texts one by one, and sampling splits the same text.
    assert rows == [tokenizer.encode([text])[0] for text in texts]


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("", ""),
        ("   ", ""),
        ("ba\0ko", "ba ⁇ ko"),
        ("ba\u2028ko", "ba ko"),
        ("ba\x0bko", "bako"),
        ("bako " * 10_000, ("bako " * 10_000).strip()),
        ("ba" * 50_000, "ba" * 50_000),
        ("\ud800", "⁇"),
        ("\ufeffba", "ba"),
    ],
    ids=["empty", "spaces", "nul", "u2028", "vt", "10,000 words", "one word", "surrogate", "bom"],
)
def test_odd_text(tokenizer: Tokenizer, text: str, decoded: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode([ids])[0].strip() == decoded
    (drawn,) = sample(tokenizer, [text], 0.1, 1)
    assert tokenizer.decode([drawn])[0].strip() == decoded


def test_decoding_an_id_that_is_not_there(tokenizer: Tokenizer) -> None:
    for wrong in (-1, 60):
        with pytest.raises(ValueError, match=rf"^ids must be from 0 to 59, not \[5, {wrong}\]$"):
            tokenizer.decode([[5, wrong]])


def test_sampling_is_a_function_of_its_arguments(tokenizer: Tokenizer) -> None:
    texts = SOURCES[:50]
    first = sample(tokenizer, texts, 0.1, 7)
    sample(tokenizer, texts, 0.2, 8)  # whatever was drawn in between
    sentencepiece.set_random_generator_seed(123)
    assert sample(tokenizer, texts, 0.1, 7) == first
    assert sample(Tokenizer(tokenizer.proto), texts, 0.1, 7) == first
    assert tokenizer.decode(first) == texts
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(sample(tokenizer, texts, 0.1, 7)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [first] * 4


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sampling_varies(kind: str) -> None:
    tokenizer = train_tokenizers(options(kind=kind, vocab_size=85), SOURCES, TARGETS).source
    texts = SOURCES[:50]
    best = tokenizer.encode(texts)
    drawn = [sample(tokenizer, texts, 0.1, seed) for seed in range(6)]
    assert all(one != best for one in drawn)
    assert len({str(one) for one in drawn}) == 6
    assert len({str(row) for row in sample(tokenizer, SOURCES[8:9] * 50, 0.1, 1)}) > 3


@pytest.mark.parametrize(("kind", "alpha"), [("unigram", 200.0), ("bpe", 0.0)])
def test_sampling_without_noise_is_the_best_split(kind: str, alpha: float) -> None:
    symbols = ["<sep>", "ko"]
    wish = options(kind=kind, byte_fallback=True, vocab_size=330, user_defined_symbols=symbols)
    trained = train_tokenizers(wish, SOURCES, TARGETS).source
    texts = [*SOURCES, "ba<sep>ko Ωmega", "", "linmertu" * 100, "<sep><sep>"]
    assert sample(trained, texts, alpha, 3) == trained.encode(texts)


def test_unigram_sampling_draws_what_sentencepiece_draws() -> None:
    # Its own sampling is another draw from the same distribution: compare the mean lengths, and
    # how often the best split is drawn.
    trained = train_tokenizers(options(vocab_size=85), SOURCES, TARGETS).source
    processor = sentencepiece.SentencePieceProcessor(model_proto=trained.proto)
    words = sorted({word for line in SOURCES for word in line.split()})
    best = trained.encode(words)
    for alpha in (0.1, 0.5, 1.0):
        ours = [row for seed in range(40) for row in sample(trained, words, alpha, seed)]
        theirs = [
            processor.encode(word, enable_sampling=True, nbest_size=-1, alpha=alpha)
            for _ in range(40)
            for word in words
        ]
        assert len(ours) == len(theirs) > 1500
        lengths = [sum(map(len, rows)) / len(rows) for rows in (ours, theirs)]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.05)
        hits = [
            sum(row == best[n % len(best)] for n, row in enumerate(rows)) / len(rows)
            for rows in (ours, theirs)
        ]
        assert hits[0] == pytest.approx(hits[1], abs=0.06)


def test_bpe_sampling_leaves_out_merges_as_often_as_asked() -> None:
    lines = ["ab ab"] * 30  # one merge inside the word, then one with the space before it
    trained = train_tokenizers(options(kind="bpe", vocab_size=9), lines, []).source
    rows = [trained.pieces(row) for row in sample(trained, ["ab"] * 400, 0.3, 1)]
    kinds = {tuple(row): rows.count(row) / len(rows) for row in rows}
    # 16 splits are drawn of a word, so shares come in sixteenths.
    whole = kinds[("▁ab",)]
    assert set(kinds) <= {("▁ab",), ("▁", "ab"), ("▁", "a", "b"), ("▁a", "b")}
    assert whole == pytest.approx(0.7 * 0.7, abs=0.25)


def test_sampling_keeps_what_is_not_made_of_pieces() -> None:
    wish = options(user_defined_symbols=["<sep>"], vocab_size=65)
    trained = train_tokenizers(wish, SOURCES, TARGETS).source
    text = "bako<sep>linΩmer"
    for seed in range(20):
        (ids,) = sample(trained, [text], 0.1, seed)
        assert "<sep>" in trained.pieces(ids)
        assert ids.count(UNK) == 1
        assert trained.decode([ids]) == [text.replace("Ω", " ⁇ ")]


def test_sampling_remembers_a_bounded_number_of_words(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.text.sampling._REMEMBERED", 5)
    fresh = Tokenizer(tokenizer.proto)
    assert sample(fresh, SOURCES, 0.1, 1) == sample(tokenizer, SOURCES, 0.1, 1)
    assert len(fresh._sampler._remembered) <= 5


def test_sampling_is_the_same_in_another_process(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(tokenizer.proto)
    code = (
        "import sys; from pathlib import Path; from seq2seq.text.tokenizer import Tokenizer;"
        "from support.tokenizers import sample;"
        "print(sample(Tokenizer.load(Path(sys.argv[1])), sys.argv[2:], 0.3, 5))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m"), *SOURCES[:20]]
    output = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True).stdout
    assert output == f"{sample(tokenizer, SOURCES[:20], 0.3, 5)}\n"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_is_repeated_exactly(kind: str) -> None:
    first = train_tokenizers(options(kind=kind), SOURCES, TARGETS)
    again = train_tokenizers(options(kind=kind), iter(SOURCES), iter(TARGETS))
    assert again.digest == first.digest
    code = (
        "import sys; from seq2seq import recipe; from seq2seq.text.tokenizer import *\n"
        "lines = sys.stdin.read().split('\\n')\n"
        f"wish = recipe.Tokenizer(vocab_size=60, kind={kind!r})\n"
        "print(train_tokenizers(wish, lines[:400], lines[400:]).digest)"
    )
    text = "\n".join(SOURCES + TARGETS)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert done.stdout == f"{first.digest}\n"


def test_of_many_lines_some_are_taken_evenly() -> None:
    wish = options(max_lines=100, vocab_size=50)
    first_hundred = train_tokenizers(wish, iter(SOURCES), iter(TARGETS)).digest
    assert first_hundred == train_tokenizers(wish, SOURCES[:100], TARGETS[:100]).digest
    every_fourth = train_tokenizers(wish, SOURCES, TARGETS).digest
    assert every_fourth == train_tokenizers(wish, SOURCES[3::4], TARGETS[3::4]).digest
    assert every_fourth != first_hundred


def test_joint_and_apart(tmp_path: Path) -> None:
    joint = train_tokenizers(options(), SOURCES, TARGETS)
    assert joint.joint
    assert joint.source is joint.target
    save(joint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.model"]
    assert Tokenizers.load(tmp_path).joint
    assert Tokenizers.load(tmp_path).digest == joint.digest

    apart = train_tokenizers(options(joint=False), SOURCES, TARGETS)
    assert not apart.joint
    assert apart.source.encode(["Bä"])[0].count(UNK) > 0  # never seen on the source side
    assert UNK not in apart.target.encode(["Bä"])[0]
    folder = tmp_path / "apart"
    folder.mkdir()
    save(apart, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["source.model", "target.model"]
    assert Tokenizers.load(folder).digest == apart.digest != joint.digest


def test_a_long_line_is_trained_on_and_nul_does_no_harm() -> None:
    lines = [*SOURCES, "Ω" * 5000, "Ж\0Ж"]
    trained = train_tokenizers(options(), lines, TARGETS).source
    assert UNK not in trained.encode(["ΩЖ"])[0]


@pytest.mark.parametrize(
    ("rule", "decoded"),
    [("identity", "Ｂa"), ("nfkc", "Ba"), ("nmt_nfkc", "Ba"), ("nfkc_cf", "ba")],
)
def test_normalization(rule: str, decoded: str) -> None:
    wish = options(normalization=rule, byte_fallback=True, vocab_size=320)
    trained = train_tokenizers(wish, SOURCES, TARGETS).source
    assert trained.decode(trained.encode(["Ｂa"])) == [decoded]


def test_user_defined_symbols_are_single_pieces() -> None:
    symbols = ["<sep>", "a,b", '"q"']
    trained = train_tokenizers(options(user_defined_symbols=symbols), SOURCES, TARGETS).source
    for symbol in symbols:
        assert symbol in trained.pieces(trained.encode([f"ba{symbol}ko"])[0])


def test_character_coverage_leaves_rare_characters_out() -> None:
    lines = [*SOURCES, "Ω"]
    assert UNK not in train_tokenizers(options(), lines, []).source.encode(["Ω"])[0]
    fewer = train_tokenizers(options(character_coverage=0.999), lines, []).source
    assert UNK in fewer.encode(["Ω"])[0]


def test_a_given_model_is_used(tmp_path: Path) -> None:
    path = tmp_path / "given.model"
    path.write_bytes(sp_model(pad_id=0, unk_id=1, bos_id=2, eos_id=3))
    given = train_tokenizers(options(model=str(path)), [], [])
    assert given.joint
    assert given.source.proto == path.read_bytes()
    keys = {"joint": False, "source_model": str(path), "target_model": str(path)}
    assert not train_tokenizers(options(**keys), [], []).in_one_file


def test_given_models_that_cannot_be_used(tmp_path: Path) -> None:
    default, damaged, empty = (tmp_path / name for name in ("default", "damaged", "empty"))
    default.write_bytes(sp_model())
    damaged.write_bytes(default.read_bytes()[:700])
    empty.touch()
    missing = tmp_path / "missing"
    cases = {
        default: (
            f"{default}: its ids are pad missing, unk 0, bos 1, eos 2, but must be pad 0, unk 1, "
            "bos 2, eos 3: train it with --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3"
        ),
        damaged: f"{damaged}: not a SentencePiece model, or a damaged one",
        empty: f"{empty}: not a SentencePiece model, or a damaged one",
        missing: f"{missing}: no such file (a SentencePiece model)",
        tmp_path: f"{tmp_path}: a folder, where a SentencePiece model is expected",
    }
    for path, message in cases.items():
        with pytest.raises(ModelError) as error:
            train_tokenizers(options(model=str(path)), SOURCES, TARGETS)
        assert str(error.value) == message
    with pytest.raises(ModelError) as error:
        Tokenizers.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: no tokenizer: expected tokenizer.model, or source.model and target.model"
    )
    with pytest.raises(ModelError) as error:
        Tokenizer(b"nonsense")
    assert str(error.value) == "tokenizer: not a SentencePiece model, or a damaged one"


def sizes_named(error: pytest.ExceptionInfo[DataError]) -> tuple[int, int]:
    """The nearest size that works, and the one that is advised."""
    text = str(error.value)
    limit = re.search(r"(?:at most|works is) ([\d,]+) for", text)
    assert limit is not None
    return int(limit[1].replace(",", "")), int(
        text.split("vocab_size=")[1].split(",", maxsplit=1)[0].split(maxsplit=1)[0]
    )


@pytest.mark.parametrize("lines", [3, 30, 400])
@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_largest_size_named_is_the_largest_and_a_sensible_one_is_advised(
    kind: str, byte_fallback: bool, lines: int
) -> None:
    keys = {"kind": kind, "byte_fallback": byte_fallback}
    corpus = SOURCES[:lines], TARGETS[:lines]
    with pytest.raises(DataError) as error:
        train_tokenizers(options(vocab_size=30_000, **keys), *corpus)
    most, advised = sizes_named(error)
    assert str(error.value) == (
        "tokenizer.vocab_size = 30000 is too large for this little text, which allows at most "
        f'{most:,} for both sides: leave it out ("auto": a size that suits the text), or use --set '
        f"tokenizer.vocab_size={advised}, or more text"
    )
    assert train_tokenizers(options(vocab_size=most, **keys), *corpus).source.size == most
    assert advised <= most / 2
    with pytest.raises(DataError) as error:
        train_tokenizers(options(vocab_size=most + 1, **keys), *corpus)
    assert sizes_named(error) == (most, advised)
    assert train_tokenizers(options(vocab_size="auto", **keys), *corpus).source.size <= most


def test_the_smallest_size_named_works_and_is_the_smallest() -> None:
    with pytest.raises(DataError) as error:
        train_tokenizers(options(vocab_size=8), SOURCES, TARGETS)
    size, _ = sizes_named(error)
    assert str(error.value) == (
        "tokenizer.vocab_size = 8 is too small for the characters of this text: the smallest size "
        f"that works is {size} for both sides: use --set tokenizer.vocab_size={size} or more, or "
        "a lower tokenizer.character_coverage"
    )
    assert train_tokenizers(options(vocab_size=size), SOURCES, TARGETS).source.size == size
    with pytest.raises(DataError):
        train_tokenizers(options(vocab_size=size - 1), SOURCES, TARGETS)


def test_the_size_named_works_for_both_sides() -> None:
    with pytest.raises(DataError) as error:
        train_tokenizers(options(vocab_size=900, joint=False), SOURCES[:9], TARGETS[:60])
    assert str(error.value) == (
        "tokenizer.vocab_size = 900 is too large for this little text, which allows at most 40 for "
        'the source side, 81 for the target side: leave it out ("auto": a size that suits the '
        "text), or use --set tokenizer.vocab_size=20, or more text"
    )


def test_a_size_for_each_side() -> None:
    sizes = {"source": 50, "target": 70}
    apart = train_tokenizers(options(vocab_size=sizes, joint=False), SOURCES, TARGETS)
    assert (apart.source.size, apart.target.size) == (50, 70)
    with pytest.raises(DataError, match=r"^tokenizer\.vocab_size\.target = 9000 is too large "):
        train_tokenizers(
            options(vocab_size={"source": 50, "target": 9000}, joint=False), SOURCES, TARGETS
        )


def test_a_size_that_suits_the_text() -> None:
    assert suitable_size(30_000 * 130) == 7_900
    assert suitable_size(3_000 * 130) == 2_500
    assert suitable_size(10**12) == 32_000
    assert train_tokenizers(options(vocab_size="auto"), ["a"], ["b"]).source.size <= 8
    hanzi = ["".join(map(chr, range(0x4E00 + n, 0x4E00 + n + 40))) for n in range(0, 2000, 40)]
    assert UNK not in chain(
        *train_tokenizers(options(vocab_size="auto"), hanzi, []).source.encode(hanzi)
    )


KEPT = "…½™！，。“„»–—\u00a0\u200c\u200f\u3000ﬁ°ß€😀e\u0301é²№"
KEPT_TEXT = st.lists(st.text(st.sampled_from(f"ab{KEPT}"), min_size=1, max_size=6), max_size=6).map(
    " ".join
)


@pytest.fixture(scope="module", params=[True, False], ids=["joint", "apart"])
def keeping(request: pytest.FixtureRequest) -> Tokenizers:
    lines = [f"{one}a b{other}" for one in KEPT for other in KEPT]
    wish = options(vocab_size="auto", joint=request.param)
    return train_tokenizers(wish, [*SOURCES, *lines], [*TARGETS, *lines])


@settings(deadline=None)
@given(KEPT_TEXT)
def test_a_target_is_written_as_it_was_read(keeping: Tokenizers, text: str) -> None:
    assert keeping.target.decode(keeping.target.encode([text])) == [text]


def test_the_source_is_normalized_and_the_pieces_of_both_are_the_same(
    keeping: Tokenizers, tmp_path: Path
) -> None:
    assert keeping.source.encode(["½ … ！ Ｂ"]) == keeping.source.encode(["1⁄2 ... ! B"])
    assert not keeping.in_one_file
    assert keeping.joint == (keeping.source.vocabulary == keeping.target.vocabulary)
    save(keeping, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.model", "target.model"]
    again = Tokenizers.load(tmp_path)
    assert (again.digest, again.joint) == (keeping.digest, keeping.joint)
    if keeping.joint:
        given = {f"{side}_model": str(tmp_path / f"{side}.model") for side in ("source", "target")}
        assert train_tokenizers(options(**given), [], []).digest == keeping.digest


def test_normalization_a_side() -> None:
    rules = {"source": "identity", "target": "nfkc_cf"}
    both = train_tokenizers(
        options(normalization=rules, byte_fallback=True, vocab_size=330), SOURCES, TARGETS
    )
    assert both.joint
    assert both.source.decode(both.source.encode(["Ｂa"])) == ["Ｂa"]
    assert both.target.decode(both.target.encode(["Ｂa"])) == ["ba"]


def test_where_normalizing_changes_nothing_one_model_serves_both() -> None:
    """As in version 0.4.0, byte for byte."""
    trained = train_tokenizers(options(), SOURCES, TARGETS)
    assert trained.in_one_file
    assert (
        trained.digest
        == train_tokenizers(options(normalization="nmt_nfkc"), SOURCES, TARGETS).digest
    )


def test_given_models_of_one_vocabulary_must_have_the_same_pieces(tmp_path: Path) -> None:
    ids = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
    (tmp_path / "a").write_bytes(sp_model(**ids))
    (tmp_path / "b").write_bytes(sp_model(**ids, model_type="bpe"))
    with pytest.raises(ModelError) as error:
        train_tokenizers(
            options(source_model=str(tmp_path / "a"), target_model=str(tmp_path / "b")), [], []
        )
    assert str(error.value) == (
        f"{tmp_path / 'a'} and {tmp_path / 'b'} have different pieces, but tokenizer.joint = true: "
        "say joint = false"
    )


def test_no_text_and_bad_symbols() -> None:
    for lines in ([], ["", ""], ["  "]):
        with pytest.raises(DataError) as error:
            train_tokenizers(options(joint=False), SOURCES, lines)
        assert str(error.value) == (
            "no text to train a tokenizer on: the target side of the training data is empty"
        )
    with pytest.raises(DataError) as error:
        train_tokenizers(options(user_defined_symbols=["x", "x"]), SOURCES, TARGETS)
    assert str(error.value) == (
        "the tokenizer cannot be trained on both sides: SentencePiece says: "
        "INTERNAL: x is already defined. duplicated symbols are not allowed."
    )


def test_training_and_loading_print_nothing(tmp_path: Path) -> None:
    code = (
        "from seq2seq import recipe; from seq2seq.text.tokenizer import *\n"
        "lines = ['ab ba abba'] * 9, ['a\\0b', 'x' * 5000]\n"
        "train_tokenizers(recipe.Tokenizer(vocab_size=10), *lines)\n"
        "try: Tokenizer(b'zzz')\nexcept Exception: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_unicode_categories_are_what_the_cleaning_rules_assume() -> None:
    controls = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}
    assert controls == {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))}


def test_ctrl_c_while_training_is_ctrl_c() -> None:
    def lines() -> Iterator[str]:
        yield "the dog sees the cat"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tokenizers(recipe.Tokenizer(vocab_size=20), lines(), ["a"])


def test_the_work_is_done_elsewhere_and_its_error_is_raised_here() -> None:
    seen: list[threading.Thread] = []
    run_interruptibly(lambda _: seen.append(threading.current_thread()))
    assert seen
    assert seen[0] is not threading.main_thread()

    def fail(given_up: threading.Event) -> None:
        raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        run_interruptibly(fail)


def test_a_signal_is_heeded_while_the_work_goes_on() -> None:
    ended = threading.Event()

    def work(given_up: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        given_up.wait(30.0)
        ended.set()

    begun = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_interruptibly(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set(), "the work was told"
    assert time.monotonic() - begun < 5.0
