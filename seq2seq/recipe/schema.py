"""The recipe's JSON Schema, for editors that complete and check TOML."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from seq2seq.recipe import Recipe
from seq2seq.recipe.base import ONE, SEVERAL, SIDES
from seq2seq.recipe.data import SUFFIX_KINDS
from seq2seq.recipe.model import options_class
from seq2seq.recipe.registry import ATTENTIONS, CELLS, own_keys_known


class _Schema(GenerateJsonSchema):
    """Shows tables beside their short forms, where pydantic would show the short forms alone."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        short = schema.get("json_schema_input_schema")
        inner = schema["schema"]
        if short is None or inner["type"] != "tagged-union":
            return super().function_before_schema(schema)
        if SIDES in inner["choices"]:
            return self.generate_inner(short)
        tables = self.generate_inner(inner)["oneOf"]
        forms = [form for form in self.generate_inner(short)["anyOf"] if form["type"] != "object"]
        if all(form["type"] == "string" for form in forms):  # a kind's name
            forms = [{"type": "string", "enum": [str(tag) for tag in inner["choices"]]}]
        for form in forms:
            if form["type"] == "array":
                form.update(minItems=2, maxItems=2)
        return {"anyOf": [*tables, *forms]}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        if SEVERAL not in schema["choices"]:
            return super().tagged_union_schema(schema)
        one, several = (self.generate_inner(schema["choices"][form]) for form in (ONE, SEVERAL))
        # Two strings in a list are one corpus: a list of several holds something else, too.
        several.update(contains={"not": {"type": "string"}})
        return {"anyOf": [*one["anyOf"], several]}


def json_schema() -> dict[str, Any]:
    """Describes recipes to editors (Taplo, Even Better TOML) as JSON Schema, draft 2020-12.

    The cells' own keys, those of other packages too, are described where torch is installed; else
    any keys are allowed beside a cell's kind.
    """
    schema = Recipe.model_json_schema(schema_generator=_Schema)
    sections = schema["$defs"]
    for section in sections.values():
        if "const" in section["properties"].get("kind", {}):
            _require_kind(section)
    attention = sections["Decoder"]["properties"]["attention"]
    attention["enum"] = ["none", *ATTENTIONS.names()]
    _describe_cells(sections)
    _without_null(schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "seq2seq recipe"}


def _describe_cells(sections: dict[str, Any]) -> None:
    """A cell is its name, or a table of its kind and its own keys."""
    names = list(CELLS.names())
    any_cell = {"type": "object", "properties": {"kind": {"enum": names}}, "required": ["kind"]}
    tables = []
    for kind in names if own_keys_known() else ():
        table = options_class(kind).model_json_schema()
        sections.update(table.pop("$defs", {}))
        table["properties"] = {"kind": {"const": kind}, **table.get("properties", {})}
        table["required"] = ["kind", *table.get("required", ())]
        tables.append({**table, "title": kind})
    sections["Cell"] = {"anyOf": [*(tables or [any_cell]), {"type": "string", "enum": names}]}
    for side in ("Encoder", "Decoder"):
        sections[side]["properties"]["cell"] = {"$ref": "#/$defs/Cell"}


def _require_kind(section: dict[str, Any]) -> None:
    """A table needs its kind, unless its other keys or its file's name say it."""
    properties = section["properties"]
    kind = properties["kind"]["const"]
    if "path" in properties:
        (suffix,) = (suffix for suffix, its in SUFFIX_KINDS.items() if its == kind)
        named = {"path": {"pattern": rf"\{suffix}(\.gz|\.zst)*$"}}
        section["anyOf"] = [{"required": ["kind"]}, {"properties": named}]
    elif "source_path" not in properties:
        section.setdefault("required", []).append("kind")


def _without_null(node: Any) -> None:
    """Puts the word "none" in the place of null, which TOML does not have; "auto" is a default."""
    if isinstance(node, list):
        for item in node:
            _without_null(item)
    if not isinstance(node, dict):
        return
    null = {"type": "null"}
    if null in node.get("anyOf", ()):
        others = [form for form in node["anyOf"] if form != null]
        node["anyOf"] = others if {"type": "string"} in others else [*others, {"const": "none"}]
    if {"const": "auto"} in node.get("anyOf", ()):
        node["default"] = "auto"
    if node.get("default", ...) is None:
        del node["default"]
    for value in node.values():
        _without_null(value)
