"""Draws sprite sheets: many small pictures in one file, because hosts limit the number of files.

Thumbnails fill square cells, so that two CSS classes, for column and row, can show any of them.
Other pictures keep their own size up to a limit, each in the upper left of its cell.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from atlas.pixels import Pixels
from atlas.sheets import SheetKind, Size
from atlas.thumbnails import decode, resize, thumbnail

LAYOUT_VERSION = 1  # raised when the same pictures give other bytes
THUMB_PX = 64
QUALITY_SHARES = (1.0, 0.75, 0.5, 0.3)  # of a sheet's quality, tried until it is small enough

# Few cells per sheet, so that the first screen loads few pictures that it does not show.
THUMBS = SheetKind("thumbs", columns=6, cell_px=THUMB_PX)
COVERS = SheetKind("covers", columns=6, cell_px=160, quality=50)
MOSAICS = SheetKind("mosaics", columns=6, cell_px=96, quality=60)


def compose(kind: SheetKind, pictures: Mapping[int, bytes]) -> bytes:
    """One encoded sheet.

    Args:
        kind: the layout.
        pictures: encoded pictures by cell.

    Raises:
        OSError: bytes that are not a picture.
    """
    decoded = {cell: decode(data) for cell, data in pictures.items()}
    if kind.cell_px is None:
        return _compose_own_sizes(kind, decoded)
    cell_px = kind.cell_px
    sheet = np.full((kind.columns * cell_px, kind.columns * cell_px, 3), 128, np.uint8)
    for cell, picture in decoded.items():
        _paste(sheet, thumbnail(picture, cell_px), kind, cell, (cell_px, cell_px))
    return _encode_lossy(sheet, kind)


def _compose_own_sizes(kind: SheetKind, pictures: Mapping[int, Pixels]) -> bytes:
    sizes_px = [_size_px(picture) for picture in pictures.values()]
    width, height = cell_px = kind.cell_size_px(sizes_px)
    sheet = np.zeros((kind.columns * height, kind.columns * width, 3), np.uint8)
    lossless = kind.is_lossless(sizes_px)
    for cell, whole in pictures.items():
        picture = resize(whole, kind.fitted_px(_size_px(whole)))
        if not lossless:  # fill the cell, because lossy blocks mix a picture with what surrounds it
            _paste(sheet, resize(picture, cell_px), kind, cell, cell_px)
        _paste(sheet, picture, kind, cell, cell_px)
    if lossless:
        # A slower method makes these sheets with few colours hardly smaller.
        return _encode(sheet, lossless=True, quality=20, method=1)
    return _encode_lossy(sheet, kind)


def _paste(sheet: Pixels, picture: Pixels, kind: SheetKind, cell: int, cell_px: Size) -> None:
    """Put a picture (h, w, 3) into the upper left of a cell of a sheet (H, W, 3)."""
    row, column = divmod(cell, kind.columns)
    top, left = row * cell_px[1], column * cell_px[0]
    sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def _size_px(picture: Pixels) -> Size:
    return picture.shape[1], picture.shape[0]


def _encode_lossy(sheet: Pixels, kind: SheetKind) -> bytes:
    """Lossy WebP at the kind's quality, or at less if the sheet exceeds `wanted_bytes`."""
    for share in QUALITY_SHARES:
        data = _encode(sheet, quality=round(share * kind.quality), method=2)
        if len(data) <= kind.wanted_bytes:
            break
    return data


def _encode(sheet: Pixels, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB)).save(buffer, "WEBP", **options)
    return buffer.getvalue()
