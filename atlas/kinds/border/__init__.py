"""The responses of every unit to an image of one colour, in which only the border stands out.

The padding of maps lets a network know where an image ends, and some units respond to that.
Sources: Islam et al. 2020, "How much position information do convolutional neural networks
encode?", https://arxiv.org/abs/2001.08248; Alsallakh et al. 2021, "Mind the Pad: CNNs can develop
blind spots", https://arxiv.org/abs/2010.02178.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost, shown_cost
from atlas.kinds.kind import Column, Kind, Preset, TextColumn, WholeLayer
from atlas.records import per_unit
from atlas.text import enumerated
from atlas.units import Layer, NetworkFacts

LEAST_EXCESS = 5.0  # in sigmas, of a unit that responds to borders
LEAST_RESPONSE = 3.0  # in sigmas, of such a unit near the border
LEAST_POSITIONS = 3  # in a row or column of a map, to tell its border from its middle


@dataclass(frozen=True)
class BorderSpec:
    """An image of the colour that the network's preprocessing subtracts, which becomes zeros."""

    name: ClassVar[str] = "border"
    version: ClassVar[int] = 1

    size_px: int  # side of the image, that of the network's input


@dataclass(frozen=True)
class BorderRecord:
    """The responses of a layer's units to an image of one colour."""

    border: Sequence[float] = per_unit(
        "response at the strongest position of the border of the map", "{score}_border"
    )
    middle: Sequence[float] = per_unit("response at the middle position", "{score}_middle")
    excess: Sequence[float] = per_unit("the response at the border less that in the middle")
    place: Sequence[str | None] = per_unit(
        "for a unit that responds to borders, the corners or edges of the map where its response "
        "exceeds that in the middle by at least three quarters of `excess`"
    )

    @property
    def large_excess(self) -> Sequence[float | None]:
        """The excess of each unit that responds to borders, None for the others."""
        return [
            above if where else None for above, where in zip(self.excess, self.place, strict=True)
        ]


def responds_to_borders(border: float, excess: float) -> bool:
    """Whether a border drives a unit far above its average and far beyond what the middle does.

    Args:
        border: response at the border of an image of one colour, in sigmas.
        excess: by how much that exceeds the response in the middle, in sigmas.
    """
    return border >= LEAST_RESPONSE and excess >= LEAST_EXCESS


def place_words(strong: Sequence[Sequence[bool]]) -> str:
    """Where on the border of a map: `top left corner`, `corners`, `top and left edges`, `edges`.

    Args:
        strong: whether a unit responds in each of three rows of three parts, of which that in the
            middle is ignored and any other one is true.
    """
    (top_left, top, top_right), (left, _, right), (bottom_left, bottom, bottom_right) = strong
    edges = _names({"top": top, "left": left, "right": right, "bottom": bottom})
    if len(edges) == 4:
        return "edges"
    if edges:
        return f"{enumerated(edges)} edge{'s' * (len(edges) > 1)}"
    corners = _names(
        {
            "top left": top_left,
            "top right": top_right,
            "bottom left": bottom_left,
            "bottom right": bottom_right,
        }
    )
    return f"{corners[0]} corner" if len(corners) == 1 else "corners"


def _names(holds: Mapping[str, bool]) -> list[str]:
    return [name for name, is_strong in holds.items() if is_strong]


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> BorderSpec:
    """The spec, which is the same for all layers."""
    return BorderSpec(facts.input_size_px)


def cost(spec: BorderSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for showing the image to one layer after the other."""
    return Cost(each=shown_cost(1, spec.size_px, layer, facts))


def has_border(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether the maps of a layer's units are large enough to have a border and a middle."""
    return layer.has_maps and min(layer.output_px) >= LEAST_POSITIONS


KIND = Kind(
    name="border",
    about="how every unit responds to the border of an image of one colour",
    scope=WholeLayer(),
    spec=spec,
    record=BorderRecord,
    make="atlas.kinds.border.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=46,
    possible=has_border,
    needs="maps of 3 x 3 positions or more",
    columns=(
        Column(
            "border",
            "large_excess",
            unit="σ",
            words="how much more it responds to the border of a plain image than to the middle",
            about="border",
            presets=(Preset("responds to borders", low=LEAST_EXCESS),),
            is_partial=True,
        ),
    ),
    text_columns=(
        TextColumn(
            "border place",
            "atlas.kinds.border.view:places",
            words="at which edges or corners it responds to borders",
            about="border",
            is_partial=True,
        ),
    ),
    glossary="glossary.html",
)
