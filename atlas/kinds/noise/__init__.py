"""The responses of every unit to plain noise, which a picture must exceed to show anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost, shown_cost
from atlas.kinds.kind import Evidence, EvidenceRow, Kind, WholeLayer
from atlas.recipes import unit_recipe
from atlas.records import per_unit, value
from atlas.units import Layer, NetworkFacts


@dataclass(frozen=True)
class NoiseSpec:
    """Plain noise: every pixel's red, green and blue drawn evenly from 0..1."""

    name: ClassVar[str] = "noise"
    version: ClassVar[int] = 1

    size_px: int  # side of the images, that of the pictures that they are compared with
    n_images: int = 16
    seed: int = 0


@dataclass(frozen=True)
class NoiseRecord:
    """The responses of a layer's units to noise, averaged over the images."""

    n_images: int = value("number of images of noise")
    score: Sequence[float] = per_unit("response, averaged over all positions", "{score}")
    highest: Sequence[float] = per_unit("response at the strongest position", "{score}_max")
    lowest: Sequence[float] = per_unit("response at the weakest position", "{score}_min")

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """The lowest and highest response, as the ends of a band on the axis of evidence."""
        return self.lowest[index], self.highest[index]


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> NoiseSpec:
    """Noise of the size of the layer's excitatory pictures."""
    recipe = unit_recipe(asked.recipe, asked.preset, layer, facts, asked.seed)
    return NoiseSpec(recipe.seen_px)


def cost(spec: NoiseSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for showing the noise to one layer after the other."""
    return Cost(each=shown_cost(spec.n_images, spec.size_px, layer, facts))


KIND = Kind(
    name="noise",
    about="what every unit answers to plain noise",
    scope=WholeLayer(),
    spec=spec,
    record=NoiseRecord,
    make="atlas.kinds.noise.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=45,
    evidence=Evidence(
        "noise",
        is_point=False,
        order=10,
        rows=(EvidenceRow("Plain noise", "range", 30, about="noise"),),
        median="atlas.kinds.noise.view:median_words",
        median_order=20,
    ),
    glossary="glossary.html",
)
