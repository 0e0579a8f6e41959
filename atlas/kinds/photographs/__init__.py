"""The whole photographs that drive units most, each kept once for all units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import Kind, Source, WholeNetwork
from atlas.kinds.natural import DECODING_MACS, has_images
from atlas.records import internal, value
from atlas.units import Layer, NetworkFacts

MAX_IMAGES = 2000  # in a folder; with more, units share few of them, and sites would be too large
MAX_PX = 256  # side at most of a photograph on the site
QUALITY = 55


@dataclass(frozen=True)
class PhotographsSpec:
    """Photographs as the network is given them, reduced where that is large."""

    name: ClassVar[str] = "photographs"
    version: ClassVar[int] = 1

    side_px: int
    quality: int = QUALITY


@dataclass(frozen=True)
class GreyPhotographsSpec(PhotographsSpec):
    """The same in grey, for networks that are given brightness alone."""

    version: ClassVar[int] = 2


@dataclass(frozen=True)
class PhotographsRecord:
    """Which photographs there are, in the order of their files on the site."""

    photographs: Sequence[str] = value(
        "names of the photographs that units are shown with, in the order of their files"
    )
    n_bytes: Sequence[int] = internal("sizes of the encoded photographs in the artifact's data")


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> PhotographsSpec:
    """The spec, which is the same for all layers."""
    spec_type = PhotographsSpec if facts.preprocessing.has_colours else GreyPhotographsSpec
    return spec_type(min(facts.input_size_px, MAX_PX))


def possible(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether there are photographs, and not too many; any number where they are asked for."""
    is_asked = PhotographsSpec.name in asked.kinds
    return has_images(asked, layer, facts) and (is_asked or asked.n_images <= MAX_IMAGES)


def sources(asked: AtlasSpec) -> tuple[Source, ...]:
    """The responses of all units to the photographs."""
    return (Source("natural", of="network"),)


def cost(spec: PhotographsSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for reading and encoding the photographs."""
    return Cost(each=DECODING_MACS * n_photographs)


KIND = Kind(
    name="photographs",
    about=f"those photographs, whole, where there are at most {MAX_IMAGES:,}",
    scope=WholeNetwork(),
    spec=spec,
    record=PhotographsRecord,
    make="atlas.kinds.photographs.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=80,
    possible=possible,
    needs="photographs: give a folder with --images",
    needs_images=True,
    sources=sources,
    replaces="examples",
    is_shown_elsewhere=True,
    prepare="atlas.kinds.photographs.view:numbers",
)
