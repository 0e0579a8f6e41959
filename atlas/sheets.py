"""Layout of sprite sheets: where each picture stands, and how a sheet is encoded.

A sheet is a fixed grid, padded where pictures are missing. `atlas/site/sprites.py` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from atlas import paths

BLOCK_PX = 16  # lossy WebP works in such blocks: one that two cells share mixes their colours
SMALL_PX = 48  # pictures smaller than this keep every bit, and are shown with their pixels apart
TINY_PX = 24  # pictures on a sheet smaller than this keep every bit
COMPANION_PX = 112  # of a unit's second pictures, which are shown smaller than its first

Size = tuple[int, int]  # width and height


@dataclass(frozen=True)
class SheetKind:
    """How one kind of sheet is laid out and encoded."""

    stem: str
    columns: int  # and as many rows
    cell_px: int | None  # None: pictures keep their own size, and cells are as large as the largest
    quality: int = 42
    lossless_below_px: float = 0  # pictures of their own size below this keep every bit
    largest_px: float = math.inf  # pictures of their own size above this are reduced to it
    wanted_bytes: float = math.inf  # of a sheet: fine textures cost quality before they cost more

    @property
    def n_cells(self) -> int:
        """Cells of one sheet."""
        return self.columns**2

    def is_lossless(self, sizes_px: Iterable[Size]) -> bool:
        """Whether a sheet keeps every bit of pictures of these own sizes."""
        return max(map(max, sizes_px)) < self.lossless_below_px

    def fitted_px(self, size_px: Size) -> Size:
        """The size at which a picture of this own size is kept."""
        scale = min(1.0, self.largest_px / max(size_px))
        return round(size_px[0] * scale), round(size_px[1] * scale)

    def cell_size_px(self, sizes_px: Iterable[Size]) -> Size:
        """Width and height of the cells of a sheet of pictures of these own sizes."""
        sizes_px = list(sizes_px)
        block_px = 1 if self.is_lossless(sizes_px) else BLOCK_PX
        fitted_px = (self.fitted_px(size_px) for size_px in sizes_px)
        width, height = (max(sides) for sides in zip(*fitted_px, strict=True))
        return math.ceil(width / block_px) * block_px, math.ceil(height / block_px) * block_px

    def place(self, position: int) -> SheetPlace:
        """Where the picture at `position`, counted over all sheets, stands."""
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
        """Of the whole sheet."""
        return self.columns * self.cell_px[0], self.columns * self.cell_px[1]

    @property
    def corner_px(self) -> Size:
        """Where the picture begins, from the left and from the top."""
        return self.place.column * self.cell_px[0], self.place.row * self.cell_px[1]
