"""Photographs as pages show them whole: which there are, and which part of each a unit sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from atlas.canonical import canonical_json
from atlas.kinds.natural import KIND, NaturalRecord
from atlas.kinds.natural.window import window_of
from atlas.kinds.photographs import KIND as PHOTOGRAPHS
from atlas.site.contents import Contents
from atlas.units import Layer

N_IN_GRID = 4  # strongest photographs of a unit in the grid of its layer
PARTS = 1000  # of the side of a photograph, in which parts of it are measured
SCRIPT_VARIABLE = b"self.atlasPhotographs = "


class Part(NamedTuple):
    """A square part of a whole photograph, in thousandths of its side."""

    number: int  # of the photograph's file
    left: int
    top: int
    side: int


def numbers_of_wholes(contents: Contents) -> Mapping[str, int]:
    """By name, the number of each photograph that is on the site as a whole."""
    numbers: Mapping[str, int] = contents.prepared.get(PHOTOGRAPHS.name, {})
    return numbers


def part_of(
    contents: Contents, layer: Layer, record: NaturalRecord, sighting: Sequence[float]
) -> Part | None:
    """What a unit sees in a photograph, None if that is not on the site."""
    file, row, column, _ = sighting
    number = numbers_of_wholes(contents).get(record.files[int(file)])
    if number is None:
        return None
    image_px = contents.facts.input_size_px
    window = window_of(layer, image_px, int(row), int(column))
    side = max(1, round(PARTS * window.side_px / image_px))
    left = min(round(PARTS * window.left_px / image_px), PARTS - side)
    top = min(round(PARTS * window.top_px / image_px), PARTS - side)
    return Part(number, left, top, side)


def units_shown(contents: Contents, layer: Layer) -> Sequence[int]:
    """The units of a layer that whole photographs are shown for."""
    record = contents.layer_record(layer, KIND)
    if record is None or record.top is None or not numbers_of_wholes(contents):
        return ()
    return [index for index, sightings in enumerate(record.top) if sightings]


def grid_script(contents: Contents, layer: Layer) -> bytes:
    """What the grid of a layer shows of photographs, as a script.

    For each unit of the layer, the parts of its strongest photographs: [number, left, top, side].
    """
    record = contents.layer_record(layer, KIND)
    assert record is not None and record.top is not None  # else no unit is shown
    units = [
        [part_of(contents, layer, record, each) for each in sightings[:N_IN_GRID]]
        for sightings in record.top
    ]
    data = [[part for part in parts if part] for parts in units]
    return SCRIPT_VARIABLE + canonical_json(data).encode() + b";\n"
