"""Measured numbers that come without a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from atlas.units import Unit


@dataclass(frozen=True)
class Panel:
    """Numbers of one unit, or of all units of a layer as lists in the units' order."""

    unit: Unit
    record: Any  # an instance of the kind's record type
    data: bytes = b""  # arrays that are too large for the record and are not shown on the site


def rounded(values: Tensor, digits: int = 3) -> list[float]:
    """A tensor's (N,) values, rounded to `digits` decimals."""
    return [round(value, digits) for value in values.tolist()]
