"""Examples: the parts of photographs that units respond to, cropped to the receptive field.

Each unit has a strip of examples with a fixed layout, as the site shows it: on the left its nine
strongest photographs, on the right a strong, a middle and a weak one, from top to bottom.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from atlas.decoding import Skipped
from atlas.errors import CacheError
from atlas.images import ImageSet
from atlas.kinds.examples import STRIPS_PER_ROW, ExamplesRecord, ExamplesSpec
from atlas.kinds.natural import NaturalRecord, Sightings
from atlas.pictures.panel import Panel
from atlas.pictures.picture import Picture
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.text import displayable_name
from atlas.units import Layer, Preprocessing, Unit

MAX_LOADED = 2000  # photographs in memory: 0.3 GB at 224 px
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


class Album:
    """Photographs as the network takes them; those used last are kept in memory."""

    def __init__(self, photographs: ImageSet, preprocessing: Preprocessing) -> None:
        self._photographs, self._preprocessing = photographs, preprocessing
        self._loaded: OrderedDict[str, Pixels] = OrderedDict()

    def get(self, file: str) -> Pixels:
        """One photograph, (size_px, size_px, 3).

        Raises:
            CacheError: it is no image any more, though responses to it were measured.
            ImagesError: it cannot be read now.
        """
        pixels = self._loaded.pop(file, None)
        if pixels is None:
            loaded = self._photographs.load(file, self._preprocessing)
            if isinstance(loaded, Skipped):
                raise CacheError(
                    f"{displayable_name(file)} was an image and is none any more "
                    f"({loaded.reason}); put it back, then build again"
                )
            pixels = loaded
        self._loaded[file] = pixels
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return pixels


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


def window(layer: Layer, size_px: int, row: int, column: int) -> tuple[int, int, int]:
    """The receptive field of a map position: top, left and side in pixels of the image.

    A field that reaches over an edge is moved inside the image. A field that is larger than the
    image is replaced by the whole image.
    """
    side_px = min(layer.receptive_field_px, size_px)
    reach_px = (layer.receptive_field_px - 1) / 2
    top, left = (
        round(
            min(
                max(layer.field_centre_px + position * layer.total_stride_px - reach_px, 0),
                size_px - side_px,
            )
        )
        for position in (row, column)
    )
    return top, left, side_px


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
            top, left, side_px = window(layer, size_px, *(int(each) for each in position))
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
