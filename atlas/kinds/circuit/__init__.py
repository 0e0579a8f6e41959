"""The strongest inputs and outputs of every unit, from the weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost
from atlas.kinds.kind import Column, Kind, Section, TextColumn, WholeLayer
from atlas.records import axis, per_unit, value
from atlas.units import Layer, NetworkFacts

Connection = Sequence[float]  # index of the partner's layer, its channel, strength
StrongestConnections = Sequence[Sequence[Connection]]  # of every unit of a layer, strongest first

N_STRONGEST = 5  # inputs whose share of all is given
SORTING_MACS = 1e10  # as long as 55 ms of an ascent


@dataclass(frozen=True)
class CircuitSpec:
    """Strongest inputs and outputs of a unit."""

    name: ClassVar[str] = "circuit"
    version: ClassVar[int] = 1

    n_partners: int = 5  # of each sign, among inputs and among outputs


_PARTNERS = "each [index of its layer, its channel, strength], strongest first"


@dataclass(frozen=True)
class CircuitRecord:
    """The circuits of a layer's units; what the weights do not determine is left out."""

    excited_by: StrongestConnections | None = per_unit(
        f"inputs that excite the unit; {_PARTNERS}", default=None
    )
    inhibited_by: StrongestConnections | None = per_unit(
        f"inputs that inhibit the unit; {_PARTNERS}", default=None
    )
    excites: StrongestConnections | None = per_unit(
        f"units that the unit excites; {_PARTNERS}", default=None
    )
    inhibits: StrongestConnections | None = per_unit(
        f"units that the unit inhibits; {_PARTNERS}", default=None
    )
    speaks_for: StrongestConnections | None = per_unit(
        f"classes whose logit the unit raises; {_PARTNERS}", default=None
    )
    speaks_against: StrongestConnections | None = per_unit(
        f"classes whose logit the unit lowers; {_PARTNERS}", default=None
    )
    n_effective: Sequence[float] | None = per_unit(
        "effective number of inputs: the participation ratio of their strengths", default=None
    )
    top_share: Sequence[float] | None = per_unit(
        "share of the five strongest inputs in the strength of all", default=None
    )
    n_inputs: int | None = value(
        "number of inputs of a unit, where several of its weights read one channel of a map that "
        "was flattened",
        default=None,
    )
    input_units: Sequence[Sequence[int]] | None = axis(
        "the unit that writes each input channel, [index of its layer, its channel], where that is "
        "not the channel of the same number",
        default=None,
    )


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> CircuitSpec:
    """The spec, which is the same for all layers."""
    return CircuitSpec()


def cost(spec: CircuitSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for sorting the connections of a layer."""
    return Cost(each=SORTING_MACS)


KIND = Kind(
    name="circuit",
    about="which units feed a unit, and which it feeds",
    scope=WholeLayer(),
    spec=spec,
    record=CircuitRecord,
    make="atlas.kinds.circuit.make:make",
    cost=cost,
    folder=Path(__file__).parent,
    is_shown_elsewhere=True,
    order=60,
    columns=(
        Column(
            "effective inputs",
            "n_effective",
            words="how many inputs it mainly listens to",
            about="effective",
        ),
        Column(
            "share of the strongest inputs",
            "top_share",
            words="of its five strongest, in all its inputs: 0 to 1",
            about="effective",
        ),
    ),
    text_columns=(
        TextColumn(
            "class it speaks for",
            "atlas.kinds.circuit.view:classes_spoken_for",
            words="whose score it raises most, by the weights",
            about="strength",
        ),
    ),
    unit_sections=(Section("below", "section.html", "atlas.kinds.circuit.view:section_view"),),
    glossary="glossary.html",
)
