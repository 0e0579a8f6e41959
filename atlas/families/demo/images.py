"""Images for the demo network in the place of photographs: new drawings of its own classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atlas.photographs import Photographs, Pixels

N_PER_CLASS = 16
SOURCE = Path(__file__).with_name("drawings.py")


@dataclass(frozen=True)
class Drawings(Photographs):
    """Drawings that the network was not trained on, drawn when they are wanted.

    They have names as files would, in one folder per class.
    """

    @classmethod
    def new(cls) -> Drawings:
        """Some of each class, the same always."""
        from atlas.demo.drawings import DRAWINGS

        files = tuple(
            f"{index:02d}/{nth:02d}.png"
            for index in range(len(DRAWINGS))
            for nth in range(N_PER_CLASS)
        )
        return cls(Path("drawings"), files, hashlib.sha256(SOURCE.read_bytes()).hexdigest())

    def load(self, file: str, size_px: int) -> Pixels | None:
        """One drawing, (size_px, size_px, 3), which is the size they are drawn in."""
        from atlas.demo.drawings import DRAWINGS

        index, nth = (int(part) for part in file.removesuffix(".png").split("/"))
        pixels = DRAWINGS[index].draw(np.random.default_rng((index, nth)))
        assert pixels.shape == (size_px, size_px, 3)
        return pixels
