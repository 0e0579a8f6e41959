"""The data files of a site: `manifest.json`, and each layer's `units.json`.

Their schema: docs/schema/, made by `atlas/site/schema.py` from the types of the records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from atlas import paths
from atlas.cache import Entry
from atlas.canonical import canonical_json
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.kind import Kind, SheetOf, WholeLayer
from atlas.kinds.names.view import Name, description_of, names_of
from atlas.on_demand import ON_DEMAND, OnDemand
from atlas.records import has_units, published
from atlas.sheets import Sprite
from atlas.site.contents import Contents
from atlas.site.sprites import THUMB_PX, THUMBS
from atlas.units import Layer, Unit

SCHEMA_VERSION = 3

NOTHING_MADE: Mapping[str, Any] = {"pictures": {}, "numbers": {}, "description": None}

Columns = Mapping[str, Mapping[str, Sequence[Any]]]  # kind -> name of a number -> one per unit


def manifest(contents: Contents) -> bytes:
    """The network, layers and counts of an atlas. Paths are relative to the manifest."""
    facts, spec = contents.facts, contents.spec
    preprocessing = dataclasses.asdict(facts.preprocessing)
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "network": {
                "name": facts.name,
                "weights": facts.weights,
                "sha256": facts.sha256,
                "labels_source": facts.labels_source,
                "preprocessing_source": facts.preprocessing_source,
                "input_size_px": preprocessing.pop("size_px"),
                **preprocessing,
            },
            "recipe": {"name": spec.recipe, "preset": spec.preset, "seed": spec.seed},
            "counts": {
                "layers": len(facts.layers),
                "units": facts.n_units,
                "pages": contents.n_pages,
                "dead": contents.n_dead,
                **{kind.name: contents.n_made(kind) for kind in contents.kinds},
            },
            "layers": [_layer(contents, layer) for layer in facts.layers],
            **{kind.plural: _asked_for(contents, kind) for kind in ON_DEMAND},
        }
    )


def units(contents: Contents, layer: Layer) -> bytes:
    """Every unit of a layer, rendered or not. Paths are relative to the manifest."""
    columns = _columns(contents, layer)
    made = contents.made_in[layer.name]
    sheets = [kind for kind in contents.kinds if kind.sheet and kind.name in made]
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "layer": layer.name,
            "axes": _axes(contents, layer),
            "units": [
                {
                    **_unit(contents, layer, unit, name),
                    **(_made_of(contents, layer, unit, columns, sheets) if made else NOTHING_MADE),
                }
                for unit, name in zip(layer.units, names_of(contents, layer), strict=True)
            ],
        }
    )


def _json(value: Any) -> bytes:
    return f"{canonical_json(value)}\n".encode()


def _layer_kinds(contents: Contents) -> list[Kind[Any]]:
    """The kinds that are made for a whole layer at once."""
    return [kind for kind in contents.kinds if isinstance(kind.scope, WholeLayer)]


def _axes(contents: Contents, layer: Layer) -> dict[str, Any]:
    """By kind, the lists that per-unit numbers index or are measured along."""
    axes = {
        kind.name: published(record, layer.score_name, "axis")
        for kind in _layer_kinds(contents)
        if (record := contents.layer_record(layer, kind))
    }
    return {name: lists for name, lists in axes.items() if lists}


def _asked_for(contents: Contents, kind: OnDemand[Any]) -> list[dict[str, Any]]:
    """What was made of one kind on demand, each with the path of the page that shows it."""
    return [
        {
            "page": page.path,
            "picture": paths.on_demand_picture(kind.name, entry.unit),
            **published(kind.record_of(entry), "logit", "value"),
        }
        for page in contents.on_demand_pages
        if page.kind is kind
        for entry in page.entries
    ]


def _layer(contents: Contents, layer: Layer) -> dict[str, Any]:
    return {
        **dataclasses.asdict(layer),
        "page": paths.layer_page(layer.name),
        "units": paths.layer_data(layer.name),
        "n_pages": len(contents.paged[layer.name]),
        **{kind.name: _of_layer(contents, layer, kind) for kind in _layer_kinds(contents)},
        "recipe": contents.spec.layers.get(layer.name),
    }


def _of_layer(contents: Contents, layer: Layer, kind: Kind[Any]) -> dict[str, Any] | None:
    """What is published of a whole layer; the numbers of its units are given unit by unit."""
    entry, record = contents.entry(layer.whole, kind), contents.layer_record(layer, kind)
    if entry is None:
        return None
    numbers = published(record, layer.score_name, "value")
    if not kind.layer_file:
        return numbers
    path = paths.layer_picture(layer.name, kind.layer_file)
    return {**_picture(path, entry), "numbers": numbers}


def _columns(contents: Contents, layer: Layer) -> Columns:
    """By kind, the numbers that a layer's record has of each of its units."""
    return {
        kind.name: columns
        for kind in contents.kinds
        if not isinstance(kind.scope, SheetOf)
        and has_units(kind.record)
        and (record := contents.layer_record(layer, kind))
        and (columns := published(record, layer.score_name, "per_unit"))
    }


def _unit(contents: Contents, layer: Layer, unit: Unit, name: Name | None) -> dict[str, Any]:
    """What is known of every unit, whether anything was made of it or not."""
    facts: dict[str, Any] = {
        "id": unit.id,
        "index": unit.index,
        "page": contents.pages[layer.name].get(unit.index),
        "name": {"text": name.text, "by": name.by} if name else None,
    }
    if layer.is_classifier:
        facts["label"] = contents.label(layer, unit.index)
    return facts


def _made_of(
    contents: Contents, layer: Layer, unit: Unit, columns: Columns, sheets: Sequence[Kind[Any]]
) -> dict[str, Any]:
    """What was made of a unit."""
    return {
        "pictures": _pictures(contents, layer, unit, sheets),
        "numbers": _numbers(contents, layer, unit, columns),
        "description": description_of(contents, layer, unit.index) or None,
    }


def _numbers(contents: Contents, layer: Layer, unit: Unit, columns: Columns) -> dict[str, Any]:
    """By kind, a unit's numbers, from its layer's record or from its own."""
    numbers: dict[str, Any] = {
        kind: {name: column[unit.index] for name, column in of_kind.items()}
        for kind, of_kind in columns.items()
    }
    if unit.id not in contents.entries:
        return numbers
    for kind in contents.kinds:
        if isinstance(kind.scope, SheetOf) or has_units(kind.record):
            continue
        if record := contents.record(unit, kind):
            numbers[kind.name] = published(record, layer.score_name, "value")
    return numbers


def _pictures(
    contents: Contents, layer: Layer, unit: Unit, sheets: Sequence[Kind[Any]]
) -> dict[str, Any]:
    pictures: dict[str, Any] = {}
    if entry := contents.entry(unit, EXCITATORY):
        pictures[EXCITATORY.name] = _picture(paths.unit_picture(unit), entry)
        cell_px = (THUMB_PX, THUMB_PX)
        thumbnail = Sprite(THUMBS.place(unit.index), THUMBS.columns, cell_px, cell_px)
        pictures["thumbnail"] = _sprite(layer, thumbnail)
    for kind in sheets:
        if sprite := contents.sprite(layer, unit.index, kind):
            pictures[kind.name] = _sprite(layer, sprite)
    return pictures


def _picture(path: str, entry: Entry) -> dict[str, Any]:
    return {"path": path, "size_px": [entry.width_px, entry.height_px]}


def _sprite(layer: Layer, sprite: Sprite) -> dict[str, Any]:
    """A picture in the upper left of a cell; sizes are (width, height)."""
    return {
        "sheet": paths.layer_sheet(layer.name, sprite.place.sheet),
        "cell": sprite.place.cell,
        "columns": sprite.columns,
        "rows": sprite.columns,
        "cell_px": sprite.cell_px,
        "size_px": sprite.size_px,
    }
