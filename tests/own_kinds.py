"""Two kinds of artifacts from outside the package: a picture and a panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from atlas.asked import AtlasSpec
from atlas.kinds.kind import LOSSLESS, Column, EachUnit, Kind, Section, WholeLayer
from atlas.records import per_unit, value
from atlas.sheets import SheetKind
from atlas.units import Layer, NetworkFacts, Unit

FOLDER = Path(__file__).parent / "own_templates"
SIDE_PX = 8


@dataclass(frozen=True)
class SwatchSpec:
    name: ClassVar[str] = "swatch"
    version: ClassVar[int] = 1


@dataclass(frozen=True)
class SwatchRecord:
    level: int = value("grey level of the swatch")


@dataclass(frozen=True)
class NormRecord:
    n_weights: int = value("weights of a unit")
    norm: Sequence[float] = per_unit("length of the vector of a unit's weights")


@dataclass(frozen=True)
class NormSpec:
    name: ClassVar[str] = "norm"
    version: ClassVar[int] = 1


def swatch_spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> SwatchSpec:
    return SwatchSpec()


def norm_spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> NormSpec:
    return NormSpec()


def make_swatches(renderer: Any, jobs: Sequence[Any]) -> Iterator[list[Any]]:
    from atlas.pictures.picture import Picture

    for job in jobs:
        yield [
            Picture(
                unit,
                np.full((SIDE_PX, SIDE_PX, 3), level_of(unit), np.uint8),
                SwatchRecord(level_of(unit)),
            )
            for unit in job.units
        ]


def make_norms(renderer: Any, jobs: Sequence[Any]) -> Iterator[list[Any]]:
    from atlas.pictures.panel import Panel

    for job in jobs:
        weight = renderer.network.weight(job.layer).flatten(1)
        norms = [round(norm, 4) for norm in weight.norm(dim=1).tolist()]
        yield [Panel(job.layer.whole, NormRecord(weight.shape[1], norms))]


def level_of(unit: Unit) -> int:
    return 40 + 10 * (unit.index % 20)


def swatch_view(contents: Any, layer: Layer, unit: Unit) -> Any:
    from atlas.site.parts import crop_of

    sprite = contents.sprite(layer, unit.index, SWATCH)
    return crop_of(sprite, f"Swatch of {unit.id}") if sprite else None


def norm_view(contents: Any, layer: Layer, unit: Unit) -> Any:
    record = contents.layer_record(layer, NORM)
    return f"{record.norm[unit.index]:g}" if record else None


SWATCH = Kind(
    name="swatch",
    about="a grey swatch",
    scope=EachUnit(),
    spec=swatch_spec,
    record=SwatchRecord,
    make="own_kinds:make_swatches",
    folder=FOLDER,
    encoding=LOSSLESS,
    sheet=SheetKind("swatches", columns=4, cell_px=None, lossless_below_px=100),
    sheet_words="swatches",
    columns=(Column("grey level", "level"),),
    unit_sections=(Section("below", "swatch.html", "own_kinds:swatch_view"),),
    glossary="swatch-glossary.html",
)
NORM = Kind(
    name="norm",
    about="how long a unit's vector of weights is",
    scope=WholeLayer(),
    spec=norm_spec,
    record=NormRecord,
    make="own_kinds:make_norms",
    folder=FOLDER,
    columns=(Column("weight norm", "norm"),),
    unit_sections=(Section("notes", "norm.html", "own_kinds:norm_view"),),
    glossary="norm-glossary.html",
)
