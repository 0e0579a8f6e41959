"""The picture that excites one position of a unit, for layers with small receptive fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlas.asked import AtlasSpec
from atlas.costs import ascent_cost
from atlas.kinds.kind import EachUnit, Evidence, EvidenceRow, Kind, Section
from atlas.recipes import (
    LEAST_GRADIENT,
    MOMENTUM,
    Fourier,
    Stage,
    full_size_steps,
    has_small_fields,
    learning_rate,
    rounded_up,
)
from atlas.records import value
from atlas.sheets import TINY_PX, SheetKind
from atlas.units import Layer, NetworkFacts


@dataclass(frozen=True)
class FieldRecord:
    """What was measured on the picture of one receptive field."""

    score: float | None = value("response at the middle position", "{score}", default=None)
    start: float | None = value(
        "response to the noise that the ascent began with", "{score}_start", default=None
    )
    dead: bool = value("whether the gradient was zero at every step of the ascent", default=False)

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """The response at the middle position, as both ends of a point on the axis of evidence."""
        return self.score, self.score


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> Fourier:
    """The recipe: excite the middle position, on a canvas that holds its field without padding.

    Jitter is small, and smaller still in the end, because the picture is to show where in the field
    each feature is.
    """
    canvas_px = rounded_up(1.25 * layer.receptive_field_px + 4 * layer.total_stride_px, 4)
    steps = 16 if asked.preset == "preview" else 48
    return Fourier(
        (Stage(canvas_px, steps),),
        0,
        "centre",
        decay=1.0,
        lr=learning_rate(asked.preset, layer),
        momentum=MOMENTUM,
        least_gradient=LEAST_GRADIENT,
        last_jitter=0.1,
        init_std=0.1,
        rotation_deg=5.0,
        zoom=0.05,
        shift=0.03,
        seed=asked.seed,
    )


def is_possible(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether receptive fields are small, and the layer takes images that hold just one."""
    return not layer.takes_one_size and has_small_fields(layer, facts)


KIND = Kind(
    name="field",
    about="what drives one position of a unit up, where receptive fields are small",
    scope=EachUnit(),
    spec=spec,
    record=FieldRecord,
    make="atlas.kinds.field.make:make",
    folder=Path(__file__).parent,
    order=21,
    possible=is_possible,
    needs="layers whose receptive field is at most half of the image",
    steps=full_size_steps,
    cost=ascent_cost,
    sheet=SheetKind("fields", columns=3, cell_px=None, quality=56, lossless_below_px=TINY_PX),
    evidence=Evidence(
        "single",
        is_point=True,
        order=50,
        rows=(EvidenceRow("Picture of one receptive field", "high", 5, about="one-field"),),
    ),
    unit_sections=(
        Section("companions", "companion.html", "atlas.kinds.field.view:companion_view"),
    ),
    glossary="glossary.html",
)
