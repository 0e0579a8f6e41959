"""Images that were looked up: which units each of them drives hardest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas import paths
from atlas.on_demand.page import OnDemand, OnDemandRecord, Request
from atlas.records import value
from atlas.text import displayable_name
from atlas.units import WHOLE_LAYER, NetworkFacts, Unit
from atlas.vocabulary import score_of

N_PRINTED = 5  # units of a layer


@dataclass(frozen=True)
class LikeSpec:
    """One image, shown to the whole network."""

    name: ClassVar[str] = "like"
    version: ClassVar[int] = 1

    pixels_sha256: str  # of the image as the network is given it
    n_units: int = 12  # per layer


@dataclass(frozen=True)
class LikeRecord(OnDemandRecord):
    """The units that an image drives furthest above their averages."""

    units: Mapping[str, Sequence[Sequence[float]]] = value(
        "units by layer: each [index, response at its strongest position], strongest first"
    )
    p: Mapping[str, float] = value("probabilities of the classes among the units, by index")


def lines(record: LikeRecord, facts: NetworkFacts) -> Iterator[str]:
    """The units that an image drives hardest, a line for each layer."""
    for layer in facts.layers:
        names = facts.labels if layer.is_classifier else range(layer.n_units)
        strongest = record.units[layer.name][:N_PRINTED]
        shown = ", ".join(f"{names[int(index)]} {response:+.1f}" for index, response in strongest)
        yield f"{layer.name:24} {shown} {score_of(layer).unit}"


KIND = OnDemand(
    name=paths.LIKE_DIR,
    plural="likes",
    noun="images that were looked up",
    title="{name}",
    record=LikeRecord,
    make="atlas.on_demand.like.make:make",
    view="atlas.on_demand.like.view:like_view",
    template="like.html",
    lines=lines,
)


def request(photo: Path, facts: NetworkFacts) -> Request:
    """The request to look an image up.

    Raises:
        SpecError: the file is no image.
        ImagesError: it cannot be read now.
    """
    from atlas.images import read_photograph

    pixels = read_photograph(photo, facts.preprocessing)
    spec = LikeSpec(hashlib.sha256(pixels.tobytes()).hexdigest())
    unit = Unit(paths.slug(photo.stem, spec.pixels_sha256), WHOLE_LAYER)
    name = displayable_name(photo.name)
    return Request(KIND, unit, name, spec, pixels, is_latest_only=False)
