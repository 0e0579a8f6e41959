"""The picture that inhibits a unit, the counterpart of its excitatory picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from atlas.asked import AtlasSpec
from atlas.costs import ascent_cost
from atlas.kinds.kind import EachUnit, Evidence, EvidenceRow, Kind, Section
from atlas.kinds.synthesis import PictureRecord
from atlas.recipes import Recipe, full_size_steps, unit_recipe
from atlas.sheets import COMPANION_PX, SheetKind
from atlas.units import Layer, NetworkFacts


@dataclass(frozen=True)
class InhibitoryRecord(PictureRecord):
    """What was measured on an inhibitory picture."""

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """The trough, as both ends of a point on the axis of evidence."""
        return self.trough, self.trough


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> Recipe:
    """The recipe of a layer's inhibitory pictures: the excitatory recipe with another aim."""
    recipe = unit_recipe(asked.recipe, asked.preset, layer, facts, asked.seed)
    return dataclasses.replace(recipe, aim="inhibit")


KIND = Kind(
    name="inhibitory",
    about="what drives each unit down",
    scope=EachUnit(),
    spec=spec,
    record=InhibitoryRecord,
    make="atlas.kinds.inhibitory.make:make",
    folder=Path(__file__).parent,
    order=20,
    steps=full_size_steps,
    cost=ascent_cost,
    # Small, because a page that shows one picture loads nine, and a site must stay below 1 GB.
    sheet=SheetKind(
        "inhibitory",
        columns=3,
        cell_px=None,
        quality=38,
        largest_px=COMPANION_PX,
        wanted_bytes=28_000,
    ),
    sheet_words="inhibitory pictures",
    evidence=Evidence(
        "down",
        is_point=True,
        order=30,
        rows=(EvidenceRow("Inhibitory picture", "low", 50, about="inhibitory"),),
    ),
    unit_sections=(
        Section("companions", "companion.html", "atlas.kinds.inhibitory.view:companion_view"),
    ),
    glossary="glossary.html",
)
