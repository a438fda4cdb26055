from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from support.published import weights_file

import seq2seq
from seq2seq.errors import DataError, ModelError
from seq2seq.recipe.files import load_recipe, recipe_to_toml
from seq2seq.report.page import marked, render
from seq2seq.report.record import RunRecord

SECTIONS = ["curves", "translations", "attention", "data", "timeline", "recipe", "environment"]
VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "<script>alert(1)</script> & \"quoted\" 'it' \x1b[31m\x00\x07 \u202eevil\u2066 </pre></style>"
)


class Page(HTMLParser):
    """Collects what a page is made of, and fails where its tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(run: Path) -> Page:
    return Page(render(RunRecord.read(run)))


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("own_sha256", None)
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


def test_training_leaves_a_page(trained: Path) -> None:
    html = (trained / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS
    assert "finished" in page.text
    assert "the recipe's end" in page.text
    assert "sacreBLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in page.text
    assert html == render(RunRecord.read(trained))
    assert len(html) < 500_000
    assert page.tags["svg"] == 8
    assert page.tags["script"] == 0


def test_it_fetches_nothing(trained: Path) -> None:
    html = render(RunRecord.read(trained))
    page = Page(html)
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(link and link.startswith(("#", "data:")) for link in links), links
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\((.)", html))
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in (
        page.attributes
    )


def test_names_in_pictures_are_not_used_twice_for_two_things(trained: Path) -> None:
    """Markers and clips of one picture must not be taken for those of another."""
    html = render(RunRecord.read(trained))
    of_pictures = re.findall(r"<(?:path|clipPath|rect|g)[^>]* id=\"([^\"]+)\"", html)
    assert len(of_pictures) == len(set(of_pictures))


def test_what_is_in_it_is_the_runs(trained: Path) -> None:
    text = page_of(trained).text
    card = json.loads((trained / "card.json").read_text(encoding="utf-8"))
    examples = json.loads((trained / "examples.json").read_text(encoding="utf-8"))
    assert f"{card['validation']['bleu']:.2f}" in text
    assert f"{card['parameters']:,}" in text
    assert card["data_sha256"] in text
    assert f"{examples['chrf']:.2f}" in text
    for one in (*examples["best"], *examples["worst"]):
        assert one["source"] in text
        assert one["reference"] in text
    assert "Tokens a line" in text
    assert "batch_tokens = 400" in text
    assert "threads" in text
    assert "update-00000040" in text


def test_the_card_is_complete(trained: Path) -> None:
    card = json.loads((trained / "card.json").read_text(encoding="utf-8"))
    examples = json.loads((trained / "examples.json").read_text(encoding="utf-8"))
    weights = load_file(weights_file(trained))
    assert card["parameters"] == sum(one.size for one in weights.values())
    assert sum(card["parameters_of"].values()) == card["parameters"]
    assert card["pairs"] == {"train": 300, "val": 20}
    assert examples["update"] == card["update"]
    assert card["validation"]["chrf"] == examples["chrf"]
    assert card["chrf_signature"] == f"greedy, {examples['signature']}"
    assert card["versions"]["sentencepiece"] == version("sentencepiece")
    assert card["environment"]["threads"] == 1


def test_text_from_outside_is_text(copied: Path) -> None:
    recipe = load_recipe(str(copied / "recipe.toml"), ["data.val=['<script>x','b']"])
    (copied / "recipe.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
    examples = json.loads((copied / "examples.json").read_text(encoding="utf-8"))
    for one in (*examples["best"], *examples["worst"]):
        one.update(source=HOSTILE, reference=HOSTILE, hypothesis=f"{HOSTILE} and more")
    for one in examples["attention"]:
        one["source"] = [HOSTILE for _ in one["source"]]
    change(copied / "examples.json", **{**examples, "signature": HOSTILE})
    with (copied / "metrics.jsonl").open("a", encoding="utf-8") as file:
        session = {"kind": "session", "update": 40, "time": HOSTILE}
        file.write(json.dumps({**session, "what": "resumed", "environment": {HOSTILE: HOSTILE}}))
        file.write("\n" + json.dumps({**session, "what": "failed", "reason": HOSTILE}) + "\n")
    html = render(RunRecord.read(copied))
    page = Page(html)
    assert page.tags["script"] == 0
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS
    assert '…/<script>x"' in page.text
    assert "<script>alert(1)</script> & \"quoted\" 'it' ␛[31m␀␇ ⟨U+202E⟩evil⟨U+2066⟩" in page.text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)


def test_paths_are_not_told(copied: Path) -> None:
    recipe = load_recipe(
        str(copied / "recipe.toml"),
        ["data.train=['/home/jane/corpus/a.en','/home/jane/corpus/a.de']"],
    )
    (copied / "recipe.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
    with (copied / "metrics.jsonl").open("a", encoding="utf-8") as file:
        session = {"kind": "session", "update": 40, "time": "t"}
        reason = "training stopped: disk full; the last checkpoint is /home/jane/runs/one/last"
        file.write(json.dumps({**session, "what": "resumed"}) + "\n")
        file.write(json.dumps({**session, "what": "failed", "reason": reason}) + "\n")
    html = render(RunRecord.read(copied))
    assert "jane" not in html
    assert str(copied.parent) not in html
    assert "…/a.en" in html
    assert "the last checkpoint is …/last" in html


def test_a_run_that_has_just_begun(copied: Path) -> None:
    for name in ("metrics.jsonl", "card.json", "examples.json"):
        (copied / name).unlink()
    for folder in (copied / "checkpoints").iterdir():
        folder.rename(copied / f"gone-{folder.name}")
    page = page_of(copied)
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS
    assert "No validation yet." in page.text
    assert "Nothing has been measured yet." in page.text
    assert page.tags["svg"] == 0


def test_a_run_from_before_there_were_reports(copied: Path) -> None:
    """Its records have fewer figures, and it knows neither its sessions nor its examples."""
    (copied / "examples.json").unlink()
    new = {"padding", "memory", "gpu_memory", "update_ratio", "skipped", "perplexity"}
    lines = (copied / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    old = [
        {key: value for key, value in record.items() if key not in new}
        for record in map(json.loads, lines)
        if record["kind"] in ("train", "validation")
    ]
    text = "".join(json.dumps(record) + "\n" for record in old)
    (copied / "metrics.jsonl").write_text(text, encoding="utf-8")
    run = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    (copied / "run.json").write_text(json.dumps({"data": run["data"]}), encoding="utf-8")
    page = page_of(copied)
    assert page.tags["svg"] == 5
    assert "None are kept" in page.text
    assert "The run does not say" in page.text


def test_numbers_that_are_none_leave_gaps(copied: Path) -> None:
    with (copied / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "train", "update": 60, "loss": None}) + "\n")
        file.write(json.dumps({"kind": "train", "update": 80, "gradient_norm": "x"}) + "\n")
        file.write(json.dumps({"kind": "validation", "update": 80, "loss": None, "bleu": None}))
    page = page_of(copied)
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS


def test_examples_can_be_made_anew(copied: Path, trained: Path) -> None:
    before = json.loads((copied / "examples.json").read_text(encoding="utf-8"))
    (copied / "examples.json").unlink()
    written = seq2seq.write_report(copied, copied / "other.html", data=trained.parent / "data")
    assert written == copied / "other.html"
    again = json.loads((copied / "examples.json").read_text(encoding="utf-8"))
    assert again == before
    assert "None are kept" not in written.read_text(encoding="utf-8")


def test_folders_that_are_no_runs(tmp_path: Path, copied: Path) -> None:
    for folder, why in (
        (tmp_path / "none", "no such folder"),
        (tmp_path, "holds no run (it has no run.json)"),
    ):
        with pytest.raises(ModelError) as caught:
            seq2seq.write_report(folder)
        assert str(caught.value) == (
            f"{folder}: {why}: expected a folder that seq2seq train has written"
        )
    with pytest.raises(ModelError, match=r"no such folder: the report cannot be written there$"):
        seq2seq.write_report(copied, tmp_path / "missing" / "x.html")
    (copied / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"card.json is damaged: "):
        seq2seq.write_report(copied)
    assert not list(copied.glob(".partial*"))


def test_other_data_is_refused(copied: Path, tmp_path: Path, trained: Path) -> None:
    change(copied / "run.json", data="0" * 64)
    with pytest.raises(DataError) as caught:
        seq2seq.write_report(copied, data=trained.parent / "data")
    assert str(caught.value) == (
        f"{trained.parent / 'data'}: {copied} was trained on other data: give --data the folder it "
        "was started with"
    )


@pytest.mark.parametrize(
    ("hypothesis", "reference", "html"),
    [
        ("a b c", "a b c", "a b c"),
        ("a x c", "a b c", "a <mark>x</mark> c"),
        ("", "a", ""),
        ("x", "", "<mark>x</mark>"),
        ("a < b", "a b", "a <mark>&lt;</mark> b"),
    ],
)
def test_words_that_the_reference_has_not_are_marked(
    hypothesis: str, reference: str, html: str
) -> None:
    assert marked(hypothesis, reference) == html
