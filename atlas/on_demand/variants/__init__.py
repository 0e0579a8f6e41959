"""Variants: several pictures of one unit that are pushed apart, to show its facets.

Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/#diversity
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.on_demand.page import OnDemand, OnDemandRecord, Request
from atlas.recipes import Fourier, fourier_recipe
from atlas.records import value
from atlas.selection import name_of
from atlas.units import WHOLE_LAYER, NetworkFacts, Unit
from atlas.vocabulary import score_of

COUNT = 4
MAX_COUNT = 12  # they are rendered together, in memory at once


@dataclass(frozen=True)
class VariantsSpec:
    """A unit's own picture, and others from other seeds that are pushed away from it.

    The score of each variant is that of the unit's own picture, times 1 - diversity * its mean
    likeness to the others. Likeness is the cosine of the Gram matrices of what the layer reads.
    """

    name: ClassVar[str] = "variants"
    version: ClassVar[int] = 1

    unit: str
    recipe: Fourier
    count: int = COUNT
    diversity: float = 0.5


@dataclass(frozen=True)
class VariantsRecord(OnDemandRecord):
    """What a unit answers to its variants, and how alike they are."""

    unit: str = value("id of the unit")
    peaks: Sequence[float] = value(
        "response at the strongest position, in σ or as a logit: to the unit's own picture, then "
        "to each variant"
    )
    likeness: Sequence[Sequence[float]] = value(
        "for each of these pictures, its likeness to all of them: the cosine of the Gram matrices "
        "of what the layer reads"
    )


def lines(record: VariantsRecord, facts: NetworkFacts) -> Iterator[str]:
    """What the unit answers, a line for each picture."""
    unit = score_of(facts.layer(facts.unit(record.unit).layer)).unit
    yield f"own picture  {record.peaks[0]:+.1f} {unit}"
    for nth, (peak, likeness) in enumerate(zip(record.peaks, record.likeness, strict=True)):
        if nth:
            yield f"variant {nth:<4} {peak:+.1f} {unit}, like its own picture {likeness[0]:.2f}"


KIND = OnDemand(
    name=paths.VARIANTS_DIR,
    plural="variants",
    noun="units with variants",
    title="Variants of {name}",
    record=VariantsRecord,
    make="atlas.on_demand.variants.make:make",
    view="atlas.on_demand.variants.view:variants_view",
    template="variants.html",
    lines=lines,
    about=lambda record: (record.unit,),
)


def request(unit: Unit, count: int, asked: AtlasSpec, facts: NetworkFacts) -> Request:
    """The request for a unit's variants."""
    recipe = fourier_recipe(asked.preset, facts.layer(unit.layer), facts, asked.seed)
    sha256 = hashlib.sha256(unit.id.encode()).hexdigest()
    page = Unit(paths.slug(unit.id, sha256), WHOLE_LAYER)
    return Request(KIND, page, name_of(unit, facts), VariantsSpec(unit.id, recipe, count))
