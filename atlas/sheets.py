"""Layout of sprite sheets: where each picture is, and how a sheet is encoded.

A sheet is a fixed grid, padded where pictures are missing. `atlas/site/sprites.py` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from atlas import paths

BLOCK_PX = 16  # side of a block of lossy WebP; a block in two cells mixes their colours
SMALL_PX = 48  # smaller pictures are lossless, and are enlarged without smoothing
TINY_PX = 24  # smaller pictures on a sheet are lossless
COMPANION_PX = 112  # largest side of a unit's companion pictures, which are shown small

Size = tuple[int, int]  # width and height


@dataclass(frozen=True)
class SheetKind:
    """How one kind of sheet is laid out and encoded."""

    stem: str
    columns: int  # and as many rows
    cell_px: int | None  # None: pictures keep their own size, and cells are as large as the largest
    quality: int = 42
    lossless_below_px: float = 0  # pictures of their own size below this are lossless
    largest_px: float = math.inf  # pictures of their own size above this are reduced to it
    wanted_bytes: float = math.inf  # of a sheet; the quality of larger sheets is reduced

    @property
    def n_cells(self) -> int:
        """Number of cells of one sheet."""
        return self.columns**2

    def is_lossless(self, sizes_px: Iterable[Size]) -> bool:
        """Whether a sheet of pictures of these original sizes is lossless."""
        return max(map(max, sizes_px)) < self.lossless_below_px

    def fitted_px(self, size_px: Size) -> Size:
        """The size on a sheet of a picture of this original size."""
        scale = min(1.0, self.largest_px / max(size_px))
        return round(size_px[0] * scale), round(size_px[1] * scale)

    def cell_size_px(self, sizes_px: Iterable[Size]) -> Size:
        """Width and height of the cells of a sheet of pictures of these original sizes."""
        sizes_px = list(sizes_px)
        block_px = 1 if self.is_lossless(sizes_px) else BLOCK_PX
        fitted_px = (self.fitted_px(size_px) for size_px in sizes_px)
        width, height = (max(sides) for sides in zip(*fitted_px, strict=True))
        return math.ceil(width / block_px) * block_px, math.ceil(height / block_px) * block_px

    def place(self, position: int) -> SheetPlace:
        """The place of the picture at `position`, counted over all sheets."""
        number, cell = divmod(position, self.n_cells)
        row, column = divmod(cell, self.columns)
        return SheetPlace(paths.sheet_name(self.stem, number), cell, column, row)


class SheetPlace(NamedTuple):
    """One cell of one sheet."""

    sheet: str  # file name
    cell: int  # in reading order
    column: int
    row: int


class Sprite(NamedTuple):
    """A picture in the upper left of a cell."""

    place: SheetPlace
    columns: int
    cell_px: Size
    size_px: Size

    @property
    def sheet_px(self) -> Size:
        """Size of the whole sheet."""
        return self.columns * self.cell_px[0], self.columns * self.cell_px[1]

    @property
    def corner_px(self) -> Size:
        """Left and top of the picture on its sheet."""
        return self.place.column * self.cell_px[0], self.place.row * self.cell_px[1]
