"""Images that were looked up: which units each of them drives hardest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from atlas.records import value

KIND_NAME = "like"  # of these artifacts in the cache


@dataclass(frozen=True)
class LikeSpec:
    """One image, shown to the whole network."""

    name: ClassVar[str] = "like"
    version: ClassVar[int] = 1

    pixels_sha256: str  # of the image as the network is given it
    n_units: int = 12  # per layer


@dataclass(frozen=True)
class LikeRecord:
    """The units that an image drives furthest above their averages."""

    weights: str = value("digest of the network's weights")
    name: str = value("name of the image's file")
    units: Mapping[str, Sequence[Sequence[float]]] = value(
        "units by layer: each [index, response at its strongest position], strongest first"
    )
    p: Mapping[str, float] = value("probabilities of the classes among the units, by index")
