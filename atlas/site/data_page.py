"""The page that explains the data files to those who write programs, from the files' schemas."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from atlas import paths
from atlas.site import reading_example
from atlas.site.contents import Contents
from atlas.site.data_files import SCHEMA_VERSION
from atlas.site.network_pages import atlas_card
from atlas.site.parts import Head
from atlas.site.schema import Schema, manifest_schema, units_schema

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
}


class Field(NamedTuple):
    """Fields with the same meaning; more than one where the name depends on the layer's score."""

    names: tuple[str, ...]
    type: str
    words: Markup


class Group(NamedTuple):
    """The fields of an object, or of several objects with the same fields."""

    paths: tuple[str, ...]  # to the objects; empty for the file itself
    words: str  # of the first of them, if there are several
    fields: tuple[Field, ...]


class DataFile(NamedTuple):
    """A data file with all that is in it."""

    heading: str
    schema: str  # path of its schema
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class DataPage:
    """View of `data.html`."""

    head: Head
    version: int
    files: tuple[DataFile, ...]
    example_units: str  # path of the units.json of the first layer
    example: Markup  # a program in Python
    sha256: str


def data_view(contents: Contents) -> DataPage:
    """The page about `manifest.json` and `units.json`."""
    facts = contents.facts
    return DataPage(
        head=Head(
            title=f"Data · Atlas of {facts.name}",
            description=f"The numbers and pictures of {facts.name}’s units, for programs.",
            root="",
            section="data",
            card=atlas_card(contents, paths.DATA),
        ),
        version=SCHEMA_VERSION,
        files=(
            DataFile(
                paths.MANIFEST,
                paths.MANIFEST_SCHEMA,
                groups_of(manifest_schema(contents.kinds)),
            ),
            DataFile(
                paths.file_name(paths.layer_data("")),
                paths.UNITS_SCHEMA,
                groups_of(units_schema(contents.kinds)),
            ),
        ),
        example_units=paths.layer_data(facts.layers[0].name),
        example=_preformatted(inspect.getsource(reading_example)),
        sha256=facts.sha256,
    )


def groups_of(schema: Schema) -> tuple[Group, ...]:
    """All objects of a file, each with its fields; those with the same fields are one group."""
    groups: dict[tuple[Field, ...], Group] = {}
    for path, words, node in _objects(schema, "", ""):
        fields = tuple(_fields(node))
        known = groups.get(fields, Group((), words, fields))
        groups[fields] = known._replace(paths=(*known.paths, path) if path else ())
    return tuple(group for group in groups.values() if group.fields)


def _objects(schema: Schema, path: str, words: str) -> Iterator[tuple[str, str, Schema]]:
    """Every object in a schema, with its path and what is said of it, outer ones first."""
    words = schema.get("description", words)
    for option in schema.get("anyOf", [schema]):
        if "properties" in option:
            yield path, words, option
            for name, each in option["properties"].items():
                yield from _objects(each, f"{path}.{name}".lstrip("."), "")
        elif isinstance(option.get("items"), dict):
            yield from _objects(option["items"], f"{path}[]", words)


def _fields(node: Schema) -> Iterator[Field]:
    """The fields of an object; those with equal meanings, as of z and logit, are one."""
    fields: dict[tuple[str, str], list[str]] = {}
    for name, each in node["properties"].items():
        fields.setdefault((spell_type(each), each["description"]), []).append(name)
    for (spelled, words), names in fields.items():
        yield Field(tuple(names), spelled, _with_code(words))


def spell_type(schema: Schema) -> str:
    """A type in words: `list of numbers or null`."""
    if "anyOf" in schema:
        return " or ".join(spell_type(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(f"“{each}”" for each in schema["enum"])
    if schema["type"] == "array":
        return _spell_list(schema)
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object: {_plural(spell_type(schema['additionalProperties']))} by name"
    return TYPES[schema["type"]]


def _spell_list(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        items = [spell_type(each) for each in schema["prefixItems"]]
        same = len(set(items)) == 1
        return f"{len(items)} {_plural(items[0])}" if same else f"[{', '.join(items)}]"
    items_of = _plural(spell_type(schema["items"]))
    if schema.get("minItems") and schema.get("minItems") == schema.get("maxItems"):
        return f"{schema['minItems']} {items_of}"
    return f"list of {items_of}"


def _plural(spelled: str) -> str:
    """`numbers`, `lists of numbers`; what has no plural stays as it is."""
    first, space, rest = spelled.partition(" ")
    if first in ("list", "object"):
        return f"{first}s{space}{rest}"
    if spelled in ("number", "whole number", "object"):
        return f"{spelled}s"
    return "texts" if spelled == "text" else spelled


def _with_code(words: str) -> Markup:
    """Words in which names of fields stand between backticks."""
    return Markup(re.sub("`(.+?)`", r"<code>\1</code>", str(escape(words))))


def _preformatted(text: str) -> Markup:
    """Text whose line breaks and indentation stay when the page is tidied."""
    return Markup(str(escape(text.rstrip("\n"))).replace("\n", "&#10;"))
