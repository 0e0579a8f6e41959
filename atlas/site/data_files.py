"""The atlas for programs: `manifest.json`, each layer's `units.json`, and the search index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.sprites import FILTERS, THUMBS, Place, SheetKind
from atlas.site.views import Contents
from atlas.units import Layer, Unit, canonical_json, layer_dir, picture_path, unit_page

SCHEMA_VERSION = 1


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
                "excitatory": _n_made(contents, "excitatory"),
                "filter": _n_made(contents, "filter"),
            },
            "layers": [_layer(contents, layer) for layer in facts.layers],
        }
    )


def units(contents: Contents, layer: Layer) -> bytes:
    """Every unit of a layer, rendered or not. Paths are relative to the manifest."""
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "layer": layer.name,
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


def _n_made(contents: Contents, kind: str) -> int:
    return sum(kind in pictures for pictures in contents.entries.values())


def _layer(contents: Contents, layer: Layer) -> dict[str, Any]:
    folder = layer_dir(layer.name)
    return {
        **dataclasses.asdict(layer),
        "page": f"{folder}/index.html",
        "units": f"{folder}/units.json",
        "n_pages": len(contents.paged[layer.name]),
        "recipe": contents.spec.layers.get(layer.name),
    }


def _unit(contents: Contents, layer: Layer, unit: Unit) -> dict[str, Any]:
    made = contents.entries.get(unit.id, {})
    facts: dict[str, Any] = {
        "id": unit.id,
        "index": unit.index,
        "page": unit_page(unit) if made else None,
        "pictures": _pictures(contents, layer, unit, made),
        "numbers": {kind: entry.numbers for kind, entry in made.items()},
    }
    if layer.kind == "classifier":
        facts["label"] = contents.label(layer, unit.index)
    return facts


def _pictures(
    contents: Contents, layer: Layer, unit: Unit, made: Mapping[str, Entry]
) -> dict[str, Any]:
    pictures: dict[str, Any] = {}
    if excitatory := made.get("excitatory"):
        size_px = [excitatory.width_px, excitatory.height_px]
        place = THUMBS.place(unit.index)
        cell_px = [THUMBS.cell_px, THUMBS.cell_px]
        pictures["excitatory"] = {"path": picture_path(unit), "size_px": size_px}
        pictures["thumbnail"] = _sprite(layer, THUMBS, place, cell_px, cell_px)
    if weights := made.get("filter"):
        place = FILTERS.place(unit.index)
        cell_px = list(contents.filter_cells[layer.name, place.sheet])
        size_px = [weights.width_px, weights.height_px]
        pictures["filter"] = _sprite(layer, FILTERS, place, cell_px, size_px)
    return pictures


def _sprite(
    layer: Layer, kind: SheetKind, place: Place, cell_px: Sequence[int | None], size_px: object
) -> dict[str, Any]:
    """A picture in the upper left of a cell; sizes are (width, height)."""
    return {
        "sheet": f"{layer_dir(layer.name)}/{place.sheet}",
        "cell": place.cell,
        "columns": kind.columns,
        "rows": kind.columns,
        "cell_px": cell_px,
        "size_px": size_px,
    }
