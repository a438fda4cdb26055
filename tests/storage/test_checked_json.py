from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import ModelError
from seq2seq.storage import checked_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_subnormal=False)
    | st.text("aä\u2028\n"),
    lambda below: st.lists(below) | st.dictionaries(st.text("abc"), below),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abc"), VALUES))
def test_what_is_written_is_read(content: dict[str, object]) -> None:
    written = checked_json.dumps(content)
    assert checked_json.loads(written, checked=True) == content
    plain = json.dumps(content).encode()  # as versions before the checksum wrote it
    assert checked_json.loads(plain) == content
    with pytest.raises(ValueError, match="its sum"):
        checked_json.loads(plain, checked=True)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    checked_json.write(path, {"name": "Grüße"})
    assert "Grüße" in path.read_text("utf-8")
    assert checked_json.read(path) == {"name": "Grüße"}
    with pytest.raises(FileNotFoundError):
        checked_json.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'{"a": 1, "own_sha256": "0"}', "it does not match its sum"),
    ],
)
def test_damage_is_noticed(tmp_path: Path, written: bytes, reason: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(written)
    with pytest.raises(ModelError) as caught:
        checked_json.read(path)
    assert str(caught.value) == f"{path} is damaged: {reason}"


def test_every_changed_character_is_noticed() -> None:
    written = checked_json.dumps({"update": 12, "loss": 0.5})
    for place in range(len(written) - 1):  # but for the line end
        changed = written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :]
        try:
            found = checked_json.loads(changed, checked=True)
        except ValueError:
            continue
        assert found == {"update": 12, "loss": 0.5}, "only space was changed"
