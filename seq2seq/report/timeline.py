"""The time line of a run: how it stands, its sessions, and what happened in them."""

from __future__ import annotations

from dataclasses import dataclass

from seq2seq.report.record import RunRecord
from seq2seq.report.text import redacted
from seq2seq.tasks import Json

_SKIPPED = 20  # skipped updates that are listed
_LINES = 8  # of a skipped batch


@dataclass(frozen=True)
class Session:
    """From a call of ``train`` to its end."""

    began: str
    first: int  # the update that it went on from
    ended: str  # empty if it was killed or is under way
    last: int  # the last update that it is known to have made
    how: str
    environment: Json


def sessions(run: RunRecord) -> list[Session]:
    """A run's sessions, oldest first; none of a run from before they were recorded."""
    records = run.of_kind("session")
    found = []
    for number, record in enumerate(records):
        if record.get("what") not in ("begun", "resumed"):
            continue
        after = records[number + 1] if number + 1 < len(records) else None
        found.append(_session(run, record, after))
    return found


def _session(run: RunRecord, begun: Json, after: Json | None) -> Session:
    first = int(begun.get("update", 0))
    ended, last = "", first
    if after is None:
        how = "under way" if run.in_use else "killed"
        last = max([first, *(record.get("update", 0) for record in run.records)])
    elif after.get("what") in ("begun", "resumed"):
        how = "killed"
        last = max(first, int(after.get("reached") or after.get("update", 0)))
    else:
        how = _how(after)
        ended, last = str(after.get("time", "")), int(after.get("update", 0))
    environment = begun.get("environment")
    return Session(
        began=str(begun.get("time", "")),
        first=first,
        ended=ended,
        last=last,
        how=how,
        environment=environment if isinstance(environment, dict) else {},
    )


def _how(end: Json) -> str:
    reason = redacted(str(end.get("reason") or "unknown"))
    return {
        "finished": f"finished: {reason}",
        "stopped": f"stopped by {reason}",
        "failed": f"failed: {reason}",
    }.get(str(end.get("what")), reason)


def events(run: RunRecord) -> list[tuple[int, str]]:
    """What else happened, with its update: where the weights are from, what went wrong.

    Of many skipped updates the last ones are listed.
    """
    skipped = run.of_kind("skipped")
    shown = {id(record) for record in skipped[-_SKIPPED:]}
    found = []
    for record in run.records:
        text = ""
        match record.get("kind"):
            case "rollback":
                text = f"back to the weights of update {record.get('to', 0):,}, at half the rate"
            case "init":
                text = _begun_with(record)
            case "changed_data":
                files = ", ".join(redacted(str(file)) for file in record.get("files", ()))
                text = f"the corpus had changed: {files}; training went on"
            case "skipped" if id(record) in shown:
                numbers = [f"{line:,}" for line in record.get("lines", ())[:_LINES]]
                if corpora := record.get("corpora"):
                    pairs = zip(numbers, corpora, strict=False)
                    numbers = [f"{line} of {corpus}" for line, corpus in pairs]
                lines = ", ".join(numbers)
                more = len(record.get("lines", ())) - _LINES
                text = "skipped, the numbers were not finite: lines " + lines
                text += f" and {more:,} more" if more > 0 else ""
        if text:
            found.append((int(record.get("update", 0)), text))
    return found


def _begun_with(record: Json) -> str:
    (tensors, of_tensors), (weights, of_weights) = record["tensors"], record["parameters"]
    update = record.get("of_update")
    text = "begun with the weights of " + redacted(str(record.get("run")))
    text += f", update {update:,}" if isinstance(update, int) else ""
    text += f": {tensors} of {of_tensors} tensors, {weights:,} of {of_weights:,} parameters"
    names = [*record.get("fresh", ()), *record.get("reshaped", ())]
    return f"{text}; not taken: {', '.join(names)}" if names else text


def standing(run: RunRecord) -> tuple[str, str]:
    """How a run stands, and why in words.

    It is one of "finished", "running", "stopped", "failed" and "killed".
    """
    if why := run.state.get("stopped"):
        return "finished", redacted(str(why))
    records = run.of_kind("session")
    last = records[-1] if records else {}
    if last.get("what") in ("stopped", "failed"):
        return str(last["what"]), redacted(str(last.get("reason") or ""))
    if run.in_use:
        return "running", ""
    if not run.records:
        return "stopped", "nothing was trained yet"
    return "killed", "run the same command again to resume from the last checkpoint"
