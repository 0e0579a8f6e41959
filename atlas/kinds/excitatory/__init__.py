"""The picture that excites a unit: the main picture of its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlas.asked import AtlasSpec
from atlas.costs import ascent_cost
from atlas.kinds.kind import Column, EachUnit, Evidence, EvidenceRow, Kind, Preset, Section
from atlas.kinds.synthesis import PictureRecord
from atlas.recipes import Recipe, full_size_steps, unit_recipe
from atlas.units import Layer, NetworkFacts


@dataclass(frozen=True)
class ExcitatoryRecord(PictureRecord):
    """What was measured on an excitatory picture."""

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """The peak, as both ends of a point on the axis of evidence."""
        return self.peak, self.peak


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> Recipe:
    """The recipe of a layer's excitatory pictures."""
    return unit_recipe(asked.recipe, asked.preset, layer, facts, asked.seed)


KIND = Kind(
    name="excitatory",
    about="what drives each unit up",
    scope=EachUnit(),
    spec=spec,
    record=ExcitatoryRecord,
    make="atlas.kinds.excitatory.make:make",
    folder=Path(__file__).parent,
    order=10,
    steps=full_size_steps,
    cost=ascent_cost,
    file_title="What excites {unit} of {network}",
    columns=(
        Column(
            "{noun}", "peak", "{unit}", words="how far its own picture drives it", about="{about}"
        ),
        Column(
            "dead",
            "dead_mark",
            order=1000,
            words="never answered while its picture was made",
            about="dead",
            presets=(Preset("dead", low=1),),
            is_partial=True,
        ),
    ),
    evidence=Evidence(
        "up",
        is_point=True,
        order=40,
        rows=(EvidenceRow("Excitatory picture", "high", 10, about="excitatory"),),
        median="atlas.kinds.excitatory.view:median_words",
        median_order=10,
    ),
    unit_sections=(
        Section("picture", "picture.html", "atlas.kinds.excitatory.view:picture_view"),
        Section("notes", "response.html", "atlas.kinds.excitatory.view:response_view"),
        Section("notes", "guesses.html", "atlas.kinds.excitatory.view:guesses_view", order=30),
    ),
    glossary="glossary.html",
)
