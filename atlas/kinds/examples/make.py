"""Examples: the parts of photographs that units respond to, cropped to the receptive field.

Each unit has a strip of examples with a fixed layout, as the site shows it: on the left its nine
strongest photographs, on the right a strong, a middle and a weak one, from top to bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from atlas.kinds.examples import STRIPS_PER_ROW, ExamplesRecord, ExamplesSpec
from atlas.kinds.natural import NaturalRecord, Sightings
from atlas.kinds.natural.album import Album
from atlas.kinds.natural.window import window_of
from atlas.pictures.panel import Panel
from atlas.pictures.picture import Picture
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer, Unit

GREY = 128  # level between examples, and where examples are missing


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Picture] | list[Panel]]:
    """Sheets of examples for all jobs, layer after layer.

    Raises:
        CacheError: a photograph is no image any more.
        ImagesError: a photograph cannot be read now.
    """
    assert renderer.images, "such jobs are planned only where there are photographs"
    album = Album(renderer.images, renderer.network.facts.preprocessing)
    for job in jobs:
        (entry,) = renderer.entries(job.sources).values()
        natural = entry.record(NaturalRecord, job.layer.score_name)
        if natural.n_images:
            yield example_sheets(job.layer, job.units, natural, album, job.spec)
        else:
            yield [Panel(unit, ExamplesRecord()) for unit in job.units]


def example_sheets(
    layer: Layer,
    firsts: Sequence[Unit],
    natural: NaturalRecord,
    album: Album,
    spec: ExamplesSpec,
) -> list[Picture]:
    """Sheets of examples, each with the strips of nine units.

    Args:
        layer: the units' layer.
        firsts: the first unit of each sheet.
        natural: the responses of the layer's units to the photographs.
        album: loads the photographs.
        spec: gives the sizes.

    Raises:
        CacheError: a photograph is no image any more.
        ImagesError: a photograph cannot be read now.
    """
    return [_sheet(layer, first, natural, album, spec) for first in firsts]


def _sheet(
    layer: Layer, first: Unit, natural: NaturalRecord, album: Album, spec: ExamplesSpec
) -> Picture:
    width, height = spec.layout(layer).size_px
    sheet = np.full((STRIPS_PER_ROW * height, STRIPS_PER_ROW * width, 3), GREY, np.uint8)
    for cell, unit in enumerate(layer.units[first.index : first.index + STRIPS_PER_ROW**2]):
        row, column = divmod(cell, STRIPS_PER_ROW)
        rows = slice(row * height, (row + 1) * height)
        columns = slice(column * width, (column + 1) * width)
        sheet[rows, columns] = _strip(layer, unit, natural, album, spec)
    return Picture(first, sheet, ExamplesRecord())


def _strip(
    layer: Layer, unit: Unit, natural: NaturalRecord, album: Album, spec: ExamplesSpec
) -> Pixels:
    layout, size_px = spec.layout(layer), spec.image_px
    width, height = layout.size_px
    strip = np.full((height, width, 3), GREY, np.uint8)
    parts: tuple[tuple[Sightings | None, int, int], ...] = (
        (natural.top, 0, layout.top_columns),
        (natural.spread, layout.top_columns, layout.columns - layout.top_columns),
    )
    for sightings, first_column, n_columns in parts:
        for nth, (file, *position, _) in enumerate(sightings[unit.index] if sightings else ()):
            top, left, side_px = window_of(layer, size_px, *(int(each) for each in position))
            crop = album.get(natural.files[int(file)])[top : top + side_px, left : left + side_px]
            row, column = divmod(nth, n_columns)
            x, y = layout.corner_px(row, first_column + column)
            strip[y : y + layout.side_px, x : x + layout.side_px] = _resized(crop, layout.side_px)
    return strip


def _resized(crop: Pixels, side_px: int) -> Pixels:
    if len(crop) == side_px:
        return crop
    method = cv2.INTER_AREA if len(crop) > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=method), np.uint8)
