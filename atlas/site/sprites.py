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
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlas.spec import N_TWINS, STRIPS_PER_ROW, TINY_PX, twin_indices
from atlas.units import Kind, Layer

LAYOUT_VERSION = 1  # raise it when the same pictures should give other bytes
BLOCK_PX = 16  # lossy WebP works in such blocks: one that two cells share mixes their colours
THUMB_PX = 64
QUALITY_SHARES = (1.0, 0.75, 0.5, 0.3)  # that are tried one after the other
COMPANION_PX = 112  # of a unit's second pictures, which are shown smaller than its first

Size = tuple[int, int]  # width and height
Pixels = NDArray[np.uint8]  # (H, W, 3), BGR


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

    def file_name(self, number: int) -> str:
        """`thumbs-03.webp`."""
        return f"{self.stem}-{number:02d}.webp"

    def place(self, position: int) -> Place:
        """Where the picture at `position`, counted over all sheets, is found."""
        number, cell = divmod(position, self.n_cells)
        row, column = divmod(cell, self.columns)
        return Place(self.file_name(number), cell, column, row)


class Place(NamedTuple):
    """One cell of one sheet."""

    sheet: str  # file name
    cell: int  # in reading order
    column: int
    row: int


class Sprite(NamedTuple):
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
FILTERS = SheetKind("filters", columns=5, cell_px=None, lossless_below_px=math.inf)
# Reduced: a page that shows one loads nine, and the site must stay below a gigabyte.
INHIBITORY = SheetKind(
    "inhibitory",
    columns=3,
    cell_px=None,
    quality=38,
    largest_px=COMPANION_PX,
    wanted_bytes=28_000,
)
FIELDS = SheetKind("fields", columns=3, cell_px=None, quality=56, lossless_below_px=TINY_PX)
TWINS = SheetKind(  # all of a layer's on one
    "twins",
    columns=math.isqrt(N_TWINS - 1) + 1,
    cell_px=None,
    quality=44,
    lossless_below_px=TINY_PX,
    largest_px=COMPANION_PX,
    wanted_bytes=12_000,
)
EXAMPLES = SheetKind("examples", columns=STRIPS_PER_ROW, cell_px=None)  # made as sheets
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
    decoded = {cell: _decode(data) for cell, data in pictures.items()}
    if kind.cell_px is None:
        return _compose_own_sizes(kind, decoded)
    cell_px = kind.cell_px
    sheet = np.full((kind.columns * cell_px, kind.columns * cell_px, 3), 128, np.uint8)
    for cell, picture in decoded.items():
        _paste(sheet, _thumbnail(picture, cell_px), kind, cell, (cell_px, cell_px))
    return _encode_lossy(sheet, kind)


def _compose_own_sizes(kind: SheetKind, pictures: Mapping[int, Pixels]) -> bytes:
    sizes_px = [_size_px(picture) for picture in pictures.values()]
    width, height = cell_px = kind.cell_size_px(sizes_px)
    sheet = np.zeros((kind.columns * height, kind.columns * width, 3), np.uint8)
    lossless = kind.is_lossless(sizes_px)
    for cell, whole in pictures.items():
        picture = _resize(whole, kind.fitted_px(_size_px(whole)))
        if not lossless:  # the rest of a block is less seen in the picture if it is like it
            _paste(sheet, _resize(picture, cell_px), kind, cell, cell_px)
        _paste(sheet, picture, kind, cell, cell_px)
    if lossless:
        # More effort makes these few-coloured sheets hardly smaller.
        return _encode(sheet, lossless=True, quality=20, method=1)
    return _encode_lossy(sheet, kind)


def _paste(sheet: Pixels, picture: Pixels, kind: SheetKind, cell: int, cell_px: Size) -> None:
    """Put a picture (h, w, 3) into the upper left of a cell of a sheet (H, W, 3)."""
    row, column = divmod(cell, kind.columns)
    top, left = row * cell_px[1], column * cell_px[0]
    sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def _thumbnail(picture: Pixels, size_px: int) -> Pixels:
    """The middle square, (size_px, size_px, 3)."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(picture[top : top + side, left : left + side], (size_px, size_px))


def _resize(picture: Pixels, size_px: Size) -> Pixels:
    if _size_px(picture) == size_px:
        return picture
    smaller = size_px[0] <= picture.shape[1] and size_px[1] <= picture.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size_px, interpolation=method), dtype=np.uint8)


def _size_px(picture: Pixels) -> Size:
    return picture.shape[1], picture.shape[0]


def _decode(data: bytes) -> Pixels:
    """(H, W, 3), BGR as OpenCV has it: it takes half of Pillow's time for WebP."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise OSError("not an image")
    return np.asarray(picture, dtype=np.uint8)


def _encode_lossy(sheet: Pixels, kind: SheetKind) -> bytes:
    """At the kind's quality, or as much less as it takes to be small enough, within reason."""
    for share in QUALITY_SHARES:
        data = _encode(sheet, quality=round(share * kind.quality), method=2)
        if len(data) <= kind.wanted_bytes:
            break
    return data


def _encode(sheet: Pixels, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB)).save(buffer, "WEBP", **options)
    return buffer.getvalue()
