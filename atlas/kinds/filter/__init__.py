"""A picture of each unit's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import LOSSLESS, Column, EachUnit, Kind, Preset, Section
from atlas.records import value
from atlas.sheets import SheetKind
from atlas.units import Layer, NetworkFacts

DRAWING_MACS = 1e8  # as long as a millisecond of an ascent
SWITCHED_OFF = 0.05  # share of the median unit's variation; units below it are switched off


@dataclass(frozen=True)
class FilterSpec:
    """How weights are drawn."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 3

    size_px: int = 128  # approximate longer side, since weights are enlarged by whole factors
    n_slices: int = 25  # strongest input slices in a montage


@dataclass(frozen=True)
class FilterRecord:
    """How one unit's weights were drawn."""

    style: str = value("how the weights are drawn: rgb, montage or bars", default="")
    low: float | None = value("the weight drawn in the darkest, or bluest, colour", default=None)
    high: float | None = value("the weight drawn in the lightest, or reddest, colour", default=None)
    columns: int = value("number of slices in a row of a montage", default=0)
    factor: int = value("side of one weight in a montage, in pixels", default=0)
    inputs: Sequence[int] = value(
        "input channels of a montage's slices, strongest first", default=()
    )
    n_inputs: int = value("number of weights that are drawn as bars", default=0)
    norm_share: float | None = value(
        "how far the unit varies after its BatchNorm, over the layer's median unit", default=None
    )

    @property
    def off_mark(self) -> int | None:
        """1 for a unit that is switched off, else None: a number to sort by."""
        return 1 if is_switched_off(self.norm_share) else None


def is_switched_off(norm_share: float | None) -> bool:
    """Whether a unit varies so little after its BatchNorm; False where that is not known."""
    return norm_share is not None and norm_share < SWITCHED_OFF


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> FilterSpec:
    """The spec, which is the same for all layers."""
    return FilterSpec()


def cost(spec: FilterSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for drawing weights."""
    return Cost(each=DRAWING_MACS)


KIND = Kind(
    name="filter",
    about="each unit's weights",
    scope=EachUnit(),
    spec=spec,
    record=FilterRecord,
    make="atlas.kinds.filter.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    is_shown_elsewhere=True,
    order=40,
    is_made_on_host=True,
    encoding=LOSSLESS,  # because lossy WebP blurs flat colours and edges
    sheet=SheetKind("filters", columns=5, cell_px=None, lossless_below_px=float("inf")),
    sheet_words="weights",
    columns=(
        Column(
            "switched off",
            "off_mark",
            order=1001,
            words="hardly varies after its BatchNorm",
            about="switched-off",
            presets=(Preset("switched off", low=1),),
            is_partial=True,
        ),
    ),
    unit_sections=(Section("notes", "section.html", "atlas.kinds.filter.view:section_view"),),
    glossary="glossary.html",
)
