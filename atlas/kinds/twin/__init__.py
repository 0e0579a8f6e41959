"""A second picture of a few units per layer from another seed, compared with the first."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost, ascent_cost
from atlas.kinds.kind import Kind, Sample, Section
from atlas.kinds.synthesis import PictureRecord
from atlas.recipes import Recipe, full_size_steps, unit_recipe
from atlas.records import value
from atlas.sheets import COMPANION_PX, TINY_PX, SheetKind
from atlas.units import Layer, NetworkFacts

SAMPLE = Sample(4)
ASCENTS = 3  # per twin: of the unit with both seeds, and of the next unit


@dataclass(frozen=True)
class TwinSpec:
    """A unit's picture from a second seed, compared with that from the first."""

    name: ClassVar[str] = "twin"
    version: ClassVar[int] = 1

    first: Recipe
    second: Recipe


@dataclass(frozen=True)
class TwinRecord(PictureRecord):
    """What was measured on a unit's picture from the second seed."""

    similarity: float | None = value(
        "correlation of the layer's other units' responses to the two pictures", default=None
    )
    similarity_other: float | None = value(
        "the same correlation for the second picture and the picture of another unit", default=None
    )


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> TwinSpec:
    """The recipe of the excitatory pictures with this seed and the next."""
    first = unit_recipe(asked.recipe, asked.preset, layer, facts, asked.seed)
    return TwinSpec(first, dataclasses.replace(first, seed=asked.seed + 1))


def steps(spec: TwinSpec, facts: NetworkFacts) -> float:
    """Full-size steps of all ascents of one twin."""
    return ASCENTS * full_size_steps(spec.first, facts)


def cost(spec: TwinSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for all ascents."""
    return ascent_cost(spec.first, layer, facts) * ASCENTS


KIND = Kind(
    name="twin",
    about="a few units of each layer once more, from another seed",
    scope=SAMPLE,
    spec=spec,
    record=TwinRecord,
    make="atlas.kinds.twin.make:make",
    folder=Path(__file__).parent,
    order=22,
    steps=steps,
    cost=cost,
    sheet=SheetKind(  # one sheet holds all twins of a layer
        "twins",
        columns=math.isqrt(SAMPLE.n_units - 1) + 1,
        cell_px=None,
        quality=44,
        lossless_below_px=TINY_PX,
        largest_px=COMPANION_PX,
        wanted_bytes=12_000,
    ),
    unit_sections=(
        Section("companions", "companion.html", "atlas.kinds.twin.view:companion_view"),
    ),
    layer_sections=(Section("below", "pairs.html", "atlas.kinds.twin.view:pairs_view"),),
    glossary="glossary.html",
)
