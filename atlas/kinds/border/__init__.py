"""The responses of every unit to an image of one colour, in which only the border stands out.

Zeros that are added around maps let a network know where an image ends, and some units answer to
that more than to anything that images show. Sources: Islam et al. 2020, "How much position
information do convolutional neural networks encode?", https://arxiv.org/abs/2001.08248; Alsallakh
et al. 2021, "Mind the Pad: CNNs can develop blind spots", https://arxiv.org/abs/2010.02178.
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

ANSWERS_TO_BORDERS = 3.0  # least excess, in sigmas


@dataclass(frozen=True)
class BorderSpec:
    """An image of the mean colour of the network's preprocessing, which becomes zeros."""

    name: ClassVar[str] = "border"
    version: ClassVar[int] = 1

    size_px: int  # side of the image, that of the network's input


@dataclass(frozen=True)
class BorderRecord:
    """The responses of a layer's units to an image of one colour."""

    highest: Sequence[float] = per_unit("response at the strongest position", "{score}_max")
    middle: Sequence[float] = per_unit("response at the middle position", "{score}_middle")
    excess: Sequence[float] = per_unit(
        "how much higher the response at the strongest position is than at the middle one"
    )
    place: Sequence[str | None] = per_unit(
        "corner or edges where the response exceeds that at the middle by at least three "
        "quarters of `excess`, of a unit that answers to borders"
    )

    @property
    def large_excess(self) -> Sequence[float | None]:
        """The excess of each unit that answers to borders, None for the others."""
        return [above if answers_to_borders(above) else None for above in self.excess]


def answers_to_borders(excess: float) -> bool:
    """Whether a border alone drives a unit far above what it answers to no content at all."""
    return excess >= ANSWERS_TO_BORDERS


def place_words(strong: Sequence[Sequence[bool]]) -> str:
    """Where on a border a unit responds: `top left corner`, `corners`, `left edge`, `edges`.

    Args:
        strong: whether it does in each ninth of a map, three rows of three.

    Returns:
        Empty if it does in the middle alone.
    """
    (top_left, top, top_right), (left, _, right), (bottom_left, bottom, bottom_right) = strong
    edges = _names({"top": top, "left": left, "right": right, "bottom": bottom})
    if edges:
        return "edges" if len(edges) == 4 else f"{enumerated(edges)} edge"
    corners = _names(
        {
            "top left": top_left,
            "top right": top_right,
            "bottom left": bottom_left,
            "bottom right": bottom_right,
        }
    )
    return "" if not corners else f"{corners[0]} corner" if len(corners) == 1 else "corners"


def _names(holds: Mapping[str, bool]) -> list[str]:
    return [name for name, is_strong in holds.items() if is_strong]


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> BorderSpec:
    """The spec, which is the same for all layers."""
    return BorderSpec(facts.input_size_px)


def cost(spec: BorderSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for showing the image to one layer after the other."""
    return Cost(each=shown_cost(1, spec.size_px, layer, facts))


def has_border(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether a layer's units have maps of several positions."""
    return layer.has_maps and layer.output_px != (1, 1)


KIND = Kind(
    name="border",
    about="what every unit answers to the border of an image of one colour",
    scope=WholeLayer(),
    spec=spec,
    record=BorderRecord,
    make="atlas.kinds.border.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    order=46,
    possible=has_border,
    needs="a map of several positions",
    columns=(
        Column(
            "border",
            "large_excess",
            unit="σ",
            words="by how much the border of an image of one colour drives it more than the middle",
            about="border",
            presets=(Preset("answers to borders", low=ANSWERS_TO_BORDERS),),
        ),
    ),
    text_columns=(
        TextColumn(
            "border place",
            "atlas.kinds.border.view:places",
            words="where the border drives it, if that does",
            about="border",
        ),
    ),
    glossary="glossary.html",
)
