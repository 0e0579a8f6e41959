"""JSON Schemas of `manifest.json` and `units.json`, made from the types that fill them.

`python -m atlas.site.schema FOLDER` writes them, as they stand in docs/schema/.

Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from atlas.kinds import KINDS
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.kind import Kind, SheetOf, WholeLayer
from atlas.kinds.names.view import NamedBy
from atlas.on_demand import ON_DEMAND, OnDemand
from atlas.paths import MANIFEST_SCHEMA, UNITS_SCHEMA
from atlas.records import FieldInfo, Publication, fields_of, has_units
from atlas.site import field_words
from atlas.site.data_files import SCHEMA_VERSION
from atlas.site.field_words import NAME, Words
from atlas.units import Layer, Preprocessing
from atlas.vocabulary import SCORES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES: Mapping[type, str] = {
    float: "number",
    int: "integer",
    str: "string",
    bool: "boolean",
    types.NoneType: "null",
}
SIZE = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}

Schema = dict[str, Any]


def units_schema(kinds: Sequence[Kind[Any]] = KINDS) -> Schema:
    """The schema of a layer's `units.json`."""
    measured = [kind for kind in kinds if not isinstance(kind.scope, SheetOf)]
    unit = _object(
        {
            "id": {"type": "string"},
            "index": {"type": "integer"},
            "page": _nullable({"type": "string"}),
            "pictures": _object(dict(_pictures(kinds)), required=()),
            "numbers": _object({kind.name: _unit_numbers(kind) for kind in measured}, required=()),
            "name": _nullable(
                _object({"text": {"type": "string"}, "by": {"enum": list(get_args(NamedBy))}}, NAME)
            ),
            "description": _nullable({"type": "string"}),
            "label": _nullable({"type": "string"}),
        },
        field_words.UNIT,
        required=("id", "index", "page", "pictures", "numbers", "name", "description"),
    )
    axes = {
        kind.name: _said(_record(kind.record, "axis"), kind.about)
        for kind in measured
        if any(info.publication == "axis" for info in fields_of(kind.record))
    }
    return _document(
        "The units of a layer",
        {
            "schema": _said({"const": SCHEMA_VERSION}, field_words.SCHEMA),
            "layer": _said({"type": "string"}, field_words.OF_LAYER),
            "axes": _said(_object(axes, required=()), field_words.AXES),
            "units": _said({"type": "array", "items": unit}, field_words.UNITS),
        },
    )


def manifest_schema(kinds: Sequence[Kind[Any]] = KINDS) -> Schema:
    """The schema of `manifest.json`."""
    preprocessing = _fields_of_dataclass(Preprocessing)
    preprocessing["input_size_px"] = preprocessing.pop("size_px")
    network = {**{name: {"type": "string"} for name in field_words.NETWORK}, **preprocessing}
    layer_kinds = [kind for kind in kinds if isinstance(kind.scope, WholeLayer)]
    layer = {
        **_fields_of_dataclass(Layer),
        "page": {"type": "string"},
        "units": {"type": "string"},
        "n_pages": {"type": "integer"},
        **{kind.name: _nullable(_of_layer(kind), kind.about) for kind in layer_kinds},
        "recipe": _nullable({"type": "object"}),
    }
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    recipe = {
        "name": {"type": "string"},
        "preset": {"type": "string"},
        "seed": {"type": "integer"},
    }
    words_of_network = {**field_words.NETWORK, **field_words.PREPROCESSING}
    layers = {"type": "array", "items": _object(layer, field_words.LAYER)}
    return _document(
        "What an atlas holds",
        {
            "schema": _said({"const": SCHEMA_VERSION}, field_words.SCHEMA),
            "network": _said(_object(network, words_of_network), "the network and its images"),
            "recipe": _said(_object(recipe, field_words.RECIPE), "how the pictures were made"),
            "counts": _said(counts, field_words.COUNTS),
            "layers": _said(layers, field_words.LAYERS),
            **{kind.plural: _asked_for(kind) for kind in ON_DEMAND},
        },
    )


def _asked_for(kind: OnDemand[Any]) -> Schema:
    """What was made of one kind on demand."""
    properties: Schema = {
        "page": {"type": "string"},
        "picture": {"type": "string"},
        **_record(kind.record, "value")["properties"],
    }
    items = _object(properties, field_words.ON_DEMAND)
    return {"type": "array", "items": items, "description": kind.noun}


def _document(title: str, properties: Schema) -> Schema:
    return {"$schema": DIALECT, "title": title, **_object(properties)}


def _object(
    properties: Schema, words: Words | None = None, required: Sequence[str] | None = None
) -> Schema:
    """An object; kinds from outside the package may add properties of their own.

    Args:
        properties: the schemas of its fields.
        words: what fields mean that do not say it themselves.
        required: names of the fields that are always there; all if left out.
    """
    names = list(properties) if required is None else list(required)
    said = {name: _said(each, (words or {}).get(name, "")) for name, each in properties.items()}
    return {"type": "object", "properties": said, "required": names}


def _said(schema: Schema, words: str) -> Schema:
    """A schema with words for people, unless there are none."""
    return {**schema, "description": words} if words else schema


def _nullable(schema: Schema, description: str = "") -> Schema:
    return _said({"anyOf": [schema, {"type": "null"}]}, description)


def _of_layer(kind: Kind[Any]) -> Schema:
    """What is published of a whole layer."""
    numbers = _record(kind.record, "value")
    if not kind.layer_file:
        return numbers
    pictured = {**_picture()["properties"], "numbers": numbers}
    return _object(pictured, {"numbers": field_words.LAYER_NUMBERS})


def _pictures(kinds: Sequence[Kind[Any]]) -> Iterator[tuple[str, Schema]]:
    yield EXCITATORY.name, _said(_picture(), EXCITATORY.about)
    yield "thumbnail", _said(_sprite(), field_words.THUMBNAIL)
    for kind in kinds:
        if kind.sheet:
            yield kind.name, _said(_sprite(), kind.about)


def _picture() -> Schema:
    return _object({"path": {"type": "string"}, "size_px": SIZE}, field_words.PICTURE)


def _sprite() -> Schema:
    integer = {"type": "integer"}
    return _object(
        {
            "sheet": {"type": "string"},
            "cell": integer,
            "columns": integer,
            "rows": integer,
            "cell_px": SIZE,
            "size_px": SIZE,
        },
        field_words.SPRITE,
    )


def _unit_numbers(kind: Kind[Any]) -> Schema:
    """The numbers of a kind that are published for one unit."""
    return _said(
        _record(kind.record, "per_unit" if has_units(kind.record) else "value"), kind.about
    )


def _record(record_type: type, publication: Publication) -> Schema:
    """The fields of a record that are published in one way, and no others."""
    hints = get_type_hints(record_type)
    properties: Schema = {}
    for info in fields_of(record_type):
        if info.publication == publication:
            for name in _json_names(info):
                hint = hints[info.attribute]
                item = _item_type(hint) if publication == "per_unit" else hint
                properties[name] = {**_schema_of(item), "description": info.about}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _json_names(info: FieldInfo) -> Iterator[str]:
    if "{score}" not in info.json_name:
        yield info.json_name
        return
    for score in SCORES:
        yield info.json_name.format(score=score)


def _item_type(hint: Any) -> Any:
    """The type of one unit's item, from the type of a list with an item for each unit, or None."""
    (sequence,) = [part for part in _options(hint) if part is not types.NoneType]
    return get_args(sequence)[0]


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _schema_of(hint: Any) -> Schema:
    """The schema of the type of a record's field."""
    options = _options(hint)
    if len(options) > 1:
        return {"anyOf": [_schema_of(option) for option in options]}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint):
        return _schema_of_container(get_origin(hint), get_args(hint))
    return {"type": NAMES[hint]}


def _schema_of_container(container: Any, arguments: Sequence[Any]) -> Schema:
    if issubclass(container, Mapping):
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    if container is tuple and arguments[-1] is not Ellipsis:
        return {"type": "array", "prefixItems": [_schema_of(each) for each in arguments]}
    return {"type": "array", "items": _schema_of(arguments[0])}


def _fields_of_dataclass(dataclass: type) -> Schema:
    return {
        name: _schema_of(hint)
        for name, hint in get_type_hints(dataclass).items()
        if not name.startswith("_")
    }


def spelled(schema: Schema) -> str:
    """A schema as the text of its file."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write both schemas to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in ((MANIFEST_SCHEMA, manifest_schema()), (UNITS_SCHEMA, units_schema())):
        (folder / name).write_text(spelled(schema), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
