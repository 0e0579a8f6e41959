"""The part of a photograph that a position of a map sees."""

from __future__ import annotations

from typing import NamedTuple

from atlas.units import Layer


class Window(NamedTuple):
    """A square part of an image, in pixels of the image."""

    top_px: int
    left_px: int
    side_px: int


def window_of(layer: Layer, image_px: int, row: int, column: int) -> Window:
    """The receptive field of a map position in an image of `image_px` squared.

    A field that reaches over an edge is moved inside the image. A field that is larger than the
    image is replaced by the whole image.
    """
    side_px = min(layer.receptive_field_px, image_px)
    reach_px = (layer.receptive_field_px - 1) / 2
    first_px, last_px = layer.field_centre_px - reach_px, image_px - side_px
    top_px = round(min(max(first_px + row * layer.total_stride_px, 0), last_px))
    left_px = round(min(max(first_px + column * layer.total_stride_px, 0), last_px))
    return Window(top_px, left_px, side_px)
