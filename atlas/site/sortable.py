"""The numbers by which a layer's units can be sorted and sifted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from atlas.site.evidence import scale_of
from atlas.site.views import Contents, is_dead
from atlas.spec import SELECTIVE
from atlas.units import Kind, Layer, Unit


class Column(NamedTuple):
    """One number of a unit."""

    name: str  # as people read it
    kind: Kind  # of artifact that knows it
    field: str  # its name among the artifact's numbers
    unit: str = ""  # that it is counted in
    selective: str = ""  # field that must be at least SELECTIVE for it to mean anything


COLUMNS = (
    Column("orientation", "tuning", "orientation_deg", "°", "orientation_selectivity"),
    Column("orientation selectivity", "tuning", "orientation_selectivity"),
    Column("period", "tuning", "period_px", "px"),
    Column("hue", "tuning", "hue_deg", "°", "hue_selectivity"),
    Column("hue selectivity", "tuning", "hue_selectivity"),
    Column("ring radius", "tuning", "ring_px", "px"),
    Column("share of photographs", "natural", "fires"),
    Column("class selectivity", "natural", "selectivity"),
    Column("effective inputs", "circuit", "n_effective"),
    Column("share of the strongest inputs", "circuit", "top_share"),
)
SCORE_UNITS = {"z": "σ", "mean": "", "logit": ""}


def columns_of(contents: Contents, layer: Layer) -> tuple[tuple[str, ...], Callable[[Unit], str]]:
    """What a layer's units can be sorted by, and each unit's values.

    Returns:
        Names, each with the unit of measurement behind a bar where it has one; and a function to
        a unit's values in that order, separated by spaces, with a hyphen where there is none.
    """
    found = ((column, _values(contents, layer, column)) for column in COLUMNS)
    known = {column: each for column, each in found if any(value is not None for value in each)}
    scale = scale_of(layer)
    has_scores = any(contents.entry(unit, "excitatory") for unit in layer.units)
    names = [f"{scale.noun}|{SCORE_UNITS[layer.score_name]}"] if has_scores else []
    names += [f"{column.name}|{column.unit}" for column in known]

    has_dead = any(is_dead(contents.entry(unit, "excitatory")) for unit in layer.units)
    names += ["dead"] if has_dead else []

    def values(unit: Unit) -> str:
        entry = contents.entry(unit, "excitatory")
        score = [scale.high(entry.numbers) if entry else None] if has_scores else []
        dead = [float(is_dead(entry))] if has_dead else []
        found = [*score, *(each[unit.index] for each in known.values()), *dead]
        return " ".join("-" if value is None else f"{value:.4g}" for value in found)

    return tuple(name.rstrip("|") for name in names), values


def _values(contents: Contents, layer: Layer, column: Column) -> Sequence[float | None]:
    """One value for each unit; none at all where it was not measured."""
    entry = contents.entry(layer.whole, column.kind)
    numbers = entry.numbers if entry else {}
    values: Sequence[float | None] = numbers.get(column.field, ())
    if not column.selective:
        return values
    selectivity = numbers.get(column.selective, ())
    return [
        value if degree is not None and degree >= SELECTIVE else None
        for value, degree in zip(values, selectivity, strict=True)
    ]
