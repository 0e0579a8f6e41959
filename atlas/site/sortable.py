"""The numbers by which units can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from atlas.canonical import canonical_json
from atlas.kinds.kind import SELECTIVE, Column, Kind, Preset
from atlas.records import has_units
from atlas.site.contents import Contents
from atlas.units import Layer
from atlas.vocabulary import score_of

DIGITS = 4  # of numbers to sort by
VALUES_VARIABLE = b"self.atlasValues = "


class FilledColumn(NamedTuple):
    """A column in which at least one unit of the layer has a number."""

    name: str
    unit: str  # of measurement, or empty
    values: Sequence[float | None]  # of every unit of the layer
    about: str  # entry of the glossary, or empty
    column: Column

    @property
    def label(self) -> str:
        """`orientation|°`."""
        return f"{self.name}|{self.unit}".rstrip("|")


def columns_of(contents: Contents, layer: Layer) -> tuple[FilledColumn, ...]:
    """What a layer's units can be sorted by."""
    return tuple(filled_columns(contents, layer))


def values_script(contents: Contents, layer: Layer) -> bytes:
    """The numbers of a layer's units: per column one of each unit that has a page, or null.

    A script, because pages opened from disk may not fetch JSON.
    """
    columns, paged = columns_of(contents, layer), contents.paged[layer.name]
    labels = [contents.label(layer, index) for index in paged]
    values = {
        "columns": [column.label for column in columns],
        "turns": [column.column.full_turn for column in columns],
        "abouts": [column.about for column in columns],
        "units": paged,
        "values": [[_rounded(column.values[index]) for index in paged] for column in columns],
        "names": labels if any(labels) else [],
    }
    return VALUES_VARIABLE + canonical_json(values).encode() + b";\n"


def presets_of(contents: Contents, layer: Layer, columns: Sequence[FilledColumn]) -> Iterator[str]:
    """`red|by=hue&from=340&to=20&sort=hue+selectivity`, for each that some unit is within.

    After the name is the view in the form in which addresses have it. The clearest units are first.
    """
    paged, fields = contents.paged[layer.name], {each.column.field: each.name for each in columns}
    for column in columns:
        known = [value for index in paged if (value := column.values[index]) is not None]
        for preset in column.column.presets:
            if any(preset.holds(value) for value in known):
                state = _state(column.name, preset, fields.get(column.column.selective))
                yield f"{preset.name}|{urlencode(state)}"


def _state(name: str, preset: Preset, clearness: str | None) -> dict[str, str]:
    """The view of a preset: of the column, its limits, and the column that units are sorted by."""
    limits = {"from": preset.low, "to": preset.high}
    state = {"by": name} | {end: f"{at:g}" for end, at in limits.items() if at is not None}
    if clearness:
        return {**state, "sort": clearness}
    return {**state, "sort": name, "order": "up"} if preset.low is None else state


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def ordered_columns(contents: Contents) -> list[Column]:
    """All columns of all kinds, in the order in which they are listed."""
    return [column for _, column in _ordered(contents)]


def _ordered(contents: Contents) -> list[tuple[Kind[Any], Column]]:
    columns = [(kind, column) for kind in contents.kinds for column in kind.columns]
    return sorted(
        columns, key=lambda pair: pair[0].order if pair[1].order is None else pair[1].order
    )


def filled_columns(contents: Contents, layer: Layer) -> Iterator[FilledColumn]:
    """The columns that a layer has numbers for."""
    score = score_of(layer)
    words = {"noun": score.noun, "unit": score.suffix.strip(), "about": score.about}
    for kind, column in _ordered(contents):
        values = _values(contents, layer, kind, column)
        if any(value is not None for value in values):
            texts = (column.name, column.unit, column.about)
            name, unit, about = (text.format(**words) for text in texts)
            yield FilledColumn(name, unit, values, about, column)


def _values(
    contents: Contents, layer: Layer, kind: Kind[Any], column: Column
) -> Sequence[float | None]:
    """A column's value for each unit; empty if it was not measured."""
    if kind.name not in contents.made_in[layer.name]:
        return ()
    if not has_units(kind.record):
        records = [contents.record(unit, kind) for unit in layer.units]
        return [getattr(record, column.field) if record else None for record in records]
    record = contents.layer_record(layer, kind)
    values: Sequence[float | None] = (getattr(record, column.field) if record else None) or ()
    if not column.selective:
        return values
    selectivity = (getattr(record, column.selective) if record else None) or ()
    return [
        value if degree is not None and degree >= SELECTIVE else None
        for value, degree in zip(values, selectivity, strict=True)
    ]
