"""Photographs that were shown to the network, read again."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from atlas.decoding import Skipped
from atlas.errors import CacheError
from atlas.images import ImageSet
from atlas.pixels import Pixels
from atlas.text import displayable_name
from atlas.units import Preprocessing

MAX_LOADED = 2000  # photographs in memory: 0.3 GB at 224 px


def load(photographs: ImageSet, file: str, preprocessing: Preprocessing) -> Pixels:
    """A photograph that was shown to the network, as it was: (size_px, size_px, 3).

    It is grey where the network is given brightness alone.

    Raises:
        CacheError: it is no image any more, though responses to it were measured.
        ImagesError: it cannot be read now.
    """
    loaded = photographs.load(file, preprocessing)
    if isinstance(loaded, Skipped):
        raise CacheError(
            f"{displayable_name(file)} was an image and is none any more "
            f"({loaded.reason}); put it back, then build again"
        )
    return loaded if preprocessing.has_colours else _grey(loaded)


def _grey(photograph: Pixels) -> Pixels:
    """The brightness of a photograph, in three equal channels."""
    brightness = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)  # ITU-R BT.601, as for the network
    return np.asarray(cv2.cvtColor(brightness, cv2.COLOR_GRAY2RGB), np.uint8)


class Album:
    """Photographs as the network takes them; those used last are kept in memory."""

    def __init__(self, photographs: ImageSet, preprocessing: Preprocessing) -> None:
        self._photographs, self._preprocessing = photographs, preprocessing
        self._loaded: OrderedDict[str, Pixels] = OrderedDict()

    def get(self, file: str) -> Pixels:
        """One photograph, (size_px, size_px, 3).

        Raises:
            CacheError: it is no image any more, though responses to it were measured.
            ImagesError: it cannot be read now.
        """
        pixels = self._loaded.pop(file, None)
        if pixels is None:
            pixels = load(self._photographs, file, self._preprocessing)
        self._loaded[file] = pixels
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return pixels
