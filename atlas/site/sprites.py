"""Sprite sheets: many small pictures in one file, because a site may have only so many files.

A sheet is a fixed grid, padded where pictures are missing. Sheets of thumbnails are square, so that
two class names of the style sheet place any cell.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image, ImageOps

LAYOUT_VERSION = 1  # raise it when the same pictures should give other bytes


@dataclass(frozen=True)
class SheetKind:
    """How one kind of sheet is laid out and encoded."""

    stem: str
    columns: int  # and as many rows
    cell_px: int | None  # None: each sheet's cells are as large as its largest picture, untouched
    quality: int = 42

    @property
    def n_cells(self) -> int:
        """Cells of one sheet."""
        return self.columns**2

    def file_name(self, number: int) -> str:
        """`thumbs-03.webp`."""
        return f"{self.stem}-{number:02d}.webp"

    def place(self, position: int) -> Place:
        """Where the picture at `position`, counted over all sheets, is found."""
        number, cell = divmod(position, self.n_cells)
        row, column = divmod(cell, self.columns)
        return Place(self.file_name(number), cell, column, row)


@dataclass(frozen=True)
class Place:
    """One cell of one sheet."""

    sheet: str  # file name
    cell: int  # in reading order
    column: int
    row: int


# Few cells, so that a first screen loads few that it does not show.
THUMBS = SheetKind("thumbs", columns=6, cell_px=64)
COVERS = SheetKind("covers", columns=6, cell_px=96, quality=60)
FILTERS = SheetKind("filters", columns=4, cell_px=None)


def compose(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """One encoded sheet.

    Args:
        kind: the layout.
        pictures: encoded pictures by cell.

    Raises:
        OSError: bytes that are not a picture.
    """
    if kind.cell_px is None:
        return _compose_untouched(kind, pictures)
    sheet = Image.new("RGB", (kind.columns * kind.cell_px,) * 2, (128, 128, 128))
    for cell, data in pictures.items():
        row, column = divmod(cell, kind.columns)
        sheet.paste(_thumbnail(data, kind.cell_px), (column * kind.cell_px, row * kind.cell_px))
    return _encode(sheet, quality=kind.quality, method=2)


def cell_size_px(sizes_px: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Width and height of the cells of a sheet whose pictures are left untouched."""
    widths, heights = zip(*sizes_px, strict=True)
    return max(widths), max(heights)


def _compose_untouched(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """Pictures pixel for pixel, each in the upper left of its cell."""
    decoded = {cell: Image.open(io.BytesIO(data)) for cell, data in pictures.items()}
    width, height = cell_size_px(picture.size for picture in decoded.values())
    sheet = Image.new("RGB", (kind.columns * width, kind.columns * height))
    for cell, picture in decoded.items():
        row, column = divmod(cell, kind.columns)
        sheet.paste(picture.convert("RGB"), (column * width, row * height))
    # More effort makes these few-coloured sheets hardly smaller.
    return _encode(sheet, lossless=True, quality=20, method=1)


def _thumbnail(data: bytes, size_px: int) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    # Whole-factor reduction first: as good for thumbnails and several times faster.
    reduced = picture.reduce(max(1, min(picture.size) // (2 * size_px)))
    return ImageOps.fit(reduced, (size_px, size_px), Image.Resampling.LANCZOS)


def _encode(sheet: Image.Image, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", **options)
    return buffer.getvalue()
