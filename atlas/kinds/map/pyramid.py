"""The picture of the map in several sizes, cut into tiles; a cell is a square in each of them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlas.thumbnails import decode, thumbnail

CELL_PX = 64  # in the largest size
TILE_PX = 1024
OVERVIEW_PX = 1600  # longer side at most of the smallest size, which is one tile
QUALITY = 42
OVERVIEW_QUALITY = 30  # 0.5 MB instead of 0.7 for 27,560 pictures

Drawing = NDArray[np.uint8]  # (height, width, 4): BGR, and 0 where there is no picture, else 255


class Tile(NamedTuple):
    """A piece of one size of the map."""

    cell_px: int  # of this size
    column: int  # in tiles
    row: int


@dataclass(frozen=True)
class Pyramid:
    """The sizes of a map; each is half as large as the one before.

    `n_columns` and `n_rows` are those of the grid, in cells.
    """

    n_columns: int
    n_rows: int

    @classmethod
    def of(cls, n_units: int, n_columns: int) -> Pyramid:
        """The pyramid of a grid that is filled row by row."""
        return cls(n_columns, math.ceil(n_units / n_columns))

    @property
    def cells_px(self) -> tuple[int, ...]:
        """Sides of a cell, from the largest size to the smallest, which is the overview."""
        sides = [CELL_PX]
        while sides[-1] > 1 and sides[-1] * max(self.n_columns, self.n_rows) > OVERVIEW_PX:
            sides.append(sides[-1] // 2)
        return tuple(sides)

    @property
    def overview(self) -> Tile:
        """The tile that shows everything."""
        return Tile(self.cells_px[-1], 0, 0)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, from the largest size to the smallest, row by row."""
        for cell_px in self.cells_px[:-1]:
            for row in range(math.ceil(self.n_rows * cell_px / TILE_PX)):
                for column in range(math.ceil(self.n_columns * cell_px / TILE_PX)):
                    yield Tile(cell_px, column, row)
        yield self.overview


def columns_for(n_units: int) -> int:
    """Cells in a row of a grid that is a third wider than high."""
    return math.ceil(math.sqrt(n_units * 4 / 3))


def draw(pyramid: Pyramid, read: Sequence[Callable[[], bytes]]) -> Iterator[bytes]:
    """The encoded tiles, in the order of `Pyramid.tiles`.

    Only one tile of the largest size is in memory at once, with the whole next size.

    Args:
        pyramid: the sizes.
        read: by cell, gives an encoded picture.

    Raises:
        OSError: bytes that are not a picture.
    """
    largest, *smaller = pyramid.cells_px
    reduced = _empty(pyramid.n_rows * largest // 2, pyramid.n_columns * largest // 2)
    for tile in (each for each in pyramid.tiles() if each.cell_px == largest):
        drawn = _draw_tile(pyramid, tile, read)
        yield _encode(drawn, QUALITY)
        _paste(reduced, _halved(drawn), tile.row * TILE_PX // 2, tile.column * TILE_PX // 2)
    for cell_px in smaller:
        for tile in (each for each in pyramid.tiles() if each.cell_px == cell_px):
            quality = OVERVIEW_QUALITY if tile == pyramid.overview else QUALITY
            yield _encode(_cut(reduced, pyramid, tile), quality)
        reduced = _halved(reduced)


def _draw_tile(pyramid: Pyramid, tile: Tile, read: Sequence[Callable[[], bytes]]) -> Drawing:
    n = TILE_PX // CELL_PX
    whole = tile == pyramid.overview
    rows = range(pyramid.n_rows)[slice(None) if whole else slice(tile.row * n, tile.row * n + n)]
    first = 0 if whole else tile.column * n
    last = pyramid.n_columns if whole else min(first + n, pyramid.n_columns)
    drawn = _empty(len(rows) * CELL_PX, (last - first) * CELL_PX)
    for top, row in enumerate(rows):
        begin = row * pyramid.n_columns
        for left, picture in enumerate(read[begin + first : begin + last]):
            cell = np.full((CELL_PX, CELL_PX, 4), 255, np.uint8)
            cell[..., :3] = thumbnail(decode(picture()), CELL_PX)
            _paste(drawn, cell, top * CELL_PX, left * CELL_PX)
    return drawn


def _cut(drawing: Drawing, pyramid: Pyramid, tile: Tile) -> Drawing:
    if tile == pyramid.overview:
        return drawing
    top, left = tile.row * TILE_PX, tile.column * TILE_PX
    return drawing[top : top + TILE_PX, left : left + TILE_PX]


def _empty(height_px: int, width_px: int) -> Drawing:
    return np.zeros((height_px, width_px, 4), np.uint8)


def _paste(drawing: Drawing, part: Drawing, top: int, left: int) -> None:
    drawing[top : top + part.shape[0], left : left + part.shape[1]] = part


def _halved(drawing: Drawing) -> Drawing:
    size_px = drawing.shape[1] // 2, drawing.shape[0] // 2
    return np.asarray(cv2.resize(drawing, size_px, interpolation=cv2.INTER_AREA), np.uint8)


def _encode(drawing: Drawing, quality: int) -> bytes:
    """Lossy WebP, without transparency where every cell has a picture."""
    is_full = bool(drawing[..., 3].all())
    image = Image.fromarray(cv2.cvtColor(drawing, cv2.COLOR_BGRA2RGBA))
    buffer = io.BytesIO()
    (image.convert("RGB") if is_full else image).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()
