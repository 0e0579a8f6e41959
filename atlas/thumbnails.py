"""Small versions of finished pictures."""

from __future__ import annotations

import cv2
import numpy as np

from atlas.pixels import Pixels
from atlas.sheets import Size


def decode(data: bytes) -> Pixels:
    """Pixels (H, W, 3) in BGR, from OpenCV, which decodes WebP in half of Pillow's time.

    Raises:
        OSError: bytes that are not a picture.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise OSError("not an image")
    return np.asarray(picture, dtype=np.uint8)


def thumbnail(picture: Pixels, size_px: int) -> Pixels:
    """The middle square of a picture, resized to (size_px, size_px, 3)."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(picture[top : top + side, left : left + side], (size_px, size_px))


def resize(picture: Pixels, size_px: Size) -> Pixels:
    """A picture of another size; the same one if it has that size."""
    if (picture.shape[1], picture.shape[0]) == size_px:
        return picture
    smaller = size_px[0] <= picture.shape[1] and size_px[1] <= picture.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size_px, interpolation=method), dtype=np.uint8)
