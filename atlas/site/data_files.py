"""The atlas for programs: `manifest.json`, each layer's `units.json`, and the search index."""

from __future__ import annotations

import dataclasses
from typing import Any

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.sprites import OF_OWN_SIZE, THUMB_PX, THUMBS, Sprite
from atlas.site.views import PANEL_FACTS, PANEL_LISTS, Contents
from atlas.spec import KINDS, PER_LAYER
from atlas.units import (
    Kind,
    Layer,
    Unit,
    canonical_json,
    cover_path,
    layer_dir,
    like_page,
    like_picture_path,
    picture_path,
)

SCHEMA_VERSION = 2
# Made for all units of a layer at once, with a number for each.
PANELS = tuple(kind for kind in KINDS if kind in PER_LAYER and kind != "dream")


def manifest(contents: Contents) -> bytes:
    """What the atlas holds. Every path in it is relative to the manifest itself."""
    facts, spec = contents.facts, contents.spec
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "network": {
                "name": facts.name,
                "weights": facts.weights,
                "sha256": facts.sha256,
                "labels_source": facts.labels_source,
                "input_size_px": facts.input_size_px,
                "mean": facts.mean,
                "std": facts.std,
            },
            "recipe": {"name": spec.recipe, "preset": spec.preset, "seed": spec.seed},
            "counts": {
                "layers": len(facts.layers),
                "units": facts.n_units,
                "pages": contents.n_pages,
                "dead": contents.n_dead,
                **{kind: contents.n_made(kind) for kind in KINDS},
            },
            "layers": [_layer(contents, layer) for layer in facts.layers],
            "likes": [_like(entry) for entry in contents.likes],
        }
    )


def units(contents: Contents, layer: Layer) -> bytes:
    """Every unit of a layer, rendered or not. Paths are relative to the manifest."""
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "layer": layer.name,
            "photographs": _photographs(contents, layer),
            "units": [_unit(contents, layer, unit) for unit in layer.units],
        }
    )


def search_index(contents: Contents) -> bytes:
    """A script, not JSON: pages opened from a disk may not fetch."""
    layers = [
        [layer.name, layer.n_units, wording.ranges(contents.paged[layer.name])]
        for layer in contents.facts.layers
    ]
    classifiers = [layer for layer in contents.facts.layers if layer.kind == "classifier"]
    index = {
        "layers": layers,
        "classifier": classifiers[-1].name if classifiers else None,
        "labels": contents.facts.labels if classifiers else (),
    }
    return b"self.atlasIndex = " + _json(index).rstrip() + b";\n"


def _json(value: Any) -> bytes:
    return f"{canonical_json(value)}\n".encode()


def _photographs(contents: Contents, layer: Layer) -> dict[str, Any] | None:
    """What the files in `top` and `spread` are called, and their classes; both in order."""
    facts = contents.panel_facts(layer, "natural")
    return {name: facts[name] for name in PANEL_LISTS} if facts.keys() >= PANEL_LISTS else None


def _like(entry: Entry) -> dict[str, Any]:
    return {
        "page": like_page(entry.unit),
        "picture": like_picture_path(entry.unit),
        **{name: entry.numbers[name] for name in ("name", "units", "p")},
    }


def _layer(contents: Contents, layer: Layer) -> dict[str, Any]:
    folder = layer_dir(layer.name)
    return {
        **dataclasses.asdict(layer),
        "page": f"{folder}/index.html",
        "units": f"{folder}/units.json",
        "n_pages": len(contents.paged[layer.name]),
        "dream": _dream(contents, layer),
        **{kind: _panel(contents, layer, kind) for kind in PANELS},
        "recipe": contents.spec.layers.get(layer.name),
    }


def _dream(contents: Contents, layer: Layer) -> dict[str, Any] | None:
    entry = contents.entry(layer.whole, "dream")
    if entry is None:
        return None
    return {**_picture(cover_path(layer.name), entry), "numbers": entry.numbers}


def _panel(contents: Contents, layer: Layer, kind: Kind) -> dict[str, Any] | None:
    """What was measured with; the numbers themselves are given unit by unit."""
    entry = contents.entry(layer.whole, kind)
    if entry is None:
        return None
    return {name: entry.numbers[name] for name in PANEL_FACTS & entry.numbers.keys()}


def _unit(contents: Contents, layer: Layer, unit: Unit) -> dict[str, Any]:
    made = contents.entries.get(unit.id, {})
    panels = {kind: contents.panel(unit, kind) for kind in PANELS}
    facts: dict[str, Any] = {
        "id": unit.id,
        "index": unit.index,
        "page": contents.pages[layer.name].get(unit.index),
        "pictures": _pictures(contents, layer, unit),
        "numbers": {kind: _own(entry) for kind, entry in made.items() if kind != "examples"}
        | {kind: numbers for kind, numbers in panels.items() if numbers},
    }
    if layer.kind == "classifier":
        facts["label"] = contents.label(layer, unit.index)
    return facts


def _own(entry: Entry) -> dict[str, Any]:
    """An artifact's numbers, without what only serves to compare it with others."""
    return {name: value for name, value in entry.numbers.items() if name != "embedding"}


def _pictures(contents: Contents, layer: Layer, unit: Unit) -> dict[str, Any]:
    pictures: dict[str, Any] = {}
    if excitatory := contents.entry(unit, "excitatory"):
        pictures["excitatory"] = _picture(picture_path(unit), excitatory)
        cell_px = (THUMB_PX, THUMB_PX)
        thumbnail = Sprite(THUMBS.place(unit.index), THUMBS.columns, cell_px, cell_px)
        pictures["thumbnail"] = _sprite(layer, thumbnail)
    for kind in OF_OWN_SIZE:
        if sprite := contents.sprite(layer, unit.index, kind):
            pictures[kind] = _sprite(layer, sprite)
    if strip := contents.strip(layer, unit.index):
        pictures["examples"] = _sprite(layer, strip)
    return pictures


def _picture(path: str, entry: Entry) -> dict[str, Any]:
    return {"path": path, "size_px": [entry.width_px, entry.height_px]}


def _sprite(layer: Layer, sprite: Sprite) -> dict[str, Any]:
    """A picture in the upper left of a cell; sizes are (width, height)."""
    return {
        "sheet": f"{layer_dir(layer.name)}/{sprite.place.sheet}",
        "cell": sprite.place.cell,
        "columns": sprite.columns,
        "rows": sprite.columns,
        "cell_px": sprite.cell_px,
        "size_px": sprite.size_px,
    }
