"""Images for the demo network in the place of photographs: new drawings of its own classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from atlas.families.demo.drawings import DRAWINGS
from atlas.images import ImageSet
from atlas.pixels import Pixels
from atlas.units import Preprocessing

N_PER_CLASS = 16
SOURCE = Path(__file__).with_name("drawings.py")
# Of the source, as it read under its first address; a test compares them. It is to change with
# whatever changes a drawing, so that nothing made from other drawings is taken for this.
DRAWINGS_SHA256 = "037628f508ed2e67e00d794b9bc03fb89c698bd4c4c6892bd7e4b4e141e7d4b0"


@dataclass(frozen=True)
class Drawings(ImageSet):
    """Drawings that the network was not trained on, drawn when they are wanted.

    They have names as files would, in one folder per class.
    """

    files: tuple[str, ...]
    sha256: str

    @classmethod
    def new(cls) -> Drawings:
        """Some of each class, the same always."""
        files = tuple(
            f"{index:02d}/{nth:02d}.png"
            for index in range(len(DRAWINGS))
            for nth in range(N_PER_CLASS)
        )
        return cls(files, DRAWINGS_SHA256)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What is drawn, in the order of the drawings."""
        return tuple(drawing.label for drawing in DRAWINGS)

    def label(self, file: str) -> str:
        """What a drawing shows."""
        index, _ = _numbers(file)
        return DRAWINGS[index].label

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels:
        """One drawing, which must be wanted in the size they are drawn in."""
        index, nth = _numbers(file)
        pixels = DRAWINGS[index].draw(np.random.default_rng((index, nth)))
        assert pixels.shape == (preprocessing.size_px, preprocessing.size_px, 3)
        return pixels


def _numbers(file: str) -> tuple[int, int]:
    """Of the class and of the drawing in it, from a name such as "07/03.png"."""
    folder, _, name = file.partition("/")
    return int(folder), int(name.removesuffix(".png"))
