"""Two units in one picture, and the steps from one to the other.

Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/#interaction
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.errors import SpecError
from atlas.on_demand.page import OnDemand, OnDemandRecord, Request
from atlas.recipes import Fourier, fitting_stages, fourier_recipe
from atlas.records import value
from atlas.selection import name_of
from atlas.units import WHOLE_LAYER, NetworkFacts, Unit
from atlas.vocabulary import score_of

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the second unit


@dataclass(frozen=True)
class MixSpec:
    """Pictures for two units together, all from the same noise.

    The first and the last picture are for one of the units alone, with its own score. Between them
    the score is (1 - share) times the logarithm of the first unit's score plus share times that of
    the second, so that both have to be high.
    """

    name: ClassVar[str] = "mix"
    version: ClassVar[int] = 1

    first: str  # ids of the units
    second: str
    recipe: Fourier
    shares: tuple[float, ...] = SHARES


@dataclass(frozen=True)
class MixRecord(OnDemandRecord):
    """What two units answer to the pictures for their sums."""

    units: Sequence[str] = value("ids of the two units")
    shares: Sequence[float] = value(
        "share of the second unit in the score of each picture, from 0 to 1"
    )
    peaks: Sequence[Sequence[float]] = value(
        "by picture: the response of each unit at its strongest position, in σ or as a logit"
    )


def lines(record: MixRecord, facts: NetworkFacts) -> Iterator[str]:
    """What the units answer, a line for each picture."""
    units = [score_of(facts.layer(facts.unit(unit_id).layer)).unit for unit_id in record.units]
    for share, peaks in zip(record.shares, record.peaks, strict=True):
        parts = zip(record.units, peaks, units, strict=True)
        answers = ", ".join(f"{unit_id} {peak:+.1f} {unit}" for unit_id, peak, unit in parts)
        yield f"{1 - share:4.0%} + {share:4.0%}  {answers}"


KIND = OnDemand(
    name=paths.MIX_DIR,
    plural="mixes",
    noun="two units in one picture",
    title="{name}",
    record=MixRecord,
    make="atlas.on_demand.mix.make:make",
    view="atlas.on_demand.mix.view:mix_view",
    template="mix.html",
    lines=lines,
    about=lambda record: record.units,
)


def request(first: Unit, second: Unit, asked: AtlasSpec, facts: NetworkFacts) -> Request:
    """The request for two units in one picture.

    Raises:
        SpecError: they are the same, or of layers that take images of different sizes.
    """
    if first == second:
        raise SpecError(f"{first.id} is given twice; give two units")
    name = f"{name_of(first, facts)} with {name_of(second, facts)}"
    sha256 = hashlib.sha256(f"{first.id} {second.id}".encode()).hexdigest()
    unit = Unit(paths.slug(f"{first.id} {second.id}", sha256), WHOLE_LAYER)
    spec = MixSpec(first.id, second.id, _recipe(first, second, asked, facts))
    return Request(KIND, unit, name, spec)


def _recipe(first: Unit, second: Unit, asked: AtlasSpec, facts: NetworkFacts) -> Fourier:
    """That of the unit with the larger receptive field, at sizes that both can be computed for.

    Two classes that are mixed are no rivals.
    """
    layers = [facts.layer(unit.layer) for unit in (first, second)]
    largest = max(layers, key=lambda layer: (layer.receptive_field_px, layer.index))
    recipe = replace(fourier_recipe(asked.preset, largest, facts, asked.seed), rivals=0.0)
    for layer in layers:
        recipe = replace(recipe, stages=fitting_stages(recipe.stages, layer, facts))
        if layer.takes_one_size:
            recipe = replace(recipe, margin_px=0)
    return recipe
