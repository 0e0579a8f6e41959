"""Sprite sheets: many small pictures in one file, because a site may have only so many files.

A sheet is a fixed grid of square cells, padded where pictures are missing, so that two class
names of the style sheet place any cell, whatever the size of the pictures.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageOps

LAYOUT_VERSION = 1  # raise it when the same pictures should give other bytes


@dataclass(frozen=True)
class SheetKind:
    """How one kind of sheet is laid out and encoded."""

    stem: str
    columns: int  # and as many rows
    cell_px: int | None  # None: as large as the largest picture of the sheet
    lossless: bool = False
    quality: int = 45

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


THUMBS = SheetKind("thumbs", columns=8, cell_px=64)
COVERS = SheetKind("covers", columns=8, cell_px=96, quality=60)
FILTERS = SheetKind("filters", columns=4, cell_px=None, lossless=True)


def compose(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """One encoded sheet.

    Args:
        kind: the layout.
        pictures: encoded pictures by cell.

    Raises:
        OSError: bytes that are not a picture.
    """
    if kind.lossless:
        return _compose_lossless(kind, pictures)
    assert kind.cell_px is not None
    sheet = Image.new("RGB", (kind.columns * kind.cell_px,) * 2, (128, 128, 128))
    for cell, data in pictures.items():
        row, column = divmod(cell, kind.columns)
        sheet.paste(_thumbnail(data, kind.cell_px), (column * kind.cell_px, row * kind.cell_px))
    return _encode(sheet, quality=kind.quality, method=4)


def _compose_lossless(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """Pictures pixel for pixel, each in the middle of its cell; what is left is transparent."""
    decoded = {cell: Image.open(io.BytesIO(data)) for cell, data in pictures.items()}
    cell_px = max(max(picture.size) for picture in decoded.values())
    sheet = Image.new("RGBA", (kind.columns * cell_px,) * 2)
    for cell, picture in decoded.items():
        row, column = divmod(cell, kind.columns)
        left = column * cell_px + (cell_px - picture.width) // 2
        top = row * cell_px + (cell_px - picture.height) // 2
        sheet.paste(picture.convert("RGBA"), (left, top))
    return _encode(sheet, lossless=True, quality=50, method=2)


def _thumbnail(data: bytes, size_px: int) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    # Whole-factor reduction first: as good for thumbnails and several times faster.
    reduced = picture.reduce(max(1, min(picture.size) // (2 * size_px)))
    return ImageOps.fit(reduced, (size_px, size_px), Image.Resampling.LANCZOS)


def _encode(sheet: Image.Image, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", **options)
    return buffer.getvalue()
