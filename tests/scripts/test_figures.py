from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from benchmarks.figures import Spread, count_tokens, paired_ratio, table, write_json
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.floats(0.1, 1e6), min_size=1))
def test_a_spread_is_the_median_and_the_outermost(values: list[float]) -> None:
    spread = Spread.of(iter(values))
    assert spread == Spread(statistics.median(values), min(values), max(values))


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Spread.of([])


def test_a_spread_shows_its_runs_only_where_they_differ() -> None:
    assert Spread.of([1000.4, 999.6, 1234.0]).text() == "1,000 (1,000–1,234)"
    assert Spread.of([2.04, 1.96]).text(1) == "2.0"
    assert Spread.of([0.5]).text(2) == "0.50"


def test_tokens_are_pieces_and_the_end_of_each_line() -> None:
    def encode(texts: object) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]  # type: ignore[attr-defined]

    assert count_tokens(["abc", "", "de"], encode) == 3 + 0 + 2 + 3


def test_ratios_are_taken_run_by_run() -> None:
    # The machine slowed down by half in the second run, for both.
    assert paired_ratio([400, 200], [100, 50]) == Spread(4, 4, 4)
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1, 2], [1])


def test_a_table_is_markdown() -> None:
    lines = table(["", "batch 1"], [["ours", "1,000"], ["another", "7"]]).split("\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["", "batch 1"]
    assert set(cells[1][0]) == {"-"}
    assert cells[1][1].endswith("-:")
    assert cells[2:] == [["ours", "1,000"], ["another", "7"]]
    assert len({len(line) for line in lines}) == 1


def test_json_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figures.json"
    write_json(path, {"speed": Spread(2, 1, 3), "where": tmp_path})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == {"speed": {"median": 2, "low": 1, "high": 3}, "where": str(tmp_path)}

    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match=r"^Circular"):
        write_json(path, endless)
    assert json.loads(path.read_text(encoding="utf-8")) == found
    assert list(path.parent.iterdir()) == [path]
