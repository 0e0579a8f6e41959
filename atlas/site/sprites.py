"""Sprite sheets: many small pictures in one file, because a site may have only so many files.

A sheet is a fixed grid, padded where pictures are missing. Thumbnails are fitted to square cells,
so that two class names of the style sheet place any of them. Other pictures keep their own size up
to a limit, each in the upper left of its cell.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image, ImageOps

from atlas.spec import N_TWINS, SMALL_PX, twin_indices
from atlas.units import Kind, Layer

LAYOUT_VERSION = 1  # raise it when the same pictures should give other bytes
BLOCK_PX = 16  # lossy WebP works in such blocks: one that two cells share mixes their colours
THUMB_PX = 64
COMPANION_PX = 144  # of a unit's second pictures, which are shown smaller than its first

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


@dataclass(frozen=True)
class Sprite:
    """A picture in the upper left of a cell."""

    place: Place
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


# Few cells, so that a first screen loads few that it does not show.
THUMBS = SheetKind("thumbs", columns=6, cell_px=THUMB_PX)
COVERS = SheetKind("covers", columns=6, cell_px=160, quality=50)
MOSAICS = SheetKind("mosaics", columns=6, cell_px=96, quality=60)
FILTERS = SheetKind("filters", columns=4, cell_px=None, lossless_below_px=math.inf)
# Reduced: a page that shows one loads nine, and the site must stay below a gigabyte.
INHIBITORY = SheetKind("inhibitory", columns=3, cell_px=None, quality=42, largest_px=COMPANION_PX)
FIELDS = SheetKind("fields", columns=4, cell_px=None, quality=70, lossless_below_px=SMALL_PX)
TWINS = SheetKind(  # all of a layer's on one
    "twins",
    columns=math.isqrt(N_TWINS - 1) + 1,
    cell_px=None,
    quality=60,
    lossless_below_px=SMALL_PX,
    largest_px=COMPANION_PX,
)
OF_OWN_SIZE: Mapping[Kind, SheetKind] = {
    "filter": FILTERS,
    "inhibitory": INHIBITORY,
    "field": FIELDS,
    "twin": TWINS,
}


def place_of(kind: Kind, layer: Layer, index: int) -> Place:
    """Where a unit's picture of its own size is found."""
    position = twin_indices(layer).index(index) if kind == "twin" else index
    return OF_OWN_SIZE[kind].place(position)


def compose(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """One encoded sheet.

    Args:
        kind: the layout.
        pictures: encoded pictures by cell.

    Raises:
        OSError: bytes that are not a picture.
    """
    if kind.cell_px is None:
        return _compose_own_sizes(kind, pictures)
    sheet = Image.new("RGB", (kind.columns * kind.cell_px,) * 2, (128, 128, 128))
    for cell, data in pictures.items():
        row, column = divmod(cell, kind.columns)
        sheet.paste(_thumbnail(data, kind.cell_px), (column * kind.cell_px, row * kind.cell_px))
    return _encode(sheet, quality=kind.quality, method=2)


def _compose_own_sizes(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    decoded = {cell: Image.open(io.BytesIO(data)).convert("RGB") for cell, data in pictures.items()}
    sizes_px = [picture.size for picture in decoded.values()]
    width, height = kind.cell_size_px(sizes_px)
    sheet = Image.new("RGB", (kind.columns * width, kind.columns * height))
    lossless = kind.is_lossless(sizes_px)
    for cell, whole in decoded.items():
        picture = whole.resize(kind.fitted_px(whole.size), Image.Resampling.LANCZOS)
        row, column = divmod(cell, kind.columns)
        corner = (column * width, row * height)
        if not lossless:  # the rest of a block is less seen in the picture if it is like it
            sheet.paste(picture.resize((width, height)), corner)
        sheet.paste(picture, corner)
    if lossless:
        # More effort makes these few-coloured sheets hardly smaller.
        return _encode(sheet, lossless=True, quality=20, method=1)
    return _encode(sheet, quality=kind.quality, method=4)


def _thumbnail(data: bytes, size_px: int) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    # Whole-factor reduction first: as good for thumbnails and several times faster.
    reduced = picture.reduce(max(1, min(picture.size) // (2 * size_px)))
    return ImageOps.fit(reduced, (size_px, size_px), Image.Resampling.LANCZOS)


def _encode(sheet: Image.Image, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", **options)
    return buffer.getvalue()
