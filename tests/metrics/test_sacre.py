from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu

from seq2seq.errors import Seq2SeqError
from seq2seq.metrics import METRICS, bleu, corpus_scores

HYPOTHESES = ["Der Hund läuft durch das Gras.", "Zwei Männer stehen da", "", "Ein Kind lacht."]
REFERENCES = [
    "Der Hund rennt durch das hohe Gras.",
    "Zwei Männer stehen dort.",
    "Leer.",
    "Ein Kind lacht laut.",
]
OTHERS = ["Ein Hund läuft im Gras.", "zwei männer stehen da", "Nichts.", "Das Kind lacht."]


def test_scores_are_those_of_sacrebleu() -> None:
    scores = corpus_scores(
        HYPOTHESES, [REFERENCES, OTHERS], metrics=["bleu", "chrf", "chrf++", "ter"]
    )
    references = [REFERENCES, OTHERS]
    expected = [
        sacrebleu.corpus_bleu(HYPOTHESES, references).score,
        sacrebleu.corpus_chrf(HYPOTHESES, references).score,
        sacrebleu.corpus_chrf(HYPOTHESES, references, word_order=2).score,
        sacrebleu.corpus_ter(HYPOTHESES, references).score,
    ]
    assert [score.value for score in scores] == expected
    assert [score.name for score in scores] == ["BLEU", "chrF2", "chrF2++", "TER"]
    version = f"version:{sacrebleu.__version__}"
    assert [score.signature for score in scores] == [
        f"nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|{version}",
        f"nrefs:2|case:mixed|eff:yes|nc:6|nw:0|space:no|{version}",
        f"nrefs:2|case:mixed|eff:yes|nc:6|nw:2|space:no|{version}",
        f"nrefs:2|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{version}",
    ]
    assert all(score.confidence is None for score in scores)


def test_case_and_tokenizer() -> None:
    lower, _ = corpus_scores(
        HYPOTHESES, [REFERENCES], metrics=["bleu", "chrf"], lowercase=True, tokenize="char"
    )
    theirs = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], lowercase=True, tokenize="char")
    assert lower.value == theirs.score
    assert "case:lc" in lower.signature
    assert "tok:char" in lower.signature


def test_bleu_alone() -> None:
    assert bleu(HYPOTHESES, REFERENCES) == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert bleu(["", ""], ["a", "b"]) == 0.0


def test_texts_and_intervals_are_those_of_its_command(tmp_path: Path) -> None:
    """The command line of sacreBLEU, in a process of its own, prints the same lines."""
    (tmp_path / "hypotheses").write_text("".join(f"{x}\n" for x in HYPOTHESES), encoding="utf-8")
    (tmp_path / "references").write_text("".join(f"{x}\n" for x in REFERENCES), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "hypotheses", "-lc"]
    command += ["--chrf-lowercase", "-m", "bleu", "chrf", "ter", "-f", "text", "-w", "2"]
    command += ["--confidence", "--confidence-n", "200"]
    environment = {**os.environ, "SACREBLEU_SEED": "7", "PYTHONUTF8": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    scores = corpus_scores(HYPOTHESES, [REFERENCES], lowercase=True, bootstrap=200, seed=7)
    printed = [line.lstrip() for line in run.stdout.splitlines()]  # aligned at the scores
    assert [score.text for score in scores] == printed


def test_intervals_follow_the_seed_and_leave_the_environment(monkeypatch) -> None:
    def interval(seed: int) -> float | None:
        return corpus_scores(HYPOTHESES, [REFERENCES], metrics=["chrf"], bootstrap=50, seed=seed)[
            0
        ].confidence

    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    assert interval(1) == interval(1)
    assert interval(1) != interval(2)
    assert "SACREBLEU_SEED" not in os.environ
    monkeypatch.setenv("SACREBLEU_SEED", "5")
    assert interval(1) == interval(1)
    assert os.environ["SACREBLEU_SEED"] == "5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"references": [["a"]]},
            "4 translations but 1 references: line n of one must belong to line n of the other",
        ),
        (
            {"references": [REFERENCES, ["a", "b"]]},
            "4 translations but 2 lines in reference 2: line n of one must belong to line n of "
            "the other",
        ),
        ({"references": []}, "nothing to score against: give at least one set of references"),
        (
            {"hypotheses": [], "references": [[]]},
            "nothing to score: there are no translations",
        ),
        (
            {"metrics": ["blue"]},
            "metrics: unknown name 'blue' (did you mean 'bleu'?); allowed: bleu, chrf, chrf++, ter",
        ),
        (
            {"tokenize": "13b"},
            "tokenize: unknown name '13b' (did you mean '13a'?); "
            "allowed: 13a, intl, zh, ja-mecab, ko-mecab, char, flores101, flores200, spm, "
            "spBLEU-1K, none",
        ),
        ({"bootstrap": 1}, "bootstrap: must be 0 (none) or at least 2, not 1"),
        ({"bootstrap": -5}, "bootstrap: must be 0 (none) or at least 2, not -5"),
    ],
)
def test_bad_input(arguments: dict, message: str) -> None:
    with pytest.raises(Seq2SeqError) as caught:
        corpus_scores(**{"hypotheses": HYPOTHESES, "references": [REFERENCES], **arguments})
    assert str(caught.value) == message


@pytest.mark.usefixtures("no_mecab")
def test_a_tokenizer_whose_package_is_missing() -> None:
    with pytest.raises(Seq2SeqError, match=r"^tokenize: ja-mecab cannot be used: .*$"):
        corpus_scores(HYPOTHESES, [REFERENCES], tokenize="ja-mecab")


def test_importing_the_metrics_does_not_import_sacrebleu() -> None:
    code = (
        "import sys, json, seq2seq.metrics; "
        "print(json.dumps([m for m in ('sacrebleu', 'torch') if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("hypotheses", [["", ""], ["ein Hund", ""], ["ein Hund", "zwei"]])
def test_intervals_where_references_are_empty(metric: str, hypotheses: list[str]) -> None:
    """Of two lines a quarter of the resamples have only the empty one."""
    (found,) = corpus_scores(hypotheses, [["", "zwei Kinder"]], metrics=[metric], bootstrap=100)
    assert found.confidence is not None
    assert 0.0 <= found.confidence <= 100.0
    (plain,) = corpus_scores(hypotheses, [["", "zwei Kinder"]], metrics=[metric])
    assert found.value == plain.value
