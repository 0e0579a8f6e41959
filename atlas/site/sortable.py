"""The numbers by which units can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from atlas.kinds.kind import SELECTIVE, Column, Kind
from atlas.records import has_units
from atlas.site.contents import Contents
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of


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


def columns_of(contents: Contents, layer: Layer) -> tuple[tuple[str, ...], Callable[[Unit], str]]:
    """What a layer's units can be sorted by, and each unit's values.

    Returns:
        The columns' names, each followed by `|` and its unit of measurement if it has one; and a
        function from a unit to its values in that order, separated by spaces, `-` if missing.
    """
    columns = list(filled_columns(contents, layer))

    def values(unit: Unit) -> str:
        row = (column.values[unit.index] for column in columns)
        return " ".join("-" if value is None else f"{value:.4g}" for value in row)

    return tuple(column.label for column in columns), values


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
