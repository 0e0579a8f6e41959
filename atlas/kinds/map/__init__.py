"""A map of all units: their excitatory pictures on one grid, where neighbours look alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import Kind, Section, Source, WholeNetwork
from atlas.kinds.map.tsne import installed_library
from atlas.records import internal, value
from atlas.units import Layer, NetworkFacts

PLACING_MACS = 3.5e8  # for each picture, with its part of the tiles: as long as 2 ms of an ascent
TSNE_MACS = 3.5e8  # for each picture in addition, where t-SNE gives the first places

Place = Sequence[int]  # index of a layer, channel


@dataclass(frozen=True)
class MapSpec:
    """Pictures placed by the likeness of what the classifier reads of them."""

    name: ClassVar[str] = "map"
    version: ClassVar[int] = 1


@dataclass(frozen=True)
class TsneMapSpec(MapSpec):
    """The same, from points by t-SNE instead of random cells."""

    library: str  # that computes it, with its version


@dataclass(frozen=True)
class MapRecord:
    """Where units are on the map of the network, and the pieces of its picture."""

    n_columns: int = value("cells in a row of the map of all units")
    n_dead: int = value("units that are not on the map because they are dead")
    places: Sequence[Place] = internal("in reading order of cells: [index of a layer, channel]")
    tile_bytes: Sequence[int] = internal("sizes of the tiles in the artifact's data, in order")
    library: str = value(
        "library, with its version, whose t-SNE gave pictures their first places on the map; left "
        "out where these were random",
        default="",
    )


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> MapSpec:
    """The spec, which is the same for all networks; it depends on what is installed."""
    library = installed_library()
    return TsneMapSpec(library) if library else MapSpec()


def possible(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether pictures of all layers can be compared: by what the classifier reads of them."""
    return facts.classifier is not None


def sources(asked: AtlasSpec) -> tuple[Source, ...]:
    """The pictures that are placed."""
    return (Source("excitatory", of="network"),)


def cost(spec: MapSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for placing the pictures, and for drawing them."""
    tsne_macs = TSNE_MACS if isinstance(spec, TsneMapSpec) else 0.0
    return Cost(for_source=PLACING_MACS + tsne_macs)


KIND = Kind(
    name="map",
    about="a map of all units, where pictures that are alike lie together; best with openTSNE",
    scope=WholeNetwork(),
    spec=spec,
    record=MapRecord,
    make="atlas.kinds.map.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=75,
    possible=possible,
    needs="a network with a classifier",
    sources=sources,
    unit_sections=(Section("below", "section.html", "atlas.kinds.map.view:link_view"),),
    glossary="glossary.html",
)
