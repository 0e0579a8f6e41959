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
from atlas.records import FieldInfo, Publication, fields_of, has_units
from atlas.site.data_files import SCHEMA_VERSION
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

# Texts about the network in the manifest.
NETWORK_TEXTS = ("name", "weights", "sha256", "labels_source", "preprocessing_source")

Schema = dict[str, Any]


def units_schema(kinds: Sequence[Kind[Any]] = KINDS) -> Schema:
    """The schema of a layer's `units.json`."""
    measured = [kind for kind in kinds if not isinstance(kind.scope, SheetOf)]
    unit = _object(
        {
            "id": {"type": "string", "description": "layer and index"},
            "index": {"type": "integer"},
            "page": _nullable({"type": "string"}, "path of the unit's page, null if there is none"),
            "pictures": _object(dict(_pictures(kinds)), required=()),
            "numbers": _object({kind.name: _unit_numbers(kind) for kind in measured}, required=()),
            "name": _nullable(
                _object({"text": {"type": "string"}, "by": {"enum": list(get_args(NamedBy))}}),
                "what the unit is called, and by whom; null if it has no name",
            ),
            "description": _nullable(
                {"type": "string"}, "what was measured, put into words by rules"
            ),
            "label": _nullable({"type": "string"}, "name of the class"),
        },
        required=("id", "index", "page", "pictures", "numbers", "name", "description"),
    )
    axes = {
        kind.name: _record(kind.record, "axis")
        for kind in measured
        if any(info.publication == "axis" for info in fields_of(kind.record))
    }
    return _document(
        "The units of a layer",
        {
            "schema": {"const": SCHEMA_VERSION},
            "layer": {"type": "string"},
            "axes": {
                **_object(axes, required=()),
                "description": "by kind, lists that per-unit numbers index or are measured along",
            },
            "units": {"type": "array", "items": unit},
        },
    )


def manifest_schema(kinds: Sequence[Kind[Any]] = KINDS) -> Schema:
    """The schema of `manifest.json`."""
    preprocessing = _fields_of_dataclass(Preprocessing)
    preprocessing["input_size_px"] = preprocessing.pop("size_px")
    network = {
        **{name: {"type": "string"} for name in NETWORK_TEXTS},
        **preprocessing,
    }
    layer_kinds = [kind for kind in kinds if isinstance(kind.scope, WholeLayer)]
    layer = {
        **_fields_of_dataclass(Layer),
        "page": {"type": "string"},
        "units": {"type": "string", "description": "path of the layer's units.json"},
        "n_pages": {"type": "integer"},
        **{kind.name: _nullable(_of_layer(kind)) for kind in layer_kinds},
        "recipe": _nullable({"type": "object"}, "complete recipe of the excitatory pictures"),
    }
    return _document(
        "What an atlas holds",
        {
            "schema": {"const": SCHEMA_VERSION},
            "network": _object(network),
            "recipe": _object(
                {
                    "name": {"type": "string"},
                    "preset": {"type": "string"},
                    "seed": {"type": "integer"},
                }
            ),
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "layers": {"type": "array", "items": _object(layer)},
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
    return {"type": "array", "items": _object(properties), "description": kind.noun}


def _document(title: str, properties: Schema) -> Schema:
    return {"$schema": DIALECT, "title": title, **_object(properties)}


def _object(properties: Schema, required: Sequence[str] | None = None) -> Schema:
    """An object; kinds from outside the package may add properties of their own."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": names}


def _nullable(schema: Schema, description: str = "") -> Schema:
    either: Schema = {"anyOf": [schema, {"type": "null"}]}
    return {**either, "description": description} if description else either


def _of_layer(kind: Kind[Any]) -> Schema:
    """What is published of a whole layer."""
    numbers = _record(kind.record, "value")
    if not kind.layer_file:
        return numbers
    return _object({**_picture()["properties"], "numbers": numbers})


def _pictures(kinds: Sequence[Kind[Any]]) -> Iterator[tuple[str, Schema]]:
    yield EXCITATORY.name, _picture()
    yield "thumbnail", _sprite()
    for kind in kinds:
        if kind.sheet:
            yield kind.name, _sprite()


def _picture() -> Schema:
    return _object({"path": {"type": "string"}, "size_px": SIZE})


def _sprite() -> Schema:
    integer = {"type": "integer"}
    return _object(
        {
            "sheet": {"type": "string", "description": "path of the sheet"},
            "cell": {**integer, "description": "position on the sheet in reading order, from 0"},
            "columns": integer,
            "rows": integer,
            "cell_px": SIZE,
            "size_px": SIZE,
        }
    )


def _unit_numbers(kind: Kind[Any]) -> Schema:
    """The numbers of a kind that are published for one unit."""
    return _record(kind.record, "per_unit" if has_units(kind.record) else "value")


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


def write_schemas(folder: Path) -> None:
    """Write both schemas to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in (("manifest", manifest_schema()), ("units", units_schema())):
        text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.schema.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
