"""The most similar units of every unit, among those made so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import Kind, Section, Source, WholeLayer
from atlas.records import per_unit, value
from atlas.units import Layer, NetworkFacts

COMPARING_MACS = 1e9  # as long as 6 ms of an ascent

Basis = Literal["photographs", "pictures"]
SOURCES: dict[Basis, Source] = {
    "photographs": Source("natural", of="network"),
    "pictures": Source("excitatory", of="network"),
}
# For every unit of a layer, a list of [index of a layer, channel, similarity].
Neighbours = Sequence[Sequence[Sequence[float]]]


@dataclass(frozen=True)
class SimilarSpec:
    """Nearest neighbours, by responses to the same photographs or by embeddings of pictures."""

    name: ClassVar[str] = "similar"
    version: ClassVar[int] = 2

    basis: Basis
    n_neighbours: int = 3  # within the layer, and as many in other layers


@dataclass(frozen=True)
class SimilarRecord:
    """The neighbours of a layer's units."""

    basis: Basis = value("what units are compared by: photographs or pictures")
    within: Neighbours = per_unit(
        "in the same layer: each [index of its layer, its channel, similarity], most similar first"
    )
    across: Neighbours = per_unit("in other layers: each as in `within`")


def basis_of(asked: AtlasSpec) -> Basis:
    """Photographs where there are any, else excitatory pictures."""
    return "photographs" if asked.images_sha256 else "pictures"


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> SimilarSpec:
    """The spec, which is the same for all layers."""
    return SimilarSpec(basis_of(asked))


def sources(asked: AtlasSpec) -> tuple[Source, ...]:
    """The kind of artifact by which units are compared."""
    return (SOURCES[basis_of(asked)],)


def cost(spec: SimilarSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for comparing the units of a layer with all others."""
    return Cost(each=COMPARING_MACS)


KIND = Kind(
    name="similar",
    about="which units are like which, among those made so far",
    scope=WholeLayer(),
    spec=spec,
    record=SimilarRecord,
    make="atlas.kinds.similar.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=70,
    sources=sources,
    unit_sections=(Section("below", "section.html", "atlas.kinds.similar.view:section_view"),),
    glossary="glossary.html",
)
