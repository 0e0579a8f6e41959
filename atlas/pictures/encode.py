"""Encode pictures as WebP files."""

from __future__ import annotations

import io

from PIL import Image

from atlas.pixels import Pixels


def encode(pixels: Pixels, quality: int | None, xmp: bytes = b"") -> bytes:
    """Pixels (H, W, 3), sRGB, as a WebP file with XMP metadata; lossless if `quality` is None."""
    buffer = io.BytesIO()
    options = (
        {"lossless": True, "quality": 60, "method": 2}
        if quality is None
        else {"quality": quality, "method": 4}
    )
    Image.fromarray(pixels).save(buffer, "WEBP", xmp=xmp, **options)
    return buffer.getvalue()
