"""Images for the demo network instead of photographs: new drawings of its classes."""

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
# SHA-256 of drawings.py with the package's earlier name, atlas.demo; a test compares the two. It
# must change with every change of a drawing, because it is part of the keys of the artifacts that
# are made from the drawings.
DRAWINGS_SHA256 = "037628f508ed2e67e00d794b9bc03fb89c698bd4c4c6892bd7e4b4e141e7d4b0"


@dataclass(frozen=True)
class Drawings(ImageSet):
    """Drawings that the network was not trained on, drawn when they are loaded.

    They are named like files in one folder per class.
    """

    files: tuple[str, ...]
    sha256: str

    @classmethod
    def new(cls) -> Drawings:
        """The same `N_PER_CLASS` drawings of each class every time."""
        files = tuple(
            f"{index:02d}/{nth:02d}.png"
            for index in range(len(DRAWINGS))
            for nth in range(N_PER_CLASS)
        )
        return cls(files, DRAWINGS_SHA256)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the drawings' classes, in the order of the classes."""
        return tuple(drawing.label for drawing in DRAWINGS)

    def label(self, file: str) -> str:
        """The label of a drawing's class."""
        index, _ = _numbers(file)
        return DRAWINGS[index].label

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels:
        """One drawing, (size_px, size_px, 3); `size_px` must be the size of the drawings."""
        index, nth = _numbers(file)
        pixels = DRAWINGS[index].draw(np.random.default_rng((index, nth)))
        assert pixels.shape == (preprocessing.size_px, preprocessing.size_px, 3)
        return pixels


def _numbers(file: str) -> tuple[int, int]:
    """Class index and number of a drawing, from a name such as "07/03.png"."""
    folder, _, name = file.partition("/")
    return int(folder), int(name.removesuffix(".png"))
