"""JSON in and out: how the command line and a service write requests and translations."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from seq2seq.errors import Seq2SeqError, number_of, unknown_name
from seq2seq.inference.request import Request, make_request, search_options
from seq2seq.inference.results import ScoredTranslation
from seq2seq.recipe import Translation
from seq2seq.search import Constraints, Sampling, SearchOptions
from seq2seq.search.constraints import forms_of
from seq2seq.text import well_formed

MOST_BEAM = 100
"""Of a request by someone else, who is not to fill the memory, or to take all the time."""
MOST_CHARACTERS = 20_000
"""Of a line."""
MOST_IN_ALL = 200_000
"""Characters of all lines."""
MOST_PHRASES = 50
"""That are forced or avoided in a line."""
MOST_IN_CONSTRAINT = 1000
"""Characters of a prefix, or of a phrase."""
MOST_OF = {
    "beam": MOST_BEAM,
    "n_best": MOST_BEAM,
    "max_ratio": 10.0,
    "min_ratio": 10.0,
    "max_extra": 1000,
    "min_length": 1000,
}
"""Options that make a translation long or slow."""

CONSTRAINTS = ("prefix", "force", "avoid")
_REQUEST = ("text", "constraints", "options", "mbr", "long", "batch_size", "details")


@dataclass(frozen=True)
class Job:
    """What someone asks to have translated: lines, the constraints on each or None, and how."""

    lines: tuple[str, ...]
    constraints: tuple[Constraints, ...] | None
    request: Request


def read_job(written: str | bytes, recipe: Translation, where: str, *, most_lines: int) -> Job:
    """Reads a request: an object with "text", a line or a list of lines, and how to translate.

    Besides "text" it has any of "constraints" (an object, or a list of as many as lines), "options"
    (the fields of ``SearchOptions``), "mbr", "long", "batch_size" and "details"; the recipe's table
    decides what is not given, or null. Halves of surrogate pairs become U+FFFD. Messages
    (``Seq2SeqError``) call the request ``where``.
    """
    given = read_object(written, where)
    _check_keys(given, _REQUEST, where)
    lines = [given["text"]] if isinstance(given.get("text"), str) else given.get("text")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise Seq2SeqError(f"{where}: text must be a string or a list of strings")
    if len(lines) > most_lines:
        raise Seq2SeqError(f"{where}: has {len(lines):,} lines; at most {most_lines:,} are allowed")
    for line in lines:
        if "\n" in line:
            raise Seq2SeqError(f"{where}: a text has a line end in it: give a list of lines")
        _check_size(line, f"{where}: a text", MOST_CHARACTERS)
    _check_size("".join(lines), f"{where}: all its text", MOST_IN_ALL)
    constraints = None
    if (found := given.get("constraints")) is not None:
        every = found if isinstance(found, list) else [found] * len(lines)
        if len(every) != len(lines):
            raise Seq2SeqError(
                f"{where}: has {number_of(len(every), 'constraint')} for "
                f"{number_of(len(lines), 'line')}: give one a line"
            )
        constraints = tuple(constraints_of(one, f"{where}: constraints") for one in every)
        for one in constraints:
            _check_cost(one, f"{where}: constraints")
    base = search_options(recipe)
    options = _options(base, given.get("options") or {}, f"{where}: options")
    for name, most in MOST_OF.items():
        if (value := getattr(options, name)) > max(most, getattr(base, name)):
            raise Seq2SeqError(
                f"{where}: options: {name} is {value:,}; at most {most:,g} is allowed"
            )
    rest: dict[str, Any] = {
        name: _typed(kind, given[name], f"{where}: {name}")
        for name, kind in (("mbr", str), ("long", str), ("batch_size", int), ("details", bool))
        if given.get(name) is not None
    }
    try:
        request = make_request(base, recipe, options=options, **rest)
    except Seq2SeqError as error:
        raise Seq2SeqError(f"{where}: {error}") from None
    return Job(tuple(map(well_formed, lines)), constraints, request)


def read_object(written: str | bytes, where: str, remedy: str = "") -> dict[str, Any]:
    """Reads a JSON object, no key of which may come twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise Seq2SeqError(f"{where}: has the key {key!r} twice")
        return dict(pairs)

    try:
        found = json.loads(written, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise Seq2SeqError(f"{where}: not JSON: {reason}{remedy}") from None
    if not isinstance(found, dict):
        raise Seq2SeqError(f"{where}: not an object{remedy}")
    return found


def constraints_of(found: Any, where: str) -> Constraints:
    """Reads what a translation has to look like."""
    if not isinstance(found, dict):
        raise Seq2SeqError(f"{where}: not an object")
    _check_keys(found, CONSTRAINTS, where)
    for key, value in found.items():
        if key == "prefix":
            if not isinstance(value, str):
                raise Seq2SeqError(f"{where}: prefix must be a string, not {json.dumps(value)}")
        elif not isinstance(value, list) or not all(
            _is_phrase(one) or (key == "force" and _is_choice(one)) for one in value
        ):
            with_lists = isinstance(value, list) and any(isinstance(one, list) for one in value)
            what = "phrases or lists of them" if key == "force" and with_lists else "phrases"
            raise Seq2SeqError(
                f"{where}: {key} must be a list of {what} that are not empty, not "
                f"{well_formed(json.dumps(value, ensure_ascii=False))}"
            )
    return Constraints(
        prefix=well_formed(found.get("prefix", "")),
        forced=tuple(
            well_formed(one) if isinstance(one, str) else tuple(map(well_formed, one))
            for one in found.get("force", ())
        ),
        avoided=tuple(map(well_formed, found.get("avoid", ()))),
    )


def _is_phrase(found: Any) -> bool:
    return isinstance(found, str) and bool(found.strip())


def _is_choice(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(map(_is_phrase, found))


def _check_cost(constraints: Constraints, where: str) -> None:
    """Refuses constraints that would take too long."""
    forced = [phrase for one in constraints.forced for phrase in forms_of(one)]
    phrases = (*forced, *constraints.avoided)
    if len(phrases) > MOST_PHRASES:
        raise Seq2SeqError(
            f"{where}: {len(phrases):,} phrases; at most {MOST_PHRASES} are allowed for a line"
        )
    _check_size(constraints.prefix, f"{where}: the prefix", MOST_IN_CONSTRAINT)
    for one in phrases:
        _check_size(one, f"{where}: a phrase", MOST_IN_CONSTRAINT)


def _check_size(text: str, what: str, most: int) -> None:
    if len(text) > most:
        raise Seq2SeqError(f"{what} has {len(text):,} characters; at most {most:,} are allowed")


def translations_object(source: str, several: Sequence[ScoredTranslation]) -> dict[str, Any]:
    """All that is known of a line's translations."""
    return {
        "source": source,
        "source_tokens": several[0].source_tokens,
        "hypotheses": [
            {
                "text": one.text,
                **_scores(one),
                "alignment": one.alignment,
                "truncated": one.truncated,
                "notes": [{"kind": note.kind, "text": note.text} for note in one.notes],
            }
            for one in several
        ],
    }


def score_object(source: str, one: ScoredTranslation, perplexity: float) -> dict[str, Any]:
    """What a model thinks of a given translation."""
    return {"source": source, "text": one.text, **_scores(one), "perplexity": _finite(perplexity)}


def json_line(content: Mapping[str, Any]) -> str:
    """Writes an object as one line of JSON, which UTF-8 can hold."""
    return well_formed(json.dumps(content, ensure_ascii=False, allow_nan=False))


def _scores(one: ScoredTranslation) -> dict[str, Any]:
    return {
        "score": _finite(one.score),
        "log_prob": _finite(one.log_prob),
        "tokens": one.tokens,
        "token_log_probs": [_finite(value) for value in one.token_log_probs],
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity: None is the logarithm of an impossible thing's probability."""
    return value if math.isfinite(value) else None


def _options(base: SearchOptions, given: Any, where: str) -> SearchOptions:
    """The recipe's options with those given in their places."""
    if not isinstance(given, dict):
        raise Seq2SeqError(f"{where}: not an object")
    _check_keys(given, _names(SearchOptions), where)
    if isinstance(given.get("sampling"), dict):
        _check_keys(given["sampling"], _names(Sampling), f"{where}.sampling")
    found: SearchOptions = _typed(SearchOptions, given, where)
    return replace(base, **{name: getattr(found, name) for name in given})


def _names(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _typed(kind: Any, value: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        words = first["msg"]
        if first["type"] == "union_tag_not_found":
            words = 'has no kind, as in {"kind": "length"}'
        raise Seq2SeqError(f"{where}{f'.{place}' if place else ''}: {words}") from None


def _check_keys(found: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in allowed:
            raise Seq2SeqError(f"{where}: {unknown_name(key, allowed)}")
