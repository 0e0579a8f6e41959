"""A finished picture with its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atlas.pixels import Pixels
from atlas.units import Unit


@dataclass(frozen=True)
class Picture:
    """Pixels of one unit, or of a sheet of units, and what was measured on them."""

    unit: Unit
    pixels: Pixels  # (H, W, 3), sRGB
    record: Any  # an instance of the kind's record type
