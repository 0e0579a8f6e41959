"""A finished picture, whichever way it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.units import Unit


@dataclass(frozen=True)
class Picture:
    """Pixels of one unit and the facts that belong to them."""

    unit: Unit
    pixels: NDArray[np.uint8]  # (H, W, 3), sRGB
    numbers: dict[str, Any]  # JSON-ready
