from __future__ import annotations

import tomllib

import pytest

from seq2seq.report.text import redacted, shared_recipe, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe, 日本語, عربي, 👩‍👩‍👧", "Größe, 日本語, عربي, 👩‍👩‍👧"),
        ("a\x00b\x1b[1m\tc\x7f", "a␀b␛[1m␉c␡"),
        ("\x85\u200b\u2028", "⟨U+0085⟩⟨U+200B⟩⟨U+2028⟩"),
        ("\u202eabc\u202c", "⟨U+202E⟩abc⟨U+202C⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_what_is_invisible_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the last checkpoint is /home/jane/runs/one/last; a", "the last checkpoint is …/last; a"),
        ("/data/x.en: cannot be read", "…/x.en: cannot be read"),
        ("'/a b/c'", "'…/a b/c'"),
        ("~/corpus/train.en", "…/train.en"),
        ("~jane/corpus/train.en", "…/train.en"),
        (r"C:\Users\jane\train.en", "…/train.en"),
        ("data/train.en", "data/train.en"),
        ("../data/train.en", "../data/train.en"),
        ("3 / 4, 1/2 and/or </b>", "3 / 4, 1/2 and/or </b>"),
        ("an update (20/30) at 5 tokens/s", "an update (20/30) at 5 tokens/s"),
    ],
)
def test_folders_are_left_out(text: str, told: str) -> None:
    assert redacted(text) == told


def test_a_recipe_keeps_all_but_its_folders() -> None:
    toml = 'name = "a"\nn = 3\n[data]\ntrain = ["/home/jane/a.en", "b.de"]\n[[x]]\ny = "/q/w"\n'
    assert tomllib.loads(shared_recipe(toml)) == {
        "name": "a",
        "n": 3,
        "data": {"train": ["…/a.en", "b.de"]},
        "x": [{"y": "…/w"}],
    }
