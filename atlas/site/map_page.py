"""The map of all units: its page, the data that its script reads, and its tiles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from atlas import paths
from atlas.canonical import canonical_json
from atlas.kinds.kind import SELECTIVE
from atlas.kinds.map import KIND, MapRecord
from atlas.kinds.map.pyramid import CELL_PX, TILE_PX, Pyramid
from atlas.kinds.names.view import names_in
from atlas.kinds.natural import KIND as NATURAL
from atlas.kinds.similar import KIND as SIMILAR
from atlas.kinds.similar import Basis
from atlas.kinds.tuning import KIND as TUNING
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Head, Link, counted_units, data_attributes, layer_link
from atlas.site.search_index import Numbered
from atlas.units import Layer

MAP_VARIABLE = b"self.atlasMap = "  # of the map's data, which are a script
NEIGHBOURS: Mapping[Basis, str] = {
    "photographs": "The similar units that a unit’s page lists are found by their answers to "
    "photographs instead, so they need not lie near it here.",
    "pictures": "The similar units that a unit’s page lists are found by the same likeness.",
}
HUE_STEP_DEG = 10
NO_HUE = -1


@dataclass(frozen=True)
class LayerOnMap:
    """A layer in the list of what the map shows."""

    link: Link
    words: str


@dataclass(frozen=True)
class MapPage:
    """View of `map.html`."""

    head: Head
    n_shown: str
    placing: str  # how places were found, in a sentence
    neighbours: str  # whether similar units are found alike, in a sentence; empty if none are known
    left_out: tuple[str, ...]  # sentences about units that are not on the map
    overview: str  # path of the picture of the whole map
    overview_px: tuple[int, int]
    settings: Markup  # sizes of the map, as data attributes
    layers: tuple[LayerOnMap, ...]


def map_record(contents: Contents) -> MapRecord:
    """The record of the map; only if there is one."""
    record = contents.layer_record(contents.facts.layers[0], KIND)
    assert record
    return record


def pyramid_of(record: MapRecord) -> Pyramid:
    """The sizes of the map's picture."""
    return Pyramid.of(len(record.places), record.n_columns)


def map_view(contents: Contents) -> MapPage:
    """The page of the map."""
    record, facts = map_record(contents), contents.facts
    pyramid = pyramid_of(record)
    cell_px = pyramid.overview.cell_px
    n_shown = wording.count(len(record.places))
    return MapPage(
        head=Head(
            title=f"Map · Atlas of {facts.name}",
            description=f"{n_shown} units of {facts.name} on one map: pictures that are alike lie "
            "together.",
            root="",
            section="map",
        ),
        n_shown=n_shown,
        placing=_placing(record),
        neighbours=_neighbours(contents),
        left_out=tuple(_left_out(contents, record)),
        overview=paths.map_tile(*pyramid.overview),
        overview_px=(pyramid.n_columns * cell_px, pyramid.n_rows * cell_px),
        settings=data_attributes(
            columns=pyramid.n_columns,
            rows=pyramid.n_rows,
            cell=CELL_PX,
            tile=TILE_PX,
            overview=cell_px,
            path=paths.MAP_TILE,
        ),
        layers=tuple(
            LayerOnMap(layer_link(layer.name, ""), counted_units(layer, len(units)))
            for layer in facts.layers
            if (units := contents.pictured(layer))
        ),
    )


def _placing(record: MapRecord) -> str:
    """How places were found."""
    begun = (
        f"t-SNE ({record.library}) laid them out in a plane, from where they were moved to cells"
        if record.library
        else "all began in random cells"
    )
    return (
        f"How pictures got their places: {begun}; then pairs were exchanged as long as both came "
        "closer to what is like them."
    )


def _neighbours(contents: Contents) -> str:
    """Whether similar units on the pages of units are found by the likeness of the map."""
    records = (contents.layer_record(layer, SIMILAR) for layer in contents.facts.layers)
    return next((NEIGHBOURS[record.basis] for record in records if record), "")


def _left_out(contents: Contents, record: MapRecord) -> Iterator[str]:
    """How many units are not on the map, and why."""
    if record.n_dead:
        are = "unit is" if record.n_dead == 1 else "units are"
        yield f"{wording.count(record.n_dead)} dead {are} left out."
    n_missing = contents.facts.n_units - len(record.places) - record.n_dead
    if n_missing:
        have = "unit has" if n_missing == 1 else "units have"
        yield f"{wording.count(n_missing)} {have} no picture so far."


def map_data(contents: Contents) -> bytes:
    """What is on the map, as a script: pages opened from disk may not fetch JSON.

    Units are numbered from the first of the first layer to the last of the last; `hues`, `classes`
    and `names` are in the order of cells, like `units`. `classes` and `names` are positions in
    `words` plus one, or 0 for none.
    """
    record, facts = map_record(contents), contents.facts
    firsts = [0, *itertools.accumulate(layer.n_units for layer in facts.layers)]
    words = Numbered(())
    hues = [_hues(contents, layer) for layer in facts.layers]
    classes = [[*map(words.of, _classes(contents, layer))] for layer in facts.layers]
    names = [[*map(words.of, _names(contents, layer))] for layer in facts.layers]
    data = {
        "layers": [[layer.name, layer.n_units] for layer in facts.layers],
        "units": [firsts[layer] + channel for layer, channel in record.places],
        "hues": [hues[layer][channel] for layer, channel in record.places],
        "classes": [classes[layer][channel] for layer, channel in record.places],
        "names": [names[layer][channel] for layer, channel in record.places],
        "words": words.texts,
    }
    return MAP_VARIABLE + canonical_json(data).encode() + b";\n"


def _hues(contents: Contents, layer: Layer) -> Sequence[int]:
    """By unit, the hue that it prefers in steps of 10 degrees, or -1 if it prefers none."""
    record = contents.layer_record(layer, TUNING)
    if record is None or layer.is_classifier:  # logits have no scale that hues could be compared by
        return [NO_HUE] * layer.n_units
    return [
        NO_HUE if angle is None or not is_selective(selectivity) else _step(angle)
        for angle, selectivity in zip(record.hue_deg, record.hue_selectivity, strict=True)
    ]


def _step(angle_deg: float) -> int:
    return round(angle_deg / HUE_STEP_DEG) % (360 // HUE_STEP_DEG)


def _classes(contents: Contents, layer: Layer) -> Sequence[str]:
    """By unit, the class that it stands for, or that photographs drive it most by; else nothing."""
    if layer.is_classifier:
        return [contents.label(layer, index) or "" for index in range(layer.n_units)]
    record = contents.layer_record(layer, NATURAL)
    if record is None or record.favourite is None or record.selectivity is None:
        return [""] * layer.n_units
    return [
        "" if favourite is None or not is_selective(selectivity) else record.classes[favourite]
        for favourite, selectivity in zip(record.favourite, record.selectivity, strict=True)
    ]


def _names(contents: Contents, layer: Layer) -> Sequence[str]:
    """By unit, what it is called beside its number: its class or its name; else nothing."""
    return [name or "" for name in names_in(contents, layer)]


def is_selective(selectivity: float | None) -> bool:
    """Whether a preference means anything."""
    return selectivity is not None and selectivity >= SELECTIVE
