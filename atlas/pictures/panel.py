"""Finished numbers without a picture, whichever way they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from atlas.units import Unit


@dataclass(frozen=True)
class Panel:
    """Numbers of a unit, or of every unit of a layer: then lists in the units' order."""

    unit: Unit
    record: Any  # of the kind's record type
    data: bytes = b""  # what is too much for numbers, and not for the pages


def rounded(values: Tensor, digits: int = 3) -> list[float]:
    """A tensor's (N,) values to so many decimals."""
    return [round(value, digits) for value in values.tolist()]
