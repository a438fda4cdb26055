from __future__ import annotations

from pathlib import Path

from seq2seq.storage import layout


def test_no_name_stands_for_two_things() -> None:
    single = [
        value
        for key, value in vars(layout).items()
        if key.isupper() and isinstance(value, str) and key != "DATA"
    ]
    single += [*layout.STEPS.values(), *layout.BODIES.values()]
    assert len(single) == len({*single})
    others = {layout.STATE, layout.MANIFEST, layout.SYNTHETIC}
    others |= {layout.UNFINISHED, layout.UNFINISHED_LINES}
    assert {*single} - others <= layout.MODEL_FILES


def test_checkpoints_by_age(tmp_path: Path) -> None:
    updates = [3, 12, 99_999_999, 100_000_000]
    for update in updates:
        (tmp_path / layout.checkpoint_name(update)).mkdir()
    for other in (".partial-update-00000003", "damaged-update-00000003", "update-7", "update-x"):
        (tmp_path / other).mkdir()
    found = layout.checkpoint_folders(tmp_path)
    assert [layout.update_of(one) for one in found] == updates[::-1]
    assert layout.checkpoint_folders(tmp_path / "nowhere") == []
