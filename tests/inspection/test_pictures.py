from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from lxml import etree, html

from seq2seq.errors import Seq2SeqError
from seq2seq.inspection.connectivity import Connectivity, connectivity_of
from seq2seq.inspection.gates import gates_of
from seq2seq.inspection.gradients import state_gradients
from seq2seq.inspection.opening import batch_of, read_pairs
from seq2seq.inspection.pictures import (
    check_name,
    connectivity_figure,
    gates_figure,
    gradients_figure,
    write_picture,
)
from seq2seq.inspection.tables import gates_table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figures(make):
    opened = make({"layers": 2}, {"cell": {"kind": "gru"}, "attention": "general"})
    pairs = read_pairs(opened, ["zwei Kinder $x$ 漢字 <b>", "_ein"], ["ein Hund", "am"])
    seen = state_gradients(opened.task.loss(opened.model), opened.model, batch_of(opened, pairs))
    blind = make({"directions": "forward"}, {}, bridge="zero")
    unseen = state_gradients(blind.task.loss(blind.model), blind.model, batch_of(blind, pairs))
    cells = gates_of(opened, pairs[0])
    models = [("_a$b$", seen), ("<blind>", unseen)]
    return {
        "gradients": gradients_figure(models),
        "gates": gates_figure(cells),
        "states": connectivity_figure(connectivity_of(opened, pairs[0])),
    }, gates_table(cells)


def test_every_kind_of_picture_is_written(figures, tmp_path: Path) -> None:
    for name, figure in figures[0].items():
        for kind in ("png", "svg", "html"):
            write_picture(tmp_path / f"{name}.{kind}", figure, "A <title>", figures[1])
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
        assert etree.parse(tmp_path / f"{name}.svg").getroot().tag == f"{SVG}svg"
        text = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        page = html.fromstring(text)
        assert page.findtext(".//h1") == "A <title>"
        assert len(page.findall(".//tbody/tr")) == len(figures[1]) - 1
        assert len(page.findall(".//svg")) == 1
        fetched = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', text)
        assert all(one.startswith(("data:", "#")) for pair in fetched for one in pair if one)
        assert "default-src 'none'" in text


def test_lines_are_told_apart_without_colour(figures) -> None:
    gradients = figures[0]["gradients"]
    for axes in gradients.axes:
        looks = [(str(one._dash_pattern), one.get_marker()) for one in axes.lines]
        assert len(set(looks)) == len(looks) > 0
        assert axes.get_yscale() == "log"
    labels = [text.get_text() for text in gradients.axes[0].get_legend().get_texts()]
    assert any(label.startswith(r" _a\$b\$ 1 forward: ") for label in labels)
    assert " <blind>: no gradient" in labels
    means = figures[0]["gates"].axes[0]
    looks = [(str(one._dash_pattern), one.get_marker()) for one in means.lines]
    assert len(set(looks)) == len(looks)
    for figure in (figures[0]["gates"], figures[0]["states"]):
        maps = [image.get_cmap().name for axes in figure.axes for image in axes.images]
        assert maps
        assert set(maps) == {"Greys"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.pdf", "x.pdf: a picture's name must end in .png, .svg, .html"),
        ("x", "x: a picture's name must end in .png, .svg, .html"),
        ("no/x.png", "no/x.png: there is no folder no to write it in"),
        ("f.svg", "f.svg: a folder, where a file is to be written"),
    ],
)
def test_names_that_no_picture_can_have(tmp_path, monkeypatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.svg").mkdir()
    with pytest.raises(Seq2SeqError) as told:
        check_name(Path(name))
    assert str(told.value) == message
    check_name(Path("x.PNG"))


def test_long_sequences_are_drawn_on_a_page_with_some_of_their_names() -> None:
    names = [f"{n}: x" for n in range(1, 201)]
    norms = np.random.default_rng(1).random((200, 200))
    figure = connectivity_figure([Connectivity("answers", "inputs", names, names, norms)])
    axes = figure.axes[0]
    assert max(figure.get_size_inches()) < 25
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [one.get_text() for one in labels] == names[::3]
